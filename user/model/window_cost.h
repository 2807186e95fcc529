/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a window of the heap signal costs its process, and how long a hit takes outside of our programs: from what windows saw. Pure.
 *
 * No two hits are closer together than one takes. So the least time between two in a window that saw many is the quickest trap's; clocks
 * of two processors may differ by more than that, so it is a low one of many windows' that counts. It is 0.4 us on a plain machine
 * and was 5.4 us under a hypervisor that takes part in each. Traps are not alike: of a program that does nothing but allocate the
 * usual time between two is a usual trap, and the 50 ns that an allocation takes. Where that was 0.7 us more than the quickest one,
 * bursts seemed to take ten times as long as they did. A program that allocates now and then does not tell, and need not.
 */
#ifndef MODEL_WINDOW_COST_H
#define MODEL_WINDOW_COST_H

#include <stdint.h>

#include "records.h"

#define WINDOW_COST_MEMORY 16
#define WINDOW_MOST_ALLOCATIONS 2000
/* What an allocation takes at least, by itself. */
#define WINDOW_BLOCK_S 50e-9

/* All zero but expected_ns: nothing was seen. */
struct window_cost {
	uint32_t expected_ns; /* a trap, before windows tell; 0: not known */
	uint64_t n;
	uint32_t least_ns[WINDOW_COST_MEMORY], usual_ns[WINDOW_COST_MEMORY];
	double inside_ns; /* of a hit, lately */
};

void window_cost__note(struct window_cost *c, const struct window_state *w);
/* What a hit takes outside of our programs. */
uint32_t window_cost__trap_ns(const struct window_cost *c);
/* How many allocations a window may see: what they cost is not to be far more than what opening it does. */
uint32_t window_cost__allocations(const struct window_cost *c);
/* What it cost; strays: hits while it was being opened and closed. */
double window_cost__paid_s(const struct window_cost *c, const struct window_state *w, uint64_t strays);
/* The same of one of which nothing is known yet. */
double window_cost__expected_s(const struct window_cost *c);
/* By how much too long its own time was taken to be, for hits took longer than was known when it was opened. */
double window_cost__excess_s(const struct window_cost *c, const struct window_state *w);

#endif
