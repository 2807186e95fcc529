// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal exact: each allocation and free of the functions that it is attached to.
 *
 * Two forms of each program: `exact_*` for the public functions (PyObject_Malloc(size), ...), `exact_ctx_*` for the
 * functions of a PyMemAllocatorEx, whose first argument is a context (Include/cpython/pymem.h). Where one link holds many
 * sites (uprobe_multi), `exact_entry` is all of them in one, told by the site's cookie.
 *
 * The stack is taken at entry, because a return probe's trampoline hides the caller; the address is known at return, so
 * an allocation waits in `pending` in between. Blocks are followed in `live` by (process, address). A realloc that fails
 * leaves its old block as it was.
 *
 * Sites of kind PROBE_GUARD see what is allocated in bodies that were inlined (guard.bpf.h).
 *
 * The heap signal uses the same programs while one of its windows is open for the process (heap.bpf.h): only small blocks
 * count then, and each address stands for the newest of its blocks.
 */
#include "guard.bpf.h"
#include "heap.bpf.h"
#include "stack.bpf.h"

/*
 * Between a guard and the end of its allocation the stack pointer may move down by what the inlined body pushes and what
 * it calls, and up a little by what it pops.
 */
#define INLINED_FRAME_SLACK 128
#define MAX_INLINED_FRAME_BYTES 1024

/* Who tells the address of an allocation that waits. */
enum pending_wait {
	WAIT_RETURN = 0, /* the return probe of the function that was entered */
	WAIT_POOL = 1, /* inlined: allocate_from_new_pool; the raw allocator if that fails */
	WAIT_RAW = 2, /* inlined: the raw allocator, called from the inlined body */
};

struct pending {
	__u64 stack_id;
	__u64 bytes;
	__u64 old; /* realloc: the block given */
	/*
	 * _PyObject_Realloc calls _PyObject_Malloc to move a block, which waits in the place of the realloc: the block that
	 * the realloc was given, and, once it has ended, the new one.
	 */
	__u64 outer_old;
	__u64 done;
	__u64 sp; /* inlined: the stack pointer at the guard */
	__u64 wait; /* enum pending_wait */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, __u64); /* tgid << 32 | tid */
	__type(value, struct pending);
} pending SEC(".maps");

/* Grows as needed: up to MAX_LIVE_BLOCKS blocks only while so many live. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LIVE_BLOCKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct block_key);
	__type(value, struct block_value);
} live SEC(".maps");

static __always_inline bool is_exact(const struct target *t)
{
	return t->signals & 1u << SIGNAL_EXACT;
}

/* The target, when hits of this attachment count; 0: whichever. */
static __always_inline struct target *allocating_target(__u32 attach_id)
{
	struct target *t = current_target();
	struct window_state *w;

	if (!t)
		return NULL;
	if (is_exact(t))
		return !attach_id || t->attach_id[SIGNAL_EXACT] == attach_id ? t : NULL;
	w = t->signals & 1u << SIGNAL_HEAP ? current_window() : NULL;
	return w && w->attach_id && (!attach_id || w->attach_id == attach_id) ? t : NULL;
}

/* Whether this allocation is to be looked at; counts down an open window. */
static __always_inline bool takes(const struct target *t, __u64 bytes)
{
	struct window_state *w;

	if (is_exact(t))
		return true;
	w = current_window();
	if (!w || w->left <= 0 || bytes > PYMALLOC_MAX_BYTES)
		return false;
	if (--w->left == 0)
		tell_full(w, t);
	return true;
}

static __always_inline __u32 kind_of(const struct target *t, __u64 bytes)
{
	if (!is_exact(t))
		return KIND_HEAP_POOL | COUNT_WINDOW;
	if (!exact_serves_heap)
		return KIND_EXACT;
	return bytes > PYMALLOC_MAX_BYTES ? KIND_HEAP_LARGE : KIND_HEAP_POOL;
}

static __noinline int enter(__u64 bytes, __u64 old, __u32 attach_id)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = allocating_target(attach_id);
	struct pending p = { .bytes = bytes, .old = old }, *outer;

	if (!t || !takes(t, bytes))
		return 0;
	counter_add(CTR_EVENTS, 1);
	p.stack_id = stack_of_current(t);
	outer = bpf_map_lookup_elem(&pending, &pid_tgid);
	if (outer && outer->wait == WAIT_RETURN && outer->old && !old && outer->bytes == bytes)
		p.outer_old = outer->old;
	if (bpf_map_update_elem(&pending, &pid_tgid, &p, BPF_ANY))
		counter_add(CTR_PENDING_FULL, 1);
	return 0;
}

/* Takes a block out of `live`. False: it was not there. */
static __always_inline bool forget_block(const struct target *t, __u64 addr)
{
	struct block_key key = { .addr = addr, .proc_id = t->proc_id };
	struct block_value *b, found;

	b = bpf_map_lookup_elem(&live, &key);
	if (!b)
		return false;
	found = *b;
	bpf_map_delete_elem(&live, &key);
	if (is_exact(t))
		count_free(found.stack_id, t->proc_id, kind_of(t, found.bytes), 1, found.bytes);
	return true;
}

