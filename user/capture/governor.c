/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/governor.h"

#include <math.h>

#include "records.h"

/* Until the first faults were timed. */
#define FIRST_LOOK_NS 3000.0
/* So many faults tell what one costs. */
#define TELLING_CNT 16
/* No more than this is ever owed: a process is not thinned out for ever for what could not be helped. */
#define MAX_OWED_NS 50000000.0
/* Of one stratum so few may be looked at where all would, by the shift alone. */
#define LEAST_LOOKS (1.0 / 1024)
/* What a lower shift would cost must be below this share of what comes in. */
#define MARGIN 0.8
/* Of what comes in, while something is owed. */
#define WHILE_OWING 0.75
/*
 * What the hook may always take of what may be spent. It is off for every process, so one that pays too much for other probes
 * is no reason.
 */
#define HOOK_ALWAYS 0.1
/* The same of looks, or nobody knows of whom what it sees is. */
#define LOOKS_ALWAYS 0.1
/* For looks that are too dear it is off for no more than the rest: a storm of programs is not to blind us for all others. */
#define LOOKS_MIN_SHARE 0.25
/* The hook's share of time grows by no more than this a step. */
#define HOOK_GROWTH 1.5
#define GC_GROWTH 1.5
#define MOVES_SHARE 0.25
/* Turns fall into steps by chance: in one there may be more of the time with probes than planned. */
#define GC_SLACK 1.5
/* A shorter time with probes does not tell what collections cost. */
#define GC_TELLING_NS 2000000u

/* What happened since the last step, and what may be spent until the next. */
struct interval {
	double hook_free_ns; /* that the hook spent; does not count */
	double saved_ns; /* by now */
	/* The next one, as the last was: */
	double income_ns;
	double hook_room_ns; /* for the hook, which is not counted again */
	double hits; /* page faults, as many as there would have been with the hook on all the time */
	double gc_whole_ns; /* if all collections had been watched */
	double gc_share; /* from now on */
	double gc_allowed_ns;
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

uint64_t governor__cost_ns(const struct governor_use *use)
{
	return use->fault_ns + use->hook_ns + use->gc_ns + use->other_ns + use->heap_ns;
}

void governor__set_limit(struct governor *g, double more_ns)
{
	g->limit_ns = more_ns < (double)UINT64_MAX ? g->last.fault_ns + (uint64_t)more_ns : UINT64_MAX;
	g->step_ns = max(more_ns / (MAX_FAULT_SHIFT + 1), MIN_FAULT_LIMIT_NS);
}

void governor__set_gc_limit(struct governor *g, double more_ns)
{
	g->gc_limit_ns = g->last.gc_ns + (uint64_t)more_ns;
}

void governor__begin(struct governor *g, double budget, double hook_ns, uint64_t saved_ns, const struct governor_use *use)
{
	*g = (struct governor){
		.budget = budget,
		.hook_ns = hook_ns,
		.ahead = 1,
		.hook_share = 1,
		.look_ns = FIRST_LOOK_NS,
		.looks = 1,
		.gc_share = 1,
		.gc_limit_ns = UINT64_MAX,
		.saved_ns = min(saved_ns, GOVERNOR_SAVED_NS),
		.limit_ns = UINT64_MAX,
		.moves_ns = UINT64_MAX,
	};
	if (use)
		g->last = *use;
	if (!budget)
		return;
	governor__set_limit(g, g->saved_ns);
	governor__set_gc_limit(g, g->saved_ns / 2);
	g->moves_ns = MOVES_SHARE * g->saved_ns;
}

static double gc_whole_ns(const struct governor *g, const struct governor_use *use)
{
	uint64_t on_ns = use->gc_on_ns - g->last.gc_on_ns, all_ns = use->gc_all_ns - g->last.gc_all_ns;

	if (on_ns < GC_TELLING_NS && on_ns < all_ns)
		return g->gc_a_ns * (use->cpu_ns - g->last.cpu_ns);
	return (double)(use->gc_ns - g->last.gc_ns) * (on_ns ? (double)all_ns / on_ns : 1);
}

/* Of what may be spent in all: taken_ns by others. */
static double gc_part_ns(double all_ns, double taken_ns)
{
	return max(all_ns * GOVERNOR_GC_ALWAYS, all_ns - taken_ns);
}

static double share_of(double part_ns, double whole_ns)
{
	return part_ns < whole_ns ? max(part_ns / whole_ns, GOVERNOR_MIN_GC_SHARE) : 1;
}

static double choose_gc_share(const struct governor *g, const struct interval *v, double taken_ns)
{
	double most = share_of(v->gc_allowed_ns, v->gc_whole_ns), now = g->gc_share;
	double sure = share_of(MARGIN * gc_part_ns(v->steady_ns, taken_ns), v->gc_whole_ns);

	if (!g->budget)
		return 1;
	if (most <= now)
		return most;
	return sure > now ? min(sure, now * GC_GROWTH) : now;
}

/*
 * Page faults that the hook would have seen, had it been on all the time; where it never was, as many as before, and no less than it
 * saw.
 */
static double hits_of(const struct governor *g, const struct governor_use *use, double hook_was_on)
{
	uint64_t faults = use->fault_cnt - g->last.fault_cnt, skipped = use->skipped_cnt - g->last.skipped_cnt;

	if (hook_was_on < GOVERNOR_HOOK_TELLING)
		return max((double)faults + (double)skipped, g->hits_a_ns * (double)(use->cpu_ns - g->last.cpu_ns));
	return ((double)faults + (double)skipped) / max(hook_was_on, GOVERNOR_MIN_HOOK_SHARE);
}

static struct interval look_back(const struct governor *g, const struct governor_use *use, double hook_was_on)
{
	double heap_ns = g->ahead * (use->heap_ns - g->last.heap_ns), earned_ns = g->budget * (use->cpu_ns - g->last.cpu_ns);
	double spent_ns = governor__cost_ns(use) - governor__cost_ns(&g->last), taken_ns, wanted_ns;
	struct interval v = {
		.hook_free_ns = min(use->hook_ns - g->last.hook_ns, g->hook_free_ns),
		.income_ns = g->ahead * earned_ns,
		.hits = g->ahead * hits_of(g, use, hook_was_on),
		.gc_whole_ns = g->ahead * gc_whole_ns(g, use),
		.other_ns = g->ahead * (use->other_ns - g->last.other_ns),
	};

