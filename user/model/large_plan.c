/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/large_plan.h"

#include <math.h>

/* Probes written to code pages and taken away again, and the page faults of that. */
#define WRITING_COST_S 0.0003
/* Attaching probes takes the kernel some 10 ms: of the time that goes by, not of the process's. */
#define LEAST_PERIOD_S 0.2
/* A calm hour does not pay for a hot minute. */
#define MOST_CREDIT_S (2 * LARGE_WINDOW_COST_S)
#define MOST_PERIOD_S 10.0
/* How much of what the last window cost the next is expected to. */
#define LAST_COUNTS 0.5

static double length_for(double cost_rate)
{
	return fmin(fmax(LARGE_WINDOW_COST_S / fmax(cost_rate, 1e-6) / 2, LARGE_LEAST_LENGTH_S), LARGE_MOST_LENGTH_S);
}

void large_plan__begin(struct large_plan *p, double share, double spent_s, double cost_rate)
{
	*p = (struct large_plan){ .share = share, .spent_s = spent_s, .length_s = length_for(cost_rate) };
	p->window_cost_s = WRITING_COST_S + 2 * p->length_s * cost_rate;
}

double large_plan__next(struct large_plan *p, double now_s, double cpu_s, double wall_s, double u)
{
	double least_s = wall_s > 0 ? LEAST_PERIOD_S * fmin(cpu_s / wall_s, 1) : LEAST_PERIOD_S;
	double debt_s, begins_s = fmax(p->ends_s, now_s);

	p->spent_s = fmax(p->spent_s, p->share * cpu_s - MOST_CREDIT_S);
	debt_s = p->spent_s - p->share * cpu_s;
	/* A debt is paid off over two windows: a stop until it is paid would make windows regular. And so is a credit used. */
	p->period_s = fmin(fmax((p->window_cost_s + debt_s / 2) / p->share, least_s), MOST_PERIOD_S);
	p->ends_s = begins_s + p->period_s;
	return begins_s + u * p->period_s;
}

void large_plan__paid(struct large_plan *p, double cost_s, double own_s)
{
	cost_s += WRITING_COST_S;
	p->spent_s += cost_s;
	p->window_cost_s += LAST_COUNTS * (cost_s - p->window_cost_s);
	if (own_s > 0)
		p->length_s = fmin(fmax(length_for(cost_s / own_s), p->length_s / 2), p->length_s * 2);
}
