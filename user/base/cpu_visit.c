/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See cpu_visit.h. It is next before it goes, and until it is back: else it would wait on either way for whom it disturbs. A thread of
 * another real-time program that never sleeps on that processor keeps it waiting: no process of a usual policy runs there then.
 */
#include "base/cpu_visit.h"

#include <string.h>

static bool is_usual(int policy)
{
	policy &= ~SCHED_RESET_ON_FORK;
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

static int move_to(int cpu)
{
	cpu_set_t there;

	CPU_ZERO(&there);
	CPU_SET(cpu, &there);
	return sched_setaffinity(0, sizeof(there), &there);
}

void cpu_visit__begin(struct cpu_visit *v, int cpu)
{
	const struct sched_param least = { .sched_priority = 1 };

	v->is_away = false;
	if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(v->mask), &v->mask))
		return;
	v->policy = sched_getscheduler(0);
	v->home = sched_getcpu();
	if (!is_usual(v->policy) || v->home < 0 || v->home >= CPU_SETSIZE || sched_getparam(0, &v->param) ||
	    sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &least))
		return;
	v->is_away = !move_to(cpu);
	if (!v->is_away)
		sched_setscheduler(0, v->policy, &v->param);
}

void cpu_visit__end(const struct cpu_visit *v)
{
	cpu_set_t all;

	if (!v->is_away)
		return;
	move_to(v->home);
	/* Where its processors are others by now, any of those will do. */
	if (sched_setaffinity(0, sizeof(v->mask), &v->mask)) {
		memset(&all, 0xff, sizeof(all));
		sched_setaffinity(0, sizeof(all), &all);
	}
	sched_setscheduler(0, v->policy, &v->param);
}
