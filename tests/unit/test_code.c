/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Code objects in made-up memory: good, random, cut, pointing at itself, absurd. Live interpreters:
 * test_live.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "python/code.h"

/* The process is gone: an error, not a guess. */
static void process_gone(void **state)
{
	const struct py_layout *l = py_layout__of_version(PY_VERSION(3, 11));
	struct mem_reader m;
	struct py_code c = {.first_line = 42};
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	m = mem_reader__of_process(pid);
	assert_int_equal(py_code__read(&m, l, 0x1000, &c), -ESRCH);
	assert_int_equal(c.first_line, 42);
	m = mem_reader__of_process(getpid());
	assert_int_equal(py_code__read(&m, l, 0x10, &c), -EFAULT);
}

/* Made-up memory: `len` bytes at BASE. */
#define BASE 0x7f0000000000ull

struct memory {
	uint8_t *bytes;
	size_t len;
};

static int read_memory(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	const struct memory *mem = m->ctx;

	if (addr < BASE || addr - BASE > mem->len || len > mem->len - (addr - BASE))
		return -EFAULT;
	memcpy(buf, mem->bytes + (addr - BASE), len);
	return 0;
}

static void put(struct memory *mem, uint64_t at, uint64_t value, size_t len)
{
	memcpy(mem->bytes + at, &value, len);
}

#define CODE_AT 0x100
#define NAME_AT 0x400
#define FILE_AT 0x600
#define TABLE_AT 0x800
#define MEMORY_BYTES 0x1000
#define COMPACT_ASCII (1u << 2 | 1u << 5 | 1u << 6)
#define COMPACT(kind) ((kind) << 2 | 1u << 5)

/* A good code object of a version: "f" in "a.py", from line 10 on. */
static void make_code(struct memory *mem, const struct py_layout *l)
{
	uint32_t function = l->code.qualname == PY_NO_FIELD ? l->code.name : l->code.qualname;

	memset(mem->bytes, 0, mem->len);
	put(mem, CODE_AT + l->code.filename, BASE + FILE_AT, 8);
	put(mem, CODE_AT + l->code.name, BASE + NAME_AT, 8);
	put(mem, CODE_AT + function, BASE + NAME_AT, 8);
	put(mem, CODE_AT + l->code.linetable, BASE + TABLE_AT, 8);
	put(mem, CODE_AT + l->code.firstlineno, 10, 4);
	put(mem, NAME_AT + l->unicode.length, 1, 8);
	put(mem, NAME_AT + l->unicode.state, COMPACT_ASCII, 4);
	put(mem, NAME_AT + l->unicode.ascii_data, 'f', 1);
	put(mem, FILE_AT + l->unicode.length, 4, 8);
	put(mem, FILE_AT + l->unicode.state, COMPACT_ASCII, 4);
	memcpy(mem->bytes + FILE_AT + l->unicode.ascii_data, "a.py", 4);
	put(mem, TABLE_AT + l->bytes.size, 4, 8);
	memcpy(mem->bytes + TABLE_AT + l->bytes.data, "\x02\x01\x04\x03", 4);
}

