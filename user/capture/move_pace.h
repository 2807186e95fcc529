/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How many of the followed pages of a process that moves its memory stay followed, so that following them takes what it may
 * (bpf/fault_moves.bpf.h has how). Pure: fed with sums at each step of the budget, it answers.
 *
 * The kernel side raises the threshold by itself where more were moved than may be; it falls again by one step at a time, and only
 * where twice as many would fit.
 */
#ifndef CAPTURE_MOVE_PACE_H
#define CAPTURE_MOVE_PACE_H

#include <stdint.h>

/* Sums since the beginning; less than before: the kernel side has begun anew. */
struct moved {
	uint64_t cnt; /* followed pages that were looked up because they were moved */
	uint64_t ns; /* what our program took for that */
	uint32_t shift; /* as the kernel side has it now */
};

struct move_pace {
	/* Answers, as in struct govern_args. */
	uint64_t limit_cnt;
	uint32_t step_cnt;
	uint32_t shift;
	/* its own */
	struct moved last;
	double page_ns; /* what a page takes */
};

/* allowed_ns: until the first step; UINT64_MAX: always, no limit. */
void move_pace__begin(struct move_pace *p, uint64_t allowed_ns);
void move_pace__step(struct move_pace *p, const struct moved *now, uint64_t allowed_ns);

#endif
