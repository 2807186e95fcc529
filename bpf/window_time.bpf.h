/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How long a window of the heap signal is, in the process's own time (user/model/heap_windows.h).
 */
#ifndef BPF_WINDOW_TIME_H
#define BPF_WINDOW_TIME_H

#include "heap.bpf.h"

/*
 * How long the process has run by itself since the last program ended. A program that user space has no time of is a window
 * whose length is not known: all of a window's must begin and end with these two.
 */
static __noinline int time_hit(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct window_state *w = window_with_room();
	__u64 now, waited = 0, slept, between;

	if (!w)
		return 0;
	now = bpf_ktime_get_ns();
	if (bpf_core_field_exists(task->sched_info.run_delay))
		waited = BPF_CORE_READ(task, sched_info.run_delay);
	slept = BPF_CORE_READ(task, nvcsw);
	w->hits++;
	between = now - w->end_ns - (waited - w->waited_ns);
	if (w->end_ns && w->tid == (__u32)bpf_get_current_pid_tgid() && w->slept == slept && (__s64)between > 0) {
		w->timed++;
		w->between_ns += between;
		if (!w->least_ns || between < w->least_ns)
			w->least_ns = between;
	}
	w->hit_ns = now;
	w->waited_ns = waited;
	w->slept = slept;
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