	v.hook_room_ns = (g->hook_free_ns - v.hook_free_ns) / 2;
	v.saved_ns = min(g->saved_ns + earned_ns - (spent_ns - v.hook_free_ns), GOVERNOR_SAVED_NS);
	v.steady_ns = v.saved_ns < 0 ? v.income_ns * WHILE_OWING : v.income_ns;
	v.allowed_ns = v.steady_ns + max(v.saved_ns, 0) / 2;
	wanted_ns = v.other_ns + heap_ns + v.hits * (g->hook_ns + g->look_ns);
	v.gc_allowed_ns = gc_part_ns(v.allowed_ns, wanted_ns);
	v.gc_share = choose_gc_share(g, &v, wanted_ns);
	v.other_ns += v.gc_whole_ns * v.gc_share;
	taken_ns = v.other_ns + min(heap_ns, v.allowed_ns / 2);
	v.room_ns = max(v.allowed_ns - taken_ns, 0);
	v.steady_ns = max(v.steady_ns - taken_ns, 0);
	return v;
}

/* What looking at one fault in 1 << shift will cost. */
static double looks_ns(const struct governor *g, const struct interval *v, double hook_on, uint32_t shift)
{
	return min(v->hits * hook_on * g->looks / (1u << shift), v->hits * hook_on) * g->look_ns;
}

/* The hook's share is asked for before the step, with what was known then. */
double governor__hook_share(struct governor *g, const struct governor_use *use, double hook_was_on)
{
	struct interval v = look_back(g, use, hook_was_on);
	double hook_ns = v.hits * g->hook_ns, least_ns = hook_ns + looks_ns(g, &v, 1, MAX_FAULT_SHIFT), share = 1;
	double always_ns = max(HOOK_ALWAYS * v.allowed_ns, v.hook_room_ns);

	if (g->budget && hook_ns > max(v.room_ns / 2, always_ns))
		share = max(v.room_ns / 2, always_ns) / hook_ns;
	if (g->budget && least_ns * share > max(v.room_ns, always_ns))
		share = min(share, max(max(v.room_ns, always_ns) / least_ns, LOOKS_MIN_SHARE));
	share = max(share, GOVERNOR_MIN_HOOK_SHARE);
	return g->hook_share = min(share, g->hook_share * HOOK_GROWTH);
}

/* Of room_ns, with the hook in it. */
static double room_for_looks(const struct governor *g, const struct interval *v, double hook_on, double room_ns)
{
	double hook_ns = max(v->hits * hook_on * g->hook_ns - v->hook_room_ns, 0);

	return max(room_ns - hook_ns, LOOKS_ALWAYS * v->allowed_ns);
}

/* The least by which looks fit into so much. */
static uint32_t fitting_shift(const struct governor *g, const struct interval *v, double hook_on, double ns)
{
	uint32_t shift = 0;

	while (shift < MAX_FAULT_SHIFT && looks_ns(g, v, hook_on, shift) > ns)
		shift++;
	return shift;
}

/* Down half of the way: where it went up by many in a storm it is not to stay there for as many steps. */
static uint32_t choose_shift(const struct governor *g, const struct interval *v, double hook_on, uint32_t now)
{
	uint32_t least = fitting_shift(g, v, hook_on, room_for_looks(g, v, hook_on, v->room_ns));
	uint32_t sure = fitting_shift(g, v, hook_on, MARGIN * room_for_looks(g, v, hook_on, v->steady_ns));

	if (least >= now)
		return least;
	return sure < now ? now - (now - sure + 1) / 2 : now;
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

	if (looked_at < TELLING_CNT)
		return;
	if (looks < g->looks)
		looks = (g->looks + looks) / 2;
	g->looks = max(min(looks, 1u << MAX_FAULT_SHIFT), LEAST_LOOKS);
}

void governor__step(struct governor *g, const struct governor_use *use, uint32_t shift, double hook_was_on,
		    double hook_will_be_on)
{
	struct interval v = look_back(g, use, hook_was_on);
	double room_ns = room_for_looks(g, &v, hook_will_be_on, v.room_ns);
	double cpu_ns = g->ahead * (use->cpu_ns - g->last.cpu_ns);

	if (cpu_ns > 0) {
		g->hits_a_ns = v.hits / cpu_ns;
		g->gc_a_ns = v.gc_whole_ns / cpu_ns;
	}
	learn_looks(g, use, shift);
	learn(&g->look_ns, use->fault_ns - g->last.fault_ns, use->fault_cnt - g->last.fault_cnt);
	g->hook_free_ns -= v.hook_free_ns;
	g->saved_ns = max(v.saved_ns, -MAX_OWED_NS);
	g->last = *use;
	if (!g->budget)
		return;
	g->gc_share = v.gc_share;
	governor__set_gc_limit(g, GC_SLACK * v.gc_allowed_ns);
	g->moves_ns = MOVES_SHARE * v.allowed_ns;
	g->shift = choose_shift(g, &v, hook_will_be_on, shift);
	/* More than is planned, as far as that comes in: what varies need not be thinned out. */
	governor__set_limit(g, room_ns + min(room_ns, v.income_ns));
}
