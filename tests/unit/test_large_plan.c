/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Blocks that are followed now and then (model/large_plan.h): what it costs stays within the budget, and what lines hold is estimated
 * (model/heap_weights.h) without bias, with the truth in the stated interval; of a program whose one line leaks all the time, the
 * other in phases of 50 ms, while far more is made and dropped.
 */
#include "model/large_plan.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "model/heap_weights.h"

#define SECONDS 60.0
#define SHARE 0.003
#define SEEDS 200
#define MAX_BLOCKS 400000
#define STEADY_RATE 400.0
#define PHASE_RATE 2000.0
#define PHASE_S 0.05
#define CYCLE_S 0.23
#define COST_RATE 0.3 /* of following, for all that is dropped */
#define MAX_SAMPLES 20000

static const uint64_t no_seed = 88172645463325252ull;

static double even(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (*x >> 11) * 0x1p-53;
}

struct block {
	double at;
	int line;
};

static struct block blocks[MAX_BLOCKS];
static size_t n_blocks;
static double truth[2];

static void run_program(uint64_t seed)
{
	uint64_t random = no_seed ^ seed * 0x9e3779b97f4a7c15ull;
	double offset = CYCLE_S * even(&random);

	n_blocks = 0;
	truth[0] = truth[1] = 0;
	for (double now = 0; now < SECONDS; now += 0.5 / (STEADY_RATE + PHASE_RATE)) {
		bool phase = fmod(now + offset, CYCLE_S) < PHASE_S;
		double u = 2 * even(&random) * (STEADY_RATE + PHASE_RATE);
		int line = u < STEADY_RATE ? 0 : u < STEADY_RATE + PHASE_RATE && phase ? 1 : -1;

		if (line < 0)
			continue;
		blocks[n_blocks++] = (struct block){ now, line };
		truth[line]++;
	}
}

struct outcome {
	struct heap_weight weight[MAX_SAMPLES];
	int line[MAX_SAMPLES];
	size_t n;
	struct heap_windows windows;
	double cost_s;
};

static void see(struct outcome *o, const struct large_plan *p, double begins, double opened, double halved)
{
	struct heap_look look = { .at_s = opened, .own_s = halved - opened, .stands_s = fmax(p->period_s, halved - begins) };
	size_t i, first = o->n;

	for (i = 0; i < n_blocks && blocks[i].at < halved; i++) {
		if (blocks[i].at >= opened && o->n < MAX_SAMPLES)
			o->line[o->n++] = blocks[i].line;
	}
	look.survived[0] = look.born[0] = o->n - first;
	heap_windows__add(&o->windows, &look);
	for (i = first; i < o->n; i++)
		o->weight[i] = heap_weights__seen(&o->windows, 0, o->n - first);
}

/* Windows open up to 10 ms late and last up to 5 ms longer than planned. */
static void watch(struct outcome *o, uint64_t seed, bool counted)
{
	uint64_t random = no_seed + seed * 0xbf58476d1ce4e5b9ull, live[HEAP_CLASSES] = { n_blocks };
	struct large_plan p;
	double now = 0, begins, due, opened, halved;

	*o = (struct outcome){ .cost_s = 0.020 };
	o->windows.class[0].uncounted = !counted;
	large_plan__begin(&p, SHARE, o->cost_s, COST_RATE);
	for (;;) {
		begins = fmax(p.ends_s, now);
		due = large_plan__next(&p, now, now, now, even(&random));
		opened = due + 0.010 * even(&random);
		halved = opened + p.length_s + 0.005 * even(&random);
		now = halved + p.length_s;
		if (now >= SECONDS)
			break;
		see(o, &p, begins, opened, halved);
		o->cost_s += COST_RATE * (now - opened);
		large_plan__paid(&p, COST_RATE * (now - opened), now - opened);
	}
	heap_windows__read(&o->windows, SECONDS, live);
}

static void add_up(const struct outcome *o, struct heap_blocks lines[2])
{
	struct heap_weight_list list = { (void *)o->weight, o->n, sizeof(o->weight[0]) };
	struct heap_blocks one;
	struct heap_scales scales;

	assert_int_equal(heap_weights__calibrate(&list, NULL, 0, &o->windows, 0, &scales), 0);
	lines[0] = lines[1] = (struct heap_blocks){};
	for (size_t i = 0; i < o->n; i++) {
		heap_weights__apply(&scales, &o->weight[i], &one);
		for (int r = 0; r <= HEAP_REPLICATES; r++)
			lines[o->line[i]].at[r] += one.at[r];
	}
	heap_scales__free(&scales);
}

