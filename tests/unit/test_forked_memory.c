/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/forked_memory.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define MIB (1024.0 * 1024)
#define PAGE 4096
#define PAGES(mib) ((mib) * 256)

struct unknown_case {
	const char *what;
	struct forked_memory m;
	double unknown, lines, most;
	double want, unsure; /* NAN: nobody knows */
};

static void test_what_lines_do_not_have(void **state)
{
	static const struct unknown_case cases[] = {
		{ "the resident set has gained more", { 20 * MIB, PAGES(20), PAGES(20) }, 3 * MIB, 5 * MIB, 50 * MIB, 3 * MIB, 0 },
		{ "more than it has alone", { 20 * MIB, PAGES(30), PAGES(30) }, -30 * MIB, 30 * MIB, 50 * MIB, -10 * MIB, 0 },
		{ "but not less than was gained", { 20 * MIB, PAGES(30), PAGES(30) }, -4 * MIB, 30 * MIB, 50 * MIB, -4 * MIB, 0 },
		{ "alone is not known", { FORKED_UNKNOWN, PAGES(20), PAGES(5) }, -5 * MIB, 5 * MIB, 50 * MIB, NAN, 0 },
		{ "nor that, and too much", { FORKED_UNKNOWN, 0, 0 }, -60 * MIB, 60 * MIB, 50 * MIB, -10 * MIB, 0 },
		{ "half was looked at", { 20 * MIB, PAGES(20), PAGES(10) }, -10 * MIB, 10 * MIB, 50 * MIB, 10 * MIB, 0 },
		{ "half, and half is inherited", { 20 * MIB, PAGES(10), PAGES(5) }, -5 * MIB, 5 * MIB, 50 * MIB, 5 * MIB, 10 * MIB },
		{ "no more than it has alone", { 20 * MIB, PAGES(60), PAGES(15) }, -15 * MIB, 15 * MIB, 50 * MIB, 5 * MIB, 0 },
		{ "all were looked at", { 20 * MIB, PAGES(10), PAGES(10) }, -10 * MIB, 10 * MIB, 50 * MIB, NAN, 0 },
		{ "by chance more", { 20 * MIB, PAGES(10), PAGES(11) }, -11 * MIB, 11 * MIB, 50 * MIB, NAN, 0 },
		{ "none was", { 20 * MIB, PAGES(20), 0 }, -0.5, 0, 50 * MIB, NAN, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct unknown_case *c = &cases[i];
		double unsure = -1, is = forked_memory__unknown(&c->m, c->unknown, c->lines, c->most, &unsure);

		if (isnan(is) != isnan(c->want) || fabs(is - c->want) > 1 || fabs(unsure - c->unsure) > 1)
			fail_msg("%s: %g, unsure by %g; want %g, %g", c->what, is, unsure, c->want, c->unsure);
	}
}

struct rest_case {
	const char *what;
	struct forked_memory m;
	double lines, inherited, not_seen;
};

static void test_whose_the_rest_is(void **state)
{
	static const struct rest_case cases[] = {
		{ "all of it was its parent's", { 20 * MIB, 0, 0 }, 0, 20 * MIB, 0 },
		{ "all of it came unseen", { 20 * MIB, PAGES(21), 0 }, 0, 0, 20 * MIB },
		{ "a part of it", { 20 * MIB, PAGES(5), 0 }, 0, 15 * MIB, 5 * MIB },
		{ "what was seen is its lines'", { 20 * MIB, PAGES(5), PAGES(5) }, 5 * MIB, 15 * MIB, 0 },
		{ "half was seen", { 20 * MIB, PAGES(20), PAGES(10) }, 10 * MIB, 5 * MIB, 5 * MIB },
		{ "its lines have all", { 20 * MIB, PAGES(20), PAGES(10) }, 20 * MIB, 0, 0 },
		{ "and more", { 20 * MIB, PAGES(20), PAGES(10) }, 30 * MIB, 0, 0 },
		{ "not known", { FORKED_UNKNOWN, PAGES(20), 0 }, 10 * MIB, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rest_case *c = &cases[i];
		struct forked_rest is = forked_memory__rest(&c->m, c->lines, PAGE);

		if (fabs(is.inherited - c->inherited) > 1 || fabs(is.not_seen - c->not_seen) > 1)
			fail_msg("%s: %g inherited, %g not seen; want %g, %g", c->what, is.inherited, is.not_seen, c->inherited, c->not_seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_lines_do_not_have),
		cmocka_unit_test(test_whose_the_rest_is),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
