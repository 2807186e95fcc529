/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What holds of each pool between two calls of the allocator (pymalloc_alloc, pymalloc_pool_extend, pymalloc_free,
 * allocate_from_new_pool):
 *	maxnextoffset == pool size - block size
 *	nextoffset == header + k * block size, 2 <= k <= blocks of a pool
 *	freeblock is a block below nextoffset, or null where all blocks live
 *	live + length of the free list == k
 * Within a call one of count, free list and nextoffset is ahead of the others: POOL_TORN.
 */
#include "python/pymalloc_pool.h"

#include <string.h>

/* An arena index beyond this would be 4 TiB of arenas. */
#define MAX_ARENA_INDEX (1u << 24)

/* Which block begins at this offset in the pool. False: none. */
static bool block_at(uint64_t offset, uint32_t block_bytes, unsigned int *ret)
{
	if (offset < PYMALLOC_HEADER_BYTES || offset > PYMALLOC_MAX_POOL_BYTES ||
	    (offset - PYMALLOC_HEADER_BYTES) % block_bytes)
		return false;
	*ret = (offset - PYMALLOC_HEADER_BYTES) / block_bytes;
	return true;
}

/* Fields that change only when a class takes the pool. */
static bool shape_fits(const struct pymalloc_header *h, uint32_t pool_bytes)
{
	return h->szidx < PYMALLOC_CLASSES && h->maxnextoffset == pool_bytes - pymalloc__block_bytes(h->szidx) &&
	       h->arenaindex < MAX_ARENA_INDEX;
}

uint32_t pymalloc__told_pool_bytes(const struct pymalloc_header *h)
{
	if (shape_fits(h, 4096))
		return 4096;
	return shape_fits(h, 16384) ? 16384 : 0;
}

enum pymalloc_state pymalloc__judge(const struct pymalloc_header *h, uint64_t base, uint32_t pool_bytes)
{
	unsigned int carved, first, block_bytes, all;

	if (!shape_fits(h, pool_bytes))
		return POOL_NONE;
	block_bytes = pymalloc__block_bytes(h->szidx);
	all = pymalloc__pool_block_cnt(pool_bytes, h->szidx);
	if (!block_at(h->nextoffset, block_bytes, &carved) || carved < 2 || carved > all || h->live > all)
		return POOL_NONE;
	if (!h->freeblock)
		return h->live == all && carved == all ? POOL_FULL : POOL_TORN;
	if (!block_at(h->freeblock - base, block_bytes, &first) || first >= all)
		return POOL_NONE;
	if (first >= carved || h->live >= carved)
		return POOL_TORN;
	return h->live ? POOL_PARTIAL : POOL_FREE;
}

static void all_live(struct pymalloc_live *l, unsigned int cnt)
{
	*l = (struct pymalloc_live){ .cnt = cnt };
	memset(l->bits, 0xff, cnt / 64 * 8);
	if (cnt % 64)
		l->bits[cnt / 64] = (1ull << cnt % 64) - 1;
}

enum pymalloc_doubt pymalloc__pool_blocks(const void *copy, uint64_t base, uint32_t pool_bytes,
					  struct pymalloc_live *ret)
{
	unsigned int block, block_bytes, carved;
	struct pymalloc_live l;
	struct pymalloc_header h;
	uint64_t link;

	memcpy(&h, copy, sizeof(h));
	if (pymalloc__judge(&h, base, pool_bytes) < POOL_FREE)
		return POOL_BAD_HEADER;
	block_bytes = pymalloc__block_bytes(h.szidx);
	carved = (h.nextoffset - PYMALLOC_HEADER_BYTES) / block_bytes;
	all_live(&l, carved);
	for (link = h.freeblock; link; memcpy(&link, (const char *)copy + (link - base), sizeof(link))) {
		if (!block_at(link - base, block_bytes, &block) || block >= carved)
			return POOL_WILD_LINK;
		if (!pymalloc__is_live(&l, block))
			return POOL_CYCLE;
		l.bits[block / 64] &= ~(1ull << block % 64);
		l.cnt--;
	}
	if (l.cnt != h.live)
		return POOL_MISCOUNT;
	*ret = l;
	return POOL_SOUND;
}
