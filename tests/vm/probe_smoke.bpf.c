/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Counts hits of every kind of hook that pymemscope may use, without pymemscope: when its own tests fail in a virtual
 * machine, this tells whether the kernel or the tool is at fault. One program per hook, each loaded alone.
 * Signature of handle_mm_fault(vma, address, flags, regs): Linux 5.9 and newer, mm/memory.c.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile __u32 target_tgid;
__u64 hit_cnt;
__u64 last_cgroup_id;

static __always_inline int hit_of_target(void)
{
	if (bpf_get_current_pid_tgid() >> 32 != target_tgid)
		return 0;
	__sync_fetch_and_add(&hit_cnt, 1);
	last_cgroup_id = bpf_get_current_cgroup_id();
	return 0;
}

SEC("kprobe/handle_mm_fault")
int kprobe_fault(struct pt_regs *ctx)
{
	return hit_of_target();
}

SEC("fentry/handle_mm_fault")
int BPF_PROG(fentry_fault, struct vm_area_struct *vma, unsigned long address)
{
	return hit_of_target();
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(tracepoint_fault, unsigned long address)
{
	return hit_of_target();
}

SEC("tp_btf/rss_stat")
int BPF_PROG(tracepoint_rss_stat, struct mm_struct *mm, int member)
{
	return hit_of_target();
}

SEC("perf_event")
int perf_fault(struct bpf_perf_event_data *ctx)
{
	return hit_of_target();
}

SEC("uprobe")
int uprobe_function(struct pt_regs *ctx)
{
	return hit_of_target();
}

/* Out-of-memory kills of whomever: the victim is not the caller. */
SEC("kprobe/oom_kill_process")
int kprobe_oom(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&hit_cnt, 1);
	return 0;
}

SEC("tp/oom/mark_victim")
int tracepoint_oom(void *ctx)
{
	__sync_fetch_and_add(&hit_cnt, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
