/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Blocks from allocation to free, and the counts of their stacks.
 *
 * Most blocks live shortly, and on few stacks. So a block lies in a slot of an array first (recent_blocks), and moves to
 * the hash table `live` only when another block comes to its slot; and the stacks that allocate most have slots for
 * their counts (quick_counts). A free that finds its block in a slot, of a stack that has a slot, touches no hash table:
 * an insertion and a deletion there cost 200 ns.
 */
#ifndef BPF_BLOCKS_H
#define BPF_BLOCKS_H

#include "core.bpf.h"

/* Grows as needed: up to MAX_LIVE_BLOCKS blocks only while so many live. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LIVE_BLOCKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct block_key);
	__type(value, struct block_value);
} live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_RECENT_ROWS * RECENT_BLOCKS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct recent_block);
} recent_blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * QUICK_COUNTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct quick_count);
} quick_counts SEC(".maps");

struct exact_sum exact_sums[EXACT_SUMS] __weak = {};

/* ---- counts ---- */

static __always_inline struct exact_sum *sum_of(const struct target *t)
{
	return &exact_sums[t->recent_row & (EXACT_SUMS - 1)];
}

static __always_inline void add_event(const struct target *t)
{
	__sync_fetch_and_add(&sum_of(t)->events, 1);
}

static __always_inline void add_bytes(const struct target *t, __u64 bytes)
{
	__sync_fetch_and_add(&sum_of(t)->bytes, bytes);
}

/* The slot of a stack, taken if it was free, or NULL: another stack has it. */
static __always_inline struct quick_count *quick_count_of(__u64 stack_id, __u32 proc_id, __u32 kind)
{
	__u32 n = (counts_turn & 1) * QUICK_COUNTS + (stack_id & (QUICK_COUNTS - 1));
	struct quick_count *q = bpf_map_lookup_elem(&quick_counts, &n);

	if (!q)
		return NULL;
	if (!q->key.stack_id && stack_id >= STACK_STATUS_MAX &&
	    !__sync_val_compare_and_swap(&q->key.stack_id, 0, stack_id)) {
		q->key.proc_id = proc_id;
		q->key.kind = kind;
	}
	return q->key.stack_id == stack_id && q->key.proc_id == proc_id && q->key.kind == kind ? q : NULL;
}

static __always_inline void count_block(__u64 stack_id, __u32 proc_id, __u32 kind, __u64 bytes)
{
	struct quick_count *q = quick_count_of(stack_id, proc_id, kind);

	if (!q) {
		count_alloc(stack_id, proc_id, kind, 1, bytes);
		return;
	}
	__sync_fetch_and_add(&q->value.alloc_cnt, 1);
	__sync_fetch_and_add(&q->value.alloc_bytes, bytes);
}

static __always_inline void count_freed_block(__u64 stack_id, __u32 proc_id, __u32 kind, __u64 bytes)
{
	struct quick_count *q = quick_count_of(stack_id, proc_id, kind);

	if (!q) {
		count_free(stack_id, proc_id, kind, 1, bytes);
		return;
	}
	__sync_fetch_and_add(&q->value.free_cnt, 1);
	__sync_fetch_and_add(&q->value.free_bytes, bytes);
}

/* ---- slots ---- */

/* Blocks are 16 bytes apart at least: so a set bit tells that the slot is being changed. */
#define SLOT_BUSY 1ull

static __always_inline struct recent_block *slot_of(const struct target *t, __u64 addr)
{
	__u32 n = t->recent_row, hash = (addr >> 4) ^ (addr >> 15);

	if (!n)
		return NULL;
	n = (n - 1) * RECENT_BLOCKS + (hash & (RECENT_BLOCKS - 1));
	return bpf_map_lookup_elem(&recent_blocks, &n);
}

/*
 * The slot is ours until it is given back with what is in it. False: somebody has it. That can only be where one process
 * has several interpreters that run at the same time (3.12); then the block is looked for in `live` alone.
 */
static __always_inline bool lock_slot(struct recent_block *slot, __u64 *addr)
{
	*addr = slot->addr;
	return !(*addr & SLOT_BUSY) && __sync_val_compare_and_swap(&slot->addr, *addr, *addr | SLOT_BUSY) == *addr;
}

static __always_inline void unlock_slot(struct recent_block *slot, __u64 addr)
{
	barrier();
	*(volatile __u64 *)&slot->addr = addr;
}

/* ---- blocks ---- */

static __always_inline bool put_live(const struct target *t, struct recent_block *slot, __u64 addr,
				     const struct block_value *block)
{
	struct block_key key = { .addr = addr, .proc_id = t->proc_id };

	if (bpf_map_update_elem(&live, &key, block, BPF_ANY)) {
		counter_add(CTR_LIVE_FULL, 1);
		return false;
	}
	if (slot)
		__sync_fetch_and_add(&slot->others, 1);
	return true;
}

/* Takes a block out of `live`. */
static __always_inline bool take_live(const struct target *t, struct recent_block *slot, __u64 addr,
				      struct block_value *ret)
{
	struct block_key key = { .addr = addr, .proc_id = t->proc_id };
	struct block_value *b;

	if (slot && !slot->others)
		return false;
	b = bpf_map_lookup_elem(&live, &key);
	if (!b)
		return false;
	*ret = *b;
	bpf_map_delete_elem(&live, &key);
	if (slot)
		__sync_fetch_and_add(&slot->others, -1);
	return true;
}

/* Ends a block's life. False: it was not known. */
static __always_inline bool take_block(const struct target *t, __u64 addr, struct block_value *ret)
{
	struct recent_block *slot = slot_of(t, addr);
	__u64 there;

	if (slot && lock_slot(slot, &there)) {
		if (there == addr) {
			ret->stack_id = slot->stack_id;
			ret->bytes = slot->bytes;
			unlock_slot(slot, 0);
			return true;
		}
		unlock_slot(slot, there);
	}
	return take_live(t, slot, addr, ret);
}

/* Begins a block's life; true: *before began at this address and was not seen to end. */
static __always_inline bool put_block(const struct target *t, __u64 addr, const struct block_value *block,
				      struct block_value *before)
{
	struct recent_block *slot = slot_of(t, addr);
	struct block_value other;
	bool reused = false;
	__u64 there;

	if (!slot || block->bytes >> 32 || !lock_slot(slot, &there)) {
		reused = take_block(t, addr, before);
		put_live(t, slot, addr, block);
		return reused;
	}
	other.stack_id = slot->stack_id;
	other.bytes = slot->bytes;
	if (there == addr) {
		*before = other;
		reused = true;
	} else {
		reused = take_live(t, slot, addr, before);
		if (there)
			put_live(t, slot, there, &other);
	}
	slot->stack_id = block->stack_id;
	slot->bytes = block->bytes;
	unlock_slot(slot, addr);
	return reused;
}

/* False: not known. */
static __always_inline bool find_block(const struct target *t, __u64 addr, struct block_value *ret)
{
	struct block_key key = { .addr = addr, .proc_id = t->proc_id };
	struct recent_block *slot = slot_of(t, addr);
	struct block_value *b;

	if (slot && slot->addr == addr) {
		ret->stack_id = slot->stack_id;
		ret->bytes = slot->bytes;
		return true;
	}
	b = bpf_map_lookup_elem(&live, &key);
	if (b)
		*ret = *b;
	return b;
}

#endif
