/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What heap_samples.c (the sample) and heap_holdings.c (what it tells of the heap) share. */
#ifndef CAPTURE_HEAP_SAMPLES_IMPL_H
#define CAPTURE_HEAP_SAMPLES_IMPL_H

#include <stdbool.h>
#include <uthash.h>

#include "capture/heap_samples.h"
#include "python/pymalloc_look.h"

struct sample {
	struct heap_weight weight; /* first (struct heap_weight_list) */
	struct pymalloc_block block;
	struct stack_name stack; /* not of old ones */
	uint16_t bytes; /* as requested */
	float pinned_bytes; /* that it keeps from going back, as of the last reading */
};

/* Blocks that windows saw a stack allocate, and those of them that lived on. */
struct mortality {
	struct stack_name stack; /* key */
	uint64_t born, survived;
	UT_hash_handle hh;
};
struct heap_samples {
	struct pymalloc *heap;
	struct mortality *mortalities;
	struct sample *at;
	size_t n, room;
	struct heap_windows windows;
	bool seen; /* a window since the last reading */
	struct sample *born; /* in the last window, to be settled; NULL: none */
	size_t n_born;
	struct heap_look look; /* of that window */
	struct heap_draw *draws; /* at the last reading */
	size_t n_draws;
	struct drand48_data random;
	uint64_t seed; /* of the draws */
	struct heap_holdings holdings;
	struct pymalloc_totals totals; /* at the last reading */
};

static inline struct heap_weight_list heap_samples_impl__weights(struct heap_samples *s)
{
	return (struct heap_weight_list){ .first = s->at, .n = s->n, .size = sizeof(*s->at) };
}

/* What each block of the sample keeps from going back, by the pools as they are. 0 or -ENOMEM. */
int heap_samples_impl__pin(struct heap_samples *s, const struct pymalloc_pools *pools, uint32_t pool_bytes);
/* Fills holdings from the sample, whose kinds are known. pools, pin: as in heap_samples__read. 0 or -ENOMEM. */
int heap_samples_impl__estimate(struct heap_samples *s, double pools, bool pin);

#endif
