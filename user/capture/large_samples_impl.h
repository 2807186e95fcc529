/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the files of large_samples.h share: large_samples.c draws samples and estimates, large_fates.c tells what became of blocks.
 * Size classes: chunks of the main arena by size, four to an octave up to 8 KiB and two from there on; one of those that are mapped
 * by themselves and found, and the last of all blocks elsewhere.
 */
#ifndef CAPTURE_LARGE_SAMPLES_IMPL_H
#define CAPTURE_LARGE_SAMPLES_IMPL_H

#include <stdlib.h>

#include "capture/large_samples.h"
#include "system/malloc_heap.h"

#define ELSEWHERE (HEAP_CLASSES - 1)
#define MAPPED (HEAP_CLASSES - 2)
#define MAX_MAPPED 4096
#define PRINT_WORDS 6
#define MAX_LOST 256

struct large_sample {
	struct heap_weight weight; /* first (struct heap_weight_list) */
	bool before; /* whose it is was never known */
	bool printed;
	uint64_t addr, bytes, chunk_bytes;
	uint64_t print[PRINT_WORDS]; /* behind the first word, which is a reference count where it is an object */
	struct stack_name stack;
};

struct large_class_sums {
	uint64_t blocks, bytes;
};

/* Blocks mapped by themselves, as found now. */
struct large_mapped {
	struct large_mapped_block {
		uint64_t addr, bytes;
		bool known; /* it is a sample */
		uint64_t print[PRINT_WORDS]; /* zero where it could not be read */
	} at[MAX_MAPPED];
	size_t n;
};

struct large_samples {
	const struct proc *proc;
	pid_t tgid;
	struct large_sample *at;
	size_t n, room;
	struct heap_windows windows;
	struct large_class_sums live[HEAP_CLASSES];
	struct large_mapped mapped;
	bool all_known; /* every mapped block is a sample */
	struct large_sample lost[MAX_LOST]; /* those that were last found gone, and may have grown: the oldest goes */
	size_t n_lost;
	bool (*mover_of)(void *arg, uint64_t bytes, struct stack_name *ret); /* large_samples__ask; NULL: nobody knows */
	void *mover_arg;
	struct drand48_data random;
	struct heap_holdings holdings;
};

unsigned int large_samples_impl__class_of(uint64_t chunk_bytes);
/* -ENOMEM */
int large_samples_impl__add_sample(struct large_samples *s, const struct large_sample *sample);
/* What became of n blocks: whoever lives no more has no chunk then. 0 or -errno. */
int large_samples_impl__look_at(struct large_samples *s, struct large_sample *samples, size_t n);
/* Finds those of the sample that are mapped by themselves now, also where they were moved. 0 or -errno. */
int large_samples_impl__find_mapped(struct large_samples *s);
/* All that were found, as live. */
void large_samples_impl__count_mapped(struct large_samples *s);
/* Keeps one that is gone in mind: it may be found again. */
void large_samples_impl__lose(struct large_samples *s, const struct large_sample *sample);
/* A sample is this block now. */
void large_samples_impl__become(struct large_sample *sample, struct large_mapped_block *b);

#endif
