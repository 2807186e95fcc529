/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What every probe family does: find the target, count, tell the cgroup.
 */
#ifndef BPF_CORE_H
#define BPF_CORE_H

#include "maps.bpf.h"

/*
 * Functions that the verifier looks at once, on their own, instead of on each way that leads to them. They take no pointers
 * inside what they are given a pointer to. Weak, or the compiler would tell callers more of them than the verifier sees.
 */
#define GLOBAL __weak __noinline

static __always_inline bool read_user(void *dst, __u32 len, __u64 addr)
{
	return bpf_probe_read_user(dst, len, (const void *)addr) == 0;
}

/* Reads up to max bytes, or to the end of the page where the next is not there; returns how many. */
static __always_inline __u16 read_some(void *dst, __u32 max, __u64 addr)
{
	__u32 n = 4096 - (addr & 4095);

	if (read_user(dst, max, addr))
		return max;
	if (n >= max)
		return 0;
	return read_user(dst, n, addr) ? n : 0;
}

static __always_inline void counter_add(__u32 counter, __u64 n)
{
	__u64 *v = bpf_map_lookup_elem(&counters, &counter);

	if (v)
		*v += n;
}

/*
 * Waking the reader costs the traced process 5 to 10 us. So it is woken when the ring has filled up by a quarter; what lies
 * there meanwhile it takes out when it next looks, within 0.1 s.
 */
static __always_inline __u64 wake_when_full(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > RING_BYTES / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/*
 * In a session program, which runs at a site and at the return of the function it is in. bpf_get_func_ip tells the site both
 * times (kernel/trace/bpf_trace.c, uprobe_multi_link_ret_handler), the instruction pointer is there, or where the function
 * was called from. The kernel's own bpf_session_is_return has other arguments in 7.x than before, and one program cannot be
 * linked with both.
 */
static __always_inline bool is_return(struct pt_regs *ctx)
{
	return PT_REGS_IP(ctx) != bpf_get_func_ip(ctx);
}

static __always_inline struct target *current_target(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&targets, &tgid);
}

static __always_inline struct fault_slot *fault_slot_of(__u32 tgid)
{
	return &fault_slots[tgid & (FAULT_SLOTS - 1)];
}

/* For a state that is new. User space does the same (session_budget.c). */
static __always_inline void take_slot(__u32 tgid)
{
	struct fault_slot *slot = fault_slot_of(tgid);

	if (slot->tgid && slot->tgid != tgid) {
		slot->tgid = FAULT_SLOT_SHARED;
		return;
	}
	slot->fault_shift = slot->newborn = slot->looker = 0;
	slot->skipped = 0;
	slot->tgid = tgid;
}

static __always_inline void give_slot_back(__u32 tgid)
{
	struct fault_slot *slot = fault_slot_of(tgid);

	if (slot->tgid == tgid)
		slot->tgid = 0;
}

/* What was passed over and is not in s->skipped yet. */
static __always_inline __u64 skipped_in_slot(const struct target_state *s, __u32 tgid)
{
	const struct fault_slot *slot = fault_slot_of(tgid);
	__u64 in_slot = slot->skipped;

	return slot->tgid == tgid ? in_slot - s->skipped_in_slot : 0;
}

static __always_inline void set_fault_shift(struct target_state *s, __u32 tgid, __u32 shift, __u32 newborn)
{
	struct fault_slot *slot = fault_slot_of(tgid);

	s->fault_shift = shift;
	s->newborn = newborn;
	if (slot->tgid != tgid)
		return;
	slot->fault_shift = shift;
	slot->newborn = newborn;
}

/* The thread whose next fault tells what its last one has brought in; 0: it is told. */
static __always_inline void set_looker(struct target_state *s, __u32 tgid, __u32 tid)
{
	struct fault_slot *slot = fault_slot_of(tgid);

	s->looker = tid;
	if (slot->tgid == tgid)
		slot->looker = tid;
}

static __always_inline struct target_state *state_of(__u32 tgid)
{
	static const struct target_state first = {
		.stack_id = STACK_BEFORE_ATTACH,
		.fault_limit_ns = ~0ull,
		.move_limit_cnt = ~0ull,
	};
	struct target_state *s = bpf_map_lookup_elem(&states, &tgid);

	if (s)
		return s;
	bpf_map_update_elem(&states, &tgid, &first, BPF_NOEXIST);
	take_slot(tgid);
	return bpf_map_lookup_elem(&states, &tgid);
}

/* Since 5.11 the current task can be read in place, which costs a load where a probe read costs 20 ns. */
static __always_inline bool has_task_btf(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf);
}

static __always_inline struct task_struct *current_task(void)
{
	return has_task_btf() ? bpf_get_current_task_btf() : (struct task_struct *)bpf_get_current_task();
}

