/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/heap_plan.h"

#include <math.h>

/* Windows a second at most: the kernel needs 50 ms for each. And at least, where the budget is spent. */
#define MAX_RATE 10.0
#define MIN_RATE 0.01
/* With so many windows to spare the rate is what the budget can bear for good: with fewer, less, with more, what is left goes soon. */
#define SPARE_WINDOWS 4.0
#define SOON_S 2.0
/* Before it is known how many pools are taken into use: 1 MiB of them. */
#define FIRST_POOLS 64
/* What lately means, and what is too short to tell. */
#define LATELY_S 3.0
#define LEAST_COUNTED_S 0.05

double heap_plan__allowance_s(const struct heap_plan *p, double cpu_s)
{
	return p->burst_s + p->share * cpu_s - p->spent_s - p->others_s;
}

double heap_plan__lacks_s(const struct heap_plan *p, double cpu_s)
{
	double least_s = p->burst_s < HEAP_BURST_S ? p->window_s : 0, allowance_s = heap_plan__allowance_s(p, cpu_s);

	/* One that has just nothing left does not open one. */
	return allowance_s > least_s ? -INFINITY : least_s - allowance_s;
}

/* Smooth: a rate that jumped to nothing when the budget is spent would make windows regular. */
static double rate(const struct heap_plan *p, double cpu_s)
{
	double spare = heap_plan__allowance_s(p, cpu_s) / p->window_s, lasting = p->share / p->window_s;

	lasting = lasting * fmin(spare / SPARE_WINDOWS, 1) + fmax(spare - SPARE_WINDOWS, 0) / SOON_S;
	return fmin(fmax(lasting, MIN_RATE), MAX_RATE);
}

double heap_plan__next(struct heap_plan *p, double now_s, double cpu_s, double least_s, double u)
{
	double begins_s = fmax(p->ends_s, now_s);

	p->period_s = 2 * fmax(1 / rate(p, cpu_s), least_s);
	p->ends_s = begins_s + p->period_s;
	return begins_s + u * p->period_s;
}

static void count_pools(struct heap_plan *p, double now_s, double pools)
{
	double passed_s = now_s - p->at_s, lately;

	if (passed_s < LEAST_COUNTED_S)
		return;
	lately = (pools - p->pools) / passed_s;
	p->pools_a_second += (p->pools_a_second ? -expm1(-passed_s / LATELY_S) : 1) * (lately - p->pools_a_second);
	p->at_s = now_s;
	p->pools = pools;
}

double heap_plan__pools(struct heap_plan *p, double now_s, double pools, double u)
{
	double mean;

	count_pools(p, now_s, pools);
	mean = p->pools_a_second > 0 ? p->pools_a_second * p->period_s : FIRST_POOLS;
	p->mean_pools = fmax(mean, 1);
	return pools + 1 - log1p(-u) * p->mean_pools;
}

double heap_plan__stands_s(const struct heap_plan *p, double pools_a_second)
{
	return p->mean_pools > 0 ? 1 / (1 / p->period_s + pools_a_second / p->mean_pools) : p->period_s;
}
