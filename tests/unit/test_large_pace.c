/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * When a process's large blocks are followed: what it costs stays within the budget, and nobody is left out for good.
 */
#include "capture/large_pace.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define STEP_NS 100000000ull
#define SECOND_NS 1000000000ull

struct run {
	uint64_t cost_ns, cpu_ns, followed_ns;
	unsigned int pauses;
	uint64_t longest_ns; /* of the time without being followed, or with */
};

/*
 * A program that is always busy, looked at ten times a second; followed, it pays `rate` of its time, from second
 * `from` on until `to`, and else nothing.
 */
static struct run run(double budget, double rate, uint64_t from, uint64_t to, uint64_t seconds)
{
	struct large_pace p;
	struct run r = {0};
	uint64_t since = 0, now;
	bool on = true, was = true;

	large_pace__begin(&p, 0, budget, LARGE_PACE_BURST_NS);
	for (now = STEP_NS; now <= seconds * SECOND_NS; now += STEP_NS) {
		bool hot = now > from * SECOND_NS && now <= to * SECOND_NS;

		r.cpu_ns += STEP_NS;
		r.followed_ns += on ? STEP_NS : 0;
		r.cost_ns += on && hot ? (uint64_t)(rate * STEP_NS) : 0;
		on = large_pace__step(&p, now, r.cost_ns, r.cpu_ns, (now / STEP_NS * 7 % 11) / 10.0);
		if (on != was) {
			r.pauses += !on;
			if (was == false && now - since > r.longest_ns)
				r.longest_ns = now - since;
			since = now;
			was = on;
		}
	}
	return r;
}

static void test_without_budget_it_is_always_followed(void **state)
{
	struct run r = run(0, 0.9, 0, 1000, 100);

	(void)state;
	assert_int_equal(r.pauses, 0);
	assert_int_equal(r.followed_ns, r.cpu_ns);
}

static void test_a_calm_program_is_always_followed(void **state)
{
	struct run r = run(0.01, 0.009, 0, 1000, 1000);

	(void)state;
	assert_int_equal(r.pauses, 0);
}

/* Also where a while costs more than it was meant to. */
static void test_a_hot_program_pays_its_budget(void **state)
{
	static const double rates[] = {0.02, 0.1, 0.4, 0.95};
	static const double budgets[] = {0.001, 0.01, 0.05};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		for (size_t k = 0; k < sizeof(budgets) / sizeof(budgets[0]); k++) {
			struct run r = run(budgets[k], rates[i], 0, 10000, 10000);
			double allowed = LARGE_PACE_BURST_NS + budgets[k] * r.cpu_ns;

			if (rates[i] < budgets[k])
				continue;
			assert_true(r.cost_ns <= allowed + rates[i] * STEP_NS);
			assert_true(r.cost_ns >= 0.9 * budgets[k] * r.cpu_ns);
			assert_true(r.pauses > 5);
		}
	}
}

static void test_a_burst_is_free_and_forgotten(void **state)
{
	struct run r = run(0.01, 0.5, 0, 1, 100);

	(void)state;
	assert_int_equal(r.pauses, 1);
	/* 30 ms too much take three seconds, and another while at that rate 7.5 more at most. */
	assert_true(r.longest_ns <= 11 * SECOND_NS);
	assert_true(r.followed_ns >= 80 * SECOND_NS);
}

static void test_a_program_that_turns_hot_is_paused_at_once(void **state)
{
	struct run r = run(0.01, 0.5, 50, 51, 51);

	(void)state;
	/* What it had not spent by then, and a tenth of a second more. */
	assert_true(r.cost_ns <= LARGE_PACE_BURST_NS + 0.01 * 51 * SECOND_NS + 0.5 * STEP_NS);
}

static void test_without_a_burst_it_waits_until_it_has_earned_one(void **state)
{
	struct large_pace p;

	(void)state;
	large_pace__begin(&p, 0, 0.01, 0);
	assert_true(p.paused);
	assert_false(large_pace__step(&p, SECOND_NS, 0, 100 * (LARGE_PACE_BURST_NS - 1000), 0.5));
	assert_true(large_pace__step(&p, 2 * SECOND_NS, 0, 100 * LARGE_PACE_BURST_NS, 0.5));
	large_pace__begin(&p, 0, 0, 0);
	assert_true(large_pace__step(&p, 0, 0, 0, 0.5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_budget_it_is_always_followed),
		cmocka_unit_test(test_a_calm_program_is_always_followed),
		cmocka_unit_test(test_a_hot_program_pays_its_budget),
		cmocka_unit_test(test_a_burst_is_free_and_forgotten),
		cmocka_unit_test(test_a_program_that_turns_hot_is_paused_at_once),
		cmocka_unit_test(test_without_a_burst_it_waits_until_it_has_earned_one),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
