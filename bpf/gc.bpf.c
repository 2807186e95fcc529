// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal gc: runs of the cyclic collector, with generation, pause and what was collected.
 *
 * Where it hooks: the collector's own function (gc_collect_main(tstate, generation, ...), Modules/gcmodule.c 3.8-3.12,
 * Python/gc.c from 3.13) at entry and return; or the USDT probes gc__start(generation) and gc__done(collected)
 * (Include/pydtrace.d) where the build has them. A collection does not nest in one thread: a finaliser that calls
 * gc.collect() returns at once, because gcstate->collecting is set.
 */
#include "stack.bpf.h"

#include <bpf/usdt.bpf.h>

struct gc_run {
	__u64 stack_id;
	__u64 start_ns;
	__s32 generation;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, __u64); /* tgid << 32 | tid */
	__type(value, struct gc_run);
} gc_runs SEC(".maps");

static __noinline int gc_enter(__s64 generation, __u32 attach_id)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_at(SIGNAL_GC, attach_id);
	struct gc_run run = { .generation = -1 };

	if (!t)
		return 0;
	counter_add(CTR_EVENTS, 1);
	if (generation >= 0 && generation <= 2)
		run.generation = generation;
	run.stack_id = stack_of_current(t);
	run.start_ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&gc_runs, &pid_tgid, &run, BPF_ANY);
	return 0;
}

static __noinline int gc_leave(__s64 collected)
{
	__u64 now = bpf_ktime_get_ns(), pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_for(SIGNAL_GC);
	struct gc_run *run;
	struct rec_gc *rec;

	run = bpf_map_lookup_elem(&gc_runs, &pid_tgid);
	if (!t || !run)
		return 0;
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (rec) {
		rec->hdr.kind = REC_GC;
		rec->hdr.len = sizeof(*rec);
		rec->hdr.tgid = pid_tgid >> 32;
		rec->hdr.time_ns = now;
		rec->stack_id = run->stack_id;
		rec->pause_ns = now - run->start_ns;
		rec->collected = collected;
		rec->proc_id = t->proc_id;
		rec->tid = (__u32)pid_tgid;
		rec->generation = run->generation;
		rec->pad = 0;
		bpf_ringbuf_submit(rec, 0);
	} else {
		counter_add(CTR_RING_FULL_GC, 1);
	}
	bpf_map_delete_elem(&gc_runs, &pid_tgid);
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
		return gc_enter(c.args_unknown ? -1 : (__s32)PT_REGS_PARM2(ctx), c.attach_id);
	case PROBE_GC_USDT:
		return gc_enter((__s32)usdt_arg(ctx, c.raw), c.attach_id);
	default:
		return gc_leave(usdt_arg(ctx, c.raw));
	}
}

SEC("uprobe")
int gc_entry(struct pt_regs *ctx)
{
	return gc_enter((__s32)PT_REGS_PARM2(ctx), 0);
}

/* A clone whose arguments the compiler dropped or moved: which register holds the generation is not known. */
SEC("uprobe")
int gc_entry_clone(struct pt_regs *ctx)
{
	return gc_enter(-1, 0);
}

SEC("uretprobe")
int gc_return(struct pt_regs *ctx)
{
	return gc_leave(PT_REGS_RC(ctx));
}

SEC("usdt")
int gc_usdt_start(struct pt_regs *ctx)
{
	long generation = -1;

	bpf_usdt_arg(ctx, 0, &generation);
	return gc_enter((__s32)generation, 0);
}

SEC("usdt")
int gc_usdt_done(struct pt_regs *ctx)
{
	long collected = -1;

	bpf_usdt_arg(ctx, 0, &collected);
	return gc_leave(collected);
}
