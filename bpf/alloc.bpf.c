// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal exact: each allocation and free of the functions that it is attached to.
 *
 * Which block an allocation takes is mostly known at its site already (pools.bpf.h, next_block). Where it is not, the
 * allocation waits in `pending` for who tells the address: the function's return, the function that opens a pool, or the
 * raw allocator. The stack is taken at the site, because a return probe's trampoline hides the caller. Blocks are followed
 * by (process, address) (blocks.bpf.h). A realloc waits in `resizing` for its return, for it may allocate and free in between;
 * one that fails leaves its old block as it was.
 *
 * Where one link holds many sites (6.6), `exact_entry` is all of them in one, told by the site's cookie, and `exact_return`
 * the returns. Where one link takes both (6.13), `exact_session` is the sites whose returns may be needed; it asks for a
 * return only where it is. Before, one `exact_*` each is for a public function (PyObject_Malloc(size), ...).
 *
 * Sites of kind PROBE_GUARD see what is allocated in bodies that were inlined (guard.bpf.h). The raw domain has sites of its own
 * (raw.bpf.h), where what a call of another domain takes from it is passed over.
 *
 * The heap signal uses the same programs while one of its windows is open for the process (heap.bpf.h): only small blocks
 * count then, and each address stands for the newest of its blocks. The others are followed from malloc (large.bpf.c).
 */
#define KERNEL_WORDS_ARE_READ /* guard.bpf.h: this is the one object that may */
#include "blocks.bpf.h"
#include "direct_find.bpf.h"
#include "guard.bpf.h"
#include "heap.bpf.h"
#include "pools.bpf.h"
#include "raw.bpf.h"
#include "window_time.bpf.h"

struct resize {
	__u64 stack_id;
	__u64 bytes;
	__u64 old; /* 0: there was none, or it is freed already */
	__u64 old_known; /* it was followed */
	__u64 sp; /* the stack pointer at the site */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, __u64); /* tgid << 32 | tid */
	__type(value, struct resize);
} resizing SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SITE_SPECS);
	__type(key, __u32);
	__type(value, struct site_spec);
} site_specs SEC(".maps");

/* ---- who counts ---- */

static __always_inline bool is_exact(const struct target *t)
{
	return t->signals & 1u << SIGNAL_EXACT;
}

/* The target, when hits of this attachment count; 0: whichever. */
static __always_inline struct target *allocating_target(__u32 attach_id)
{
	/* The window first: there is no room on the stack to keep a target meanwhile (tests/cli/bpf_stack.t). */
	__u32 window_id = serves_windows ? current_window_id() : 0;
	struct target *t = current_target();

	if (!t)
		return NULL;
	if (is_exact(t))
		return !attach_id || t->attach_id[SIGNAL_EXACT] == attach_id ? t : NULL;
	return t->signals & 1u << SIGNAL_HEAP && window_id && (!attach_id || window_id == attach_id) ? t : NULL;
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
		tell_once(w, t, 0);
	return true;
}

static __always_inline __u32 kind_of(const struct target *t)
{
	return is_exact(t) ? KIND_EXACT : KIND_HEAP_POOL;
}

/* ---- blocks ---- */

/* False: it was not known. */
static __always_inline bool forget_block(const struct target *t, __u64 addr)
{
	struct block_value b = {};

	if (!take_block(t, addr, &b))
		return false;
	if (is_exact(t))
		count_freed_block(b.stack_id, t->proc_id, kind_of(t), b.bytes);
	return true;
}

static __always_inline void remember_block(const struct target *t, __u64 addr, const struct block_value *block)
{
	struct block_value before = {};

	if (put_block(t, addr, block, &before) && is_exact(t)) {
		count_freed_block(before.stack_id, t->proc_id, kind_of(t), before.bytes);
		counter_add(CTR_ADDRESS_REUSED, 1);
	}
	count_block(block->stack_id, t->proc_id, kind_of(t), block->bytes);
	if (is_exact(t))
		add_bytes(t, block->bytes);
}

