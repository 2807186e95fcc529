/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/governor.h"

#include <math.h>

#include "records.h"

/* Until the first faults were timed. */
#define FIRST_LOOK_NS 3000.0
#define FIRST_GC_LOOK_NS 2000.0
#define FIRST_GC_SKIP_NS 600.0
/* So many faults, or collections, tell what one costs. */
#define TELLING_CNT 16
/* No more than this is ever owed: a process is not thinned out for ever for what could not be helped. */
#define MAX_OWED_NS 50000000.0
/* What a lower shift would cost must be below this share of what comes in. */
#define MARGIN 0.8
/* Of what comes in, while something is owed. */
#define WHILE_OWING 0.75
/*
 * What the hook may always take of what comes in. It is off for every process, so one that pays too much for other probes
 * is no reason.
 */
#define HOOK_ALWAYS 0.1
/* The hook's share of time grows by no more than this a step. */
#define HOOK_GROWTH 1.5

/* What happened since the last step, and what may be spent until the next. */
struct interval {
	double income_ns, spent_ns;
	double hits; /* page faults, as many as there would have been with the hook on all the time */
	double gc_hits;
	uint32_t gc_shift; /* from now on */
	double other_ns; /* what other probes will take again */
	double room_ns; /* for page faults, of income and of what was saved */
	double steady_ns; /* for page faults, of income alone */
	double allowed_ns; /* for all */
};

static double max(double a, double b)
{
	return a > b ? a : b;
}

static double min(double a, double b)
{
	return a < b ? a : b;
}

static double hook_cost(const struct governor *g, uint64_t fault_cnt, uint64_t skipped_cnt)
{
	return g->hook_ns * ((double)fault_cnt + (double)skipped_cnt);
}

uint64_t governor__cost_ns(const struct governor *g, const struct governor_use *use)
{
	return use->fault_ns + use->gc_ns + use->gc_skipped_ns + use->other_ns + use->heap_ns +
	       hook_cost(g, use->fault_cnt, use->skipped_cnt);
}

void governor__set_limit(struct governor *g, double more_ns)
{
	g->limit_ns = more_ns < (double)UINT64_MAX ? g->last.fault_ns + (uint64_t)more_ns : UINT64_MAX;
	g->step_ns = max(more_ns / (MAX_FAULT_SHIFT + 1), MIN_FAULT_LIMIT_NS);
}

void governor__begin(struct governor *g, double budget, double hook_ns, uint64_t saved_ns, const struct governor_use *use)
{
	*g = (struct governor){
		.budget = budget,
		.hook_ns = hook_ns,
		.hook_share = 1,
		.look_ns = FIRST_LOOK_NS,
		.looks = 1,
		.gc_look_ns = FIRST_GC_LOOK_NS,
		.gc_skip_ns = FIRST_GC_SKIP_NS,
		.saved_ns = min(saved_ns, GOVERNOR_SAVED_NS),
		.limit_ns = UINT64_MAX,
		.heap_ns = UINT64_MAX,
	};
	if (use)
		g->last = *use;
	if (!budget)
		return;
	governor__set_limit(g, g->saved_ns);
	g->heap_ns = g->saved_ns / 2;
}

/* What looking at one collection in 1 << shift will cost. */
static double gc_cost_ns(const struct governor *g, const struct interval *v, uint32_t shift)
{
	return v->gc_hits * (g->gc_skip_ns + max(g->gc_look_ns - g->gc_skip_ns, 0) / (1u << shift));
}

static uint32_t choose_gc_shift(const struct governor *g, const struct interval *v)
{
	uint32_t least = 0, now = g->gc_shift;

	while (least < MAX_GC_SHIFT && gc_cost_ns(g, v, least) > v->allowed_ns / 2)
		least++;
	if (least >= now)
		return least;
	return gc_cost_ns(g, v, now - 1) <= MARGIN * v->steady_ns / 2 ? now - 1 : now;
}

static struct interval look_back(const struct governor *g, const struct governor_use *use, double hook_was_on)
{
	uint64_t faults = use->fault_cnt - g->last.fault_cnt, skipped = use->skipped_cnt - g->last.skipped_cnt;
	double heap_ns = use->heap_ns - g->last.heap_ns, saved_ns, taken_ns;
	struct interval v = {
		.income_ns = g->budget * (double)(use->cpu_ns - g->last.cpu_ns),
		.hits = ((double)faults + (double)skipped) / max(hook_was_on, GOVERNOR_MIN_HOOK_SHARE),
		.gc_hits = use->gc_cnt - g->last.gc_cnt + use->gc_skipped_cnt - g->last.gc_skipped_cnt,
		.other_ns = use->other_ns - g->last.other_ns,
	};

