/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is told of what was found, and how much it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "python/coverage.h"

#define UNKNOWN (-1)

static const struct {
	enum signal signal;
	size_t n; /* of sites[] below */
	struct probe_sites_info info;
	int percent;
	const char *says;
} rows[] = {
	{ SIGNAL_EXACT, 2, { .inlined = true, .guards = 262, .unclear = 2 }, 100, "and 262 places where they were inlined" },
	{ SIGNAL_EXACT, 2, { .inlined = true, .unclear = 2 }, 100, "free; nowhere were they inlined" },
	{ SIGNAL_EXACT, 2, { .inlined = true, .unclear = 0 }, 100, "free; nowhere were they inlined" },
	{ SIGNAL_EXACT, 2, { .inlined = true, .guards = 9, .unclear = 5 }, UNKNOWN, "but not 3 more" },
	{ SIGNAL_EXACT, 2, { .why = "the kernel" }, UNKNOWN, "as little as 0.1 % in builds that inline their allocator: the kernel" },
	{ SIGNAL_EXACT, 2, { 0 }, UNKNOWN, "its code is not understood" },
	{ SIGNAL_EXACT, 0, { 0 }, 0, "sees nothing" },
	{ SIGNAL_HEAP, 3, { .inlined = true }, 100, "by whom, in windows" },
	{ SIGNAL_HEAP, 3, { .why = "the kernel" }, UNKNOWN, "not by whom: the kernel" },
	{ SIGNAL_HEAP, 2, { .inlined = true }, 0, "pools are taken into use was not found" },
	{ SIGNAL_GC, 2, { 0 }, 100, "by the collector's function" },
	{ SIGNAL_GC, 1, { 0 }, 0, "sees nothing" },
	{ SIGNAL_RESIDENT, 0, { 0 }, 100, "page faults" },
};

static int percent_of(const struct coverage *c)
{
	return c->whole ? (int)(100 * c->part / c->whole) : UNKNOWN;
}

