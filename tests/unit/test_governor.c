/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The governor, with a model of the process and of the kernel side: faults that come at a rate, and the limit at which the
 * kernel side thins out by itself (bpf/fault.bpf.c, keep_limit).
 */
#include "capture/governor.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "capture/hook_turns.h"
#include "records.h"

#define SECOND 1000000000ull
#define BUDGET 0.01
#define LOOK_NS 2500
#define HOOK_NS 100
#define COLLECTION_NS 5000
#define STEPS_A_SECOND 1000

struct model {
	struct governor g;
	struct governor_use use;
	uint32_t shift;
	uint64_t limit_ns;
	double hook_on;
	double faults_a_second, cpu_share, other_share, heap_share; /* shares of a CPU */
	double rest; /* of a fault */
	uint64_t look_ns, hook_ns; /* what it costs to look at one, to pass one over */
	double collections_a_second, collections_rest;
	uint64_t watched, unwatched; /* collections */
	struct hook_turns gc;
	uint64_t now_ns;
};

static struct model new_model(double budget)
{
	struct model m = { .cpu_share = 1, .hook_on = 1, .look_ns = LOOK_NS, .hook_ns = HOOK_NS };

	governor__begin(&m.g, budget, HOOK_NS, GOVERNOR_SAVED_NS, NULL);
	m.limit_ns = m.g.limit_ns;
	hook_turns__begin(&m.gc, 0);
	return m;
}

static void millisecond(struct model *m)
{
	double hits = m->faults_a_second / STEPS_A_SECOND * m->hook_on + m->rest;
	double looks = hits / (1u << m->shift);

	m->use.cpu_ns += m->cpu_share * SECOND / STEPS_A_SECOND;
	m->use.other_ns += m->other_share * SECOND / STEPS_A_SECOND;
	m->use.heap_ns += m->heap_share * SECOND / STEPS_A_SECOND;
	m->rest = (looks - (uint64_t)looks) * (1u << m->shift);
	m->use.fault_cnt += (uint64_t)looks;
	m->use.fault_ns += (uint64_t)looks * m->look_ns;
	m->use.skipped_cnt += (hits - m->rest) - (uint64_t)looks;
	m->use.hook_ns += (uint64_t)(hits - m->rest) * m->hook_ns;
	while (m->use.fault_ns >= m->limit_ns && m->shift < MAX_FAULT_SHIFT) {
		m->limit_ns = m->use.fault_ns + m->g.step_ns;
		m->shift++;
	}
}

/* The watchers switch in time, but see only every 100 ms what was spent. */
static void collect(struct model *m)
{
	double all = m->collections_a_second / STEPS_A_SECOND + m->collections_rest;

	m->now_ns += SECOND / STEPS_A_SECOND;
	m->collections_rest = all - (uint64_t)all;
	if (m->gc.on) {
		m->watched += (uint64_t)all;
		m->use.gc_ns += (uint64_t)all * COLLECTION_NS;
	} else {
		m->unwatched += (uint64_t)all;
	}
	if (m->gc.on && m->now_ns / 1000000 % 100 == 0 && m->use.gc_ns >= m->g.gc_limit_ns)
		hook_turns__rest(&m->gc, m->now_ns);
	hook_turns__update(&m->gc, m->now_ns);
	m->use.gc_on_ns = m->gc.on_ns;
	m->use.gc_all_ns = m->gc.all_ns;
}

/* hook_was_on: share of the second that has passed. */
static void step(struct model *m, double hook_was_on)
{
	governor__hook_share(&m->g, &m->use, hook_was_on);
	governor__step(&m->g, &m->use, m->shift, hook_was_on, m->g.hook_share);
	m->shift = m->g.shift;
	m->limit_ns = m->g.limit_ns;
}

/* Share of the CPU time that it has cost since then. */
static double cost_since(const struct model *m, const struct governor_use *before)
{
	return (double)(governor__cost_ns(&m->use) - governor__cost_ns(before)) /
	       (m->use.cpu_ns - before->cpu_ns);
}

