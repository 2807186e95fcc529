/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/move_pace.h"

#include <math.h>
#include <stdbool.h>

/* Until the first ones were timed. */
#define FIRST_PAGE_NS 1500.0
#define TELLING_CNT 64
/* Other moves' time is in it, too, and a program of ours that was interrupted told none. */
#define LEAST_PAGE_NS 500.0
#define MOST_PAGE_NS 5000.0
/* Fewer are never asked for: they cost nothing that counts, and tell what one costs. */
#define LEAST_CNT 64
/* The threshold is raised once more for each such part of what was allowed. */
#define STEPS 4
#define MARGIN 0.8

static void set_limit(struct move_pace *p, uint64_t allowed_ns)
{
	double more = allowed_ns / p->page_ns;

	if (allowed_ns == UINT64_MAX) {
		p->limit_cnt = UINT64_MAX;
		p->step_cnt = 0;
		return;
	}
	if (more < LEAST_CNT)
		more = LEAST_CNT;
	p->limit_cnt = p->last.cnt + (uint64_t)more;
	p->step_cnt = more / STEPS < UINT32_MAX ? more / STEPS : UINT32_MAX;
}

void move_pace__begin(struct move_pace *p, uint64_t allowed_ns)
{
	*p = (struct move_pace){ .page_ns = FIRST_PAGE_NS };
	set_limit(p, allowed_ns);
}

void move_pace__step(struct move_pace *p, const struct moved *now, uint64_t allowed_ns)
{
	bool anew = now->cnt < p->last.cnt || now->ns < p->last.ns;
	uint64_t cnt = anew ? 0 : now->cnt - p->last.cnt, ns = anew ? 0 : now->ns - p->last.ns;

	if (cnt >= TELLING_CNT)
		p->page_ns = fmin(fmax((double)ns / cnt, LEAST_PAGE_NS), MOST_PAGE_NS);
	p->last = *now;
	p->shift = now->shift && 2 * cnt * p->page_ns < MARGIN * allowed_ns ? now->shift - 1 : now->shift;
	set_limit(p, allowed_ns);
}
