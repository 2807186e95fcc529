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
