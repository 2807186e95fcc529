/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* When young programs are looked at before the next step of a second. */
#include "capture/early_steps.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define MS 1000000ull
#define SECOND (1000 * MS)
#define BEGIN (100 * SECOND)

static struct traced *add(struct traced_table *table, pid_t tgid, uint64_t began_ns)
{
	struct traced *tr = calloc(1, sizeof(*tr));

	assert_non_null(tr);
	tr->tgid = tgid;
	tr->proc_id = tgid;
	tr->began_ns = began_ns;
	traced_table__add(table, tr);
	return tr;
}

static void free_all(struct traced_table *table)
{
	struct traced *tr, *next;

	HASH_CLEAR(hh_tgid, table->alive);
	HASH_ITER(hh, table->by_id, tr, next) {
		HASH_DEL(table->by_id, tr);
		free(tr);
	}
}

/* One that began at BEGIN and uses a processor. A step of a second is due at BEGIN + 1 s. */
static void test_each_step_is_as_long_as_all_before(void **state)
{
	static const uint64_t at_us[] = { 31250, 62500, 125000, 250000, 500000 };
	struct traced_table table = {};
	struct traced *tr = add(&table, 1, BEGIN);
	uint64_t now = BEGIN;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(at_us) / sizeof(at_us[0]); i++) {
		now = early_steps__next_ns(&table, BEGIN, now);
		assert_int_equal(now, BEGIN + at_us[i] * 1000);
		tr->use.cpu_ns = now - BEGIN;
	}
	assert_true(early_steps__next_ns(&table, BEGIN, now) == UINT64_MAX);
	free_all(&table);
}

static void test_none_where_nobody_is_young(void **state)
{
	struct traced_table table = {};
	struct traced *old = add(&table, 1, BEGIN), *newborn = add(&table, 2, BEGIN + SECOND), *young;

	(void)state;
	old->use.cpu_ns = SECOND;
	newborn->newborn = true;
	assert_true(early_steps__next_ns(&table, BEGIN + SECOND, BEGIN + SECOND) == UINT64_MAX);
	young = add(&table, 3, BEGIN + SECOND - 100 * MS);
	assert_int_equal(early_steps__next_ns(&table, BEGIN + SECOND, BEGIN + SECOND), BEGIN + SECOND + 100 * MS);
	assert_true(early_steps__is_young(young, BEGIN + SECOND));
	assert_false(early_steps__is_young(old, BEGIN + SECOND));
	assert_false(early_steps__is_young(newborn, BEGIN + SECOND));
	newborn->one_of_few = true;
	assert_true(early_steps__is_young(newborn, BEGIN + SECOND));
	assert_int_equal(early_steps__next_ns(&table, BEGIN + SECOND, BEGIN + SECOND), BEGIN + SECOND + 31250000);
	newborn->one_of_few = false;
	/* Just before the next step; and later. */
	assert_true(early_steps__next_ns(&table, BEGIN + SECOND, BEGIN + SECOND + 750 * MS) == UINT64_MAX);
	assert_true(early_steps__next_ns(&table, BEGIN + 2 * SECOND, BEGIN + 2 * SECOND) == UINT64_MAX);
	free_all(&table);
}

static void test_none_in_a_crowd(void **state)
{
	struct traced_table table = {};
	pid_t tgid;

	(void)state;
	for (tgid = 1; tgid <= 16; tgid++)
		add(&table, tgid, BEGIN);
	assert_true(early_steps__next_ns(&table, BEGIN, BEGIN) != UINT64_MAX);
	add(&table, tgid, BEGIN);
	assert_true(early_steps__next_ns(&table, BEGIN, BEGIN) == UINT64_MAX);
	free_all(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_step_is_as_long_as_all_before),
		cmocka_unit_test(test_none_where_nobody_is_young),
		cmocka_unit_test(test_none_in_a_crowd),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
