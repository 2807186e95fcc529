// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal gc: runs of the cyclic collector, with generation, pause and what was collected.
 *
 * Where it hooks: the collector's own function (gc_collect_main(tstate, generation, ...), Modules/gcmodule.c 3.8-3.12,
 * Python/gc.c from 3.13) at entry and return; or the USDT probes gc__start(generation) and gc__done(collected)
 * (Include/pydtrace.d) where the build has them.
 *
 * The runtime's own statistics, read at entry and at return, tell what the arguments don't: 3.13 chooses the generation of
 * an automatic collection inside; clones of 3.8's collect() have lost it; a collection that did not take place changes
 * nothing (a finaliser that calls gc.collect(): from 3.13 on it is turned away inside the function, while the outer
 * collection runs). USDT's gc__done stands before the statistics are brought up to date, and its gc__start behind all that:
 * they need no help, but that gc__done tells the sum of collected and uncollectable objects. Those that are uncollectable come
 * into the list gc.garbage: where it is as long as before there were none.
 *
 * What triggered a collection: its reason, where it is an argument; gc.collect() and PyGC_Collect(), whose entry and return are
 * noted by thread; and the counts that make a collection due. bpf/ only sends what it found (enum gc_evidence).
 *
 * Stacks that are walked meanwhile have a mark where the collector stands (collector.bpf.h).
 */
#include "stack.bpf.h"

#include <bpf/usdt.bpf.h>

/* Threads in gc.collect() or PyGC_Collect(). */
struct gc_call {
	__u64 sp; /* at its entry */
	__u64 frame; /* that called it */
	__u64 evidence; /* GC_IN_COLLECT or GC_IN_API */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct gc_call);
} gc_calls SEC(".maps");

static __always_inline const struct py_walk *gc_walk(const struct target *t)
{
	__u32 slot = t->interp;

	return bpf_map_lookup_elem(&interpreters, &slot);
}

/* What the collector's offsets in struct py_walk count from: this thread's interpreter, or the runtime. 0: not known. */
static __noinline __u64 gc_home(struct target *t)
{
	const struct py_walk *w;
	__u64 tstate, interp;

	if (!t)
		return 0;
	w = gc_walk(t);
	if (!w)
		return 0;
	if (w->tstate_interp == PY_WALK_NONE)
		return t->runtime;
	if (current_tstate(w, t, &tstate) != STACK_COMPLETE ||
	    !read_user(&interp, sizeof(interp), tstate + w->tstate_interp))
		return 0;
	return interp;
}

/* The frame that this thread runs, or 0. */
static __noinline __u64 gc_frame(struct target *t)
{
	const struct py_walk *w;
	__u64 tstate, frame;

	if (!t)
		return 0;
	w = gc_walk(t);
	return w && first_frame(w, t, &tstate, &frame) == STACK_COMPLETE ? frame : 0;
}

/* GC_DUE or GC_NOT_DUE; 0: cannot be told. generation -1: any. */
static __noinline __u32 gc_due(const struct py_walk *w, __u64 home, __s32 generation)
{
	__u64 words[GENERATIONS * PY_GENERATION_BYTES / 8];
	__u64 youngest;
	__s32 enabled;
	int i;

	if (!w || w->gc_generation0 == PY_WALK_NONE || w->gc_enabled == PY_WALK_NONE ||
	    !read_user(&enabled, sizeof(enabled), home + w->gc_enabled) ||
	    !read_user(&youngest, sizeof(youngest), home + w->gc_generation0) || !read_user(words, sizeof(words), youngest))
		return 0;
	for (i = 0; i < GENERATIONS && enabled; i++) {
		/* threshold and count are one word */
		__u64 both = words[i * (PY_GENERATION_BYTES / 8) + PY_GENERATION_THRESHOLD / 8];

		if ((generation < 0 || i == generation) && (__s32)(both >> 32) > (__s32)both)
			return GC_DUE;
	}
	return GC_NOT_DUE;
}
_Static_assert(PY_GENERATION_COUNT == PY_GENERATION_THRESHOLD + 4 && PY_GENERATION_THRESHOLD % 8 == 0, "gc_generation");

static __noinline __u32 gc_called_from(__u64 frame, __u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct gc_call *call = bpf_map_lookup_elem(&gc_calls, &pid_tgid);
	__u32 evidence = frame ? GC_IN_FRAME : 0;

	/* Something that the call ran first, such as __index__ of its argument, may collect too. */
	if (call && sp <= call->sp && call->frame == frame)
		evidence |= call->evidence;
	return evidence;
}

