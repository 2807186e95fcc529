/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One process's Python heap: a sample of its small blocks, each with the stack that allocated it and the number of live
 * blocks that it stands for (model/heap_weights.h). Reads the process's memory, never stops it.
 *
 * A sampled block lives until it is found on its pool's free list, in a pool that is gone, or holding another object
 * (python/pymalloc_look.h tells how well that can be told). Objects that a type keeps on a free list of its own (tuples,
 * floats, ...) never pass the allocator when they are used again: where windows have seen nothing of a size class born, but its
 * blocks hold something else, they are taken for such and stay their first allocator's, as tracemalloc had it before 3.12.
 */
#ifndef CAPTURE_HEAP_SAMPLES_H
#define CAPTURE_HEAP_SAMPLES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/stack_names.h"
#include "capture/told.h"
#include "model/heap_weights.h"
#include "system/proc.h"

struct heap_samples;

/* A block allocated in a window. */
struct heap_block {
	uint64_t addr;
	uint32_t bytes; /* as requested */
	struct stack_name stack;
};

/* Reads the heap as it is. p outlives *ret. -ESRCH, -EPERM: the process's memory cannot be read; -ENOMEM. */
int heap_samples__new(const struct proc *p, pid_t tgid, const struct interp *in, struct heap_samples **ret);
void heap_samples__free(struct heap_samples *s);

/*
 * Takes what a window saw: the last block at each address. look->born and survived are found here. To be called as soon as the
 * window is closed: blocks that have been freed meanwhile do not count as born. 0 or -errno.
 */
int heap_samples__add_window(struct heap_samples *s, const struct heap_look *look, const struct heap_block *blocks, size_t n);
/*
 * To be called a while later, HEAP_SETTLE_MS or so: only what lives then may be sampled. So what was just being used when the
 * window closed does not crowd out what stays. Done at the next window and reading at the latest. 0 or -errno.
 */
int heap_samples__settle(struct heap_samples *s);
#define HEAP_SETTLE_MS 30

/* What the heap holds now, by stack. */
struct heap_holder {
	struct stack_name stack;
	struct heap_sum sum; /* bytes as requested */
	struct heap_sum pinned; /* free blocks that these keep from going back (pool_pins.h); not of large blocks */
};
struct heap_holdings {
	struct heap_holder *holders; /* by stack */
	size_t n;
	struct heap_sum before; /* lived when tracing began; bytes of whole blocks */
	struct heap_sum unknown; /* new, of size classes, and kinds, that no window has seen born; bytes of whole blocks */
	struct heap_sum before_pinned, unknown_pinned; /* by the two above */
	double rounded_bytes; /* what the holders' blocks are larger than was asked for */
	uint64_t block_bytes; /* all live blocks: about the sum of the above */
	const struct pymalloc_totals *totals; /* as they were read; NULL: of large blocks */
};
/*
 * Looks at the heap and the sample. own_s: the process's own time (model/heap_windows.h) since heap_samples__new; pools: taken
 * into use since; pace: of the same, as the kernel side has it; most_draws: blocks that may be looked at for their kind, 1 to 5 us each; pin:
 * what is pinned is to be told, too, for some 50 ns a pool.
 * *ret belongs to s and holds until the next call. 0 or -errno.
 */
int heap_samples__read(struct heap_samples *s, double own_s, double pools, const struct pool_pace pace[HEAP_CLASSES],
		       size_t most_draws, bool pin, const struct heap_holdings **ret);

#endif
