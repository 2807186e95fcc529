/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/told.h"

#include <errno.h>
#include <stdlib.h>

struct told {
	struct stack_name stack; /* key: node, process, tid */
	uint64_t blocks, bytes;
	bool seen; /* in the estimate at hand */
	UT_hash_handle hh;
};

void told__begin(struct told_table *t)
{
	struct told *one;

	for (one = t->all; one; one = one->hh.next)
		one->seen = false;
}

static struct told *told_of(struct told_table *t, const struct stack_name *stack)
{
	struct told *one;

	HASH_FIND(hh, t->all, stack, sizeof(*stack), one);
	if (one)
		return one;
	one = calloc(1, sizeof(*one));
	if (!one)
		return NULL;
	one->stack = *stack;
	HASH_ADD(hh, t->all, stack, sizeof(one->stack), one);
	return one;
}

int told__adopt(struct told_table *t, const struct stack_name *stack, uint64_t bytes)
{
	struct told *one = told_of(t, stack);

	if (!one)
		return -ENOMEM;
	one->blocks++;
	one->bytes += bytes;
	return 0;
}

void told__tell_sure(struct told_table *t, const struct stack_name *stack, double blocks, double bytes)
{
	uint64_t now_blocks = blocks > 0 ? blocks + 0.5 : 0, now_bytes = bytes > 0 ? bytes + 0.5 : 0;
	struct told *one = told_of(t, stack);
	struct profile_sums sums = {};

	if (!one)
		return;
	one->seen = true;
	sums.alloc_cnt = now_blocks > one->blocks ? now_blocks - one->blocks : 0;
	sums.free_cnt = now_blocks < one->blocks ? one->blocks - now_blocks : 0;
	sums.alloc_bytes = now_bytes > one->bytes ? now_bytes - one->bytes : 0;
	sums.free_bytes = now_bytes < one->bytes ? one->bytes - now_bytes : 0;
	one->blocks = now_blocks;
	one->bytes = now_bytes;
	profile__add(t->profile, stack->process, stack->tid, stack->node, t->kind, &sums);
}

void told__tell(struct told_table *t, const struct stack_name *stack, const struct heap_sum *sum)
{
	int64_t deviations[PROFILE_REPLICATES];

	for (int i = 0; i < PROFILE_REPLICATES; i++)
		deviations[i] = (int64_t)sum->deviation[i];
	told__tell_sure(t, stack, sum->blocks, sum->bytes);
	profile__set_deviations(t->profile, stack->process, stack->tid, stack->node, t->kind, deviations);
}

void told__end(struct told_table *t)
{
	static const struct heap_sum nothing;
	struct told *one;

	for (one = t->all; one; one = one->hh.next)
		if (!one->seen)
			told__tell(t, &one->stack, &nothing);
}

void told__free(struct told_table *t)
{
	struct told *one, *next;

	HASH_ITER(hh, t->all, one, next) {
		HASH_DEL(t->all, one);
		free(one);
	}
}