static __noinline __u32 gc_evidence_of(struct target *t, __u64 home, __s32 generation)
{
	const struct py_walk *w;
	__u64 finalizing = 0;
	__u32 evidence = 0;

	if (!t)
		return 0;
	w = gc_walk(t);
	if (!w)
		return 0;
	if (read_user(&finalizing, sizeof(finalizing), t->runtime + w->finalizing) && finalizing)
		evidence |= GC_FINALIZING;
	return home ? evidence | gc_due(w, home, generation) : evidence;
}

/* Length of gc.garbage; a list that is not there yet is empty. -1: cannot be read. */
static __noinline __s64 gc_garbage_cnt(__u64 garbage_at)
{
	__u64 list;
	__s64 cnt;

	if (!garbage_at || !read_user(&list, sizeof(list), garbage_at))
		return -1;
	if (!list)
		return 0;
	return read_user(&cnt, sizeof(cnt), list + PY_LIST_SIZE) ? cnt : -1;
}

/* How the collector is before it begins. */
static __noinline void gc_look(struct target *t, struct gc_run *run, __u64 sp)
{
	const struct py_walk *w;
	__u64 home = gc_home(t);

	if (!t || !run)
		return;
	run->frame = gc_frame(t);
	run->evidence |= gc_called_from(run->frame, sp) | gc_evidence_of(t, home, run->generation);
	w = gc_walk(t);
	if (!w || !home)
		return;
	if (w->gc_collecting != PY_WALK_NONE)
		run->collecting_at = home + w->gc_collecting;
	if (w->gc_garbage != PY_WALK_NONE)
		run->garbage_at = home + w->gc_garbage;
	run->garbage_cnt = gc_garbage_cnt(run->garbage_at);
	if (w->gc_stats != PY_WALK_NONE)
		run->stats_at = home + w->gc_stats;
	if (run->stats_at && bpf_probe_read_user(run->stats, sizeof(run->stats), (const void *)run->stats_at))
		run->stats_at = 0;
}

/* A call inside a collection of the same thread. One whose return was missed is no collection that still runs. */
static __always_inline bool gc_is_nested(const struct gc_run *outer, __u64 sp)
{
	struct gc_stats gained;

	if (!outer || sp >= outer->sp)
		return false;
	return outer->stats_at ? gc_generation_of(outer, &gained) < 0 : reads_as_set(outer->collecting_at);
}

/* generation: -1: not known; above it, bits of enum gc_evidence that the arguments tell. */
#define GC_ARGS(generation, says) ((__u64)(says) << 32 | (__u32)(generation))
#define GC_IS_USDT (1u << 31) /* beside them */

/*
 * Whether who measures by gc.callbacks has begun by now: the pause is to be what he sees, and what we take belongs to it then; the
 * first collection's stack, and all that no one has told yet, takes 0.1 ms. gc__start stands behind the callbacks, always.
 */
static __always_inline bool gc_clock_runs(const struct target *t, __u32 says)
{
	const struct py_walk *w = gc_walk(t);

	return says & GC_IS_USDT || (w && w->gc_callbacks_first);
}

static __noinline int gc_enter(__u64 args, __u32 attach_id, __u64 sp)
{
	__s32 generation = (__s32)args;
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_at(SIGNAL_GC, attach_id);
	static const struct gc_run none;
	struct gc_run *run;
	struct stopwatch w;

	if (!t)
		return 0;
	w = stopwatch_start();
	if (gc_is_nested(bpf_map_lookup_elem(&gc_runs, &pid_tgid), sp))
		return 0;
	counter_add(CTR_EVENTS, 1);
	bpf_map_update_elem(&gc_runs, &pid_tgid, &none, BPF_ANY);
	run = bpf_map_lookup_elem(&gc_runs, &pid_tgid);
	if (!run)
		return 0;
	run->generation = generation >= 0 && generation < GENERATIONS ? generation : -1;
	run->sp = sp;
	run->evidence = args >> 32 & ~GC_IS_USDT;
	gc_look(t, run, sp);
	run->stack_id = stack_of_current(t);
	t->collecting_at = run->collecting_at;
	cost_of_current(COST_GC, &w);
	/* From now on what runs in this thread is the collector, or was called by it. */
	run->start_ns = gc_clock_runs(t, args >> 32) ? w.begin_ns : bpf_ktime_get_ns();
	return 0;
}