/* Share of the CPU time that it costs. */
static double run(struct model *m, int seconds)
{
	struct governor_use before = m->use;
	int i, j;

	for (i = 0; i < seconds; i++) {
		for (j = 0; j < STEPS_A_SECOND; j++) {
			millisecond(m);
			collect(m);
		}
		step(m, m->hook_on);
		m->hook_on = m->g.hook_share;
		hook_turns__set_share(&m->gc, m->g.gc_share);
	}
	return cost_since(m, &before);
}

static void test_cheap_target_is_seen_whole(void **state)
{
	struct model m = new_model(BUDGET);

	(void)state;
	m.faults_a_second = 3000; /* 0.78 % */
	run(&m, 100);
	assert_int_equal(m.shift, 0);
	assert_int_equal(m.use.skipped_cnt, 0);
	assert_true(m.hook_on == 1);
}

/* Any rate, from one that hardly exceeds the budget to one where even the hook is too much. */
static const double rates[] = { 5000, 20000, 100000, 400000, 1000000, 3000000 };

static void test_hot_target_is_held_from_the_first_second_on(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct model m = new_model(BUDGET);
		double first, later;

		m.faults_a_second = rates[i];
		first = run(&m, 1);
		/* Nobody has told yet that even the hook is too much. */
		if (first > 0.035 + rates[i] * HOOK_NS / SECOND)
			fail_msg("%.0f faults a second cost %.4f in the first second", rates[i], first);
		run(&m, 4);
		later = run(&m, 60);
		if (later > BUDGET * 1.01)
			fail_msg("%.0f faults a second cost %.4f", rates[i], later);
	}
}

static void test_budget_is_used(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct model m = new_model(BUDGET);
		double cost;

		m.faults_a_second = rates[i];
		run(&m, 10);
		cost = run(&m, 60);
		if (cost < BUDGET * 0.35)
			fail_msg("%.0f faults a second: only %.4f is spent", rates[i], cost);
	}
}

/* As of programs that have just begun, whose stacks are all new to us. */
static void test_hook_is_off_where_even_the_fewest_looks_are_too_dear(void **state)
{
	struct model m = new_model(BUDGET);

	(void)state;
	m.faults_a_second = 600000;
	m.look_ns = 1000000;
	run(&m, 20);
	assert_true(run(&m, 60) <= 1.1 * BUDGET);
	assert_true(m.shift >= MAX_FAULT_SHIFT - 1);
	assert_true(m.hook_on < 1 && m.hook_on >= GOVERNOR_MIN_HOOK_SHARE);
}

static void test_idle_target_that_turns_hot(void **state)
{
	struct model m = new_model(BUDGET);

	(void)state;
	m.faults_a_second = 10;
	m.cpu_share = 0.1;
	run(&m, 3600);
	m.faults_a_second = 200000;
	m.cpu_share = 1;
	assert_true(run(&m, 1) < 0.06);
	assert_true(run(&m, 1) < 0.03);
	run(&m, 3);
	assert_true(run(&m, 30) <= BUDGET * 1.01);
}

static void test_does_not_swing(void **state)
{
	double rate;

	(void)state;
	for (rate = 3000; rate < 2e6; rate *= 1.13) {
		struct model m = new_model(BUDGET);
		int i, changes = 0;
		uint32_t shift;

		m.faults_a_second = rate;
		run(&m, 60);
		for (i = 0, shift = m.shift; i < 100; i++) {
			m.faults_a_second = rate * (0.95 + 0.1 * (i * 7 % 10) / 9);
			run(&m, 1);
			changes += m.shift != shift;
			shift = m.shift;
		}
		if (changes > 6)
			fail_msg("%.0f faults a second: %d changes in 100 steps", rate, changes);
	}
}