/* What is at one place of the memory, and what comes of it. */
static const struct {
	uint64_t at;
	uint64_t value;
	size_t len;
	int err;
	const char *function;
} memories[] = {
	{0, 0, 8, 0, "f"},
	{CODE_AT + 120, 0, 8, -EFAULT, NULL}, /* 3.10: co_name, co_linetable: null */
	{CODE_AT + 112, 0, 8, -EFAULT, NULL},
	{CODE_AT + 112, BASE + MEMORY_BYTES - 8, 8, -EFAULT,
	 NULL},						    /* the end of memory in the middle */
	{CODE_AT + 112, UINT64_MAX - 8, 8, -EFAULT, NULL},  /* addresses wrap */
	{CODE_AT + 112, BASE + CODE_AT, 8, -EBADMSG, NULL}, /* itself: no text */
	{NAME_AT + 16, UINT64_MAX, 8, -EBADMSG, NULL},	    /* length */
	{NAME_AT + 16, 1 << 30, 8, -EBADMSG, NULL},
	{NAME_AT + 16, 1 << 20, 8, 0, NULL}, /* cut to what is kept of a name: readable */
	{NAME_AT + 16, 0, 8, 0, ""},
	{NAME_AT + 32, 0, 4, -EBADMSG, NULL}, /* state: not ready */
	{NAME_AT + 32, COMPACT(3u), 4, -EBADMSG, NULL},
	{NAME_AT + 32, COMPACT(5u), 4, -EBADMSG, NULL},
	{NAME_AT + 32, 1u << 2, 4, -EFAULT, NULL}, /* of a subclass, without characters */
	{NAME_AT + 48, 0xe9, 1, 0, "\xc3\xa9"},	   /* "ascii" that is not */
	{NAME_AT + 48, 0, 1, 0, "\xef\xbf\xbd"},
	{TABLE_AT + 16, UINT64_MAX, 8, -EBADMSG, NULL}, /* size */
	{TABLE_AT + 16, 1 << 29, 8, -EBADMSG, NULL},
	{TABLE_AT + 16, 1 << 20, 8, -EFAULT, NULL},
	{TABLE_AT + 16, 0, 8, 0, "f"},
};

static void made_up(void **state)
{
	const struct py_layout *l = py_layout__of_version(PY_VERSION(3, 10));
	struct memory mem = {.bytes = malloc(MEMORY_BYTES), .len = MEMORY_BYTES};
	struct mem_reader m = {.read = read_memory, .ctx = &mem};

	(void)state;
	for (size_t i = 0; i < sizeof(memories) / sizeof(memories[0]); i++) {
		struct py_code c = {.first_line = -7};
		int err;

		make_code(&mem, l);
		put(&mem, memories[i].at, memories[i].value, memories[i].len);
		err = py_code__read(&m, l, BASE + CODE_AT, &c);
		if (err != memories[i].err)
			fail_msg("case %zu: %d, want %d", i, err, memories[i].err);
		if (err) {
			assert_int_equal(c.first_line, -7);
			assert_null(c.function);
			continue;
		}
		if (memories[i].function)
			assert_string_equal(c.function, memories[i].function);
		assert_string_equal(c.filename, "a.py");
		py_code__free(&c);
		py_code__free(&c);
	}
	py_code__free(NULL);
	free(mem.bytes);
}

