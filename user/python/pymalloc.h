/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a running process keeps in CPython's small-object allocator, read from outside: the process is not stopped, not
 * written to, and no symbols are needed. The allocator's own list of arenas tells where the pools are; it is found by
 * its shape in the interpreter's data (user/python/pymalloc_books.c). Where it is not found, all private anonymous
 * memory is searched for pool headers.
 *
 * The process allocates meanwhile: each pool is judged by what was read of it, one that makes no sense is read again a
 * few times, then counted; nothing is followed further than its bounds. Totals of a process that stands still are
 * exact.
 */
#ifndef PYTHON_PYMALLOC_H
#define PYTHON_PYMALLOC_H

#include <stddef.h>

#include "python/interp.h"
#include "python/pymalloc_leaves.h"
#include "python/pymalloc_pool.h"
#include "system/proc.h"

struct pymalloc;

/*
 * The allocator of process tgid, whose interpreter was recognised as *in. p is borrowed until pymalloc__free. Reads
 * nothing yet. A process that execs needs a new one. -ENOMEM.
 */
int pymalloc__open(const struct proc *p, pid_t tgid, const struct interp *in, struct pymalloc **ret);
/*
 * The same in made-up memory, for tests: data is where the interpreter's variables are, anon where arenas may be; both
 * are copied, m is borrowed.
 */
int pymalloc__open_memory(const struct mem_reader *m, const struct py_layout *l, const struct pymalloc_range *data,
			  size_t data_cnt, const struct pymalloc_range *anon, size_t anon_cnt, struct pymalloc **ret);
void pymalloc__free(struct pymalloc *a);

/* A pool with live blocks. */
struct pymalloc_pool {
	uint64_t base;
	uint16_t live;
	uint8_t szidx;
	bool full;
};

/* Owned by the caller: start with {0}, keep for the next scan, end with pymalloc_pools__free. In order of arenas. */
struct pymalloc_pools {
	struct pymalloc_pool *pool;
	size_t cnt, room;
};
void pymalloc_pools__free(struct pymalloc_pools *p);

struct pymalloc_class {
	uint64_t pools; /* with a live block */
	uint64_t live;	/* blocks; some are on a free list of their type, which this level does not know */
	uint64_t free;	/* blocks free in these pools, those never handed out among them */
};

struct pymalloc_totals {
	struct pymalloc_class class[PYMALLOC_CLASSES];
	uint64_t arenas; /* 0 where they were searched for */
	uint64_t arena_bytes;
	uint64_t pools_read;   /* the classes' figures are of these; see pymalloc_opts.every */
	uint64_t pools_carved; /* that there are; searched: that were read */
	uint64_t free_pools;   /* of those read: without a live block, but touched once */
	uint64_t virgin_pools; /* never touched; 0 where pools were searched for */
	/* What could not be had; none of it is in the figures above but torn_pools. */
	uint64_t torn_pools;	/* changed at each look; their count of live blocks may be one off */
	uint64_t bad_pools;	/* in an arena, but not a pool's header: overwritten, or unmapped meanwhile */
	uint64_t swapped_pools; /* not read, for that would bring them in */
	uint64_t foreign_pools; /* searched: copies of pools that are elsewhere */
	uint64_t left_out;	/* ranges or pools beyond our bounds */
	uint32_t pool_bytes;
	bool by_arenas;
	const char *why; /* a static string: why they had to be searched for; else NULL */
};

struct pymalloc_opts {
	/*
	 * Of so many pools in a row read one, by chance; 0 and 1: all. A header costs about 0.6 us. pools_carved /
	 * pools_read times a figure is then an estimate without bias; of fewer than so many pools maybe none is read. A
	 * list of pools is of those read.
	 */
	unsigned int every;
	uint64_t seed; /* of the chance; another one for each scan */
	bool search;   /* do not look for the list of arenas */
};

/*
 * Totals into *ret, and the pools, where pools is not NULL. opts: NULL for all pools. -ESRCH: process gone; -EPERM,
 * -EACCES; -ENOMEM; *ret is then not written.
 */
int pymalloc__scan(struct pymalloc *a, const struct pymalloc_opts *opts, struct pymalloc_pools *pools,
		   struct pymalloc_totals *ret);

/*
 * Copies the pool at base to copy (PYMALLOC_MAX_POOL_BYTES) and tells its live blocks, with a few tries. POOL_SOUND or
 * the last doubt; where it can't be read, POOL_BAD_HEADER.
 */
enum pymalloc_doubt pymalloc__read_pool(const struct pymalloc *a, uint64_t base, void *copy, struct pymalloc_live *ret);

#endif
