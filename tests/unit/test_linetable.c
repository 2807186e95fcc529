/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Line tables: by hand, by what every interpreter here says of its own (tests/data/linetables.py),
 * and hostile ones. */
#include "pythons.h"

#include "python/linetable.h"

/* Fewer mean that the script broke. */
#define MIN_CODES 5000

typedef int (*line_fn)(const uint8_t *table, size_t len, int first_line, uint32_t offset);

static line_fn line_of(unsigned int minor)
{
	return minor >= 11   ? linetable__line_311
	       : minor == 10 ? linetable__line_310
			     : linetable__line_38;
}

static const struct {
	unsigned int minor;
	const char *table;
	size_t len;
	int first_line;
	uint32_t offset;
	int line;
} cases[] = {
	/* 3.8: (bytes, lines) */
	{8, "", 0, 7, 0, 7},
	{8, "\x00\x01\x06\x02", 4, 7, 0, 8},
	{8, "\x00\x01\x06\x02", 4, 7, 5, 8},
	{8, "\x00\x01\x06\x02", 4, 7, 6, 10},
	{8, "\x00\x01\x06\x02", 4, 7, 9999, 10},
	{8, "\x06\xfd", 2, 7, 6, 4},	  /* a step back */
	{8, "\x06\x02\x04", 3, 7, 99, 9}, /* half a pair */
	{8, "\x00\x7f\x00\x7f\xff\x00\x01\x01", 8, 1, 255, 255},
	{8, "\x00\x7f\x00\x7f\xff\x00\x01\x01", 8, 1, 256, 256},
	{8, "\x00\x80", 2, 5, 0, -1}, /* a line below zero */
	/* 3.10: (bytes, lines), -128: no line */
	{10, "", 0, 7, 0, -1},
	{10, "\x04\x01\x06\x02", 4, 7, 0, 8},
	{10, "\x04\x01\x06\x02", 4, 7, 3, 8},
	{10, "\x04\x01\x06\x02", 4, 7, 4, 10},
	{10, "\x04\x01\x06\x02", 4, 7, 10, -1}, /* behind the end */
	{10, "\x04\x01\x02\x80\x02\x01", 6, 7, 4, -1},
	{10, "\x04\x01\x02\x80\x02\x01", 6, 7, 6, 9},
	{10, "\x00\x7f\x00\x7f\x02\x00", 6, 1, 0, 255},
	/* 3.11: kind << 3 | units - 1 */
	{11, "", 0, 7, 0, -1},
	{11, "\xd1\x00\x00", 3, 7, 0, 7},		     /* ONE_LINE0, two units */
	{11, "\xd1\x00\x00\xd8\x00\x00", 6, 7, 4, 8},	     /* then ONE_LINE1 */
	{11, "\xd1\x00\x00\xd8\x00\x00", 6, 7, 6, -1},	     /* behind the end */
	{11, "\xe0\x00\x00", 3, 7, 0, 9},		     /* ONE_LINE2 */
	{11, "\xe8\x03", 2, 7, 0, 6},			     /* NO_COLUMNS, delta -1 */
	{11, "\xf0\x40\x40\x01\x00\x00\x00", 7, 7, 1, 2055}, /* LONG, delta 4096 / 2 */
	{11, "\xf9\x80\x10", 3, 7, 3, -1},		     /* NONE, two units */
	{11, "\xf9\x80\x10", 3, 7, 4, 7},		     /* then a short form */
	{11, "\xe8", 1, 7, 0, 7},			     /* cut before its delta */
	{11, "\xe8\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f", 9, 7, 0,
	 -1},				   /* an endless varint: below zero */
	{11, "\x00\x00\x00", 3, 7, 4, -1}, /* no entry begins here */
};

static void by_hand(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int line = line_of(cases[i].minor)((const uint8_t *)cases[i].table, cases[i].len,
						   cases[i].first_line, cases[i].offset);

		if (line != cases[i].line)
			fail_msg("case %zu: line %d, want %d", i, line, cases[i].line);
	}
}

/* Random tables of exact size, so that the address sanitizer sees a byte too many; the result is a
 * line or none. */
static void hostile(void **state)
{
	static const unsigned int minors[] = {8, 10, 11};
	unsigned int seed = 1;

	(void)state;
	for (int i = 0; i < 30000; i++) {
		size_t len = (size_t)rand_r(&seed) % 300;
		uint8_t *table = malloc(len + !len);

		for (size_t j = 0; j < len; j++)
			table[j] = (uint8_t)(rand_r(&seed) >> 4) | (i & 1 ? 0x40 : 0);
		for (size_t j = 0; j < 3; j++) {
			int first = j ? (int)rand_r(&seed) : INT32_MAX;
			uint32_t offset = i & 2 ? UINT32_MAX : (uint32_t)rand_r(&seed) % 1000;

			assert_true(line_of(minors[j])(table, len, first, offset) >= -1);
			assert_true(line_of(minors[j])(table, len, INT32_MIN, offset) >= -1);
		}
		free(table);
	}
}

struct record {
	int32_t first_line;
	uint32_t table_bytes;
	uint32_t unit_cnt;
};

static void check_record(const struct record *r, const uint8_t *table, const int32_t *lines,
			 unsigned int minor, unsigned int code)
{
	for (uint32_t unit = 0; unit < r->unit_cnt; unit++) {
		int line = line_of(minor)(table, r->table_bytes, r->first_line, unit * 2);

		if (line != lines[unit])
			fail_msg("code object %u, code unit %u of %u: line %d, the interpreter "
				 "says %d",
				 code, unit, r->unit_cnt, line, lines[unit]);
	}
}

static void as_the_interpreter_says(void **state)
{
	const struct python *p = *state;
	unsigned int code_cnt = 0;
	struct child c;
	struct record r;

	if (!p->command[0])
		skip();
	child__start(&c, p, "tests/data/linetables.py");
	while (fread(&r, sizeof(r), 1, c.out) == 1) {
		uint8_t *table = malloc(r.table_bytes + 1);
		int32_t *lines = malloc(r.unit_cnt * sizeof(*lines) + 1);

		assert_int_equal(fread(table, 1, r.table_bytes, c.out), r.table_bytes);
		assert_int_equal(fread(lines, sizeof(*lines), r.unit_cnt, c.out), r.unit_cnt);
		check_record(&r, table, lines, p->minor, code_cnt++);
		free(table);
		free(lines);
	}
	assert_int_equal(child__end(&c), 0);
	if (code_cnt < MIN_CODES)
		fail_msg("only %u code objects", code_cnt);
}

int main(void)
{
	struct CMUnitTest tests[2 + MAX_PYTHONS] = {cmocka_unit_test(by_hand),
						    cmocka_unit_test(hostile)};
	size_t cnt;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	signal(SIGPIPE, SIG_IGN);
	cnt = 2 + pythons__tests(tests + 2, as_the_interpreter_says);
	return _cmocka_run_group_tests("linetable", tests, cnt, NULL, NULL);
}
