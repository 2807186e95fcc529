/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One process's Python heap: which of its small blocks are new since tracing began, and a sample of them with their
 * stacks, from which it is estimated who holds the heap (model/heap_estimate.h). Reads the process's memory, never stops it.
 *
 * A sampled block counts as alive until it is found on its pool's free list, in a pool that is gone, or holding another
 * object (python/pymalloc.h tells how well that can be told). What lived before tracing began is sampled in the same way
 * at the beginning, to tell how much of it still lives.
 */
#ifndef CAPTURE_HEAP_SAMPLES_H
#define CAPTURE_HEAP_SAMPLES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/stack_names.h"
#include "model/heap_estimate.h"
#include "system/proc.h"

struct heap_samples;

/* A block allocated in a window. */
struct heap_block {
	uint64_t addr;
	uint32_t bytes; /* as requested */
	struct stack_name stack;
};

/* The process at a time. */
struct heap_moment {
	struct heap_pools pools; /* taken into use since tracing began */
	uint64_t cpu_ns; /* CPU time used */
};

/* Reads the heap as it is. p outlives *ret. -ESRCH, -EPERM: the process's memory cannot be read; -ENOMEM. */
int heap_samples__new(const struct proc *p, pid_t tgid, const struct interp *in, struct heap_samples **ret);
void heap_samples__free(struct heap_samples *s);

/*
 * Takes what a window saw that opened at that moment: `events` allocations, and the last block at each address. To be called
 * as soon as it is closed: blocks that have been freed meanwhile do not count as survivors. 0 or -errno.
 */
int heap_samples__add_window(struct heap_samples *s, const struct heap_moment *at, uint64_t events,
			     const struct heap_block *blocks, size_t n);

/* What the heap holds now, by stack. */
struct heap_holder {
	struct stack_name stack;
	struct heap_line line;
};
struct heap_holdings {
	struct heap_holder *holders; /* by stack; sampled windows only */
	size_t n;
	struct heap_line before; /* lived when tracing began; bytes of whole blocks */
	struct heap_line unsampled; /* new, in size classes that no window saw; bytes of whole blocks */
	double rounded_bytes; /* what the holders' blocks are larger than was asked for */
	uint64_t block_bytes; /* all live blocks: the sum of the above */
	uint64_t pools, pool_bytes, windows;
};
/* Looks at the heap and the samples. *ret belongs to s and holds until the next call. 0 or -errno. */
int heap_samples__estimate(struct heap_samples *s, const struct heap_moment *now, const struct heap_holdings **ret);

#endif