static void test_comes_back_when_it_cools(void **state)
{
	struct model m = new_model(BUDGET);

	(void)state;
	m.faults_a_second = 1000000;
	run(&m, 10);
	assert_true(m.shift > 0 && m.hook_on < 1);
	m.faults_a_second = 100;
	run(&m, 30);
	assert_int_equal(m.shift, 0);
	assert_true(m.hook_on == 1);
}

/* Of a program that leaves the hook nothing in the nearest caches: told so, it keeps the budget by having the hook off for longer. */
static void test_a_hook_that_is_dearer_than_elsewhere(void **state)
{
	struct model m = new_model(BUDGET);
	double on, cost;

	(void)state;
	m.faults_a_second = 100000;
	run(&m, 30);
	on = m.hook_on;
	m.hook_ns = 4 * HOOK_NS;
	run(&m, 10);
	assert_true(run(&m, 30) > 1.1 * BUDGET);
	m.g.hook_ns = m.hook_ns;
	run(&m, 20);
	cost = run(&m, 60);
	assert_true(cost <= BUDGET && cost > 0.8 * BUDGET);
	assert_true(m.hook_on < on / 2);
}

static void test_no_budget_sees_all(void **state)
{
	struct model m = new_model(0);

	(void)state;
	m.faults_a_second = 1000000;
	m.collections_a_second = 50000;
	run(&m, 20);
	assert_int_equal(m.use.skipped_cnt, 0);
	assert_int_equal(m.unwatched, 0);
	assert_true(m.hook_on == 1);
	assert_true(m.g.moves_ns == UINT64_MAX);
}

static void test_other_probes_leave_less_to_faults(void **state)
{
	struct model m = new_model(BUDGET);
	uint64_t before;
	double cost;

	(void)state;
	m.faults_a_second = 20000;
	m.other_share = 0.006;
	run(&m, 10);
	cost = run(&m, 60);
	assert_true(cost <= BUDGET && cost > 0.008);
	m.other_share = 0.03; /* nothing here can help that */
	run(&m, 10);
	before = m.use.fault_ns;
	cost = run(&m, 60);
	assert_true(cost < 0.03 + 0.25 * BUDGET);
	assert_true(m.use.fault_ns - before > 60 * 0.03 * BUDGET * SECOND);
	m.other_share = 0;
	run(&m, 60);
	cost = run(&m, 60);
	assert_true(cost <= BUDGET && cost > 0.8 * BUDGET);
}

static void test_heap_windows_have_their_part(void **state)
{
	struct model m = new_model(BUDGET);
	uint64_t before;
	double cost;

	(void)state;
	m.faults_a_second = 50000;
	m.heap_share = BUDGET / 2;
	run(&m, 10);
	cost = run(&m, 60);
	assert_true(cost <= BUDGET && cost > 0.8 * BUDGET);
	/* What they spend beyond a half is not taken from page faults. */
	m.heap_share = BUDGET;
	run(&m, 10);
	before = m.use.fault_ns + m.use.hook_ns;
	run(&m, 60);
	assert_true(m.use.fault_ns + m.use.hook_ns - before > 60 * 0.15 * BUDGET * SECOND);
}

/* A program that faults a lot to begin with is seen whole, one that goes on so is seen less and less. */
static void test_the_hook_has_its_own_advance(void **state)
{
	struct model m = new_model(BUDGET);
	double cost;

	(void)state;
	m.g.hook_free_ns = GOVERNOR_HOOK_FREE_NS;
	m.hook_ns = 200;
	m.g.hook_ns = m.hook_ns;
	m.faults_a_second = 25000; /* as much as the advance in two seconds */
	run(&m, 1);
	assert_true(m.hook_on == 1);
	m.faults_a_second = 100;
	run(&m, 1);
	assert_true(m.hook_on == 1);
	assert_true(m.g.saved_ns > -0.2 * GOVERNOR_SAVED_NS);
	m.faults_a_second = 250000;
	run(&m, 10);
	assert_true(m.g.hook_free_ns < 0.01 * GOVERNOR_HOOK_FREE_NS);
	run(&m, 20);
	cost = run(&m, 60);
	assert_true(cost <= BUDGET && cost > 0.8 * BUDGET);
}

