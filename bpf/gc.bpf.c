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
 * they need no help.
 */
#include "stack.bpf.h"

#include <bpf/usdt.bpf.h>

#define GENERATIONS 3

/* struct gc_generation_stats, Include/internal/pycore_gc.h */
struct gc_stats {
	__s64 collections;
	__s64 collected;
	__s64 uncollectable;
};

struct gc_run {
	__u64 stack_id;
	__u64 start_ns;
	__s32 generation;
	__u32 cnt; /* collections that this one stands for */
	__u64 sp;
	__u64 stats_at; /* 0: not known */
	struct gc_stats stats[GENERATIONS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, __u64); /* tgid << 32 | tid */
	__type(value, struct gc_run);
} gc_runs SEC(".maps");

/* Where this thread's interpreter keeps its statistics, or 0. */
static __noinline __u64 gc_stats_of_current(struct target *t)
{
	const struct py_walk *w;
	__u64 tstate, interp;
	__u32 slot;

	if (!t)
		return 0;
	slot = t->interp;
	w = bpf_map_lookup_elem(&interpreters, &slot);
	if (!w || w->gc_stats == PY_WALK_NONE)
		return 0;
	if (w->tstate_interp == PY_WALK_NONE)
		return t->runtime + w->gc_stats;
	if (current_tstate(w, t, &tstate) != STACK_COMPLETE ||
	    !read_user(&interp, sizeof(interp), tstate + w->tstate_interp) || !interp)
		return 0;
	return interp + w->gc_stats;
}

/* The generation whose count changed since the run began: then *gained is what it brought. -1: none. */
static __noinline int gc_generation_of(const struct gc_run *run, struct gc_stats *gained)
{
	struct gc_stats now[GENERATIONS];
	int i;

	if (!run || !gained || !read_user(now, sizeof(now), run->stats_at))
		return -1;
	for (i = 0; i < GENERATIONS; i++) {
		gained->collections = now[i].collections - run->stats[i].collections;
		if (gained->collections) {
			gained->collected = now[i].collected - run->stats[i].collected;
			gained->uncollectable = now[i].uncollectable - run->stats[i].uncollectable;
			return i;
		}
	}
	return -1;
}

/* A call inside a collection of the same thread. One whose return was missed is no collection that still runs. */
static __always_inline bool gc_is_nested(const struct gc_run *outer, __u64 sp)
{
	struct gc_stats gained;

	return outer && sp < outer->sp && outer->stats_at && gc_generation_of(outer, &gained) < 0;
}

/* Under the budget some are passed over; those of older generations are few, and all are looked at. */
static __always_inline bool gc_is_passed_over(const struct target_state *s, __s64 generation)
{
	__u32 shift = s ? s->gc_shift & 31 : 0;

	return shift && generation <= 0 && bpf_get_prandom_u32() & ((1u << shift) - 1);
}

static __noinline int gc_enter(__s64 generation, __u32 attach_id, __u64 sp)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_at(SIGNAL_GC, attach_id);
	static const struct gc_run none;
	__u32 tgid = pid_tgid >> 32;
	struct target_state *s;
	struct gc_run *run;
	struct stopwatch w;

	if (!t)
		return 0;
	w = stopwatch_start();
	s = bpf_map_lookup_elem(&states, &tgid);
	if (gc_is_passed_over(s, generation)) {
		cost_add(s, COST_GC_SKIPPED, &w);
		return 0;
	}
	if (gc_is_nested(bpf_map_lookup_elem(&gc_runs, &pid_tgid), sp))
		return 0;
	counter_add(CTR_EVENTS, 1);
	bpf_map_update_elem(&gc_runs, &pid_tgid, &none, BPF_ANY);
	run = bpf_map_lookup_elem(&gc_runs, &pid_tgid);
	if (!run)
		return 0;
	run->generation = generation >= 0 && generation < GENERATIONS ? generation : -1;
	run->cnt = s && generation <= 0 ? 1u << (s->gc_shift & 31) : 1;
	run->sp = sp;
	run->stats_at = gc_stats_of_current(t);
	if (run->stats_at && bpf_probe_read_user(run->stats, sizeof(run->stats), (const void *)run->stats_at))
		run->stats_at = 0;
	run->stack_id = stack_of_current(t);
	cost_add(s, COST_GC, &w);
	run->start_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline void gc_send(const struct target *t, const struct gc_run *run, __u64 now, __s64 collected)
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
	rec->cnt = run->cnt;
	bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP); /* waking a reader costs the pause 10 us */
}

/* counted: the runtime's statistics have this run already. */
static __noinline int gc_leave(__s64 collected, __u64 sp, bool counted)
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
		cost_of_current(COST_GC_SKIPPED, &w);
		return 0;
	}
	if (counted && run->stats_at) {
		generation = gc_generation_of(run, &gained);
		if (generation >= 0) {
			run->generation = generation;
			gc_send(t, run, w.begin_ns, gained.collected);
		}
	} else {
		gc_send(t, run, w.begin_ns, collected);
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

/* All sites but a function's return in one, where one link holds many (uprobe_multi). */
SEC("uprobe")
int gc_site(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };

	switch (c.kind) {
	case PROBE_GC:
		return gc_enter(c.args_unknown ? -1 : (__s32)PT_REGS_PARM2(ctx), c.attach_id, PT_REGS_SP(ctx));
	case PROBE_GC_USDT:
		return gc_enter((__s32)usdt_arg(ctx, c.raw), c.attach_id, PT_REGS_SP(ctx));
	default:
		return gc_leave(usdt_arg(ctx, c.raw), PT_REGS_SP(ctx), false);
	}
}

SEC("uprobe")
int gc_entry(struct pt_regs *ctx)
{
	return gc_enter((__s32)PT_REGS_PARM2(ctx), 0, PT_REGS_SP(ctx));
}

/* A clone whose arguments the compiler dropped or moved: which register holds the generation is not known. */
SEC("uprobe")
int gc_entry_clone(struct pt_regs *ctx)
{
	return gc_enter(-1, 0, PT_REGS_SP(ctx));
}

SEC("uretprobe")
int gc_return(struct pt_regs *ctx)
{
	return gc_leave(PT_REGS_RC(ctx), PT_REGS_SP(ctx), true);
}

SEC("usdt")
int gc_usdt_start(struct pt_regs *ctx)
{
	long generation = -1;

	bpf_usdt_arg(ctx, 0, &generation);
	return gc_enter((__s32)generation, 0, PT_REGS_SP(ctx));
}

SEC("usdt")
int gc_usdt_done(struct pt_regs *ctx)
{
	long collected = -1;

	bpf_usdt_arg(ctx, 0, &collected);
	return gc_leave(collected, PT_REGS_SP(ctx), false);
}
