/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the profile was told of a process's heap, by stack. The profile has sums of what came and went: from one estimate to the
 * next it is told what changed. Only the tracker's files include this.
 */
#ifndef CAPTURE_TOLD_H
#define CAPTURE_TOLD_H

#include "capture/stack_names.h"
#include "model/heap_weights.h"

struct told;

/* An estimate in blocks and bytes, and its replicates' deviations. */
struct heap_sum {
	double blocks, bytes;
	double deviation[HEAP_REPLICATES]; /* bytes */
};

/* So many blocks more, of so many bytes each. */
static inline void heap_sum__add(struct heap_sum *sum, const struct heap_blocks *blocks, double bytes)
{
	sum->blocks += blocks->at[0];
	sum->bytes += blocks->at[0] * bytes;
	for (int r = 0; r < HEAP_REPLICATES; r++)
		sum->deviation[r] += (blocks->at[1 + r] - blocks->at[0]) * bytes;
}

/* All zero but what is said here. */
struct told_table {
	struct profile *profile;
	uint32_t kind; /* enum sample_kind */
	struct told *all;
};

/* The profile knows of this block already. 0 or -ENOMEM. */
int told__adopt(struct told_table *t, const struct stack_name *stack, uint64_t bytes);
/* Another estimate begins. */
void told__begin(struct told_table *t);
/* So much is this stack's now; sure: as is known, without an error. */
void told__tell(struct told_table *t, const struct stack_name *stack, const struct heap_sum *sum);
void told__tell_sure(struct told_table *t, const struct stack_name *stack, double blocks, double bytes);
/* Whoever was not told of since holds nothing any more. */
void told__end(struct told_table *t);
void told__free(struct told_table *t);

#endif
