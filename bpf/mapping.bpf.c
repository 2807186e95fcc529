// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal heap, what the process asks of its kernel: each call that maps memory, makes it writable, larger, or gives it back
 * (include/mapping.h), seen behind the system call, in the C library. User space knows what is mapped and whose it is
 * (model/address_space.h); here it is only told, with the stack of who takes something.
 *
 * The same program, for it loads but once, notes who makes mappings larger, for the blocks over 512 bytes (MAP_CALL_GROWS).
 */
#define STACKS_ARE_NATIVE 1
#include "stack.bpf.h"

#include "large.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_LARGE_MOVES);
	__type(key, struct large_move);
	__type(value, __u64); /* stack id */
} large_moves SEC(".maps");

/* include/uapi/asm-generic/mman-common.h */
#define PROT_WRITE 2
#define MAP_PRIVATE 2
#define MAP_TYPE 15
#define MADV_DONTNEED 4
#define MADV_FREE 8
#define MADV_REMOVE 9
#define MADV_DONTNEED_LOCKED 24

static __always_inline bool gives_back(__u64 advice)
{
	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE || advice == MADV_DONTNEED_LOCKED;
}

/* Whether somebody may have more after it. */
static __always_inline bool takes(const struct rec_mapping *r)
{
	switch (r->call) {
	case MAP_CALL_MMAP:
		return r->third & PROT_WRITE || (r->flags & MAP_TYPE) != MAP_PRIVATE;
	case MAP_CALL_MREMAP:
		return r->third > r->bytes;
	case MAP_CALL_MPROTECT:
		return r->third & PROT_WRITE;
	case MAP_CALL_MUNMAP:
		return false;
	default:
		return true;
	}
}

static __noinline void tell_mapping(const struct rec_mapping *seen)
{
	struct rec_mapping *r;

	if (!seen)
		return;
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		counter_add(CTR_RING_FULL_MAPPING, 1);
		return;
	}
	*r = *seen;
	bpf_ringbuf_submit(r, wake_when_full());
}

static __always_inline void begin_mapping(struct pt_regs *ctx, const struct target *t, union mapping_cookie c, struct rec_mapping *r)
{
	r->hdr.kind = REC_MAPPING;
	r->hdr.len = sizeof(*r);
	r->hdr.tgid = bpf_get_current_pid_tgid() >> 32;
	r->hdr.time_ns = bpf_ktime_get_ns();
	r->addr = PT_REGS_PARM1(ctx);
	r->bytes = PT_REGS_PARM2(ctx);
	r->third = PT_REGS_PARM3(ctx);
	r->flags = PT_REGS_PARM4_SYSCALL(ctx);
	r->result = PT_REGS_RC(ctx);
	r->proc_id = t->proc_id;
	r->call = c.call;
	if (c.caller_at >= 0)
		read_user(&r->caller, sizeof(r->caller), PT_REGS_SP(ctx) + c.caller_at);
}

/* A mapping has become larger: seldom, so it is watched all the time. */
static __always_inline void note_mover(struct pt_regs *ctx, struct target *t)
{
	__u64 old_bytes = PT_REGS_PARM2(ctx), bytes = PT_REGS_PARM3(ctx), stack_id;
	struct large_move move = { .tgid = bpf_get_current_pid_tgid() >> 32, .bytes = bytes };

	if (old_bytes >= bytes || (__s64)PT_REGS_RC(ctx) < 0)
		return;
	stack_id = stack_of_current(t);
	bpf_map_update_elem(&large_moves, &move, &stack_id, BPF_ANY);
}

SEC("uprobe")
int mapping_changed(struct pt_regs *ctx)
{
	union mapping_cookie c = { .raw = bpf_get_attach_cookie(ctx) };
	struct target *t = target_for(SIGNAL_HEAP);
	struct stopwatch w = stopwatch_start();
	struct rec_mapping r = {};

	if (!t)
		return 0;
	if (c.call == MAP_CALL_GROWS) {
		note_mover(ctx, t);
		return 0;
	}
	begin_mapping(ctx, t, c, &r);
	if ((__s64)r.result >= 0 && (c.call != MAP_CALL_MADVISE || gives_back(r.third))) {
		if (takes(&r))
			r.stack_id = stack_of_current(t);
		tell_mapping(&r);
	}
	cost_of_current(COST_MAP, &w);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
