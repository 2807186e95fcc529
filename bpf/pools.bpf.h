/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which block an allocation will take, before it does: pymalloc takes the first free block of the first pool of the size
 * class, and no other thread of this interpreter can come between, for this one holds the GIL. Only when the class has
 * no pool, or the block is a large one, the address comes later: from the function's return, or, in an inlined body, from
 * allocate_from_new_pool or the raw allocator.
 */
#ifndef BPF_POOLS_H
#define BPF_POOLS_H

#include "direct.bpf.h"
#include "site_spec.h"

/* Of struct pool_header; POOL_HEAD bytes from its begin. */
struct pool_head {
	__u64 freeblock;
	__u64 nextpool;
};
#define POOL_HEAD 8

/* v: NULL where there is no direct way. */
static __always_inline bool read_word(struct page_view *v, __u64 at, __u64 *ret)
{
	if (v)
		return view_word(v, at, ret);
	return bpf_probe_read_user(ret, sizeof(*ret), (const void *)at) == 0;
}

static __always_inline bool read_head(struct page_view *v, __u64 pool, struct pool_head *ret)
{
	pool += POOL_HEAD;
	if (v)
		return view_word(v, pool, &ret->freeblock) && view_word(v, pool + 8, &ret->nextpool);
	return bpf_probe_read_user(ret, sizeof(*ret), (const void *)pool) == 0;
}

static __always_inline __u64 used_pools(const struct site_spec *s, __u64 runtime, struct page_view *v)
{
	__u64 at;

	switch (s->pools) {
	case SITE_POOLS_STATIC:
		return runtime + s->pools_at;
	case SITE_POOLS_IN_INTERP:
		return read_word(v, runtime + s->main_interp, &at) && at ? at + s->pools_at : 0;
	case SITE_POOLS_BEHIND_INTERP:
		return read_word(v, runtime + s->main_interp, &at) && at && read_word(v, at + s->pools_at, &at) ? at : 0;
	default:
		return 0;
	}
}

/* Where an allocation of so many bytes will get its block from. */
enum next_block {
	NEXT_BLOCK_KNOWN, /* the first free one of the class's first pool */
	NEXT_BLOCK_NEW_POOL, /* a pool is taken into use for it */
	NEXT_BLOCK_RAW, /* the raw allocator: too large for a pool, or empty */
	NEXT_BLOCK_UNREADABLE, /* memory that is not there now, or not known where */
};

static __always_inline enum next_block find_next(const struct site_spec *s, __u64 runtime, __u64 bytes,
						 struct page_view *v, __u64 *ret)
{
	__u64 used = used_pools(s, runtime, v), pool;
	struct pool_head head;

	if (!used)
		return NEXT_BLOCK_UNREADABLE;
	used += ((bytes - 1) >> PYMALLOC_CLASS_SHIFT) * PYMALLOC_USED_STRIDE;
	if (!read_word(v, used, &pool) || !read_head(v, pool, &head))
		return NEXT_BLOCK_UNREADABLE;
	*ret = head.freeblock;
	return head.nextpool == pool ? NEXT_BLOCK_NEW_POOL : NEXT_BLOCK_KNOWN;
}

/* Of their own, so that neither's stack counts for the other. */
static __noinline enum next_block find_next_usually(const struct site_spec *s, __u64 runtime, __u64 bytes, __u64 *ret)
{
	return s && ret ? find_next(s, runtime, bytes, NULL, ret) : NEXT_BLOCK_UNREADABLE;
}

static __always_inline enum next_block find_next_in_place(const struct site_spec *s, __u64 runtime, __u64 bytes, __u64 *ret)
{
	enum next_block next;
	struct page_view v;

	begin_view(&v);
	next = find_next(s, runtime, bytes, &v, ret);
	return end_view(&v) ? next : NEXT_BLOCK_UNREADABLE;
}

GLOBAL int next_block(const struct site_spec *s, __u64 runtime, __u64 bytes, __u64 *ret)
{
	enum next_block next = NEXT_BLOCK_UNREADABLE;

	if (!s || !ret)
		return next;
	if (!bytes || bytes > PYMALLOC_MAX_BYTES)
		return NEXT_BLOCK_RAW;
	if (direct_map)
		next = find_next_in_place(s, runtime, bytes, ret);
	return next == NEXT_BLOCK_UNREADABLE ? find_next_usually(s, runtime, bytes, ret) : next;
}

#endif
