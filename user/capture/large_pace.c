/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/large_pace.h"

void large_pace__begin(struct large_pace *p, uint64_t now_ns, double budget, uint64_t burst_ns)
{
	*p = (struct large_pace){ .budget = budget, .begin_ns = now_ns, .burst_ns = burst_ns };
	p->paused = budget > 0 && !burst_ns;
	p->need_ns = p->paused ? LARGE_PACE_BURST_NS : 0;
}

bool large_pace__step(struct large_pace *p, uint64_t now_ns, uint64_t cost_ns, uint64_t cpu_ns, double random)
{
	double left = p->burst_ns + p->budget * cpu_ns - cost_ns;
	double rate;

	if (!p->budget)
		return true;
	if (!p->paused && left < 0) {
		rate = (double)(cost_ns - p->begin_cost_ns) / (now_ns > p->begin_ns ? now_ns - p->begin_ns : 1);
		p->need_ns = rate * LARGE_PACE_WHILE_NS * (0.5 + random);
		p->paused = true;
	} else if (p->paused && left >= p->need_ns) {
		p->begin_ns = now_ns;
		p->begin_cost_ns = cost_ns;
		p->paused = false;
	}
	return !p->paused;
}
