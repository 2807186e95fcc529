/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Keeps what tracing costs within a share of the targets' CPU time, by looking at one page fault in 1 << shift. Pure: fed
 * with sums once a second, it answers with the shift.
 *
 * A program's first faults are many and tell much, so a burst is free: nothing is thinned out before the cost exceeds
 * the budget by GOVERNOR_BURST_NS. Then the shift grows by as much as the last second's rate asks for, and falls by one
 * only when twice the rate would fit: it does not swing.
 */
#ifndef CAPTURE_GOVERNOR_H
#define CAPTURE_GOVERNOR_H

#include <stdint.h>

#define GOVERNOR_BURST_NS 200000000ull
#define GOVERNOR_MAX_SHIFT 10

struct governor {
	double budget; /* 0.01: 1 %; 0: no limit */
	uint64_t cost_ns, cpu_ns; /* at the last step */
	uint32_t shift;
};

/* cost_ns, cpu_ns: sums since the beginning. Returns the shift to use from now on. */
uint32_t governor__step(struct governor *g, uint64_t cost_ns, uint64_t cpu_ns);

#endif