/* ---- allocations ---- */

/* An allocation begins. True: it waits for the function's return. */
GLOBAL int allocate(struct target *t, const struct site_spec *spec, struct pending *p)
{
	enum next_block next = NEXT_BLOCK_RAW;
	struct block_value block;
	struct pending waits;
	__u64 pid_tgid, addr = 0;

	if (!t || !p)
		return false;
	p->seq = ++t->alloc_seq;
	if (spec && !p->old)
		next = next_block(spec, t->runtime, p->bytes, &addr);
	if (next == NEXT_BLOCK_KNOWN) {
		block.stack_id = p->stack_id;
		block.bytes = p->bytes;
		remember_block(t, addr, &block);
		return false;
	}
	if (spec && !spec->returns) {
		p->wait = next == NEXT_BLOCK_RAW ? WAIT_RAW : WAIT_POOL;
		if (next == NEXT_BLOCK_UNREADABLE) {
			counter_add(CTR_POOL_UNREADABLE, 1);
			return false;
		}
	}
	pid_tgid = bpf_get_current_pid_tgid();
	waits = *p; /* 6.1 and 6.12 copy into a map only from the stack, or from a map */
	if (bpf_map_update_elem(&pending, &pid_tgid, &waits, BPF_ANY))
		counter_add(CTR_PENDING_FULL, 1);
	return waits.wait == WAIT_RETURN;
}

/* An allocation ends that waits for this. True: there was one. */
GLOBAL int allocated(__u64 addr, __u32 wait, __u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), old;
	struct pending *p = bpf_map_lookup_elem(&pending, &pid_tgid);
	struct block_value block;
	struct target *t;

	if (!p || p->wait != wait)
		return false;
	t = allocating_target(0);
	if (!t || (wait != WAIT_RETURN && !is_end(t, p, sp)))
		return false;
	if (wait == WAIT_POOL && !addr) {
		p->wait = WAIT_RAW;
		return true;
	}
	block.stack_id = p->stack_id;
	block.bytes = p->bytes;
	old = p->old;
	bpf_map_delete_elem(&pending, &pid_tgid);
	if (!addr) {
		counter_add(CTR_ALLOC_FAILED, 1);
		return true;
	}
	if (old && !forget_block(t, old) && is_exact(t))
		counter_add(CTR_FREE_UNKNOWN, 1);
	remember_block(t, addr, &block);
	return true;
}

GLOBAL int release(struct target *t, __u64 addr)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct pending *p;
	struct resize *r;

	if (!t || !addr)
		return 0;
	add_event(t);
	if (forget_block(t, addr))
		return 0;
	counter_add(CTR_FREE_UNKNOWN, 1);
	/* A realloc that moves its block frees the old one itself. */
	r = bpf_map_lookup_elem(&resizing, &pid_tgid);
	if (r && r->old == addr)
		r->old = 0;
	p = bpf_map_lookup_elem(&pending, &pid_tgid);
	if (p && p->old == addr)
		p->old = 0;
	return 0;
}

/* A call of realloc begins: true, for it waits for its return. */
GLOBAL int resize(struct target *t, __u64 stack_id, __u64 old, __u64 bytes, __u64 sp)
{
	struct resize r = { .stack_id = stack_id, .bytes = bytes, .old = old, .sp = sp };
	struct block_value known = {};
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	if (!t)
		return false;
	r.old_known = find_block(t, old, &known);
	if (bpf_map_update_elem(&resizing, &pid_tgid, &r, BPF_ANY))
		counter_add(CTR_PENDING_FULL, 1);
	return true;
}

/*
 * A call of realloc ends. To move a block of a pool it calls _PyObject_Malloc and _PyObject_Free, whose own probes see
 * that, unless they were inlined.
 */