static void test_moves_have_a_quarter(void **state)
{
	struct model m = new_model(BUDGET);

	(void)state;
	assert_true(m.g.moves_ns == GOVERNOR_SAVED_NS / 4);
	m.faults_a_second = 50000;
	run(&m, 60);
	assert_true(m.g.moves_ns > 0.15 * BUDGET * SECOND && m.g.moves_ns <= (BUDGET * SECOND + GOVERNOR_SAVED_NS) / 4);
	m.other_share = 0.03;
	run(&m, 10);
	assert_true(m.g.moves_ns > 0.15 * BUDGET * SECOND);
}

/* Half a CPU second of faults in every fourth second. */
static void test_bursts_are_paid_by_what_was_saved(void **state)
{
	struct model m = new_model(BUDGET);
	struct governor_use before;
	int i;

	(void)state;
	run(&m, 10);
	before = m.use;
	for (i = 0; i < 100; i++) {
		m.faults_a_second = i % 4 ? 0 : 200000;
		run(&m, 1);
	}
	assert_true(governor__cost_ns(&m.use) - governor__cost_ns(&before) <=
		    BUDGET * (m.use.cpu_ns - before.cpu_ns) + GOVERNOR_SAVED_NS);
}

static const double collection_rates[] = { 700, 2000, 12000, 50000, 190000 };

static void test_many_collections_are_held(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(collection_rates) / sizeof(collection_rates[0]); i++) {
		struct model m = new_model(BUDGET);
		double first, later;

		m.collections_a_second = collection_rates[i];
		first = run(&m, 1);
		/* What was saved, and what happens until the first look. */
		if (first > 0.006 + collection_rates[i] * COLLECTION_NS / SECOND / 10)
			fail_msg("%.0f collections a second cost %.4f in the first second", collection_rates[i], first);
		run(&m, 30);
		later = run(&m, 100);
		if (later > BUDGET * 1.01 || later < BUDGET * 0.3)
			fail_msg("%.0f collections a second cost %.4f", collection_rates[i], later);
		assert_true(m.watched > 0);
	}
}

static void test_few_collections_are_all_watched(void **state)
{
	static const double cpu_shares[] = { 1, 0.01 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cpu_shares) / sizeof(cpu_shares[0]); i++) {
		struct model m = new_model(BUDGET);

		m.cpu_share = cpu_shares[i];
		m.collections_a_second = 300 * cpu_shares[i]; /* 0.15 % */
		m.faults_a_second = 50000 * cpu_shares[i];
		run(&m, 600);
		assert_int_equal(m.unwatched, 0);
		assert_true(m.watched > 0 && m.g.gc_share == 1);
	}
}

static void test_collections_do_not_swing(void **state)
{
	double rate;

	(void)state;
	for (rate = 500; rate < 200000; rate *= 1.2) {
		struct model m = new_model(BUDGET);
		double share;
		int i, changes = 0;

		m.collections_a_second = rate;
		run(&m, 60);
		for (i = 0, share = m.g.gc_share; i < 100; i++) {
			m.collections_a_second = rate * (0.97 + 0.06 * (i * 7 % 10) / 9);
			run(&m, 1);
			if (m.g.gc_share > share * 1.4 || m.g.gc_share < share / 1.4) {
				changes++;
				share = m.g.gc_share;
			}
		}
		if (changes > 10)
			fail_msg("%.0f collections a second: %d changes in 100 steps", rate, changes);
	}
}

static void test_collections_that_become_few_are_watched_again(void **state)
{
	struct model m = new_model(BUDGET);
	uint64_t unwatched;

	(void)state;
	m.collections_a_second = 50000;
	run(&m, 20);
	assert_true(m.g.gc_share < 0.1);
	m.collections_a_second = 10;
	run(&m, 30);
	unwatched = m.unwatched;
	run(&m, 100);
	assert_true(m.g.gc_share == 1);
	assert_int_equal(m.unwatched, unwatched);
}

