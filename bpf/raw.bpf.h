/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Signal exact: blocks of the raw domain by itself, those that PyMem_RawMalloc and its like are called for directly (locks,
 * thread states, what zlib, bz2 and lzma work with). What the other domains take from it is passed over: blocks over 512 bytes,
 * which count there, and what pymalloc keeps its books of arenas with, which is nobody's line.
 *
 * The raw domain is called with the GIL or without (CPython Include/pymem.h). So nothing here relies on the GIL: not the
 * slots of young blocks, not the count of a process's allocations, not the slots of counts (stack_directly); and a realloc gives its
 * old block up before it begins, for another thread may get that address before it returns. A free is of whichever domain
 * knows the block: their keys in `live` are apart.
 */
#ifndef BPF_RAW_H
#define BPF_RAW_H

#include "blocks.bpf.h"
#include "pending.bpf.h"

/* A call between entry and return. */
struct raw_call {
	__u64 stack_id;
	__u64 bytes;
	__u64 sp; /* as in struct pending */
	__u64 old; /* realloc: the block given, if it was followed */
	struct block_value was; /* what was known of it */
	__u32 wait; /* enum pending_wait */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, __u64); /* tgid << 32 | tid */
	__type(value, struct raw_call);
} raw_calls SEC(".maps");

static __always_inline struct block_key raw_key(const struct target *t, __u64 addr)
{
	return (struct block_key){ .addr = addr, .proc_id = t->proc_id, .is_raw = 1 };
}

/* Ends a block's life. False: it was not known. */
static __always_inline bool take_raw_block(const struct target *t, __u64 addr, struct block_value *ret)
{
	struct block_key key = raw_key(t, addr);
	struct block_value *b = bpf_map_lookup_elem(&live, &key);

	if (!b)
		return false;
	*ret = *b;
	return !bpf_map_delete_elem(&live, &key); /* of two that free it at once, one did */
}

static __always_inline void put_raw_block(const struct target *t, __u64 addr, const struct block_value *block)
{
	struct block_key key = raw_key(t, addr);

	if (bpf_map_update_elem(&live, &key, block, BPF_ANY))
		counter_add(CTR_LIVE_FULL, 1);
}

/*
 * A block of another domain passes here, too: it is freed already, and has no key of ours. So a block from before tracing cannot be
 * told, and is not in CTR_FREE_UNKNOWN.
 */
GLOBAL int raw_free(struct target *t, __u64 addr)
{
	struct block_value was = {};

	if (!t || !addr || !take_raw_block(t, addr, &was))
		return 0;
	add_event(t);
	count_freed_block(was.stack_id, t->proc_id, KIND_EXACT, was.bytes);
	return 0;
}

/* A call begins: malloc(bytes), calloc, or realloc(old, bytes). */
GLOBAL int raw_begin(struct target *t, const struct pending *begun)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct raw_call call = {};

	if (!t || !begun)
		return 0;
	call.stack_id = begun->stack_id;
	call.bytes = begun->bytes;
	call.sp = begun->sp;
	call.old = begun->old;
	call.wait = begun->wait;
	if (call.old && !take_raw_block(t, call.old, &call.was)) {
		call.old = 0;
		counter_add(CTR_FREE_UNKNOWN, 1);
	}
	if (!bpf_map_update_elem(&raw_calls, &pid_tgid, &call, BPF_ANY))
		return 0;
	counter_add(CTR_PENDING_FULL, 1);
	if (call.old)
		count_freed_block(call.was.stack_id, t->proc_id, KIND_EXACT, call.was.bytes);
	return 0;
}

/* The call that waits ends: addr 0: it failed, and an old block lives on. */
static __always_inline void raw_end(struct target *t, const struct raw_call *call, __u64 addr)
{
	struct block_value block = { .stack_id = call->stack_id, .bytes = call->bytes }, before = {};

	if (!addr) {
		counter_add(CTR_ALLOC_FAILED, 1);
		if (call->old)
			put_raw_block(t, call->old, &call->was);
		return;
	}
	if (call->old)
		count_freed_block(call->was.stack_id, t->proc_id, KIND_EXACT, call->was.bytes);
	if (take_raw_block(t, addr, &before)) {
		count_freed_block(before.stack_id, t->proc_id, KIND_EXACT, before.bytes);
		counter_add(CTR_ADDRESS_REUSED, 1);
	}
	put_raw_block(t, addr, &block);
	count_block(block.stack_id, t->proc_id, KIND_EXACT, block.bytes);
	add_bytes(t, block.bytes);
}

#endif
