/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The probe on pools: what it costs, and what is estimated of the pools that it did not see. Programs that take so many pools into
 * use, by the millisecond of simulated time; the CPU is theirs alone.
 */
#include "capture/pool_watch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define HIT_S 5.5e-6
#define SHARE 0.0015
#define MS_NS 1000000ull

struct run {
	struct pool_watch w;
	uint64_t hits; /* that the probe had */
	double pools; /* in all */
	double now_s, steady_cost_s; /* from the third second on */
};

static void switch_to(struct run *r, bool on)
{
	if (on && r->w.away)
		pool_watch__comes(&r->w, r->hits, r->now_s);
	else if (!on && !r->w.away)
		pool_watch__goes(&r->w, r->hits, r->now_s);
}

/* pools a second at a time. */
static void simulate(struct run *r, double seconds, double share, double (*pools)(double now_s))
{
	uint64_t ms;

	*r = (struct run){};
	pool_watch__begin(&r->w, 0, share, HIT_S, POOL_WATCH_BURST_S);
	for (ms = 1; ms <= seconds * 1000; ms++) {
		double more = floor(pools(r->now_s) / 1000 * ms) - floor(pools(r->now_s) / 1000 * (ms - 1));

		r->pools += more;
		r->hits += r->w.away ? 0 : more;
		r->steady_cost_s += r->w.away || ms < 3000 ? 0 : more * HIT_S;
		r->now_s = ms / 1000.0;
		if (ms % 10 == 0 && pool_watch__is_spent(&r->w, r->hits))
			hook_turns__rest(&r->w.turns, ms * MS_NS);
		if (ms % 1000 == 0)
			pool_watch__step(&r->w, r->hits, r->now_s, r->now_s, share, HIT_S);
		switch_to(r, hook_turns__update(&r->w.turns, ms * MS_NS));
	}
}

static double few(double now_s)
{
	(void)now_s;
	return 100;
}

static double many(double now_s)
{
	(void)now_s;
	return 20000;
}

/* Bursts of 150 ms. */
static double bursts(double now_s)
{
	return fmod(now_s, 0.7) < 0.15 ? 40000 : 1000;
}

static double turns_hot(double now_s)
{
	return now_s < 20 ? 50 : 30000;
}

static void few_are_all_counted(void **state)
{
	struct run r;

	(void)state;
	simulate(&r, 30, SHARE, few);
	assert_false(r.w.away);
	assert_true(pool_watch__all(&r.w, r.hits, r.now_s) == r.pools);
}

static void without_a_limit_all_are(void **state)
{
	struct run r;

	(void)state;
	simulate(&r, 10, 0, many);
	assert_true(pool_watch__all(&r.w, r.hits, r.now_s) == r.pools);
}

static void many_cost_what_they_may(void **state)
{
	static double (*const programs[])(double) = { many, bursts, turns_hot };
	struct run r;

	(void)state;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		srandom(i + 1);
		simulate(&r, 120, SHARE, programs[i]);
		/* Under the least share, what turned hot has spent its burst once, too. */
		print_message("# program %zu: costs %.2f %%\n", i, 100 * r.steady_cost_s / 117);
		assert_true(r.steady_cost_s / 117 < 2 * SHARE);
	}
}

static void estimates_are_unbiased(void **state)
{
	double sum = 0, squares = 0, ratio;
	struct run r;
	int seed;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		srandom(seed);
		simulate(&r, 60, SHARE, bursts);
		ratio = pool_watch__all(&r.w, r.hits, r.now_s) / r.pools;
		sum += ratio;
		squares += (ratio - 1) * (ratio - 1);
	}
	print_message("# mean %.3f, off by %.3f\n", sum / 40, sqrt(squares / 40));
	assert_true(fabs(sum / 40 - 1) < 0.12);
}

static void what_is_seen_for_others_does_not_count(void **state)
{
	struct pool_watch w;

	(void)state;
	pool_watch__begin(&w, 0, SHARE, HIT_S, POOL_WATCH_BURST_S);
	pool_watch__goes(&w, 1000, 1);
	assert_true(pool_watch__all(&w, 1300, 2) == 2000);
	pool_watch__comes(&w, 1300, 3);
	assert_true(pool_watch__all(&w, 1300, 3) == 3000);
	assert_true(pool_watch__all(&w, 2300, 4) == 4000);
}

/* All at once: it goes before it has cost much more than it may. */
static void the_first_burst_is_cut(void **state)
{
	struct pool_watch w;

	(void)state;
	pool_watch__begin(&w, 0, SHARE, HIT_S, POOL_WATCH_BURST_S);
	assert_false(pool_watch__is_spent(&w, POOL_WATCH_BURST_S / HIT_S - 2));
	assert_true(pool_watch__is_spent(&w, POOL_WATCH_BURST_S / HIT_S + 1));
}

/* Of a program to which nothing was advanced. */
static void without_a_burst_the_first_is_too_much(void **state)
{
	struct pool_watch w;

	(void)state;
	pool_watch__begin(&w, 0, SHARE, HIT_S, 0);
	assert_true(pool_watch__is_spent(&w, 1));
	pool_watch__step(&w, 1, 1, 1, SHARE, HIT_S);
	assert_false(pool_watch__is_spent(&w, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_are_all_counted),
		cmocka_unit_test(without_a_limit_all_are),
		cmocka_unit_test(many_cost_what_they_may),
		cmocka_unit_test(estimates_are_unbiased),
		cmocka_unit_test(what_is_seen_for_others_does_not_count),
		cmocka_unit_test(the_first_burst_is_cut),
		cmocka_unit_test(without_a_burst_the_first_is_too_much),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
