/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What programs may cost before they have earned it, so that one that lives for a second is known, too. One that was there when
 * tracing began has it whole. A program that starts later takes it from an account that it shares with all that start in its container,
 * or one that execs itself in a loop had it each time anew. Pure.
 *
 * The account begins with one advance. Who starts takes what is there, unless that is too little to be of use: then it does without.
 * Who ends brings back what it was advanced and the budget's share of its CPU time, less what it cost. So all that start cost together
 * no more than one advance, the budget of their CPU time, and what the last one of them overdrew.
 */
#ifndef CAPTURE_ADVANCE_H
#define CAPTURE_ADVANCE_H

#include <stdint.h>

#include "capture/governor.h"
#include "capture/large_pace.h"
#include "capture/pool_watch.h"
#include "model/heap_plan.h"

/* Of one program: for page faults, the hook on them, large blocks, what it maps, windows, pools. */
#define MAPPING_BURST_NS 1000000ull
#define ADVANCE_NS \
	(GOVERNOR_SAVED_NS + GOVERNOR_HOOK_FREE_NS + LARGE_PACE_BURST_NS + MAPPING_BURST_NS + (uint64_t)((HEAP_BURST_S + POOL_WATCH_BURST_S) * 1e9))

struct advance {
	double budget; /* 0.01: 1 %; > 0 */
	double left_ns; /* < 0: more was spent than there was */
};

void advance__begin(struct advance *a, double budget);
/* What a program that starts may spend: no more than ADVANCE_NS; 0: nothing yet. */
uint64_t advance__take(struct advance *a);
/* It has ended. taken_ns: what it was advanced; cpu_ns, cost_ns: since its start. */
void advance__settle(struct advance *a, uint64_t taken_ns, uint64_t cpu_ns, uint64_t cost_ns);

#endif