/* To wake a reader costs the pause 10 us: it is done where too much was spent, or the probes would stay until it looks by itself. */
static __always_inline __u64 gc_wakes(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target_state *s = bpf_map_lookup_elem(&states, &tgid);

	if (!s || !s->gc_wake_cnt || s->cost[COST_GC].cnt < s->gc_wake_cnt)
		return BPF_RB_NO_WAKEUP;
	s->gc_wake_cnt = 0;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void gc_send(const struct target *t, const struct gc_run *run, __u64 now, __s64 collected,
				    __s64 uncollectable)
{
	struct rec_gc *rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);

	if (!rec) {
		counter_add(CTR_RING_FULL_GC, 1);
		return;
	}
	rec->hdr.kind = REC_GC;
	rec->hdr.len = sizeof(*rec);
	rec->hdr.tgid = bpf_get_current_pid_tgid() >> 32;
	rec->hdr.time_ns = now;
	rec->stack_id = run->stack_id;
	rec->pause_ns = now - run->start_ns;
	rec->collected = collected;
	rec->proc_id = t->proc_id;
	rec->tid = (__u32)bpf_get_current_pid_tgid();
	rec->generation = run->generation;
	rec->uncollectable = uncollectable;
	rec->evidence = run->evidence;
	bpf_ringbuf_submit(rec, gc_wakes());
}

/* both: objects collected and uncollectable. counted: the runtime's statistics have this run already. */
static __noinline int gc_leave(__s64 both, __u64 sp, bool counted)
{
	struct stopwatch w = stopwatch_start();
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_for(SIGNAL_GC);
	struct gc_stats gained;
	struct gc_run *run;
	int generation;

	if (!t)
		return 0;
	run = bpf_map_lookup_elem(&gc_runs, &pid_tgid);
	if (!run || (counted && sp < run->sp)) {
		cost_of_current(COST_GC, &w);
		return 0;
	}
	if (counted && run->stats_at) {
		generation = gc_generation_of(run, &gained);
		if (generation >= 0) {
			run->generation = generation;
			gc_send(t, run, w.begin_ns, gained.collected, gained.uncollectable);
		}
	} else if (run->garbage_cnt >= 0 && gc_garbage_cnt(run->garbage_at) == run->garbage_cnt) {
		gc_send(t, run, w.begin_ns, both, 0);
	} else {
		gc_send(t, run, w.begin_ns, -1, -1);
	}
	bpf_map_delete_elem(&gc_runs, &pid_tgid);
	cost_of_current(COST_GC, &w);
	return 0;
}

/*
 * The argument of a USDT site; -1: not to be had. The registers are copied because the verifier takes no variable offset
 * into ctx; not inlined, so that the copy's stack is free again when the stack is walked.
 */
static __noinline __s64 usdt_arg(struct pt_regs *ctx, __u64 cookie)
{
	union site_cookie c = { .raw = cookie };
	__u32 shift = 64 - (8u << c.arg_log2_bytes), reg = c.arg_register;
	__u64 regs[sizeof(*ctx) / 8];
	__u64 v = 0;

	if (c.arg_form == SITE_ARG_CONSTANT)
		return c.arg_value;
	if (c.arg_form == SITE_ARG_NONE || reg >= sizeof(regs) / 8 || bpf_probe_read_kernel(regs, sizeof(regs), ctx))
		return -1;
	if (c.arg_form == SITE_ARG_REGISTER)
		v = regs[reg];
	else if (bpf_probe_read_user(&v, sizeof(v), (void *)(regs[reg] + c.arg_value)))
		return -1;
	v <<= shift;
	return c.arg_signed ? (__s64)v >> shift : (__s64)(v >> shift);
}

/* gc.collect() or PyGC_Collect() begins. */
static __noinline int gc_call_enter(__u32 evidence, __u32 attach_id, __u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_at(SIGNAL_GC, attach_id);
	struct gc_call *outer, call = { .sp = sp, .evidence = evidence };
	struct stopwatch w;

	if (!t)
		return 0;
	w = stopwatch_start();
	/* Within another, such as that of a finaliser: it collects nothing. */
	outer = bpf_map_lookup_elem(&gc_calls, &pid_tgid);
	if (outer && sp < outer->sp)
		return 0;
	call.frame = gc_frame(t);
	bpf_map_update_elem(&gc_calls, &pid_tgid, &call, BPF_ANY);
	cost_of_current(COST_GC, &w);
	return 0;
}

