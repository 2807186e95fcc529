/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * This thread goes to a processor for a moment, and is next there.
 *
 * Why: breakpoints are written into the memory of a process that runs. Each that is written, and each that is taken away, has the kernel
 * tell all processors that run the process to forget the page's translation, by an interrupt, twice (Linux 6.18,
 * kernel/events/uprobes.c, uprobe_write; mm/pgtable-generic.c, ptep_clear_flush). For the 262 inlined sites of Debian's 3.11 that were
 * 1,000 interrupts a window, 5 to 7 ms of the process's time in a virtual machine, where each makes the hypervisor take part; and 9 ms of
 * ours, which wait for them. From the processor on which the process would run there is nobody to tell: 1.3 ms of ours.
 */
#ifndef BASE_CPU_VISIT_H
#define BASE_CPU_VISIT_H

#include <sched.h>
#include <stdbool.h>

struct cpu_visit {
	bool is_away;
	int policy;
	struct sched_param param;
	cpu_set_t mask;
};

/* cpu -1: nowhere. Where it is not allowed to go, or to be next, it is not. */
void cpu_visit__begin(struct cpu_visit *v, int cpu);
/* As before; not back, but to where the scheduler finds room. */
void cpu_visit__end(const struct cpu_visit *v);

#endif
