// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Process life cycle. A forked child of a target is a target from its first instruction on; a new program image (exec)
 * is none until user space has looked at it; the end of a process is told so that user space can settle its accounts.
 */
#include "core.bpf.h"

/* Tell user space of every exec on the host (it looks for new Python processes). */
const volatile bool tell_every_exec = false;

/*
 * A command that we run ourselves (record -- COMMAND) is held at its exec and at its first own instruction, until user
 * space has looked for an interpreter; not what it starts. Its tgid, set by user space for as long as it has not become
 * Python.
 */
__u32 hold_tgid = 0;
#define SIGSTOP 19

__u32 forked_cnt = 0;

/* Distinct among the living, for tgids are; one that comes round is told apart by the count (PROC_ID_FORKED). */
static __always_inline __u32 forked_proc_id(__u32 tgid)
{
	__sync_fetch_and_add(&forked_cnt, 1);
	return PROC_ID_FORKED | (forked_cnt & 0x1ff) << 22 | (tgid & 0x3fffff);
}

/*
 * CPU time of a process of which only this thread is left, ns. The signal struct has the sum of the threads that were
 * released (kernel/exit.c, __exit_signal); a leader that ended before other threads is released after them.
 */
static __always_inline __u64 cpu_ns_of(struct task_struct *task)
{
	__u64 ns = BPF_CORE_READ(task, signal, sum_sched_runtime) + BPF_CORE_READ(task, se.sum_exec_runtime);
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	return leader == task ? ns : ns + BPF_CORE_READ(leader, se.sum_exec_runtime);
}

static __always_inline bool send_proc(__u16 kind, struct task_struct *task, __u32 proc_id, __u32 parent_tgid,
				     __u32 parent_proc_id, __s32 exit_code)
{
	struct rec_proc *rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);

	if (!rec) {
		counter_add(CTR_RING_FULL_PROC, 1);
		return false;
	}
	rec->hdr.kind = kind;
	rec->hdr.len = sizeof(*rec);
	rec->hdr.tgid = BPF_CORE_READ(task, tgid);
	rec->hdr.time_ns = bpf_ktime_get_ns();
	rec->cgroup_id = kind == REC_FORK ? cgroup_id_of(task) : current_cgroup_id();
	rec->proc_id = proc_id;
	rec->parent_tgid = parent_tgid;
	rec->parent_proc_id = parent_proc_id;
	rec->exit_code = exit_code;
	rec->cpu_ns = kind == REC_EXIT || kind == REC_EXEC ? cpu_ns_of(task) : 0;
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
	return true;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(proc_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = BPF_CORE_READ(child, tgid), parent_tgid = BPF_CORE_READ(parent, tgid);
	struct target *t, copy;

	if (tgid == parent_tgid)
		return 0;
	t = bpf_map_lookup_elem(&targets, &parent_tgid);
	if (!t)
		return 0;
	t->shares_family = 1;
	copy = *t;
	copy.proc_id = forked_proc_id(tgid);
	if (bpf_map_update_elem(&targets, &tgid, &copy, BPF_ANY)) {
		counter_add(CTR_TARGETS_FULL, 1);
		copy.proc_id = 0;
	}
	send_proc(REC_FORK, child, copy.proc_id, parent_tgid, t->proc_id, 0);
	return 0;
}

static __always_inline void forget_target(__u32 tgid)
{
	bpf_map_delete_elem(&targets, &tgid);
	bpf_map_delete_elem(&fault_states, &tgid);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(proc_exec, struct task_struct *task)
{
	struct target *t = current_target();
	__u32 proc_id = t ? t->proc_id : 0;
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (!t && !tell_every_exec)
		return 0;
	if (t)
		forget_target(tgid);
	if (send_proc(REC_EXEC, task, proc_id, 0, 0, 0) && tgid == hold_tgid)
		bpf_send_signal(SIGSTOP);
	return 0;
}

/* Fires for each thread; the last one out ends the process (signal_struct.live is already counted down). */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(proc_exit, struct task_struct *task)
{
	struct target *t = current_target();
	__u32 tgid = BPF_CORE_READ(task, tgid);
	__u32 proc_id;

	if (!t || BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0;
	proc_id = t->proc_id;
	forget_target(tgid);
	send_proc(REC_EXIT, task, proc_id, 0, 0, BPF_CORE_READ(task, exit_code));
	return 0;
}

SEC("uprobe")
int proc_entry(struct pt_regs *ctx)
{
	struct target *t = current_target();

	if (t && bpf_get_current_pid_tgid() >> 32 == hold_tgid &&
	    send_proc(REC_ENTRY, (void *)bpf_get_current_task(), t->proc_id, 0, 0, 0))
		bpf_send_signal(SIGSTOP);
	return 0;
}