/* Nobody is starved: faults are looked at, collections are watched. */
static void test_collections_and_faults_share(void **state)
{
	struct model m = new_model(BUDGET);
	uint64_t faults, watched;
	double cost;

	(void)state;
	m.collections_a_second = 12000;
	m.faults_a_second = 50000;
	run(&m, 20);
	faults = m.use.fault_cnt;
	watched = m.watched;
	cost = run(&m, 60);
	assert_true(cost <= BUDGET * 1.01);
	assert_true(m.use.fault_cnt - faults > 60 * 100);
	assert_true(m.watched - watched > 60 * 300);
}

/* As the tracer does where many processes run: some steps have all of a turn, some none. Share of the CPU time that it costs. */
static double run_in_turns(struct model *m, int seconds, double stretch, double *least, double *most)
{
	struct governor_use before = m->use;
	struct hook_asked asked = {};
	struct hook_turns turns;
	int i, j;

	hook_turns__begin(&turns, m->now_ns);
	turns.stretch = stretch;
	hook_turns__set_share(&turns, m->g.hook_share);
	for (i = 0; i < seconds; i++) {
		for (j = 0; j < STEPS_A_SECOND; j++) {
			m->now_ns += SECOND / STEPS_A_SECOND;
			m->hook_on = hook_turns__update(&turns, m->now_ns);
			millisecond(m);
		}
		step(m, hook_turns__was_on(&turns, &asked, m->now_ns));
		hook_turns__set_share(&turns, m->g.hook_share);
		*least = m->g.hook_share < *least ? m->g.hook_share : *least;
		*most = m->g.hook_share > *most ? m->g.hook_share : *most;
	}
	return cost_since(m, &before);
}

static void test_a_step_without_a_turn_tells_nothing(void **state)
{
	static const double stretches[] = { 1, 2, 4, 6 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(stretches) / sizeof(stretches[0]); i++) {
		struct model m = new_model(BUDGET);
		double least = 1, most = 0, cost;

		m.faults_a_second = 500000; /* the hook alone: 5 % */
		run_in_turns(&m, 20, stretches[i], &least, &most);
		least = 1;
		most = 0;
		cost = run_in_turns(&m, 200, stretches[i], &least, &most);
		assert_true(cost <= BUDGET * 1.02);
		assert_true(cost >= BUDGET * 0.7);
		assert_true(most < 4 * least);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cheap_target_is_seen_whole),
		cmocka_unit_test(test_hot_target_is_held_from_the_first_second_on),
		cmocka_unit_test(test_budget_is_used),
		cmocka_unit_test(test_hook_is_off_where_even_the_fewest_looks_are_too_dear),
		cmocka_unit_test(test_idle_target_that_turns_hot),
		cmocka_unit_test(test_does_not_swing),
		cmocka_unit_test(test_comes_back_when_it_cools),
		cmocka_unit_test(test_a_hook_that_is_dearer_than_elsewhere),
		cmocka_unit_test(test_no_budget_sees_all),
		cmocka_unit_test(test_other_probes_leave_less_to_faults),
		cmocka_unit_test(test_heap_windows_have_their_part),
		cmocka_unit_test(test_moves_have_a_quarter),
		cmocka_unit_test(test_the_hook_has_its_own_advance),
		cmocka_unit_test(test_bursts_are_paid_by_what_was_saved),
		cmocka_unit_test(test_many_collections_are_held),
		cmocka_unit_test(test_few_collections_are_all_watched),
		cmocka_unit_test(test_collections_do_not_swing),
		cmocka_unit_test(test_collections_that_become_few_are_watched_again),
		cmocka_unit_test(test_collections_and_faults_share),
		cmocka_unit_test(test_a_step_without_a_turn_tells_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