	v.spent_ns = governor__cost_ns(g, use) - governor__cost_ns(g, &g->last);
	saved_ns = min(g->saved_ns + v.income_ns - v.spent_ns, GOVERNOR_SAVED_NS);
	v.steady_ns = saved_ns < 0 ? v.income_ns * WHILE_OWING : v.income_ns;
	v.allowed_ns = v.steady_ns + max(saved_ns, 0) / 2;
	v.gc_shift = choose_gc_shift(g, &v);
	v.other_ns += gc_cost_ns(g, &v, v.gc_shift);
	taken_ns = v.other_ns + min(heap_ns, v.allowed_ns / 2);
	v.room_ns = max(v.allowed_ns - taken_ns, 0);
	v.steady_ns = max(v.steady_ns - taken_ns, 0);
	return v;
}

/* The hook's share is asked for before the step, with what was known then. */
double governor__hook_share(struct governor *g, const struct governor_use *use, double hook_was_on)
{
	struct interval v = look_back(g, use, hook_was_on);
	double cost_ns = v.hits * g->hook_ns, share = 1, allowed_ns;

	allowed_ns = max(v.room_ns / 2, HOOK_ALWAYS * v.income_ns);
	if (g->budget && cost_ns > allowed_ns)
		share = max(allowed_ns / cost_ns, GOVERNOR_MIN_HOOK_SHARE);
	return g->hook_share = min(share, g->hook_share * HOOK_GROWTH);
}

/* What looking at one fault in 1 << shift will cost. */
static double looks_ns(const struct governor *g, const struct interval *v, double hook_on, uint32_t shift)
{
	return min(v->hits * hook_on * g->looks / (1u << shift), v->hits * hook_on) * g->look_ns;
}

static uint32_t choose_shift(const struct governor *g, const struct interval *v, double hook_on, uint32_t now)
{
	double hook_ns = v->hits * hook_on * g->hook_ns;
	uint32_t least = 0;

	while (least < MAX_FAULT_SHIFT && looks_ns(g, v, hook_on, least) > max(v->room_ns - hook_ns, 0))
		least++;
	if (least >= now)
		return least;
	return looks_ns(g, v, hook_on, now - 1) <= MARGIN * max(v->steady_ns - hook_ns, 0) ? now - 1 : now;
}

static void learn(double *cost_ns, uint64_t ns, uint64_t cnt)
{
	if (cnt >= TELLING_CNT)
		*cost_ns = (double)ns / cnt;
}

/* shift: at the end of the time, as the kernel side has it; at its beginning it was ours. */
static void learn_looks(struct governor *g, const struct governor_use *use, uint32_t shift)
{
	double looked_at = use->fault_cnt - g->last.fault_cnt, all = looked_at + use->skipped_cnt - g->last.skipped_cnt;
	double looks = looked_at * exp2((shift + g->shift) / 2.0) / all;

	if (looked_at >= TELLING_CNT)
		g->looks = max(min((g->looks + looks) / 2, 1u << NEW_PAGE_SHIFT), 1);
}

void governor__step(struct governor *g, const struct governor_use *use, uint32_t shift, double hook_was_on,
		    double hook_will_be_on)
{
	struct interval v = look_back(g, use, hook_was_on);
	double hook_ns;

	learn_looks(g, use, shift);
	learn(&g->look_ns, use->fault_ns - g->last.fault_ns, use->fault_cnt - g->last.fault_cnt);
	learn(&g->gc_look_ns, use->gc_ns - g->last.gc_ns, use->gc_cnt - g->last.gc_cnt);
	learn(&g->gc_skip_ns, use->gc_skipped_ns - g->last.gc_skipped_ns, use->gc_skipped_cnt - g->last.gc_skipped_cnt);
	g->saved_ns = min(g->saved_ns + v.income_ns - v.spent_ns, GOVERNOR_SAVED_NS);
	g->saved_ns = max(g->saved_ns, -MAX_OWED_NS);
	g->last = *use;
	if (!g->budget)
		return;
	g->gc_shift = v.gc_shift;
	g->shift = choose_shift(g, &v, hook_will_be_on, shift);
	hook_ns = v.hits * hook_will_be_on * g->hook_ns;
	/* Twice as much as is planned: what varies need not be thinned out. */
	governor__set_limit(g, 2 * max(v.room_ns - hook_ns, 0));
	g->heap_ns = max(v.allowed_ns / 2,
			 v.allowed_ns - v.other_ns - hook_ns - looks_ns(g, &v, hook_will_be_on, g->shift));
}
