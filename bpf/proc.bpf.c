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
 * released (kernel/exit.c, __exit_signal); a leader that ended before other threads is released after them. What a thread
 * has used is brought up to date only when it is switched or a tick comes: one that lived for less and never waited has
 * used its time since the fork, but for what it spent in the run queue. It has used no more than a tick beyond what it was brought
 * up to; the rest a hypervisor has had, or a limit of the cgroup. (Were that counted at an exec, the next program would not be
 * seen to use anything until it had used as much.)
 */
#define TICK_NS 10000000ull /* at 100 Hz, the rarest */

static __always_inline __u64 cpu_ns_of(struct task_struct *task)
{
	__u64 ns = BPF_CORE_READ(task, signal, sum_sched_runtime), own = BPF_CORE_READ(task, se.sum_exec_runtime), lived;
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	if (leader != task)
		return ns + own + BPF_CORE_READ(leader, se.sum_exec_runtime);
	if (!ns && !BPF_CORE_READ(task, nvcsw) && bpf_core_field_exists(task->sched_info.run_delay)) {
		lived = bpf_ktime_get_ns() - BPF_CORE_READ(task, start_time) - BPF_CORE_READ(task, sched_info.run_delay);
		own = lived < own + TICK_NS ? lived : own + TICK_NS;
	}
	return ns + own;
}

/* Its page faults, likewise. */
static __always_inline __u64 faults_of(struct task_struct *task)
{
	__u64 n = BPF_CORE_READ(task, signal, min_flt) + BPF_CORE_READ(task, signal, maj_flt) +
		  BPF_CORE_READ(task, min_flt) + BPF_CORE_READ(task, maj_flt);
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	return leader == task ? n : n + BPF_CORE_READ(leader, min_flt) + BPF_CORE_READ(leader, maj_flt);
}

/* Sums over the life of a process that ends. */
static __always_inline void fill_sums(struct rec_proc *rec, struct task_struct *task)
{
	__u32 tgid = rec->hdr.tgid;
	const struct target_state *s = bpf_map_lookup_elem(&states, &tgid);

	rec->cpu_ns = cpu_ns_of(task);
	rec->faults = faults_of(task);
	if (!s)
		return;
	rec->skipped = s->skipped + skipped_in_slot(s, tgid);
	__builtin_memcpy(rec->cost, s->cost, sizeof(rec->cost));
}

/* A record that is filled but for the sums at the end; NULL: the ring is full, which is counted. */
static __always_inline struct rec_proc *begin_record(__u16 kind, struct task_struct *task, __u32 proc_id)
{
	struct rec_proc *rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);

	if (!rec) {
		counter_add(CTR_RING_FULL_PROC, 1);
		return NULL;
	}
	__builtin_memset(rec, 0, sizeof(*rec));
	rec->hdr.kind = kind;
	rec->hdr.len = sizeof(*rec);
	rec->hdr.tgid = BPF_CORE_READ(task, tgid);
	rec->hdr.time_ns = bpf_ktime_get_ns();
	rec->proc_id = proc_id;
	return rec;
}

#define WAKE_EVERY_NS 10000000ull
__u64 woken_ns = 0;

/* A reader that has just been woken need not be woken for each fork and end of a storm of them. */
static __always_inline __u64 wake_now_and_then(void)
{
	__u64 now = bpf_ktime_get_ns();

	if (now - woken_ns < WAKE_EVERY_NS)
		return wake_when_full();
	woken_ns = now;
	return BPF_RB_FORCE_WAKEUP;
}