/* sp: behind the return address, which at the entry was yet to be taken off. */
static __noinline int gc_call_leave(__u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct stopwatch w = stopwatch_start();
	struct gc_call *call = bpf_map_lookup_elem(&gc_calls, &pid_tgid);

	if (call && sp > call->sp)
		bpf_map_delete_elem(&gc_calls, &pid_tgid);
	cost_of_current(COST_GC, &w);
	return 0;
}

static __always_inline __u32 gc_says(struct pt_regs *ctx, __s64 reason_arg)
{
	switch (reason_arg) {
	case GC_REASON_THIRD:
		switch ((__u32)PT_REGS_PARM3(ctx)) {
		case 0: /* _Py_GC_REASON_HEAP */
			return GC_SAYS_HEAP;
		case 1: /* _Py_GC_REASON_SHUTDOWN */
			return GC_SAYS_SHUTDOWN;
		default:
			return GC_SAYS_MANUAL;
		}
	case GC_REASON_FIFTH:
		return (__u32)PT_REGS_PARM5(ctx) == 1 ? GC_SAYS_SHUTDOWN : 0;
	default:
		return 0;
	}
}

static __always_inline int gc_function(struct pt_regs *ctx, union site_cookie c)
{
	if (c.args_unknown)
		return gc_enter(GC_ARGS(-1, 0), c.attach_id, PT_REGS_SP(ctx));
	return gc_enter(GC_ARGS((__s32)PT_REGS_PARM2(ctx), gc_says(ctx, c.arg_value)), c.attach_id, PT_REGS_SP(ctx));
}

/* All sites but a function's return in one, where one link holds many (uprobe_multi). */
SEC("uprobe")
int gc_site(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };

	switch (c.kind) {
	case PROBE_GC:
		return gc_function(ctx, c);
	case PROBE_GC_COLLECT:
		return gc_call_enter(GC_IN_COLLECT, c.attach_id, PT_REGS_SP(ctx));
	case PROBE_GC_API:
		return gc_call_enter(GC_IN_API, c.attach_id, PT_REGS_SP(ctx));
	case PROBE_GC_USDT:
		return gc_enter(GC_ARGS((__s32)usdt_arg(ctx, c.raw), GC_IS_USDT), c.attach_id, PT_REGS_SP(ctx));
	default:
		return gc_leave(usdt_arg(ctx, c.raw), PT_REGS_SP(ctx), false);
	}
}

/* The functions' returns, likewise. */
SEC("uretprobe")
int gc_site_return(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };

	if (c.kind != PROBE_GC)
		return gc_call_leave(PT_REGS_SP(ctx));
	return gc_leave(PT_REGS_RC(ctx), PT_REGS_SP(ctx), true);
}

/* What follows is for kernels that attach probes one by one. */
SEC("uprobe")
int gc_entry(struct pt_regs *ctx)
{
	return gc_enter(GC_ARGS((__s32)PT_REGS_PARM2(ctx), 0), 0, PT_REGS_SP(ctx));
}

/* A clone whose arguments the compiler dropped or moved: which register holds the generation is not known. */
SEC("uprobe")
int gc_entry_clone(struct pt_regs *ctx)
{
	return gc_enter(GC_ARGS(-1, 0), 0, PT_REGS_SP(ctx));
}

SEC("uretprobe")
int gc_return(struct pt_regs *ctx)
{
	return gc_leave(PT_REGS_RC(ctx), PT_REGS_SP(ctx), true);
}

SEC("uprobe")
int gc_collect_entry(struct pt_regs *ctx)
{
	return gc_call_enter(GC_IN_COLLECT, 0, PT_REGS_SP(ctx));
}

SEC("uprobe")
int gc_api_entry(struct pt_regs *ctx)
{
	return gc_call_enter(GC_IN_API, 0, PT_REGS_SP(ctx));
}

SEC("uretprobe")
int gc_call_return(struct pt_regs *ctx)
{
	return gc_call_leave(PT_REGS_SP(ctx));
}

SEC("usdt")
int gc_usdt_start(struct pt_regs *ctx)
{
	long generation = -1;

	bpf_usdt_arg(ctx, 0, &generation);
	return gc_enter(GC_ARGS((__s32)generation, GC_IS_USDT), 0, PT_REGS_SP(ctx));
}

SEC("usdt")
int gc_usdt_done(struct pt_regs *ctx)
{
	long both = -1;

	bpf_usdt_arg(ctx, 0, &both);
	return gc_leave(both, PT_REGS_SP(ctx), false);
}
