/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Pages that moved together are told from frames that came back elsewhere. */
#include "capture/moved_pages.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define PAGES 64
#define WAS 1000
#define IS 50000

/* Frame 100 + i, which was at WAS + i, is found at at[i]; 0: nowhere. */
static void search(struct moved_page *pages, const uint64_t *at)
{
	struct moved_search *s;
	int i;

	for (i = 0; i < PAGES; i++)
		pages[i] = (struct moved_page){ .page = WAS + i, .frame = 100 + i, .now = 1 };
	assert_int_equal(moved_search__new(pages, PAGES, &s), 0);
	for (i = 0; i < PAGES; i++) {
		if (at[i])
			assert_int_equal(moved_search__found(s, at[i], 100 + i), 0);
	}
	moved_search__end(s);
}

static void test_run_split_in_two(void **state)
{
	struct moved_page pages[PAGES];
	uint64_t at[PAGES];
	int i;

	(void)state;
	for (i = 0; i < PAGES; i++)
		at[i] = (i < 20 ? IS : 2 * IS) + i;
	search(pages, at);
	for (i = 0; i < PAGES; i++)
		assert_true(pages[i].now == at[i]);
}

static void test_reverse_order_is_not_moved(void **state)
{
	struct moved_page pages[PAGES];
	uint64_t at[PAGES];
	int i;

	(void)state;
	for (i = 0; i < PAGES; i++)
		at[i] = IS - i;
	search(pages, at);
	for (i = 0; i < PAGES; i++)
		assert_true(pages[i].now == 0);
}

static void test_few_are_not_moved(void **state)
{
	struct moved_page pages[PAGES];
	int cnt, i;

	(void)state;
	for (cnt = MOVED_TOGETHER - 1; cnt <= MOVED_TOGETHER; cnt++) {
		uint64_t at[PAGES] = {};

		for (i = 0; i < cnt; i++)
			at[i] = IS + i;
		search(pages, at);
		for (i = 0; i < PAGES; i++)
			assert_true(pages[i].now == (cnt < MOVED_TOGETHER ? 0 : at[i]));
	}
}

/* Memory that came and went: some of its frames are side by side again where something else is now. */
static void test_some_of_many_are_not_moved(void **state)
{
	struct moved_page pages[PAGES];
	int every, i;

	(void)state;
	for (every = 1; every <= 3; every++) {
		uint64_t at[PAGES] = {};

		for (i = 0; i < PAGES; i += every)
			at[i] = IS + i;
		search(pages, at);
		for (i = 0; i < PAGES; i++)
			assert_true(pages[i].now == (every <= 2 ? at[i] : 0));
	}
}

/* What else is gone, on both sides, says nothing of it. */
static void test_moved_beside_what_is_gone(void **state)
{
	struct moved_page pages[PAGES];
	uint64_t at[PAGES] = {};
	int i;

	(void)state;
	for (i = PAGES / 2; i < PAGES / 2 + 8; i++)
		at[i] = IS + i;
	search(pages, at);
	for (i = 0; i < PAGES; i++)
		assert_true(pages[i].now == at[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_split_in_two),
		cmocka_unit_test(test_reverse_order_is_not_moved),
		cmocka_unit_test(test_few_are_not_moved),
		cmocka_unit_test(test_some_of_many_are_not_moved),
		cmocka_unit_test(test_moved_beside_what_is_gone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
