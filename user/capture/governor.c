/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/governor.h"

/* /proc counts CPU time in ticks of 10 ms: a target that used less in a second counts as one tick. */
#define TICK_NS 10000000.0

uint32_t governor__step(struct governor *g, uint64_t cost_ns, uint64_t cpu_ns)
{
	double cost = cost_ns - g->cost_ns, cpu = cpu_ns - g->cpu_ns;
	double rate;

	g->cost_ns = cost_ns;
	g->cpu_ns = cpu_ns;
	if (!g->budget)
		return g->shift = 0;
	rate = cost / (cpu > TICK_NS ? cpu : TICK_NS);
	if (cost_ns > g->budget * cpu_ns + GOVERNOR_BURST_NS) {
		for (; rate > g->budget && g->shift < GOVERNOR_MAX_SHIFT; rate /= 2)
			g->shift++;
	}
	if (g->shift && rate * 2 < g->budget)
		g->shift--;
	return g->shift;
}
