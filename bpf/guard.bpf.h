/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sites of allocations. A guard of an inlined one (user/python/guards.h) tells in the zero flag whether the inlined body
 * follows. Which block an allocation will take is known before: pymalloc takes the first free block of the first pool of
 * the size class, and no other thread of this interpreter can come between, for this one holds the GIL. Only when the
 * class has no pool, or the block is a large one, the address comes later: from the function's return, or, in an inlined
 * body, from allocate_from_new_pool or the raw allocator.
 */
#ifndef BPF_GUARD_H
#define BPF_GUARD_H

#include "maps.bpf.h"
#include "site_spec.h"

#if defined(__TARGET_ARCH_x86)
#define ZERO_FLAG 0x40
#define FLAGS(ctx) ((ctx)->flags)
#endif

/* Head of struct pool_header. */
struct pool_head {
	__u64 ref;
	__u64 freeblock;
	__u64 nextpool;
};

static __always_inline __u64 reg_word(const struct pt_regs *ctx, __u32 word)
{
	__u64 v = 0;

	if (word < sizeof(*ctx) / 8)
		bpf_probe_read_kernel(&v, sizeof(v), (const void *)ctx + word * 8);
	return v;
}

/* False: memory that cannot be read. */
static __always_inline bool site_arg_value(const struct pt_regs *ctx, const struct site_arg *a, __u64 *ret)
{
	__u64 v = reg_word(ctx, a->base) + (reg_word(ctx, a->index) << (a->scale_log2 & 3)) + a->disp;
	__u32 bytes = a->load_bytes & 15, shift = 64 - 8 * bytes;

	if (bytes) {
		__u64 at = v;

		v = 0;
		if (bytes > 8 || bpf_probe_read_user(&v, bytes, (const void *)at))
			return false;
		v <<= shift & 63;
		v = a->is_signed ? (__u64)((__s64)v >> (shift & 63)) : v >> (shift & 63);
	}
	*ret = a->low_half ? (__u32)v : v;
	return true;
}

static __always_inline bool read_word(__u64 at, __u64 *ret)
{
	return bpf_probe_read_user(ret, sizeof(*ret), (const void *)at) == 0;
}

static __always_inline __u64 used_pools(const struct site_spec *s, __u64 runtime)
{
	__u64 at;

	switch (s->pools) {
	case SITE_POOLS_STATIC:
		return runtime + s->pools_at;
	case SITE_POOLS_IN_INTERP:
		return read_word(runtime + s->main_interp, &at) && at ? at + s->pools_at : 0;
	case SITE_POOLS_BEHIND_INTERP:
		return read_word(runtime + s->main_interp, &at) && at && read_word(at + s->pools_at, &at) ? at : 0;
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

static __always_inline enum next_block next_block(const struct site_spec *s, __u64 runtime, __u64 bytes, __u64 *ret)
{
	struct pool_head head;
	__u64 used, pool;

	if (!bytes || bytes > PYMALLOC_MAX_BYTES)
		return NEXT_BLOCK_RAW;
	used = used_pools(s, runtime);
	if (!used)
		return NEXT_BLOCK_UNREADABLE;
	used += ((bytes - 1) >> PYMALLOC_CLASS_SHIFT) * PYMALLOC_USED_STRIDE;
	if (!read_word(used, &pool) || bpf_probe_read_user(&head, sizeof(head), (const void *)pool))
		return NEXT_BLOCK_UNREADABLE;
	if (head.nextpool == pool)
		return NEXT_BLOCK_NEW_POOL;
	*ret = head.freeblock;
	return NEXT_BLOCK_KNOWN;
}

#endif