GLOBAL int resized(__u64 addr)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct resize *r = bpf_map_lookup_elem(&resizing, &pid_tgid), done;
	struct target *t = allocating_target(0);
	struct block_value found = {}, block;
	bool seen;

	if (!t || !r)
		return 0;
	done = *r;
	bpf_map_delete_elem(&resizing, &pid_tgid);
	if (!addr) {
		counter_add(CTR_ALLOC_FAILED, 1);
		return 0;
	}
	block.stack_id = done.stack_id;
	block.bytes = done.bytes;
	seen = addr != done.old && find_block(t, addr, &found) && found.stack_id == block.stack_id &&
	       found.bytes == block.bytes;
	if (done.old && !forget_block(t, done.old) && !done.old_known && is_exact(t))
		counter_add(CTR_FREE_UNKNOWN, 1);
	if (!seen)
		remember_block(t, addr, &block);
	return 0;
}

/* ---- inlined allocations ---- */

/*
 * pymalloc_realloc: a block of a pool stays when it is shrunk by less than a quarter; else the body calls
 * _PyObject_Malloc and _PyObject_Free, whose own probes count that. What is not in a pool goes to the raw allocator.
 * p->old is the block, p->bytes its new size.
 */
GLOBAL int resize_inlined(struct target *t, const struct site_spec *spec, struct pending *p)
{
	struct block_value known = {}, block;
	__u64 room;

	if (!t || !p || !p->old)
		return 0;
	if (!find_block(t, p->old, &known) || !known.bytes || known.bytes > PYMALLOC_MAX_BYTES)
		return allocate(t, spec, p);
	room = (known.bytes + 15) & ~15ull;
	if (p->bytes > room || 4 * p->bytes <= 3 * room)
		return 0;
	block.stack_id = p->stack_id;
	block.bytes = p->bytes;
	forget_block(t, p->old);
	remember_block(t, p->old, &block);
	return 0;
}

/* What a call asks for: malloc(first), calloc(first, second), realloc(first, second). */
static __always_inline __u64 bytes_asked(__u32 function, __u64 first, __u64 second)
{
	return function == PROBE_CALLOC ? first * second : function == PROBE_REALLOC ? second : first;
}

/* The arguments, where the spec says; false: they cannot be read, or this is the other side of a guard's jump. */
static __always_inline bool spec_args(struct pt_regs *ctx, const struct site_spec *spec, bool is_guard, __u64 *first,
				      __u64 *second)
{
	if (is_guard && !(FLAGS(ctx) & ZERO_FLAG))
		return false;
	return site_arg_value(ctx, &spec->arg[0], first) && site_arg_value(ctx, &spec->arg[1], second);
}

/* ---- the raw domain ---- */

/*
 * This thread is in a call of another domain, which takes a block from the raw one. What waits for its return goes then, and needs no
 * alloc_seq to be told from what was left behind: interpreters with a GIL of their own (3.12) count up the same.
 */
GLOBAL int takes_for_others(struct target *t, __u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct pending *p = bpf_map_lookup_elem(&pending, &pid_tgid);
	struct resize *r = bpf_map_lookup_elem(&resizing, &pid_tgid);

	if (!t)
		return false;
	if (p && (p->wait == WAIT_RETURN ? is_beneath(sp, p->sp) : is_end(t, p, sp)))
		return true;
	return r && is_beneath(sp, r->sp);
}

/* A call of the raw allocator ends that waits for this. */
GLOBAL int raw_called(__u64 addr, __u32 wait, __u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct raw_call *waits = bpf_map_lookup_elem(&raw_calls, &pid_tgid), call;
	struct target *t = allocating_target(0);

	if (!t || !waits || waits->wait != wait || !is_beneath(sp, waits->sp))
		return 0;
	call = *waits;
	bpf_map_delete_elem(&raw_calls, &pid_tgid);
	if (wait == WAIT_RETURN)
		add_event(t); /* a trap of its own */
	raw_end(t, &call, addr);
	return 0;
}

