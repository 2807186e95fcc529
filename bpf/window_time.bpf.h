/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How long a window of the heap signal is, in the process's own time (user/model/heap_windows.h).
 */
#ifndef BPF_WINDOW_TIME_H
#define BPF_WINDOW_TIME_H

#include "heap.bpf.h"

static __always_inline void note_between(struct window_state *w, __u64 between)
{
	__u64 step = w->trap_ns / 128 + 1;

	if (!w->least_ns || between < w->least_ns)
		w->least_ns = between;
	if (!w->usual_ns)
		w->usual_ns = w->trap_ns;
	if (between > w->usual_ns)
		w->usual_ns += step;
	else if (w->usual_ns > step)
		w->usual_ns -= step;
}

/* How long its process has run by itself since the last program ended, or the window opened; < 0: less than a trap takes. */
static __always_inline __s64 own_time(struct window_state *w, __u64 now)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	bool same = w->tid == (__u32)bpf_get_current_pid_tgid();
	__u64 waited = 0, slept, between = now - (w->end_ns ?: w->opened_ns), trap_ns = w->end_ns ? w->trap_ns : 0;

	if (bpf_core_field_exists(task->sched_info.run_delay))
		waited = BPF_CORE_READ(task, sched_info.run_delay);
	slept = BPF_CORE_READ(task, nvcsw);
	if (same && w->slept == slept)
		between -= waited - w->waited_ns;
	else if (same || !w->end_ns)
		between = 0;
	w->waited_ns = waited;
	w->slept = slept;
	if ((__s64)between <= 0)
		return 0;
	if (w->end_ns)
		note_between(w, between);
	return between - trap_ns;
}

/* Where the process is: at the instruction that was hit. */
static __always_inline __u64 current_instruction(void)
{
	struct pt_regs *regs;

	if (!has_task_btf() || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return PT_REGS_IP(regs);
}

/* While breakpoints are written and taken away, one after the other, each is hit that is there. */
static __always_inline void count_stray(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct heap_pools *p = bpf_map_lookup_elem(&heap_pools, &tgid);

	if (p)
		__sync_fetch_and_add(&p->strays, 1);
}

/*
 * All of a window's programs must begin and end with these two. A hit beyond the limit is no part of the window: it ends in
 * time, whatever the program does then, or what comes first in a burst would be seen more often than what comes last.
 */
static __noinline int time_hit(void)
{
	struct target *t = current_target();
	struct window_state *w = window_with_room();

	if (!w || !t) {
		count_stray();
		return 0;
	}
	w->hit_ns = bpf_ktime_get_ns();
	w->at[w->hits % WINDOW_PLACES] = current_instruction();
	w->own_ns += own_time(w, w->hit_ns);
	if ((__s64)w->own_ns < 0)
		w->own_ns = 0;
	if (w->own_ns < w->limit_ns) {
		w->hits++;
		return 0;
	}
	w->own_ns = w->limit_ns;
	w->left = 0;
	tell_once(w, t, 0);
	return 0;
}

static __noinline int time_end(void)
{
	struct window_state *w = current_window();

	if (!w || !w->attach_id)
		return 0;
	w->tid = bpf_get_current_pid_tgid();
	w->end_ns = bpf_ktime_get_ns();
	if (w->hit_ns)
		w->inside_ns += w->end_ns - w->hit_ns;
	w->hit_ns = 0;
	return 0;
}

#endif
