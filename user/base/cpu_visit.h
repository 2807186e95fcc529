/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * This thread goes to a processor for a moment, and is next there.
 *
 * Why: breakpoints are written into the memory of a process that runs. For each that is written, and each that is taken away, the kernel
 * tells all processors that run the process to forget the page's translation, by an interrupt, twice (Linux 6.18,
 * kernel/events/uprobes.c, uprobe_write; mm/pgtable-generic.c, ptep_clear_flush). For the 262 inlined sites of Debian's 3.11 that were
 * 1,000 interrupts a window, 5 to 7 ms of the process's time in a virtual machine, where each makes the hypervisor take part; and of
 * ours, which waits for them. On the processor where the process would run there is nobody to tell, as long as no other processor takes the
 * process over: it waits 0.5 to 0.7 ms instead, twice a window.
 *
 * Why next there (SCHED_FIFO): else it would wait for the process's turn to end, and probes that are to go are paid until then.
 */
#ifndef BASE_CPU_VISIT_H
#define BASE_CPU_VISIT_H

#include <sched.h>
#include <stdbool.h>

struct cpu_visit {
	bool is_away;
	int policy, home;
	struct sched_param param;
	cpu_set_t mask;
};

/* cpu -1: nowhere. Nor does it go where it is not allowed to, where it may not be next, or when its own policy is not a usual one. */
void cpu_visit__begin(struct cpu_visit *v, int cpu);
/* Back to where it was, and all is as before. */
void cpu_visit__end(const struct cpu_visit *v);

#endif
