/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "views/human.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND 1000000000ull

struct number {
	uint64_t value;
	const char *text;
};

static void check(const struct number *cases, size_t n, const char *(*fn)(uint64_t, char *, size_t))
{
	char buf[32];

	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(fn(cases[i].value, buf, sizeof(buf)), buf);
		assert_string_equal(buf, cases[i].text);
	}
}

static void test_bytes(void **state)
{
	static const struct number cases[] = {
		{0, "0 B"},
		{1, "1 B"},
		{1023, "1023 B"},
		{KIB, "1.0 KiB"},
		{KIB + 51, "1.0 KiB"},
		{KIB + 52, "1.1 KiB"},
		{12 * MIB + 314573, "12.3 MiB"},
		{256 * MIB, "256.0 MiB"},
		{MIB - 1, "1.0 MiB"},
		{MIB - 52, "1023.9 KiB"},
		{GIB - 1, "1.0 GiB"},
		{1024 * GIB, "1.0 TiB"},
		{1ull << 50, "1.0 PiB"},
		{1ull << 60, "1.0 EiB"},
		{UINT64_MAX, "16.0 EiB"},
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]), human__bytes);
}

static void test_duration(void **state)
{
	static const struct number cases[] = {
		{0, "0 ns"},
		{950, "950 ns"},
		{999, "999 ns"},
		{1000, "1.0 µs"},
		{999949, "999.9 µs"},
		{999950, "1.0 ms"},
		{1234567, "1.2 ms"},
		{999999999, "1.0 s"},
		{3400000000, "3.4 s"},
		{59949999999, "59.9 s"},
		{59950000000, "1 min 0 s"},
		{125 * SECOND, "2 min 5 s"},
		{3599 * SECOND + 500000000, "1 h 0 min"},
		{3720 * SECOND, "1 h 2 min"},
		{90000 * SECOND, "1 d 1 h"},
		{UINT64_MAX, "213503 d 23 h"},
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]), human__duration);
}

static void test_count(void **state)
{
	static const struct number cases[] = {
		{0, "0"},
		{999, "999"},
		{1000, "1,000"},
		{123456, "123,456"},
		{1234567, "1,234,567"},
		{UINT64_MAX, "18,446,744,073,709,551,615"},
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]), human__count);
}

static void test_percent(void **state)
{
	static const struct {
		uint64_t part, whole;
		const char *text;
	} cases[] = {
		{0, 0, "0.0 %"},	  {5, 0, "0.0 %"},
		{0, 7, "0.0 %"},	  {1, 3, "33.3 %"},
		{2, 3, "66.7 %"},	  {7, 7, "100.0 %"},
		{3, 2, "150.0 %"},	  {UINT64_MAX, UINT64_MAX, "100.0 %"},
		{9995, 10000, "100.0 %"}, {9994, 10000, "99.9 %"},
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(human__percent(cases[i].part, cases[i].whole, buf, sizeof(buf)),
				    cases[i].text);
}

static void test_share(void **state)
{
	static const struct {
		uint64_t part, whole;
		const char *text;
	} cases[] = {
		{0, 0, "share not known"}, {5, 0, "share not known"}, {0, 7, "0 %"},
		{1, 3, "33.33 %"},	   {7, 7, "100 %"},	      {999999, 1000000, "99.99 %"},
		{3, 2, "150.00 %"},	   {9950, 10000, "99.50 %"},
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(human__share(cases[i].part, cases[i].whole, buf, sizeof(buf)), cases[i].text);
}

static void test_short_buffer(void **state)
{
	char buf[4] = "zzz";

	(void)state;
	assert_string_equal(human__bytes(12345, buf, sizeof(buf)), "12.");
	assert_string_equal(human__count(12345, buf, sizeof(buf)), "12,");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),	     cmocka_unit_test(test_duration),
		cmocka_unit_test(test_count),	     cmocka_unit_test(test_percent),
		cmocka_unit_test(test_share),	     cmocka_unit_test(test_short_buffer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