/* A call of the raw allocator begins, as `called` below. */
static __always_inline bool raw_call_begins(struct target *t, const struct site_spec *spec, __u32 function, __u64 first,
					    __u64 second, __u64 sp)
{
	struct pending p = { .sp = sp };

	if (!is_exact(t))
		return false;
	if (function == PROBE_FREE)
		return raw_free(t, first);
	if (takes_for_others(t, sp))
		return false;
	add_event(t);
	p.bytes = bytes_asked(function, first, second);
	p.old = function == PROBE_REALLOC ? first : 0;
	p.wait = spec->returns ? WAIT_RETURN : WAIT_RAW;
	p.stack_id = stack_of_current(t);
	raw_begin(t, &p);
	return spec->returns;
}

/* ---- sites ---- */

GLOBAL __u64 stack_directly(struct target *t)
{
	struct thread_stack s;
	struct quick_count *q;
	bool told;

	if (!t)
		return STACK_LOST;
	if (!walks_in_place(t))
		return 0;
	begin_stack(t, &s);
	if (!s.w || !walk_in_place(t, &s.r))
		return 0;
	end_stack(&s);
	q = quick_count_of(s.r.id, t->proc_id, kind_of(t));
	if (!q || !q->told) {
		told = tell_stack(t, &s);
		if (q && told)
			q->told = 1;
	}
	return s.r.id;
}

/* A small block is made a large one, which is not looked at here: it is gone, unless that fails. */
GLOBAL int outgrown(struct target *t, __u64 old)
{
	if (t && old && is_exact(t))
		forget_block(t, old);
	return false;
}

/*
 * A call of the allocator begins: malloc(first), calloc(first, second), realloc(first, second), free(first). True: its
 * return is asked for. The stack is walked before anything else is kept on our own stack: all functions on the way share
 * 512 bytes of it, and the walk takes most.
 */
static __always_inline bool called(struct target *t, const struct site_spec *spec, __u32 function, __u64 first,
				   __u64 second, __u64 sp)
{
	struct pending p = { .sp = sp };

	if (function == PROBE_FREE)
		return release(t, first);
	p.bytes = bytes_asked(function, first, second);
	if (!takes(t, p.bytes))
		return function == PROBE_REALLOC && outgrown(t, first);
	add_event(t);
	p.stack_id = spec ? stack_directly(t) : 0;
	if (!p.stack_id)
		p.stack_id = stack_of_current(t);
	if (function != PROBE_REALLOC)
		return allocate(t, spec, &p);
	if (!spec || spec->returns)
		return resize(t, p.stack_id, first, second, sp);
	p.old = first;
	return resize_inlined(t, spec, &p);
}

/* The raw allocator returns to who called it: for a block that waits for it, of whichever domain. */
static __always_inline int raw_returns(__u64 addr, __u64 sp)
{
	if (!allocated(addr, WAIT_RAW, sp))
		raw_called(addr, WAIT_RAW, sp);
	return 0;
}

/* All sites in one. True: the return is asked for. */
static __always_inline bool at_site(struct pt_regs *ctx, union site_cookie c)
{
	__u64 p1 = PT_REGS_PARM1(ctx), p2 = PT_REGS_PARM2(ctx), p3 = PT_REGS_PARM3(ctx), sp = PT_REGS_SP(ctx);
	const struct site_spec *spec;
	__u32 n = (__u32)c.arg_value;
	__u64 first, second;
	struct target *t;

	/* Loads first: the verifier wants constant offsets into ctx, the compiler would choose among addresses. */
	barrier_var(p1);
	barrier_var(p2);
	barrier_var(p3);
	barrier_var(sp);
	if (c.kind == PROBE_RAW_RETURN)
		return raw_returns(PT_REGS_RC(ctx), sp);
	if (c.kind == PROBE_POOL_OPENER || c.kind == PROBE_RAW_TAIL)
		return true;
	t = allocating_target(c.attach_id);
	spec = bpf_map_lookup_elem(&site_specs, &n);
	if (!t || !spec)
		return false;
	first = c.takes_context ? p2 : p1;
	second = c.takes_context ? p3 : p2;
	if ((c.kind == PROBE_GUARD || spec->is_raw) && !spec_args(ctx, spec, c.kind == PROBE_GUARD, &first, &second))
		return false;
	return spec->is_raw ? raw_call_begins(t, spec, spec->function, first, second, sp) :
			      called(t, spec, spec->function, first, second, sp);
}