static double error_of(const struct heap_blocks *line)
{
	double deviation[HEAP_REPLICATES];

	for (int r = 0; r < HEAP_REPLICATES; r++)
		deviation[r] = line->at[1 + r] - line->at[0];
	return heap_error(line->at[0], deviation);
}

static void check(bool counted)
{
	static struct outcome o;
	struct heap_blocks lines[2];
	double off[2] = {}, all[2] = {};
	unsigned int covered = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run_program(seed);
		watch(&o, seed, counted);
		assert_true(o.cost_s <= 0.020 + 1.5 * SHARE * SECONDS);
		assert_true(o.windows.n > 20);
		add_up(&o, lines);
		for (int l = 0; l < 2; l++) {
			off[l] += lines[l].at[0] - truth[l];
			all[l] += truth[l];
			covered += fabs(lines[l].at[0] - truth[l]) <= error_of(&lines[l]);
		}
	}
	for (int l = 0; l < 2; l++)
		if (!(fabs(off[l]) <= 0.05 * all[l]))
			fail_msg("line %d: off by %.1f %%", l, 100 * off[l] / all[l]);
	if (covered < 0.93 * 2 * SEEDS)
		fail_msg("%u of %u covered", covered, 2 * SEEDS);
}

static void test_lines_where_the_heap_is_counted(void **state)
{
	(void)state;
	check(true);
}

static void test_lines_of_blocks_elsewhere(void **state)
{
	(void)state;
	check(false);
}

static void test_length_follows_the_cost(void **state)
{
	struct large_plan cheap, dear;

	(void)state;
	large_plan__begin(&cheap, SHARE, 0, 0.001);
	large_plan__begin(&dear, SHARE, 0, 0.6);
	assert_true(cheap.length_s == LARGE_MOST_LENGTH_S && dear.length_s == LARGE_LEAST_LENGTH_S);
	for (int i = 0; i < 20; i++)
		large_plan__paid(&cheap, 0.6 * 2 * cheap.length_s, 2 * cheap.length_s);
	assert_true(cheap.length_s == LARGE_LEAST_LENGTH_S);
	/* Nothing was paid: it is longer, and windows are as frequent as can be. */
	for (int i = 0; i < 20; i++)
		large_plan__paid(&dear, 0, 2 * dear.length_s);
	assert_true(dear.length_s == LARGE_MOST_LENGTH_S);
}

/* A service that is busy for 35 ms of each second, and has 2 ms in advance: it is seen in the first seconds, too. */
static void test_an_idle_service_has_windows_at_once(void **state)
{
	const double busy = 0.035, advance_s = 0.002, rate = 0.08;
	uint64_t random = no_seed;
	double now = 0, cost_s = 0, due, early = 0, all;
	struct large_plan p;

	(void)state;
	large_plan__begin(&p, 0.01, -advance_s, rate);
	while (now < 300 * busy) {
		due = large_plan__next(&p, now, now, now / busy, even(&random));
		assert_true(p.period_s >= 0.99 * 0.2 * busy);
		now = due + 2 * p.length_s;
		cost_s += 0.0003 + 2 * p.length_s * rate;
		large_plan__paid(&p, 2 * p.length_s * rate, 2 * p.length_s);
		early += now < 8 * busy;
		assert_true(cost_s <= advance_s + 0.01 * now + 2 * p.window_cost_s);
	}
	/* Of what is earned, and was there in advance, most is used. */
	assert_true(early >= 2 && cost_s >= 0.8 * (advance_s + 0.01 * now));
	/* What was saved for an hour is not spent in a minute. */
	large_plan__begin(&p, 0.01, 0, 0.2);
	for (now = 3600 * busy, cost_s = all = 0; now < 3600 * busy + 60; all++) {
		now = large_plan__next(&p, now, now, 3600, even(&random)) + 2 * p.length_s;
		cost_s += 0.0003 + 2 * p.length_s * 0.2;
		large_plan__paid(&p, 2 * p.length_s * 0.2, 2 * p.length_s);
	}
	assert_true(all > 60 && cost_s <= 0.011 * 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_where_the_heap_is_counted),
		cmocka_unit_test(test_lines_of_blocks_elsewhere),
		cmocka_unit_test(test_length_follows_the_cost),
		cmocka_unit_test(test_an_idle_service_has_windows_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
