// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal heap, blocks over 512 bytes: each is followed from malloc, or one of its kin, to free. Most calls are for
 * less, and only pay for the trap: they end at the comparison.
 *
 * A block that realloc is given leaves the map at the entry, before another thread can be given its address, and
 * comes back when the call fails; a block that is freed leaves it at the entry, a new one enters it at the return. So
 * no order of threads makes a wrong pair.
 *
 * The functions may call each other: reallocarray ends in a jump to realloc, others call malloc inside. A call counts
 * once, and as the outermost one said: what is called inside of it (deeper stack, same thread) is passed over; a jump
 * from one function to the next (same depth) takes the place of the first.
 *
 * Blocks may be followed for a while only: then new ones are passed over after its first half, and frees alone are seen, so that
 * what lived but briefly is told apart from what stays.
 *
 * Session programs (6.13) are called at entry and return, and at return only where the entry asked for it: 1 is no.
 * Older kernels have two programs, and pay for each return. What frees has one of its own, without a stack, which loads in no time.
 */
#define STACKS_ARE_NATIVE 1
#include "stack.bpf.h"

#include "large.h"

/*
 * A call whose return was never seen would have all calls below it passed over for good. No allocator calls itself so
 * often within one call.
 */
#define MAX_INNER_CALLS 64

/* What a return takes off the stack. */
#if defined(__TARGET_ARCH_x86)
#define RETURN_POPS 8
#else
#define RETURN_POPS 0
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LARGE_WATCHES);
	__type(key, __u32);
	__type(value, struct large_watch);
} large_watches SEC(".maps");

/* An entry stays with its thread (sp 0: no call is under way); those of threads that are gone are forgotten first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_LARGE_CALLS);
	__type(key, __u64); /* tgid << 32 | tid */
	__type(value, struct large_call);
} large_calls SEC(".maps");

/* Grows as needed, as `live` does. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LARGE_BLOCKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct large_key);
	__type(value, struct large_block);
} large_blocks SEC(".maps");

static __always_inline struct large_watch *watch_at(__u32 number)
{
	struct large_watch *w = bpf_map_lookup_elem(&large_watches, &number);

	return w && w->on ? w : NULL;
}

static __always_inline bool is_followed(__u32 watch, __u64 addr)
{
	struct large_key key = { .addr = addr, .watch = watch };

	return bpf_map_lookup_elem(&large_blocks, &key);
}

static __always_inline bool take_block(__u32 watch, __u64 addr, struct large_block *ret)
{
	struct large_key key = { .addr = addr, .watch = watch };
	struct large_block *b = bpf_map_lookup_elem(&large_blocks, &key);

	if (!b)
		return false;
	*ret = *b;
	bpf_map_delete_elem(&large_blocks, &key);
	return true;
}

/* A block that there is no room for is told apart: nobody would see it freed. */
static __always_inline void follow_block(const struct large_watch *w, __u32 watch, __u64 addr,
					 const struct large_block *b)
{
	struct large_key key = { .addr = addr, .watch = watch };
	struct large_block lost;

	if (!bpf_map_update_elem(&large_blocks, &key, b, BPF_NOEXIST))
		return;
	if (take_block(watch, addr, &lost)) {
		counter_add(CTR_ADDRESS_REUSED, 1);
		count_free(lost.stack_id, w->proc_id, KIND_HEAP_LARGE, 1, lost.bytes);
		if (!bpf_map_update_elem(&large_blocks, &key, b, BPF_ANY))
			return;
	}
	counter_add(CTR_LARGE_FULL, 1);
	count_free(b->stack_id, w->proc_id, KIND_HEAP_LARGE, 1, b->bytes);
	count_alloc(STACK_NOT_FOLLOWED, w->proc_id, KIND_HEAP_LARGE, 1, b->bytes);
}

static __noinline int release(__u32 watch, __u64 addr)
{
	struct large_watch *w = watch_at(watch);
	struct large_block b;

	if (!w || !addr || !take_block(watch, addr, &b))
		return 0;
	counter_add(CTR_EVENTS, 1);
	count_free(b.stack_id, w->proc_id, KIND_HEAP_LARGE, 1, b.bytes);
	return 0;
}

/* This thread's entry; NULL: it has none yet, and gets none where `make` is false or there is no room. */
static __always_inline struct large_call *call_of_thread(bool make)
{
	static const struct large_call none;
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct large_call *call = bpf_map_lookup_elem(&large_calls, &pid_tgid);

	if (call || !make)
		return call;
	if (bpf_map_update_elem(&large_calls, &pid_tgid, &none, BPF_NOEXIST))
		counter_add(CTR_PENDING_FULL, 1);
	return bpf_map_lookup_elem(&large_calls, &pid_tgid);
}

static __always_inline void take_old(struct large_call *call, __u32 watch, __u64 old)
{
	if (!old || !take_block(watch, old, &call->old_block))
		old = 0;
	call->old = old;
}

