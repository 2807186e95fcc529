/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/advance.h"

/* Less is not taken: to attach to a program costs it that much, whatever it may spend then. */
#define LEAST_NS (ADVANCE_NS / 2.0)
/* No more than this is ever owed: those that start are not kept out for ever for what could not be helped. */
#define MAX_OWED_NS (2.0 * ADVANCE_NS)

void advance__begin(struct advance *a, double budget)
{
	*a = (struct advance){ .budget = budget, .left_ns = ADVANCE_NS };
}

uint64_t advance__take(struct advance *a)
{
	uint64_t taken_ns = a->left_ns;

	if (a->left_ns < LEAST_NS)
		return 0;
	a->left_ns -= taken_ns;
	return taken_ns;
}

void advance__settle(struct advance *a, uint64_t taken_ns, uint64_t cpu_ns, uint64_t cost_ns)
{
	a->left_ns += (double)taken_ns + a->budget * (double)cpu_ns - (double)cost_ns;
	if (a->left_ns > ADVANCE_NS)
		a->left_ns = ADVANCE_NS;
	if (a->left_ns < -MAX_OWED_NS)
		a->left_ns = -MAX_OWED_NS;
}
