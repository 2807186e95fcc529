/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "base/cpu_visit.h"

#include <stddef.h>

void cpu_visit__begin(struct cpu_visit *v, int cpu)
{
	const struct sched_param least = { .sched_priority = 1 };
	cpu_set_t there;

	v->is_away = false;
	if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(v->mask), &v->mask))
		return;
	v->policy = sched_getscheduler(0);
	if (v->policy < 0 || sched_getparam(0, &v->param))
		return;
	CPU_ZERO(&there);
	CPU_SET(cpu, &there);
	v->is_away = !sched_setaffinity(0, sizeof(there), &there);
	/* Else it would wait until the process has had its turn, some milliseconds, and probes that are to go are paid until then. */
	if (v->is_away)
		sched_setscheduler(0, SCHED_FIFO, &least);
}

void cpu_visit__end(const struct cpu_visit *v)
{
	if (!v->is_away)
		return;
	sched_setscheduler(0, v->policy, &v->param);
	sched_setaffinity(0, sizeof(v->mask), &v->mask);
}