/* True: the call is followed to its return. */
static __noinline bool begin_call(__u64 bytes, __u64 old, __u64 out, __u64 sp, __u32 watch)
{
	struct large_call *call = call_of_thread(true);
	struct large_watch *w = watch_at(watch);
	struct target *t = current_target();

	if (!w || !t || !call)
		return false;
	if (call->watch == watch && sp < call->sp && call->inner++ < MAX_INNER_CALLS)
		return false;
	/* A jump from one function to the next: what the first was given is the second's. */
	if (call->sp != sp || call->watch != watch || !call->old)
		take_old(call, watch, old);
	call->bytes = bytes;
	call->out = out;
	call->watch = watch;
	call->inner = 0;
	call->sp = sp;
	__sync_fetch_and_add(&w->blocks, 1);
	call->stack_id = bytes >= LARGE_MIN_BYTES ? stack_of_current(t) : 0;
	return true;
}

static __always_inline bool overflows(__u64 a, __u64 b)
{
	__u64 most = ~0ull;

	barrier_var(most); /* or clang makes a multiplication of 128 bits of it, which BPF lacks */
	return (a | b) >> 32 && a && b > most / a;
}

/* True: the return is to be seen. */
static __always_inline bool enter(struct pt_regs *ctx)
{
	union large_cookie c = { .raw = bpf_get_attach_cookie(ctx) };
	__u64 first = PT_REGS_PARM1(ctx), second = PT_REGS_PARM2(ctx), third = PT_REGS_PARM3(ctx), sp = PT_REGS_SP(ctx);
	__u64 bytes = first, old = 0, out = 0;
	struct large_watch *w = watch_at(c.watch);

	barrier_var(first);
	barrier_var(second);
	barrier_var(third);
	barrier_var(sp);
	if (!w)
		return false;
	__sync_fetch_and_add(&w->hits, 1);
	switch (c.function) {
	case LARGE_CALLOC:
		bytes = overflows(first, second) ? 0 : first * second;
		break;
	case LARGE_REALLOC:
		old = first;
		bytes = second;
		break;
	case LARGE_REALLOCARRAY:
		if (overflows(second, third))
			return false;
		old = first;
		bytes = second * third;
		break;
	case LARGE_ALIGNED:
		bytes = second;
		break;
	case LARGE_POSIX_MEMALIGN:
		out = first;
		bytes = third;
		break;
	}
	/* What is moved now is another block, that nobody saw allocated. */
	if (w->on == LARGE_WATCH_FREES) {
		release(c.watch, old);
		return false;
	}
	if (bytes < LARGE_MIN_BYTES && !(old && is_followed(c.watch, old)))
		return false;
	return begin_call(bytes, old, out, sp, c.watch);
}

/* The block that realloc was given is there still. */
static __always_inline void put_back(const struct large_call *call)
{
	struct large_key key = { .addr = call->old, .watch = call->watch };
	struct large_block b = call->old_block;

	bpf_map_update_elem(&large_blocks, &key, &b, BPF_ANY);
}

/* realloc(block, 0) frees and returns null (glibc), or a small block; any other null is a failure. */
static __always_inline void end_call(const struct large_call *call, __u64 addr)
{
	struct large_watch *w = watch_at(call->watch);
	struct large_block b;

	if (!w)
		return;
	if (!addr && call->bytes) {
		counter_add(CTR_ALLOC_FAILED, 1);
		if (call->old)
			put_back(call);
		return;
	}
	counter_add(CTR_EVENTS, 1);
	if (call->old)
		count_free(call->old_block.stack_id, w->proc_id, KIND_HEAP_LARGE, 1, call->old_block.bytes);
	if (call->bytes < LARGE_MIN_BYTES)
		return;
	b.stack_id = call->stack_id;
	b.bytes = call->bytes;
	count_alloc(b.stack_id, w->proc_id, KIND_HEAP_LARGE, 1, b.bytes);
	follow_block(w, call->watch, addr, &b);
}

static __noinline int leave(__u64 returned, __u64 sp)
{
	struct large_call *call = call_of_thread(false);

	/* The return of a call inside, or of one that was passed over. */
	if (!call || !call->sp || call->sp + RETURN_POPS != sp)
		return 0;
	if (call->out && (returned || !read_user(&returned, sizeof(returned), call->out)))
		returned = 0;
	end_call(call, returned);
	call->sp = 0;
	call->old = 0;
	return 0;
}

static __always_inline int at_return(struct pt_regs *ctx)
{
	__u64 returned = PT_REGS_RC(ctx), sp = PT_REGS_SP(ctx);

	barrier_var(returned);
	barrier_var(sp);
	return leave(returned, sp);
}

SEC("uprobe")
int large_free(struct pt_regs *ctx)
{
	union large_cookie c = { .raw = bpf_get_attach_cookie(ctx) };
	struct large_watch *w = watch_at(c.watch);

	if (!w)
		return 0;
	__sync_fetch_and_add(&w->hits, 1);
	return release(c.watch, PT_REGS_PARM1(ctx));
}

SEC("uprobe")
int large_session(struct pt_regs *ctx)
{
	if (!is_return(ctx))
		return enter(ctx) ? 0 : 1;
	at_return(ctx);
	return 0;
}

SEC("uprobe")
int large_entry(struct pt_regs *ctx)
{
	enter(ctx);
	return 0;
}

SEC("uretprobe")
int large_return(struct pt_regs *ctx)
{
	return at_return(ctx);
}
