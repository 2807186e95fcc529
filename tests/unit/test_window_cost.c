/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a window costs, and how many allocations it may see: told by what windows saw, whatever single ones say.
 */
#include "model/window_cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void note(struct window_cost *c, int n, uint64_t least_ns)
{
	const struct window_state w = { .hits = 1000, .least_ns = least_ns, .inside_ns = 1000000 };

	while (n--)
		window_cost__note(c, &w);
}

/* One processor's clock is behind the other's: what lies between two hits seems less than a trap takes, for once. */
static void a_single_window_does_not_tell_the_trap(void **state)
{
	struct window_cost c = {};

	(void)state;
	note(&c, 9, 5400);
	note(&c, 1, 1300);
	assert_int_equal(window_cost__trap_ns(&c), 5400);
	note(&c, WINDOW_COST_MEMORY, 400);
	assert_int_equal(window_cost__trap_ns(&c), 400);
}

static void note_usual(struct window_cost *c, uint64_t usual_ns)
{
	const struct window_state w = { .hits = 1000, .least_ns = 5400, .usual_ns = usual_ns, .inside_ns = 1000000 };

	for (int i = 0; i < WINDOW_COST_MEMORY; i++)
		window_cost__note(c, &w);
}

/* The quickest trap is no usual one; but what lies between allocations that are far from each other is the program's own. */
static void a_usual_trap(void **state)
{
	struct window_cost c = {};

	(void)state;
	note_usual(&c, 6050);
	assert_int_equal(window_cost__trap_ns(&c), 6000);
	note_usual(&c, 5400);
	assert_int_equal(window_cost__trap_ns(&c), 5400);
	note_usual(&c, 90000);
	assert_int_equal(window_cost__trap_ns(&c), 5400);
}

/* Where allocations are far from each other what lies between two is the program's own time. */
static void few_hits_tell_nothing(void **state)
{
	const struct window_state few = { .hits = 20, .least_ns = 90000 };
	struct window_cost c = {};
	uint32_t before = window_cost__trap_ns(&c);

	(void)state;
	window_cost__note(&c, &few);
	assert_int_equal(window_cost__trap_ns(&c), before);
}

static void where_traps_are_dear_windows_are_small(void **state)
{
	struct window_cost cheap = {}, dear = {}, unknown = {};

	(void)state;
	note(&cheap, 5, 400);
	note(&dear, 5, 5400);
	assert_int_equal(window_cost__allocations(&cheap), WINDOW_MOST_ALLOCATIONS);
	assert_true(window_cost__allocations(&dear) < WINDOW_MOST_ALLOCATIONS / 2);
	/* The first one must not spend what is there for ten. */
	assert_true(window_cost__allocations(&unknown) <= window_cost__allocations(&dear));
}

static void all_hits_are_paid(void **state)
{
	const struct window_state w = { .hits = 1000, .trap_ns = 700, .inside_ns = 2000000 };
	struct window_cost c = {};
	double alone_s;

	(void)state;
	note(&c, 5, 5700);
	alone_s = window_cost__paid_s(&c, &w, 0);
	assert_true(alone_s > 0.0077 && alone_s < 0.009);
	assert_true(window_cost__paid_s(&c, &w, 500) > alone_s + 500 * 5.7e-6);
	/* When it was opened a trap was thought to take 5 us less. */
	assert_true(window_cost__excess_s(&c, &w) > 0.00499 && window_cost__excess_s(&c, &w) < 0.00501);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_single_window_does_not_tell_the_trap),
		cmocka_unit_test(a_usual_trap),
		cmocka_unit_test(few_hits_tell_nothing),
		cmocka_unit_test(where_traps_are_dear_windows_are_small),
		cmocka_unit_test(all_hits_are_paid),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