/*
 * Takes the time of a program. One that was scheduled away meanwhile (they run with preemption on) does not know how long
 * it took: it is counted, without time.
 */
struct stopwatch {
	__u64 begin_ns;
	__u64 switches;
};

static __always_inline __u64 current_switches(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	if (has_task_btf())
		return bpf_get_current_task_btf()->nivcsw;
	return BPF_CORE_READ(task, nivcsw);
}

static __always_inline struct stopwatch stopwatch_start(void)
{
	return (struct stopwatch){ .switches = current_switches(), .begin_ns = bpf_ktime_get_ns() };
}

/* 0: the task was interrupted meanwhile, and it is not known. */
static __always_inline __u64 stopwatch_ns(const struct stopwatch *w)
{
	__u64 ns = bpf_ktime_get_ns() - w->begin_ns;

	return current_switches() == w->switches ? ns : 0;
}

/* Books what a program has cost the current process since the stopwatch was started. Returns the ns. */
static __always_inline __u64 cost_add(struct target_state *s, enum cost_part part, const struct stopwatch *w)
{
	__u64 ns = stopwatch_ns(w);

	if (!s)
		return 0;
	__sync_fetch_and_add(&s->cost[part].ns, ns);
	__sync_fetch_and_add(&s->cost[part].cnt, 1);
	return ns;
}

/* The same where the state is not at hand. */
static __always_inline void cost_of_current(enum cost_part part, const struct stopwatch *w)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	cost_add(bpf_map_lookup_elem(&states, &tgid), part, w);
}

/* The target, when it is traced for this signal. */
static __always_inline struct target *target_for(enum signal signal)
{
	struct target *t = current_target();

	return t && t->signals & 1u << signal ? t : NULL;
}

/* The same at a site of that attachment; 0: of an attachment that reaches no other process (perf events). */
static __always_inline struct target *target_at(enum signal signal, __u32 attach_id)
{
	struct target *t = target_for(signal);

	return t && (!attach_id || t->attach_id[signal] == attach_id) ? t : NULL;
}

/*
 * v2: the kernel has a helper. v1 and hybrid: the id of the memory controller's own cgroup, kernfs_node.id
 * (include/linux/kernfs.h; u64 since 5.5), which is the inode number of its directory.
 */
static __always_inline __u64 cgroup_id_of(struct task_struct *task)
{
	struct cgroup_subsys_state *css = NULL;
	struct css_set *set;
	int memory;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return 0;
	memory = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	set = BPF_CORE_READ(task, cgroups);
	if (!set)
		return 0;
	bpf_core_read(&css, sizeof(css), &set->subsys[memory]);
	return BPF_CORE_READ(css, cgroup, kn, id);
}

static __always_inline __u64 current_cgroup_id(void)
{
	if (!cgroup_v1)
		return bpf_get_current_cgroup_id();
	if (has_task_btf() && bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return bpf_get_current_task_btf()
			->cgroups->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]
			->cgroup->kn->id;
	return cgroup_id_of((struct task_struct *)bpf_get_current_task());
}

static __always_inline struct count_value *count_slot(void *map, const struct count_key *key)
{
	static const struct count_value zero;
	struct count_value *v = bpf_map_lookup_elem(map, key);

	if (v)
		return v;
	bpf_map_update_elem(map, key, &zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/* The counter of one stack, process and kind; falls back to the process's overflow sum. NULL: even that is full. */
static __always_inline struct count_value *count_of(__u64 stack_id, __u32 proc_id, __u32 kind)
{
	struct count_key key = { .stack_id = stack_id, .proc_id = proc_id, .kind = kind };
	struct count_value *v = NULL;
	__u32 zero = 0;
	void *inner;

	inner = bpf_map_lookup_elem(&counts, &zero);
	if (inner)
		v = count_slot(inner, &key);
	if (v)
		return v;
	counter_add(CTR_COUNTS_FULL, 1);
	key.stack_id = STACK_LOST;
	return count_slot(&overflow, &key);
}

static __always_inline void count_alloc(__u64 stack_id, __u32 proc_id, __u32 kind, __u64 cnt, __u64 bytes)
{
	struct count_value *v = count_of(stack_id, proc_id, kind);

	if (!v)
		return;
	__sync_fetch_and_add(&v->alloc_cnt, cnt);
	__sync_fetch_and_add(&v->alloc_bytes, bytes);
}

static __always_inline void count_free(__u64 stack_id, __u32 proc_id, __u32 kind, __u64 cnt, __u64 bytes)
{
	struct count_value *v = count_of(stack_id, proc_id, kind);

	if (!v)
		return;
	__sync_fetch_and_add(&v->free_cnt, cnt);
	__sync_fetch_and_add(&v->free_bytes, bytes);
}

#endif
