/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * When a process's large blocks are followed and when they are not, so that it pays no more than a share of its CPU
 * time. Pure: fed with sums, it answers.
 *
 * It is followed until all that was earned, and a burst, is spent. Then it pauses until enough is earned for another
 * while of LARGE_PACE_WHILE_NS at the rate of the last one, times a random number around 1: or whiles would keep step
 * with what the program does in turn.
 */
#ifndef CAPTURE_LARGE_PACE_H
#define CAPTURE_LARGE_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* What may be spent beyond what was earned: a program's start; and how much of that is kept for its first windows. */
#define LARGE_PACE_BURST_NS 5000000ull
#define LARGE_PACE_KEPT 0.4
#define LARGE_PACE_WHILE_NS 100000000ull

struct large_pace {
	double budget; /* 0.01: 1 %; 0: no limit */
	uint64_t burst_ns;
	bool paused;
	uint64_t begin_ns, begin_cost_ns; /* of this while */
	double need_ns; /* to be earned before the next */
};

/*
 * burst_ns: LARGE_PACE_BURST_NS or less. It is followed from now on, unless that is nothing: then once it has earned as much as
 * others have in advance.
 */
void large_pace__begin(struct large_pace *p, uint64_t now_ns, double budget, uint64_t burst_ns);
/*
 * cost_ns: what it paid since then; cpu_ns: the CPU time it used since then; random: from 0 to 1, another each time.
 * Returns whether it is to be followed now.
 */
bool large_pace__step(struct large_pace *p, uint64_t now_ns, uint64_t cost_ns, uint64_t cpu_ns, double random);

#endif
