/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Words for what was found, and whether they need to be said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "python/coverage.h"

static const struct {
	enum signal signal;
	size_t n; /* of sites[] below */
	struct probe_sites_info info;
	bool complete;
	const char *says;
} rows[] = {
	{ SIGNAL_EXACT, 2, { .inlined = true, .guards = 262, .unclear = 2 }, true, "and 262 places where they were inlined" },
	{ SIGNAL_EXACT, 2, { .inlined = true, .unclear = 2 }, true, "free; nowhere were they inlined" },
	{ SIGNAL_EXACT, 2, { .inlined = true, .unclear = 0 }, true, "free; nowhere were they inlined" },
	{ SIGNAL_EXACT, 2, { .inlined = true, .guards = 9, .unclear = 5 }, false, "but not 3 more" },
	{ SIGNAL_EXACT, 2, { .why = "the kernel" }, false, "as little as 0.1 % in builds that inline their allocator: the kernel" },
	{ SIGNAL_EXACT, 2, { 0 }, false, "its code is not understood" },
	{ SIGNAL_EXACT, 0, { 0 }, false, "exact sees nothing" },
	{ SIGNAL_GC, 2, { 0 }, true, "by the collector's function" },
	{ SIGNAL_GC, 1, { 0 }, false, "gc sees nothing" },
};

static void test_rows(void **state)
{
	const struct probe_site sites[] = {
		{ .signal = SIGNAL_EXACT, .kind = PROBE_MALLOC },
		{ .signal = SIGNAL_GC, .kind = PROBE_GC },
	};
	char text[COVERAGE_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool complete = coverage__tell(rows[i].signal, sites, rows[i].n, &rows[i].info, text);

		if (complete != rows[i].complete || !strstr(text, rows[i].says))
			fail_msg("row %zu: %s", i, text);
	}
}

static void test_usdt(void **state)
{
	const struct probe_site site = { .signal = SIGNAL_GC, .kind = PROBE_GC_USDT };
	const struct probe_sites_info info = { 0 };
	char text[COVERAGE_TEXT_BYTES];

	(void)state;
	assert_true(coverage__tell(SIGNAL_GC, &site, 1, &info, text));
	assert_non_null(strstr(text, "USDT"));
}

/* The longest text ends within its buffer. */
static void test_long(void **state)
{
	const struct probe_site site = { .signal = SIGNAL_EXACT };
	char why[400], text[COVERAGE_TEXT_BYTES];
	const struct probe_sites_info info = { .why = why };

	(void)state;
	memset(why, 'x', sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	assert_false(coverage__tell(SIGNAL_EXACT, &site, 1, &info, text));
	assert_int_equal(strlen(text), COVERAGE_TEXT_BYTES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_usdt),
		cmocka_unit_test(test_long),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
