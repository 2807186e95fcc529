/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The ledger of collections, with an interpreter that counts all of them and a watcher who sees some. */
#include "capture/gc_ledger.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MS 1000000ull
#define SECOND 1000000000ull

struct model {
	struct gc_ledger ledger;
	struct gc_sums counted[PROFILE_GENERATIONS];
	struct gc_sums all[PROFILE_GENERATIONS]; /* as told: by records and by the ledger */
	uint64_t now_ns;
};

static void mark(struct model *m)
{
	gc_ledger__mark(&m->ledger, m->now_ns, m->counted);
}

static struct model new_model(void)
{
	struct model m = { .now_ns = 5 * SECOND };

	for (int g = 0; g < PROFILE_GENERATIONS; g++)
		m.counted[g] = (struct gc_sums){ .cnt = 1000 + g, .collected = 77, .uncollectable = 3 };
	mark(&m);
	return m;
}

static void count(struct model *m, int generation, int64_t collected)
{
	m->now_ns += MS;
	m->counted[generation].cnt++;
	m->counted[generation].collected += collected;
}

/* Its record; it may come late. */
static void record(struct model *m, int generation, int64_t collected, uint64_t pause_ns, uint64_t time_ns)
{
	const struct profile_gc gc = {
		.generation = generation, .collected = collected, .pause_ns = pause_ns, .time_ns = time_ns };

	gc_ledger__saw(&m->ledger, &gc);
	m->all[generation].cnt++;
	m->all[generation].collected += collected > 0 ? collected : 0;
	m->all[generation].pause_ns += pause_ns;
}

static void add_all(struct model *m, const struct profile_gc *gc, int n)
{
	for (int i = 0; i < n; i++) {
		m->all[gc[i].generation].cnt += gc[i].cnt;
		m->all[gc[i].generation].collected += gc[i].collected;
		m->all[gc[i].generation].pause_ns += gc[i].pause_ns;
	}
}

static int settle(struct model *m)
{
	struct profile_gc gc[PROFILE_GENERATIONS];
	int n = gc_ledger__settle(&m->ledger, gc);

	add_all(m, gc, n);
	return n;
}

static void test_all_watched(void **state)
{
	struct model m = new_model();
	uint64_t watched, all;

	(void)state;
	for (int i = 0; i < 100; i++) {
		count(&m, i % 3, 4);
		record(&m, i % 3, 4, 10, m.now_ns);
		if (i % 10 == 9) {
			assert_int_equal(settle(&m), 0);
			mark(&m);
		}
	}
	assert_int_equal(settle(&m), 0);
	gc_ledger__watched(&m.ledger, &watched, &all);
	assert_int_equal(watched, 100);
	assert_int_equal(all, 100);
}

/* Number and objects exact, time as those that were watched took then. */
static void test_some_watched(void **state)
{
	struct model m = new_model();
	uint64_t watched, all;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t pause_ns = i < 500 ? 100 : 300;

		count(&m, 0, i);
		if (i % 10 == 3)
			record(&m, 0, i, pause_ns, m.now_ns);
		if (i % 50 == 49) {
			count(&m, 1, 7);
			settle(&m);
			mark(&m);
		}
	}
	settle(&m);
	assert_int_equal(settle(&m), 0);
	assert_int_equal(m.all[0].cnt, 1000);
	assert_int_equal(m.all[0].collected, 1000 * 999 / 2);
	assert_int_equal(m.all[0].pause_ns, 500 * 100 + 500 * 300);
	/* None of these was watched: they take as long as others. */
	assert_int_equal(m.all[1].cnt, 20);
	assert_int_equal(m.all[1].collected, 140);
	assert_in_range(m.all[1].pause_ns, 20 * 100, 20 * 300);
	gc_ledger__watched(&m.ledger, &watched, &all);
	assert_int_equal(watched, 100);
	assert_int_equal(all, 1020);
}

