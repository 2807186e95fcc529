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

static __noinline int gc_enter(__s64 generation)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_for(SIGNAL_GC);
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

SEC("uprobe")
int gc_entry(struct pt_regs *ctx)
{
	return gc_enter((__s32)PT_REGS_PARM2(ctx));
}

/* A clone whose arguments the compiler dropped or moved: which register holds the generation is not known. */
SEC("uprobe")
int gc_entry_clone(struct pt_regs *ctx)
{
	return gc_enter(-1);
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
	return gc_enter((__s32)generation);
}

SEC("usdt")
int gc_usdt_done(struct pt_regs *ctx)
{
	long collected = -1;

	bpf_usdt_arg(ctx, 0, &collected);
	return gc_leave(collected);
}