static __always_inline void remember_block(const struct target *t, __u64 addr, const struct block_value *block)
{
	struct block_key key = { .addr = addr, .proc_id = t->proc_id };

	if (forget_block(t, addr) && is_exact(t))
		counter_add(CTR_ADDRESS_REUSED, 1);
	count_alloc(block->stack_id, t->proc_id, kind_of(t, block->bytes), 1, block->bytes);
	if (is_exact(t))
		counter_add(CTR_EXACT_BYTES, block->bytes);
	if (bpf_map_update_elem(&live, &key, block, BPF_ANY))
		counter_add(CTR_LIVE_FULL, 1);
}

/* An allocation ends that waits for this. */
static __noinline int leave(__u64 addr, __u32 wait, __u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct block_value block;
	struct pending *p;
	struct target *t;
	__u64 old, done;

	t = allocating_target(0);
	p = bpf_map_lookup_elem(&pending, &pid_tgid);
	if (!t || !p || p->wait != wait)
		return 0;
	/* A body that ended otherwise leaves its allocation waiting: what comes from another frame is not its end. */
	if (wait != WAIT_RETURN && p->sp - sp > MAX_INLINED_FRAME_BYTES)
		return 0;
	if (wait == WAIT_POOL && !addr) {
		p->wait = WAIT_RAW;
		return 0;
	}
	block.stack_id = p->stack_id;
	block.bytes = p->bytes;
	old = p->old;
	done = p->done;
	if (p->outer_old && addr) {
		p->old = p->outer_old;
		p->outer_old = 0;
		p->done = addr;
	} else {
		bpf_map_delete_elem(&pending, &pid_tgid);
	}
	if (!addr) {
		counter_add(CTR_ALLOC_FAILED, 1);
		return 0;
	}
	if (old && !forget_block(t, old) && is_exact(t))
		counter_add(CTR_FREE_UNKNOWN, 1);
	if (!done)
		remember_block(t, addr, &block);
	return 0;
}

static __noinline int release(__u64 addr, __u32 attach_id)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = allocating_target(attach_id);
	struct pending *p;

	if (!t || !addr)
		return 0;
	counter_add(CTR_EVENTS, 1);
	/* A realloc that moves its block frees the old one itself. */
	p = bpf_map_lookup_elem(&pending, &pid_tgid);
	if (p && p->old == addr)
		p->old = 0;
	if (!forget_block(t, addr))
		counter_add(CTR_FREE_UNKNOWN, 1);
	return 0;
}

SEC("uprobe")
int exact_malloc(struct pt_regs *ctx)
{
	return enter(PT_REGS_PARM1(ctx), 0, 0);
}

SEC("uprobe")
int exact_calloc(struct pt_regs *ctx)
{
	return enter(PT_REGS_PARM1(ctx) * PT_REGS_PARM2(ctx), 0, 0);
}

SEC("uprobe")
int exact_realloc(struct pt_regs *ctx)
{
	return enter(PT_REGS_PARM2(ctx), PT_REGS_PARM1(ctx), 0);
}

SEC("uprobe")
int exact_free(struct pt_regs *ctx)
{
	return release(PT_REGS_PARM1(ctx), 0);
}

SEC("uprobe")
int exact_ctx_malloc(struct pt_regs *ctx)
{
	return enter(PT_REGS_PARM2(ctx), 0, 0);
}

SEC("uprobe")
int exact_ctx_calloc(struct pt_regs *ctx)
{
	return enter(PT_REGS_PARM2(ctx) * PT_REGS_PARM3(ctx), 0, 0);
}

SEC("uprobe")
int exact_ctx_realloc(struct pt_regs *ctx)
{
	return enter(PT_REGS_PARM3(ctx), PT_REGS_PARM2(ctx), 0);
}

SEC("uprobe")
int exact_ctx_free(struct pt_regs *ctx)
{
	return release(PT_REGS_PARM2(ctx), 0);
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SITE_SPECS);
	__type(key, __u32);
	__type(value, struct site_spec);
} site_specs SEC(".maps");

/* An inlined allocation: its block is known already, or waits in `pending`. */
static __noinline int enter_inlined(const struct site_spec *spec, __u64 stack_id, __u64 bytes, __u64 old, __u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = allocating_target(0);
	struct pending p = { .stack_id = stack_id, .bytes = bytes, .old = old, .sp = sp + INLINED_FRAME_SLACK };
	struct block_value block = { .stack_id = stack_id, .bytes = bytes };
	__u64 addr;

	if (!t || !spec)
		return 0;
	addr = old ? 0 : next_block(spec, t->runtime, bytes);
	if (addr) {
		remember_block(t, addr, &block);
		return 0;
	}
	p.wait = old || !bytes || bytes > PYMALLOC_MAX_BYTES ? WAIT_RAW : WAIT_POOL;
	if (bpf_map_update_elem(&pending, &pid_tgid, &p, BPF_ANY))
		counter_add(CTR_PENDING_FULL, 1);
	return 0;
}

