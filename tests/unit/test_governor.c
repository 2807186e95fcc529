/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/governor.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define SECOND 1000000000ull

/* A target that uses one CPU and whose faults cost `rate` of it when all are looked at. */
static double run(struct governor *g, double rate, int seconds, uint64_t *cost, uint64_t *cpu)
{
	uint64_t begin = *cost;
	int i;

	for (i = 0; i < seconds; i++) {
		*cpu += SECOND;
		*cost += rate * SECOND / (1u << g->shift);
		governor__step(g, *cost, *cpu);
	}
	return (double)(*cost - begin) / ((double)seconds * SECOND);
}

static void test_cheap_target_is_seen_whole(void **state)
{
	struct governor g = { .budget = 0.01 };
	uint64_t cost = 0, cpu = 0;

	(void)state;
	run(&g, 0.009, 100, &cost, &cpu);
	assert_int_equal(g.shift, 0);
}

static void test_burst_is_free(void **state)
{
	struct governor g = { .budget = 0.01 };

	(void)state;
	assert_int_equal(governor__step(&g, GOVERNOR_BURST_NS / 2, SECOND), 0);
}

static void test_hot_target_is_held_within_a_second(void **state)
{
	struct governor g = { .budget = 0.01 };
	uint64_t cost = 0, cpu = 0;

	(void)state;
	run(&g, 0.8, 1, &cost, &cpu);
	assert_true(g.shift >= 6);
	assert_true(run(&g, 0.8, 60, &cost, &cpu) <= 0.01);
}

static void test_does_not_swing(void **state)
{
	struct governor g = { .budget = 0.01 };
	uint64_t cost = 0, cpu = 0;
	uint32_t shift;
	int i;

	(void)state;
	run(&g, 0.5, 20, &cost, &cpu);
	shift = g.shift;
	for (i = 0; i < 50; i++) {
		run(&g, 0.5, 1, &cost, &cpu);
		assert_int_equal(g.shift, shift);
	}
}

static void test_comes_back_when_it_cools(void **state)
{
	struct governor g = { .budget = 0.01 };
	uint64_t cost = 0, cpu = 0;

	(void)state;
	run(&g, 0.9, 5, &cost, &cpu);
	assert_true(g.shift > 0);
	run(&g, 0.0001, 20, &cost, &cpu);
	assert_int_equal(g.shift, 0);
}

static void test_no_budget_sees_all(void **state)
{
	struct governor g = { .budget = 0 };
	uint64_t cost = 0, cpu = 0;

	(void)state;
	run(&g, 0.9, 20, &cost, &cpu);
	assert_int_equal(g.shift, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cheap_target_is_seen_whole),
		cmocka_unit_test(test_burst_is_free),
		cmocka_unit_test(test_hot_target_is_held_within_a_second),
		cmocka_unit_test(test_does_not_swing),
		cmocka_unit_test(test_comes_back_when_it_cools),
		cmocka_unit_test(test_no_budget_sees_all),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