/* The function's own return. */
static __always_inline int function_returns(union site_cookie c, __u64 addr, __u64 sp)
{
	__u32 n = (__u32)c.arg_value;
	const struct site_spec *spec = bpf_map_lookup_elem(&site_specs, &n);

	if (spec && spec->is_raw)
		return raw_called(addr, WAIT_RETURN, sp);
	return c.kind == PROBE_REALLOC ? resized(addr) : allocated(addr, WAIT_RETURN, 0);
}

static __always_inline int at_return(struct pt_regs *ctx, union site_cookie c)
{
	__u64 addr = PT_REGS_RC(ctx), sp = PT_REGS_SP(ctx);

	/* Read here, or clang reads both ways' through one changed pointer, which the verifier refuses. */
	barrier_var(addr);
	barrier_var(sp);
	switch (c.kind) {
	case PROBE_POOL_OPENER:
		return allocated(addr, WAIT_POOL, sp);
	case PROBE_RAW_TAIL:
		/* The function that the guard is in has left its frame already. */
		return raw_returns(addr, sp - MAX_INLINED_FRAME_BYTES + INLINED_FRAME_SLACK);
	default:
		return function_returns(c, addr, sp);
	}
}

/* A window of the heap signal is timed by the programs that serve it. */
static __always_inline bool at_timed_site(struct pt_regs *ctx, union site_cookie c)
{
	bool wants_return;

	if (!serves_windows)
		return at_site(ctx, c);
	if (c.kind != PROBE_RAW_RETURN)
		time_hit();
	wants_return = at_site(ctx, c);
	time_end();
	return wants_return;
}

static __always_inline int at_timed_return(struct pt_regs *ctx, union site_cookie c)
{
	at_return(ctx, c);
	return serves_windows ? time_end() : 0;
}

SEC("uprobe")
int exact_session(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };

	return is_return(ctx) ? at_timed_return(ctx, c) : !at_timed_site(ctx, c);
}

SEC("uprobe")
int exact_entry(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };

	at_timed_site(ctx, c);
	return 0;
}

/* An allocation that waits is taken by the first return probe that comes: two attachments do not count it twice. */
SEC("uretprobe")
int exact_return(struct pt_regs *ctx)
{
	union site_cookie c = { 0 };

	/* 5.15; what has no cookies has return probes of malloc and calloc only, and exact_realloc_return */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		c.raw = bpf_get_attach_cookie(ctx);
	return at_timed_return(ctx, c);
}

/* ---- one program a function, before 6.6 ---- */

SEC("uretprobe")
int exact_realloc_return(struct pt_regs *ctx)
{
	return resized(PT_REGS_RC(ctx));
}

static __always_inline int enter(__u32 function, __u64 first, __u64 second)
{
	struct target *t = allocating_target(0);

	if (t)
		called(t, NULL, function, first, second, 0);
	return 0;
}

SEC("uprobe")
int exact_malloc(struct pt_regs *ctx)
{
	return enter(PROBE_MALLOC, PT_REGS_PARM1(ctx), 0);
}

SEC("uprobe")
int exact_calloc(struct pt_regs *ctx)
{
	return enter(PROBE_CALLOC, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
}

SEC("uprobe")
int exact_realloc(struct pt_regs *ctx)
{
	return enter(PROBE_REALLOC, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
}

SEC("uprobe")
int exact_free(struct pt_regs *ctx)
{
	return enter(PROBE_FREE, PT_REGS_PARM1(ctx), 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