/*
 * pymalloc_realloc: a block of a pool stays when it is shrunk by less than a quarter; else the body calls
 * _PyObject_Malloc and _PyObject_Free, whose own probes count that. What is not in a pool goes to the raw allocator.
 */
static __noinline int resize_inlined(const struct site_spec *spec, __u64 stack_id, __u64 old, __u64 bytes, __u64 sp)
{
	struct block_value *known, block = { .stack_id = stack_id, .bytes = bytes };
	struct target *t = allocating_target(0);
	struct block_key key = { .addr = old };
	__u64 room;

	if (!t || !old)
		return 0;
	key.proc_id = t->proc_id;
	known = bpf_map_lookup_elem(&live, &key);
	if (!known || !known->bytes || known->bytes > PYMALLOC_MAX_BYTES)
		return enter_inlined(spec, stack_id, bytes, old, sp);
	room = (known->bytes + 15) & ~15ull;
	if (bytes > room || 4 * bytes <= 3 * room)
		return 0;
	forget_block(t, old);
	remember_block(t, old, &block);
	return 0;
}

/*
 * The stack is walked here, before anything else is kept on our own stack: all functions on the way share 512 bytes of it,
 * and the walk takes most.
 */
static __always_inline int at_guard(struct pt_regs *ctx, union site_cookie c)
{
	__u32 n = (__u32)c.arg_value;
	const struct site_spec *spec = bpf_map_lookup_elem(&site_specs, &n);
	__u64 first = 0, second = 0, stack_id;
	struct target *t;

	if (!spec || !(FLAGS(ctx) & ZERO_FLAG))
		return 0;
	if (!site_arg_value(ctx, &spec->arg[0], &first) || !site_arg_value(ctx, &spec->arg[1], &second))
		return 0;
	if (spec->function == PROBE_FREE)
		return release(first, c.attach_id);
	t = allocating_target(c.attach_id);
	if (!t || !takes(t, spec->function == PROBE_CALLOC ? first * second :
			    spec->function == PROBE_REALLOC ? second : first))
		return 0;
	counter_add(CTR_EVENTS, 1);
	stack_id = stack_of_current(t);
	switch (spec->function) {
	case PROBE_MALLOC:
		return enter_inlined(spec, stack_id, first, 0, PT_REGS_SP(ctx));
	case PROBE_CALLOC:
		return enter_inlined(spec, stack_id, first * second, 0, PT_REGS_SP(ctx));
	case PROBE_REALLOC:
		return resize_inlined(spec, stack_id, first, second, PT_REGS_SP(ctx));
	default:
		return 0;
	}
}

static __always_inline int at_entry(struct pt_regs *ctx, union site_cookie c)
{
	__u64 p1 = PT_REGS_PARM1(ctx), p2 = PT_REGS_PARM2(ctx), p3 = PT_REGS_PARM3(ctx);
	__u64 first, second;

	/* Loads first: the verifier wants constant offsets into ctx, the compiler would choose among addresses. */
	barrier_var(p1);
	barrier_var(p2);
	barrier_var(p3);
	first = c.takes_context ? p2 : p1;
	second = c.takes_context ? p3 : p2;
	switch (c.kind) {
	case PROBE_MALLOC:
		return enter(first, 0, c.attach_id);
	case PROBE_CALLOC:
		return enter(first * second, 0, c.attach_id);
	case PROBE_REALLOC:
		return enter(second, first, c.attach_id);
	case PROBE_GUARD:
		return at_guard(ctx, c);
	case PROBE_RAW_RETURN:
		return leave(PT_REGS_RC(ctx), WAIT_RAW, PT_REGS_SP(ctx));
	default:
		return release(first, c.attach_id);
	}
}

SEC("uprobe")
int exact_entry(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };

	if (!serves_windows)
		return at_entry(ctx, c);
	if (c.kind != PROBE_RAW_RETURN)
		time_hit();
	at_entry(ctx, c);
	return time_end();
}

/* An allocation that waits is taken by the first return probe that comes: two attachments do not count it twice. */
static __always_inline int at_return(struct pt_regs *ctx)
{
	__u64 addr = PT_REGS_RC(ctx), sp = PT_REGS_SP(ctx);
	union site_cookie c = { 0 };

	/* Read here, or clang reads both ways' through one changed pointer, which the verifier refuses. */
	barrier_var(addr);
	barrier_var(sp);
	/* 5.15; what has no cookies has no guards either */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		c.raw = bpf_get_attach_cookie(ctx);
	if (c.kind == PROBE_POOL_OPENER)
		return leave(addr, WAIT_POOL, sp);
	return leave(addr, WAIT_RETURN, 0);
}

SEC("uretprobe")
int exact_return(struct pt_regs *ctx)
{
	at_return(ctx);
	return serves_windows ? time_end() : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