/* A child has a budget from its first instruction on. */
static __always_inline void begin_state(__u32 tgid, struct target_state *parent)
{
	struct target_state *s = state_of(tgid);
	__u64 limit;

	if (!s || !parent)
		return;
	limit = parent->child_limit_ns;
	s->child_shift = parent->child_shift;
	set_fault_shift(s, tgid, s->child_shift, 1);
	s->fault_limit_ns = s->child_limit_ns = limit;
	s->fault_step_ns = limit / (MAX_FAULT_SHIFT + 1) > MIN_FAULT_LIMIT_NS ? limit / (MAX_FAULT_SHIFT + 1)
										 : MIN_FAULT_LIMIT_NS;
	if (limit == ~0ull)
		return;
	if (limit > MIN_FAULT_LIMIT_NS)
		parent->child_limit_ns = limit - limit / 8;
	else if (parent->child_shift < MAX_FAULT_SHIFT)
		parent->child_shift++;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(proc_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = BPF_CORE_READ(child, tgid), parent_tgid = BPF_CORE_READ(parent, tgid);
	struct stopwatch w = stopwatch_start();
	struct target *t, copy;
	struct rec_proc *rec;

	if (tgid == parent_tgid)
		return 0;
	t = bpf_map_lookup_elem(&targets, &parent_tgid);
	if (!t)
		return 0;
	t->shares_family = 1;
	copy = *t;
	copy.proc_id = forked_proc_id(tgid);
	copy.alloc_seq = copy.recent_row = copy.native_asked = 0;
	copy.collecting_at = 0; /* in another thread */
	if (bpf_map_update_elem(&targets, &tgid, &copy, BPF_ANY)) {
		counter_add(CTR_TARGETS_FULL, 1);
		copy.proc_id = 0;
	} else {
		begin_state(tgid, bpf_map_lookup_elem(&states, &parent_tgid));
	}
	rec = begin_record(REC_FORK, child, copy.proc_id);
	if (rec) {
		rec->cgroup_id = cgroup_id_of(child);
		rec->parent_tgid = parent_tgid;
		rec->parent_proc_id = t->proc_id;
		bpf_ringbuf_submit(rec, wake_now_and_then());
	}
	cost_of_current(COST_LIFE, &w);
	return 0;
}

static __always_inline void forget(const struct target *t, __u32 tgid)
{
	if (!t)
		return;
	bpf_map_delete_elem(&targets, &tgid);
	bpf_map_delete_elem(&states, &tgid);
	give_slot_back(tgid);
}

/*
 * The end of a program image. The target is forgotten before user space hears of it, which may make it one again. True:
 * user space will hear. One branch on the record: 6.1 does not know at a second one that it is there.
 */
static __always_inline bool end_image(__u16 kind, struct task_struct *task, const struct target *t, __s32 exit_code)
{
	__u32 proc_id = t ? t->proc_id : 0, tgid = BPF_CORE_READ(task, tgid);
	struct rec_proc *rec = begin_record(kind, task, proc_id);

	if (!rec) {
		forget(t, tgid);
		return false;
	}
	rec->cgroup_id = current_cgroup_id();
	rec->exit_code = exit_code;
	fill_sums(rec, task);
	forget(t, tgid);
	bpf_ringbuf_submit(rec, kind == REC_EXEC ? BPF_RB_FORCE_WAKEUP : wake_now_and_then());
	return true;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(proc_exec, struct task_struct *task)
{
	struct target *t = current_target();

	if (!t && !tell_every_exec)
		return 0;
	if (end_image(REC_EXEC, task, t, 0) && (__u32)BPF_CORE_READ(task, tgid) == hold_tgid)
		bpf_send_signal(SIGSTOP);
	return 0;
}

/* Fires for each thread; the last one out ends the process (signal_struct.live is already counted down). */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(proc_exit, struct task_struct *task)
{
	struct target *t = current_target();

	if (t && BPF_CORE_READ(task, signal, live.counter) <= 0)
		end_image(REC_EXIT, task, t, BPF_CORE_READ(task, exit_code));
	return 0;
}

SEC("uprobe")
int proc_entry(struct pt_regs *ctx)
{
	struct target *t = current_target();
	struct rec_proc *rec;

	if (!t || bpf_get_current_pid_tgid() >> 32 != hold_tgid)
		return 0;
	rec = begin_record(REC_ENTRY, (void *)bpf_get_current_task(), t->proc_id);
	if (!rec)
		return 0;
	rec->cgroup_id = current_cgroup_id();
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
	bpf_send_signal(SIGSTOP);
	return 0;
}

/* Run by user space: sets the budget of one process, in the one place where the kernel side counts at the same time. */
SEC("syscall")
int govern(struct govern_args *args)
{
	__u32 tgid = args->tgid;
	struct target_state *s = bpf_map_lookup_elem(&states, &tgid);

	if (!s)
		return -1;
	set_fault_shift(s, tgid, args->fault_shift, args->newborn);
	s->fault_limit_ns = args->fault_limit_ns;
	s->child_shift = args->child_shift;
	s->child_limit_ns = args->child_limit_ns;
	s->fault_step_ns = args->fault_step_ns;
	s->rarer = args->rarer;
	s->gc_wake_cnt = args->gc_wake_cnt;
	s->move_limit_cnt = args->move_limit_cnt;
	s->move_step_cnt = args->move_step_cnt;
	s->move_shift = args->move_shift;
	return 0;
}
