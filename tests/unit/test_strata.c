/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What stays is looked at much, what comes and goes little, and no more in all. */
#include "capture/strata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "records.h"

#define QUOTA 256
#define SECONDS 30

enum { LEAK, TEMPORARY, OTHER_TEMPORARY, STRATA_HERE };

/* As the kernel side does: a power of two of what comes, and no more than that. */
static double looks_of(double hits, int32_t favour)
{
	double looks = hits, quota = favour < 0 ? QUOTA / (1 << -favour) : QUOTA * (1 << favour);

	while (looks > quota)
		looks /= 2;
	return looks;
}

static double sum_of(const struct stratum_use *use)
{
	double sum = 0;
	int i;

	for (i = 0; i < STRATA_HERE; i++)
		sum += use[i].looks;
	return sum;
}

static void run(struct stratum_use *use, int32_t *favour, int seconds)
{
	int second, i;

	for (second = 0; second < seconds; second++) {
		for (i = 0; i < STRATA_HERE; i++)
			use[i].looks = looks_of(use[i].hits, favour[i]);
		for (i = 0; i < STRATA_HERE; i++)
			use[i].usual_looks = looks_of(use[i].hits, 0);
		strata__share_out(use, favour, STRATA_HERE);
		use[LEAK].live += use[LEAK].hits;
	}
	for (i = 0; i < STRATA_HERE; i++)
		use[i].looks = looks_of(use[i].hits, favour[i]);
}

static void test_what_stays_is_looked_at(void **state)
{
	struct stratum_use use[STRATA_HERE] = { { .hits = 4000 }, { .hits = 40000, .live = 100 }, { .hits = 40000 } };
	int32_t favour[STRATA_HERE] = {};
	double before;

	(void)state;
	run(use, favour, 0);
	before = sum_of(use);
	run(use, favour, SECONDS);
	assert_true(use[LEAK].looks > 2 * (use[TEMPORARY].looks + use[OTHER_TEMPORARY].looks));
	assert_true(use[TEMPORARY].looks > 0 && use[OTHER_TEMPORARY].looks > 0);
	assert_true(sum_of(use) < 1.5 * before && sum_of(use) > before / 2);
}

static void test_it_comes_to_rest(void **state)
{
	struct stratum_use use[STRATA_HERE] = { { .hits = 4000 }, { .hits = 40000, .live = 1000 }, { .hits = 5000, .live = 50 } };
	int32_t favour[STRATA_HERE] = {}, then[STRATA_HERE];
	int i, changes = 0, second;

	(void)state;
	run(use, favour, SECONDS);
	for (second = 0; second < SECONDS; second++) {
		for (i = 0; i < STRATA_HERE; i++)
			then[i] = favour[i];
		run(use, favour, 1);
		for (i = 0; i < STRATA_HERE; i++)
			changes += favour[i] != then[i];
	}
	assert_true(changes <= 3); /* the leak goes on */
}

static void test_what_all_is_looked_at_of_is_not_favoured(void **state)
{
	struct stratum_use use[STRATA_HERE] = { { .hits = 100, .live = 100000 }, { .hits = 40000, .live = 100 }, { .hits = 40000 } };
	int32_t favour[STRATA_HERE] = {};

	(void)state;
	run(use, favour, SECONDS);
	assert_int_equal(favour[LEAK], 0);
}

/* A favourite that has become rare uses less than it might: what the others may use does not shrink by that. */
static void test_a_favourite_that_is_rare_now(void **state)
{
	struct stratum_use use[STRATA_HERE] = { { .hits = 200, .live = 100000 }, { .hits = 40000 }, { .hits = 40000 } };
	int32_t favour[STRATA_HERE] = { MAX_FAVOUR };

	(void)state;
	run(use, favour, 1);
	assert_int_equal(favour[TEMPORARY], 0);
	assert_int_equal(favour[OTHER_TEMPORARY], 0);
}

static void test_limits(void **state)
{
	struct stratum_use use[STRATA_HERE] = { { .hits = 1e7, .live = 1e6 }, { .hits = 1e7 }, { .hits = 0 } };
	int32_t favour[STRATA_HERE] = { 0, 0, -3 };

	(void)state;
	run(use, favour, 1);
	assert_int_equal(favour[OTHER_TEMPORARY], -2);
	assert_in_range(favour[LEAK] + 1, 0, 2);
	run(use, favour, SECONDS);
	assert_in_range(favour[LEAK], 1, MAX_FAVOUR);
	assert_in_range(favour[TEMPORARY] + 16, MIN_FAVOUR + 16, 15);
	assert_int_equal(favour[OTHER_TEMPORARY], 0);
}

static void test_nothing(void **state)
{
	struct stratum_use use[STRATA_HERE] = {};
	int32_t favour[STRATA_HERE] = {};

	(void)state;
	run(use, favour, 3);
	assert_int_equal(favour[LEAK], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_stays_is_looked_at),
		cmocka_unit_test(test_it_comes_to_rest),
		cmocka_unit_test(test_what_all_is_looked_at_of_is_not_favoured),
		cmocka_unit_test(test_a_favourite_that_is_rare_now),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
