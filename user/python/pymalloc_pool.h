/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One pool of CPython's small-object allocator, judged by its bytes. Pure: nothing is read here, every input is
 * untrusted, all work is bounded.
 *
 * Objects/obmalloc.c (from 3.12 on Include/internal/pycore_obmalloc.h), 64 bit, release build: a pool is 4 KiB
 * (3.8, 3.9) or 16 KiB (3.10+), aligned to its size, and holds blocks of one size class behind a header of 48 bytes.
 * Blocks are handed out for the first time from low to high (nextoffset); those freed since are a list through their
 * first words (freeblock). An arena is 256 KiB (3.8, 3.9), 1 MiB (3.10+) or 2 MiB (3.15 built for huge pages) from
 * mmap.
 */
#ifndef PYTHON_PYMALLOC_POOL_H
#define PYTHON_PYMALLOC_POOL_H

#include <stdbool.h>
#include <stdint.h>

/* Size classes: blocks of 16, 32, ... 512 bytes. */
#define PYMALLOC_CLASSES 32
#define PYMALLOC_MAX_BLOCK_BYTES 512
#define PYMALLOC_MAX_POOL_BYTES 16384
/* Blocks in a pool of 16 KiB of the smallest class. */
#define PYMALLOC_MAX_POOL_BLOCKS 1021
#define PYMALLOC_HEADER_BYTES 48

struct pymalloc_header {
	uint32_t live; /* ref.count: blocks handed out and not freed */
	uint32_t padding;
	uint64_t freeblock;	     /* first of the free list; 0: the pool is full */
	uint64_t nextpool, prevpool; /* of the class's list; in a full pool left from before */
	uint32_t arenaindex;
	uint32_t szidx;
	uint32_t nextoffset;	/* of the next block that was never handed out */
	uint32_t maxnextoffset; /* of the last block */
};
_Static_assert(sizeof(struct pymalloc_header) == PYMALLOC_HEADER_BYTES, "struct pool_header");

static inline uint32_t pymalloc__block_bytes(unsigned int szidx)
{
	return (szidx + 1) * 16;
}

static inline unsigned int pymalloc__pool_block_cnt(uint32_t pool_bytes, unsigned int szidx)
{
	return (pool_bytes - PYMALLOC_HEADER_BYTES) / pymalloc__block_bytes(szidx);
}

enum pymalloc_state {
	POOL_NONE, /* not the header of a pool, or not yet */
	/*
	 * A header whose fields do not fit each other: it was read while the process changed it. Where that stays, it
	 * is no pool, or somebody wrote over it.
	 */
	POOL_TORN,
	POOL_FREE, /* all its blocks are free; any class may take it next */
	POOL_PARTIAL,
	POOL_FULL,
};

/* Is this the header of a pool at address base? */
enum pymalloc_state pymalloc__judge(const struct pymalloc_header *h, uint64_t base, uint32_t pool_bytes);

/* The pool size that a header tells of itself: 4096, 16384, or 0. */
uint32_t pymalloc__told_pool_bytes(const struct pymalloc_header *h);

/* Which blocks of a pool live; block i is at PYMALLOC_HEADER_BYTES + i * block size. */
struct pymalloc_live {
	uint64_t bits[(PYMALLOC_MAX_POOL_BLOCKS + 63) / 64];
	unsigned int cnt; /* that live */
};

static inline bool pymalloc__is_live(const struct pymalloc_live *l, unsigned int block)
{
	return block < PYMALLOC_MAX_POOL_BLOCKS && l->bits[block / 64] >> block % 64 & 1;
}

/* Why a copy of a pool cannot be believed: it was made while the process allocated or freed in it, or was written over.
 */
enum pymalloc_doubt {
	POOL_SOUND,
	POOL_BAD_HEADER,
	POOL_WILD_LINK, /* the free list leads out of the pool, between blocks, or to one never handed out */
	POOL_CYCLE,
	POOL_MISCOUNT, /* the list's length is not what the header says */
	POOL_DOUBTS,
};

/*
 * The live blocks of the pool at `base`, of which `copy` holds the pool_bytes. *ret is written only where the answer is
 * POOL_SOUND. At most PYMALLOC_MAX_POOL_BLOCKS steps.
 */
enum pymalloc_doubt pymalloc__pool_blocks(const void *copy, uint64_t base, uint32_t pool_bytes,
					  struct pymalloc_live *ret);

#endif
