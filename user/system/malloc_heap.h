/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The heap that glibc's malloc keeps in a process, read from outside: which chunks of its main arena are in use, and whether
 * a block is there still. Chunks stand one behind the other, from the beginning of the mapping [heap] on, and each begins with its
 * size (glibc malloc/malloc.c: struct malloc_chunk, PREV_INUSE, IS_MMAPPED, NON_MAIN_ARENA; the same since 2.3). Whether one is in
 * use its successor says, for blocks of more than 1,032 bytes: smaller ones seem to be in use while their thread keeps
 * them for the next call (tcache), at most seven of each size.
 *
 * musl's [heap] holds no blocks but what mallocng knows of its groups, or, before 1.2.1, chunks of another kind: who calls this has
 * found out that malloc is not musl's (python/malloc_sites.h).
 *
 * It is read while the process runs. What stands there is believed only as far as it makes sense to the end.
 */
#ifndef SYSTEM_MALLOC_HEAP_H
#define SYSTEM_MALLOC_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/mem.h"
#include "system/proc.h"

struct malloc_heap {
	struct mem_reader m;
	uint64_t start, end; /* of the mapping [heap] */
};

/* 0; -ENODATA: it has no such mapping; -ESRCH, ... Does not say whether the heap is glibc's. */
int malloc_heap__find(const struct proc *p, pid_t tgid, struct malloc_heap *ret);

/*
 * Calls fn for each chunk in use of at least least_bytes, in ascending order: addr is what malloc returned, bytes its chunk's.
 * Takes 1 ms for 5 MiB or so. 0; -EILSEQ: that is no heap of glibc's, or it changed all the time; -EFAULT, -ESRCH, -EPERM. On any
 * error fn may have been called for some.
 */
int malloc_heap__walk(const struct malloc_heap *h, uint64_t least_bytes, void (*fn)(uint64_t addr, uint64_t bytes, void *arg),
		      void *arg);

/*
 * Calls fn likewise for blocks that are mapped by themselves (128 KiB and more, as a rule) and stand at the beginning of a
 * mapping, one behind the other; those behind other memory are not found. Any page may look like one. 0; -ESRCH, ...
 */
int malloc_heap__mapped(const struct proc *p, pid_t tgid, void (*fn)(uint64_t addr, uint64_t bytes, void *arg), void *arg);

struct malloc_block {
	uint64_t addr;
	uint64_t chunk_bytes; /* 0, before: not known. Result: of its chunk; 0: it is not in use, or is another one */
	bool in_heap; /* result: of the main arena, where malloc_heap__walk comes by */
};
#define MALLOC_BLOCKS_AT_ONCE 256
/* Looks at n blocks, wherever they are. 0; -ESRCH, -EPERM. */
int malloc_heap__look(const struct malloc_heap *h, struct malloc_block *blocks, size_t n);

#endif
