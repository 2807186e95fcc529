/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What following large blocks costs: a sum that never falls, whatever becomes of the counts and of other processes.
 */
#include "capture/large_cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct probe_costs costs = { .emulated_ns = 400, .stepped_ns = 5300, .return_ns = 250 };

static uint32_t hit_ns(bool emulated)
{
	return large_cost__hit_ns(&costs, emulated);
}

static struct large_hit cheap_hit(void)
{
	return (struct large_hit){ .ns = hit_ns(true), .return_ns = costs.return_ns, .block_ns = large_cost__block_ns(&costs) };
}

static uint64_t add(struct large_cost *c, uint64_t hits, uint64_t blocks, uint32_t others)
{
	const struct large_watch sums = { .hits = hits, .blocks = blocks };
	const struct large_hit hit = cheap_hit();

	large_cost__add(c, &sums, &hit, others, others);
	return c->ns;
}

static void a_stepped_hit_is_dearer(void **state)
{
	(void)state;
	assert_true(hit_ns(false) > 5 * hit_ns(true));
}

static void counts_are_paid_once(void **state)
{
	struct large_cost c = { 0 };
	uint64_t hits_ns = add(&c, 1000, 0, 0), both_ns = add(&c, 1000, 10, 0);

	(void)state;
	assert_int_equal(hits_ns, 1000 * hit_ns(true));
	assert_true(both_ns > hits_ns);
	assert_int_equal(add(&c, 1000, 10, 0), both_ns);
	assert_int_equal(add(&c, 2000, 20, 0), 2 * both_ns);
}

/* What was paid while there were others stays paid, and what follows is cheaper. */
static void others_come_and_go(void **state)
{
	struct large_cost c = { 0 };
	uint64_t alone_ns = add(&c, 1000, 10, 0), crowd_ns = add(&c, 2000, 20, 15), after_ns = add(&c, 2000, 20, 0);

	(void)state;
	assert_true(crowd_ns - alone_ns > alone_ns);
	assert_int_equal(after_ns, crowd_ns);
	assert_int_equal(add(&c, 3000, 30, 0), crowd_ns + alone_ns);
}

/* Counts of a probe that cannot be read are missing from the sums, and there again the next time. */
static void counts_that_cannot_be_read(void **state)
{
	struct large_cost c = { 0 };
	uint64_t ns = add(&c, 1000, 10, 0);

	(void)state;
	assert_int_equal(add(&c, 0, 0, 0), ns);
	assert_int_equal(add(&c, 1000, 10, 0), ns);
	assert_int_equal(add(&c, 2000, 20, 0), 2 * ns);
}

/* A kernel that probes the return of each allocation, if one of any. */
static void returns_of_all(void **state)
{
	const struct large_watch sums = { .hits = 1000 };
	const struct large_hit hit = { .ns = 400, .return_ns = 250 };
	struct large_cost few = { 0 }, all = { 0 };

	(void)state;
	large_cost__add(&few, &sums, &hit, 0, false);
	large_cost__add(&all, &sums, &hit, 0, true);
	assert_int_equal(few.ns, 400000);
	assert_true(all.ns > few.ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stepped_hit_is_dearer),
		cmocka_unit_test(counts_are_paid_once),
		cmocka_unit_test(others_come_and_go),
		cmocka_unit_test(counts_that_cannot_be_read),
		cmocka_unit_test(returns_of_all),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
