/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What programs that start may spend in advance: one alone has it whole, a storm of them has one of it together, and the budget.
 */
#include "capture/advance.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define MS_NS 1000000ull
#define BUDGET 0.01

/* What a program that was attached to costs at least, whatever it was advanced, and one that was not. */
#define ATTACHED_NS (45 * MS_NS)
#define LEFT_ALONE_NS (200000ull)

struct storm {
	uint64_t cpu_ns, cost_ns;
	unsigned int attached;
};

/* Programs that each live for so long, alive at once, each starting when the one that has lived longest ends. */
static struct storm storm(struct advance *a, uint64_t cpu_ns, unsigned int alive, unsigned int cnt)
{
	uint64_t taken[16] = {0};
	struct storm s = {0};

	for (unsigned int i = 0; i < cnt + alive; i++) {
		uint64_t *of = &taken[i % alive], cost_ns = *of ? ATTACHED_NS : LEFT_ALONE_NS;

		if (i >= alive) {
			advance__settle(a, *of, cpu_ns, cost_ns);
			s.cpu_ns += cpu_ns;
			s.cost_ns += cost_ns;
			s.attached += *of > 0;
		}
		*of = i < cnt ? advance__take(a) : 0;
	}
	return s;
}

static void test_one_alone_has_it_whole(void **state)
{
	struct advance a;

	(void)state;
	advance__begin(&a, BUDGET);
	assert_int_equal(advance__take(&a), ADVANCE_NS);
	assert_int_equal(advance__take(&a), 0);
}

static void test_what_was_not_spent_is_there_for_the_next(void **state)
{
	struct advance a;

	(void)state;
	advance__begin(&a, BUDGET);
	advance__settle(&a, advance__take(&a), 100 * MS_NS, 11 * MS_NS);
	assert_int_equal(advance__take(&a), ADVANCE_NS - 10 * MS_NS);
}

static void test_after_one_that_earned_it_the_next_has_it_whole(void **state)
{
	struct advance a;

	(void)state;
	advance__begin(&a, BUDGET);
	advance__settle(&a, advance__take(&a), 10000 * MS_NS, 90 * MS_NS);
	assert_int_equal(advance__take(&a), ADVANCE_NS);
}

static void test_no_more_is_saved_than_one_may_take(void **state)
{
	struct advance a;

	(void)state;
	advance__begin(&a, BUDGET);
	for (int i = 0; i < 100; i++)
		advance__settle(&a, 0, 100000 * MS_NS, 0);
	assert_int_equal(advance__take(&a), ADVANCE_NS);
	assert_int_equal(advance__take(&a), 0);
}

static void test_a_storm_has_one_advance_and_the_budget(void **state)
{
	static const struct {
		uint64_t cpu_ns;
		unsigned int alive, cnt;
	} storms[] = {{100 * MS_NS, 1, 40}, {100 * MS_NS, 1, 10000}, {100 * MS_NS, 16, 10000}, {1000 * MS_NS, 16, 2000},
		      {40 * MS_NS, 4, 20000}};

	(void)state;
	for (size_t i = 0; i < sizeof(storms) / sizeof(storms[0]); i++) {
		struct advance a;
		struct storm s;

		advance__begin(&a, BUDGET);
		s = storm(&a, storms[i].cpu_ns, storms[i].alive, storms[i].cnt);
		/* The last one may have cost more than it was advanced. */
		assert_true(s.cost_ns <= ADVANCE_NS + BUDGET * s.cpu_ns + (ATTACHED_NS - ADVANCE_NS / 2));
		/* And is not kept out: it spends most of what it may. */
		assert_true(s.attached >= 1);
		assert_true(s.cost_ns + 2 * ADVANCE_NS >= BUDGET * s.cpu_ns || s.attached == storms[i].cnt);
	}
}

static void test_what_could_not_be_helped_is_forgotten(void **state)
{
	struct advance a;
	unsigned int cnt = 0;

	(void)state;
	advance__begin(&a, BUDGET);
	for (int i = 0; i < 1000; i++)
		advance__settle(&a, 0, 0, 1000 * MS_NS);
	while (!advance__take(&a) && cnt++ < 100)
		advance__settle(&a, 0, 1000 * MS_NS, 0);
	assert_in_range(cnt, 1, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_alone_has_it_whole),
		cmocka_unit_test(test_what_was_not_spent_is_there_for_the_next),
		cmocka_unit_test(test_after_one_that_earned_it_the_next_has_it_whole),
		cmocka_unit_test(test_no_more_is_saved_than_one_may_take),
		cmocka_unit_test(test_a_storm_has_one_advance_and_the_budget),
		cmocka_unit_test(test_what_could_not_be_helped_is_forgotten),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