static void test_rows(void **state)
{
	const struct probe_site sites[] = {
		{ .signal = SIGNAL_EXACT, .kind = PROBE_MALLOC },
		{ .signal = SIGNAL_GC, .kind = PROBE_GC },
		{ .signal = SIGNAL_HEAP, .kind = PROBE_POOL_OPEN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct coverage c;

		coverage__derive(rows[i].signal, sites, rows[i].n, &rows[i].info, &c);
		if (percent_of(&c) != rows[i].percent || !strstr(c.text, rows[i].says))
			fail_msg("row %zu: %d %%, %s", i, percent_of(&c), c.text);
		assert_int_equal(coverage__is_complete(&c), rows[i].percent == 100);
	}
}

static void test_usdt(void **state)
{
	const struct probe_site site = { .signal = SIGNAL_GC, .kind = PROBE_GC_USDT };
	const struct probe_sites_info info = { 0 };
	struct coverage c;

	(void)state;
	coverage__derive(SIGNAL_GC, &site, 1, &info, &c);
	assert_int_equal(percent_of(&c), 100);
	assert_non_null(strstr(c.text, "USDT"));
}

static const struct {
	enum signal signal;
	struct allocator_chain allocator;
	int percent;
	const char *says;
} allocators[] = {
	{ SIGNAL_EXACT, { .base = ALLOCATOR_PYMALLOC }, 100, "nowhere" },
	{ SIGNAL_EXACT, { .base = ALLOCATOR_PYMALLOC, .layer = { LAYER_TRACEMALLOC }, .layers = 1 }, 100, "; what tracemalloc keeps" },
	{ SIGNAL_EXACT, { .base = ALLOCATOR_MALLOC }, 100, "takes and gives back: the allocator is the C library's malloc" },
	{ SIGNAL_HEAP, { .base = ALLOCATOR_MALLOC }, 0, "only what calls pymalloc's functions: the allocator is the C library's malloc" },
	{ SIGNAL_EXACT, { .base = ALLOCATOR_MIMALLOC, .layer = { LAYER_DEBUG }, .layers = 1 }, 0,
	  "and the raw domain: the allocator is debug hooks over mimalloc" },
	{ SIGNAL_EXACT, { .layer = { LAYER_FOREIGN }, .place = "/x.so", .layers = 1 }, UNKNOWN, "is /x.so over code that is not" },
	{ SIGNAL_GC, { .base = ALLOCATOR_MALLOC }, 100, "collector's function" },
	{ SIGNAL_RESIDENT, { .base = ALLOCATOR_MALLOC }, 100, "page faults" },
};

static void test_allocators(void **state)
{
	const struct probe_site sites[] = {
		{ .signal = SIGNAL_EXACT, .kind = PROBE_MALLOC },
		{ .signal = SIGNAL_GC, .kind = PROBE_GC },
	};
	const struct probe_sites_info info = { .inlined = true };

	(void)state;
	for (size_t i = 0; i < sizeof(allocators) / sizeof(allocators[0]); i++) {
		struct coverage c;

		coverage__derive(allocators[i].signal, sites, 2, &info, &c);
		coverage__with_allocator(allocators[i].signal, &allocators[i].allocator, &c);
		if (percent_of(&c) != allocators[i].percent || !strstr(c.text, allocators[i].says))
			fail_msg("row %zu: %d %%, %s", i, percent_of(&c), c.text);
	}
}

/* An embedder's allocator of the raw domain: exact has probes in what the file begins with, so it matters whether that is led to. */
static void test_raw(void **state)
{
	static const struct {
		enum signal signal;
		struct allocator_chain raw;
		int percent;
		const char *says;
	} raws[] = {
		{ SIGNAL_EXACT, { .base = ALLOCATOR_MALLOC }, 100, "sees the functions that allocate and free" },
		{ SIGNAL_EXACT, { .base = ALLOCATOR_MALLOC, .layer = { LAYER_FOREIGN }, .place = "/x.so", .layers = 1 }, 100, "sees" },
		{ SIGNAL_EXACT, { .layer = { LAYER_FOREIGN }, .place = "/x.so", .layers = 1 }, UNKNOWN,
		  "; of the raw domain only what calls those: its allocator is /x.so over code that is not" },
		{ SIGNAL_EXACT, { .base = ALLOCATOR_MIMALLOC }, UNKNOWN, "its allocator is mimalloc" },
		{ SIGNAL_HEAP, { .base = ALLOCATOR_MIMALLOC }, 0, "sees no small blocks" },
		{ SIGNAL_GC, { .base = ALLOCATOR_MIMALLOC }, 100, "collector's function" },
	};
	const struct probe_site sites[] = {
		{ .signal = SIGNAL_EXACT, .kind = PROBE_MALLOC },
		{ .signal = SIGNAL_GC, .kind = PROBE_GC },
	};
	const struct probe_sites_info info = { .inlined = true };

	(void)state;
	for (size_t i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
		struct coverage c;

		coverage__derive(raws[i].signal, sites, 2, &info, &c);
		coverage__with_raw(raws[i].signal, &raws[i].raw, &c);
		if (percent_of(&c) != raws[i].percent || !strstr(c.text, raws[i].says))
			fail_msg("row %zu: %d %%, %s", i, percent_of(&c), c.text);
	}
}

/* The public functions alone are not those that malloc's blocks come from. */
static void test_malloc_by_public_functions(void **state)
{
	const struct probe_site site = { .signal = SIGNAL_EXACT, .kind = PROBE_MALLOC };
	const struct allocator_chain allocator = { .base = ALLOCATOR_MALLOC };
	const struct probe_sites_info info = { .inlined = false };
	struct coverage c;

	(void)state;
	coverage__derive(SIGNAL_EXACT, &site, 1, &info, &c);
	coverage__with_allocator(SIGNAL_EXACT, &allocator, &c);
	assert_int_equal(percent_of(&c), 0);
}

/* The longest text ends within its buffer. */
static void test_long(void **state)
{
	const struct probe_site site = { .signal = SIGNAL_EXACT };
	char why[400];
	const struct probe_sites_info info = { .why = why };
	struct coverage c;

	(void)state;
	memset(why, 'x', sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	coverage__derive(SIGNAL_EXACT, &site, 1, &info, &c);
	assert_int_equal(strlen(c.text), COVERAGE_TEXT_BYTES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_usdt),
		cmocka_unit_test(test_allocators),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_malloc_by_public_functions),
		cmocka_unit_test(test_long),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
