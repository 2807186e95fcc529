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
/* Page faults by how many MiB they would bring, as many as looks stand for, each for 4. */
#define FAULTS(mib, seen_mib) { PAGES(mib), PAGES(seen_mib) / 4, PAGES(seen_mib) }

struct unknown_case {
	const char *what;
	struct forked_memory m;
	double unknown, lines, most;
	double want, unsure; /* NAN: nobody knows */
};

static void test_what_lines_do_not_have(void **state)
{
	static const struct unknown_case cases[] = {
		{ "the resident set has gained more", { 20 * MIB, FAULTS(20, 20), PAGE }, 3 * MIB, 5 * MIB, 50 * MIB, 3 * MIB, 0 },
		{ "that, and copies", { 20 * MIB, FAULTS(20, 10), PAGE }, 3 * MIB, 10 * MIB, 50 * MIB, 10 * MIB, 0 },
		{ "more than it has alone", { 20 * MIB, FAULTS(30, 30), PAGE }, -30 * MIB, 30 * MIB, 50 * MIB, -10 * MIB, 0 },
		{ "but not less than was gained", { 20 * MIB, FAULTS(30, 30), PAGE }, -4 * MIB, 30 * MIB, 50 * MIB, -4 * MIB, 0 },
		{ "alone is not known", { FORKED_UNKNOWN, FAULTS(20, 5), PAGE }, -5 * MIB, 5 * MIB, 50 * MIB, NAN, 0 },
		{ "nor that, and too much", { FORKED_UNKNOWN, {}, PAGE }, -60 * MIB, 60 * MIB, 50 * MIB, -10 * MIB, 0 },
		{ "half was looked at", { 20 * MIB, FAULTS(20, 10), PAGE }, -10 * MIB, 10 * MIB, 50 * MIB, 10 * MIB, 0 },
		{ "half, and half is inherited", { 20 * MIB, FAULTS(10, 5), PAGE }, -5 * MIB, 5 * MIB, 50 * MIB, 5 * MIB, 10 * MIB },
		{ "more than it has alone by faults", { 20 * MIB, FAULTS(60, 15), PAGE }, -15 * MIB, 15 * MIB, 50 * MIB, 5 * MIB, 5 * MIB },
		{ "all were looked at", { 20 * MIB, FAULTS(10, 10), PAGE }, -10 * MIB, 10 * MIB, 50 * MIB, 0, 10 * MIB },
		{ "by chance too many", { 20 * MIB, FAULTS(10, 12), PAGE }, -12 * MIB, 12 * MIB, 50 * MIB, -2 * MIB, 10 * MIB },
		{ "none was", { 20 * MIB, FAULTS(20, 0), PAGE }, -0.5, 0, 50 * MIB, NAN, 0 },
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
	double lines, told, inherited, not_looked_at;
};

static void test_whose_the_rest_is(void **state)
{
	static const struct rest_case cases[] = {
		{ "all of it was its parent's", { 20 * MIB, {}, PAGE }, 0, 0, 20 * MIB, 0 },
		{ "all of it came unseen", { 20 * MIB, FAULTS(21, 0), PAGE }, 0, 0, 0, 20 * MIB },
		{ "a part of it", { 20 * MIB, FAULTS(5, 0), PAGE }, 0, 0, 15 * MIB, 5 * MIB },
		{ "what was seen is its lines'", { 20 * MIB, FAULTS(5, 5), PAGE }, 5 * MIB, 5 * MIB, 15 * MIB, 0 },
		{ "half was seen", { 20 * MIB, FAULTS(20, 10), PAGE }, 10 * MIB, 10 * MIB, 0, 10 * MIB },
		{ "half was seen, and lines have most of it", { 20 * MIB, FAULTS(20, 10), PAGE }, 10 * MIB, 18 * MIB, 0, 2 * MIB },
		{ "lines have that", { 40 * MIB, FAULTS(20, 10), PAGE }, 10 * MIB, 20 * MIB, 20 * MIB, 0 },
		{ "of four faults one brings what stays", { 40 * MIB, FAULTS(40, 20), PAGE }, 5 * MIB, 5 * MIB, 29.977 * MIB, 5.023 * MIB },
		{ "its lines have all", { 20 * MIB, FAULTS(20, 10), PAGE }, 10 * MIB, 20 * MIB, 0, 0 },
		{ "and more", { 20 * MIB, FAULTS(20, 10), PAGE }, 10 * MIB, 30 * MIB, 0, 0 },
		{ "not known", { FORKED_UNKNOWN, FAULTS(20, 0), PAGE }, 10 * MIB, 10 * MIB, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rest_case *c = &cases[i];
		struct forked_rest is = forked_memory__rest(&c->m, c->lines, c->told);

		/* By a few looks more it is what is believed of all. */
		if (fabs(is.inherited - c->inherited) > 0.01 * MIB || fabs(is.not_looked_at - c->not_looked_at) > 0.01 * MIB)
			fail_msg("%s: %g inherited, %g not looked at; want %g, %g", c->what, is.inherited, is.not_looked_at, c->inherited,
				 c->not_looked_at);
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