/* Records of what ended before a mark are read after it, and those of what ended behind it before it is settled. */
static void test_late_records(void **state)
{
	struct model m = new_model();
	uint64_t before, behind;

	(void)state;
	count(&m, 0, 1);
	before = m.now_ns;
	m.now_ns += MS;
	mark(&m);
	count(&m, 0, 1);
	behind = m.now_ns;
	record(&m, 0, 1, 10, before);
	record(&m, 0, 1, 10, behind);
	assert_int_equal(settle(&m), 0);
	mark(&m);
	assert_int_equal(settle(&m), 0);
	assert_int_equal(m.all[0].cnt, 2);
}

static void test_before_the_first_mark(void **state)
{
	struct model m = { .now_ns = SECOND };

	(void)state;
	record(&m, 0, 5, 10, SECOND - 1);
	assert_int_equal(settle(&m), 0);
	mark(&m);
	record(&m, 0, 5, 10, SECOND - 1);
	count(&m, 0, 9);
	mark(&m);
	assert_int_equal(settle(&m), 1);
	assert_int_equal(m.all[0].cnt, 2 + 1);
}

/* Told once too often, a record that the interpreter's count does not have: the next time makes up for it. */
static void test_more_records_than_counted(void **state)
{
	struct model m = new_model();

	(void)state;
	record(&m, 0, 1, 10, m.now_ns + 1);
	m.now_ns += MS;
	mark(&m);
	assert_int_equal(settle(&m), 0);
	count(&m, 0, 1);
	count(&m, 0, 1);
	mark(&m);
	assert_int_equal(settle(&m), 1);
	assert_int_equal(m.all[0].cnt, 2);
}

/* Where records do not tell what was collected, it is told with those that nobody watched. */
static void test_records_that_do_not_tell(void **state)
{
	struct model m = new_model();

	(void)state;
	count(&m, 0, 6);
	record(&m, 0, -1, 10, m.now_ns);
	count(&m, 0, 6);
	mark(&m);
	assert_int_equal(settle(&m), 1);
	assert_int_equal(m.all[0].cnt, 2);
	assert_int_equal(m.all[0].collected, 12);
}

static void test_end_is_estimated(void **state)
{
	struct profile_gc gc[PROFILE_GENERATIONS];
	struct model m = new_model();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		count(&m, 0, 1);
		if (i % 10 == 0)
			record(&m, 0, 1, 50, m.now_ns);
	}
	mark(&m);
	settle(&m);
	/* One in a ms; for 200 of 300 ms nobody watched. */
	assert_int_equal(gc_ledger__estimate(&m.ledger, 200 * MS, 300 * MS, gc), 1);
	assert_int_equal(gc[0].cnt, 200);
	assert_int_equal(gc[0].pause_ns, 200 * 50);
	assert_int_equal(gc[0].collected, -1);
	assert_int_equal(gc_ledger__estimate(&m.ledger, 0, 300 * MS, gc), 0);
}

/* An interpreter that cannot be asked: by what is seen in the time that was watched. */
static void test_nothing_counted(void **state)
{
	struct profile_gc gc[PROFILE_GENERATIONS];
	struct model m = { .now_ns = SECOND };
	uint64_t watched, all;

	(void)state;
	for (int k = 1; k <= 2; k++) {
		for (int i = 0; i < 100 * k; i++)
			record(&m, 0, 1, 50 * k, m.now_ns++);
		assert_int_equal(settle(&m), 0);
		assert_int_equal(gc_ledger__estimate(&m.ledger, 900 * MS, 1000 * MS, gc), 1);
		assert_int_equal(gc[0].cnt, 900 * k);
		assert_int_equal(gc[0].pause_ns, 900 * k * 50 * k);
	}
	gc_ledger__watched(&m.ledger, &watched, &all);
	assert_int_equal(all, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_watched),
		cmocka_unit_test(test_some_watched),
		cmocka_unit_test(test_late_records),
		cmocka_unit_test(test_before_the_first_mark),
		cmocka_unit_test(test_more_records_than_counted),
		cmocka_unit_test(test_records_that_do_not_tell),
		cmocka_unit_test(test_end_is_estimated),
		cmocka_unit_test(test_nothing_counted),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