/* Wide characters, with all that UTF-8 must not hold. */
static void wide(void **state)
{
	static const uint32_t chars[] = {'a',	 0xe9, 0x6587,	 0x1f40d,    0xd800,
					 0xdfff, 0,    0x110000, 0xffffffff, 0x10ffff};
	const struct py_layout *l = py_layout__of_version(PY_VERSION(3, 10));
	struct memory mem = {.bytes = malloc(MEMORY_BYTES), .len = MEMORY_BYTES};
	struct mem_reader m = {.read = read_memory, .ctx = &mem};
	struct py_code c;

	(void)state;
	make_code(&mem, l);
	put(&mem, NAME_AT + l->unicode.length, sizeof(chars) / sizeof(chars[0]), 8);
	put(&mem, NAME_AT + l->unicode.state, COMPACT(4u), 4);
	memcpy(mem.bytes + NAME_AT + l->unicode.compact_data, chars, sizeof(chars));
	assert_int_equal(py_code__read(&m, l, BASE + CODE_AT, &c), 0);
	assert_string_equal(
		c.function,
		"a\xc3\xa9\xe6\x96\x87\xf0\x9f\x90\x8d"
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf4\x8f\xbf\xbf");
	py_code__free(&c);
	free(mem.bytes);
}

static const struct {
	unsigned int minor;
	int64_t instr; /* 3.11+: from the first instruction on */
	int line;
} instrs[] = {
	{8, -1, 10}, /* nothing has run */
	{8, 0, 10},	    {8, 2, 11},		 {8, 6, 14},  {8, 1000000, 14},
	{9, 2, 11},	    {10, -1, 10},	 {10, 0, 11}, {10, 1, 14}, /* code units */
	{10, 3, 10},							   /* behind the table */
	{11, -2, 10},	    {11, 0, 10}, /* the table's first byte begins no entry's line */
	{11, -1000000, 10}, {11, INT64_MAX, 10}, {13, 0, 10}, {15, 1 << 20, 10},
};

static void lines(void **state)
{
	struct memory mem = {.bytes = malloc(MEMORY_BYTES), .len = MEMORY_BYTES};
	struct mem_reader m = {.read = read_memory, .ctx = &mem};

	(void)state;
	for (size_t i = 0; i < sizeof(instrs) / sizeof(instrs[0]); i++) {
		const struct py_layout *l = py_layout__of_version(PY_VERSION(3, instrs[i].minor));
		struct py_code c;
		int line;

		make_code(&mem, l);
		assert_int_equal(py_code__read(&m, l, BASE + CODE_AT, &c), 0);
		/* The kernel side may carry f_lasti with or without its sign. */
		line = py_code__line(&c, c.instructions + (uint64_t)instrs[i].instr);
		if (line != instrs[i].line)
			fail_msg("case %zu: line %d, want %d", i, line, instrs[i].line);
		if (instrs[i].minor <= 10)
			assert_int_equal(py_code__line(&c, (uint32_t)instrs[i].instr), line);
		py_code__free(&c);
	}
	free(mem.bytes);
}

/* Random memory, and good memory with random damage: an error or a bounded result, whatever it is.
 */
static void hostile(void **state)
{
	struct memory mem = {.bytes = malloc(MEMORY_BYTES), .len = MEMORY_BYTES};
	struct mem_reader m = {.read = read_memory, .ctx = &mem};
	unsigned int seed = 3, read_cnt = 0;

	(void)state;
	for (int i = 0; i < 40000; i++) {
		const struct py_layout *l = py_layout__of_version(PY_VERSION(3, 8 + i % 8));
		struct py_code c;
		int err;

		make_code(&mem, l);
		for (int j = rand_r(&seed) % 12; j >= 0; j--) {
			size_t at = (size_t)rand_r(&seed) % (MEMORY_BYTES - 8);

			put(&mem, at,
			    i & 8 ? BASE + (uint64_t)rand_r(&seed) % MEMORY_BYTES
				  : (uint64_t)rand_r(&seed),
			    i & 8 ? 8 : 1);
		}
		err = py_code__read(&m, l, BASE + CODE_AT, &c);
		assert_true(!err || err == -EFAULT || err == -EBADMSG);
		if (err)
			continue;
		read_cnt++;
		assert_true(strlen(c.filename) < PY_MAX_FILENAME_BYTES &&
			    strlen(c.function) < PY_MAX_NAME_BYTES);
		assert_true(c.linetable_bytes <= PY_MAX_LINETABLE_BYTES);
		py_code__line(&c, (uint64_t)rand_r(&seed));
		py_code__line(&c, c.instructions + (uint64_t)rand_r(&seed) % 64);
		py_code__free(&c);
	}
	assert_true(read_cnt > 1000);
	free(mem.bytes);
}

/* The words of the check change between the two looks: two code objects, not one. */
static int read_changing(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	struct memory *mem = (struct memory *)m->ctx;
	int err = read_memory(m, addr, buf, len);

	mem->bytes[CODE_AT + py_layout__of_version(PY_VERSION(3, 11))->code.linetable] ^= len == 32;
	return err;
}

static void replaced(void **state)
{
	const struct py_layout *l = py_layout__of_version(PY_VERSION(3, 11));
	struct memory mem = {.bytes = malloc(MEMORY_BYTES), .len = MEMORY_BYTES};
	struct mem_reader m = {.read = read_changing, .ctx = &mem};
	struct py_code c;

	(void)state;
	make_code(&mem, l);
	assert_int_equal(py_code__read(&m, l, BASE + CODE_AT, &c), -EBADMSG);
	free(mem.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(process_gone), cmocka_unit_test(made_up),
		cmocka_unit_test(wide),		cmocka_unit_test(lines),
		cmocka_unit_test(hostile),	cmocka_unit_test(replaced),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
