/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One process's blocks over 512 bytes, where following all of them would cost too much: a sample, each with the stack that
 * allocated it and the number of live blocks that it stands for (model/heap_weights.h). Like heap_samples.h, for malloc.
 *
 * How many chunks of each size are in use is read from the heap of glibc's main arena (system/malloc_heap.h), exactly. Who
 * allocated them is known of those that were followed before, and of those that windows saw allocated. What stands in neither,
 * but is there, is told as such. Blocks elsewhere (mapped by themselves, of other arenas) are not counted: they are told by their
 * chance to be seen, alone.
 *
 * A sampled block lives as long as its chunk is in use, of the same size, and not everything in its first words is new. Where
 * another block of that size took its place and looks like it, it is taken for it.
 */
#ifndef CAPTURE_LARGE_SAMPLES_H
#define CAPTURE_LARGE_SAMPLES_H

#include "capture/heap_samples.h"

struct large_samples;

struct large_seen {
	uint64_t addr, bytes; /* as requested */
	struct stack_name stack;
};

/*
 * From now on. followed: all blocks whose line is known, which may be fewer by now. p outlives *ret. -ENODATA, -EILSEQ: its heap is
 * not glibc's; -ESRCH, ... *ret owns nothing of the arguments.
 */
int large_samples__new(const struct proc *p, pid_t tgid, const struct large_seen *followed, size_t n,
		       struct large_samples **ret);
void large_samples__free(struct large_samples *s);
/* From now on: of: whether it is known who had a block mapped by itself made so many bytes large, and if so, who. */
void large_samples__ask(struct large_samples *s, bool (*of)(void *arg, uint64_t bytes, struct stack_name *ret), void *arg);
/* What a window saw allocated and not freed; look->survived is found here. 0 or -errno. */
int large_samples__add_window(struct large_samples *s, const struct heap_look *look, const struct large_seen *blocks, size_t n);
/*
 * Looks at the heap and the sample. own_s: the process's own time since large_samples__new. Bytes are as requested, of `before`
 * and `unknown` as malloc keeps them. *ret belongs to s and holds until the next call. 0 or -errno.
 */
int large_samples__read(struct large_samples *s, double own_s, const struct heap_holdings **ret);

#endif
