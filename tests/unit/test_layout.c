/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Layouts: the table's shape, and debug offsets that are honest, foreign, absurd or random. No
 * process. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "python/layout.h"

#define RUNTIME 0x10000
#define WORDS 128

/* Memory: the words at RUNTIME, nothing else. */
static int read_words(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	const uint64_t *words = m->ctx;

	if (addr < RUNTIME || addr - RUNTIME + len > WORDS * sizeof(*words))
		return -EFAULT;
	memcpy(buf, (const char *)words + (addr - RUNTIME), len);
	return 0;
}

/*
 * The words that 3.14.10 (Debian) starts with, as its pycore_debug_offsets.h lays them out; only
 * those that count are here. Index, value.
 */
static const struct {
	uint16_t index;
	uint64_t value;
} words_314[] = {
	{1, 0x030e0af0},			 /* version */
	{2, 0},					 /* free_threaded */
	{3, 400000},				 /* runtime: size, finalizing, interpreters_head */
	{4, 784},	 {5, 808},  {6, 300000}, /* interpreter: size, id, next, threads_head,
						    threads_main, gc */
	{7, 7280},	 {8, 7272}, {9, 7344},	 {10, 7352},
	{11, 7408},	 {22, 800}, /* thread: size, prev, next, interp, current_frame, thread_id,
				       native_thread_id */
	{23, 0},	 {24, 8},   {25, 16},	 {26, 72},
	{27, 152},	 {28, 160}, {31, 88}, /* frame: size, previous, executable, instr_ptr,
						 localsplus, owner */
	{32, 8},	 {33, 0},   {34, 56},	 {35, 80},
	{36, 74},	 {39, 216}, /* code: size, filename, name, qualname, linetable, firstlineno,
				       argcount */
	{40, 112},	 {41, 120}, {42, 128},	 {43, 136},
	{44, 68},	 {45, 52},  {48, 208}, /* co_code_adaptive */
	{74, 40},			       /* bytes: size, ob_size, ob_sval */
	{75, 16},	 {76, 32},  {77, 64},  /* unicode: size, state, length, asciiobject_size */
	{78, 32},	 {79, 16},  {80, 40},	 {81, 264}, /* gc: size, collecting */
	{82, 192},
};

static void honest(uint64_t words[WORDS])
{
	memset(words, 0, WORDS * sizeof(*words));
	memcpy(words, "xdebugpy", 8);
	for (size_t i = 0; i < sizeof(words_314) / sizeof(words_314[0]); i++)
		words[words_314[i].index] = words_314[i].value;
}

static int layout_of(const uint64_t words[WORDS], uint16_t version, struct py_layout *ret)
{
	struct mem_reader m = {.read = read_words, .ctx = words};

	return py_layout__of_runtime(&m, RUNTIME, version, ret);
}

static void table(void **state)
{
	(void)state;
	assert_null(py_layout__of_version(PY_VERSION(3, 7)));
	assert_null(py_layout__of_version(PY_VERSION(3, 16)));
	assert_null(py_layout__of_version(PY_VERSION(2, 7)));
	assert_null(py_layout__of_version(0));
	for (unsigned int minor = 8; minor <= 15; minor++) {
		const struct py_layout *l = py_layout__of_version(PY_VERSION(3, minor));
		uint32_t third = minor >= 11 ? l->code.qualname : l->code.name;

		assert_non_null(l);
		assert_int_equal(l->version, PY_VERSION(3, minor));
		assert_int_equal(l->walk.frame_kind, minor <= 10   ? PY_FRAME_OBJECT
						     : minor <= 12 ? PY_FRAME_CFRAME
								   : PY_FRAME_CURRENT);
		/* The four words of the check. */
		assert_int_equal(l->walk.code_filename, l->code.filename - (minor >= 11 ? 0 : 8));
		assert_int_equal(third, l->walk.code_filename + 16);
		assert_int_equal(l->code.linetable, l->walk.code_filename + 24);
		assert_int_equal(l->walk.skip_owner, minor <= 11 ? 0 : 3);
		assert_int_equal(l->walk.code_tag_mask, minor <= 13 ? 0 : 3);
		assert_int_equal(l->walk.tss_key == PY_NO_FIELD, minor == 15);
		assert_int_equal(l->code.instructions == PY_NO_FIELD, minor <= 10);
		assert_int_equal(l->code.qualname == PY_NO_FIELD, minor <= 10);
		assert_int_equal(l->interp.gc == PY_NO_FIELD, minor == 8);
		assert_int_equal(l->runtime.allocators == PY_NO_FIELD, minor <= 11);
		assert_int_equal(l->runtime.tstate_current == PY_NO_FIELD, minor >= 12);
		assert_int_equal(l->gc.stats == PY_NO_FIELD, minor == 15);
		assert_int_equal(l->walk.gc_stats == PY_WALK_NONE, minor == 15);
		assert_int_equal(l->walk.tstate_interp == PY_WALK_NONE, minor == 8);
		assert_int_equal(l->walk.gc_callbacks_first, minor <= 12);
	}
}

/* Up to 3.12 nothing is read. */
static void from_table(void **state)
{
	struct mem_reader m = {.read = read_words, .ctx = NULL};
	struct py_layout l;

	(void)state;
	for (unsigned int minor = 8; minor <= 12; minor++) {
		assert_int_equal(py_layout__of_runtime(&m, 0, PY_VERSION(3, minor), &l), 0);
		assert_memory_equal(&l, py_layout__of_version(PY_VERSION(3, minor)), sizeof(l));
	}
	for (unsigned int minor = 13; minor <= 15; minor++)
		assert_int_equal(py_layout__of_runtime(&m, 0, PY_VERSION(3, minor), &l), -EFAULT);
	assert_int_equal(py_layout__of_runtime(&m, 0, PY_VERSION(3, 16), &l), -ENOTSUP);
}

static void told(void **state)
{
	uint64_t words[WORDS];
	struct py_layout l;

	(void)state;
	honest(words);
	assert_int_equal(layout_of(words, PY_VERSION(3, 14), &l), 0);
	assert_memory_equal(&l, py_layout__of_version(PY_VERSION(3, 14)), sizeof(l));

	/* What it tells goes before what the table has. */
	words[28] = 168;
	words[36] = 75;
	words[11] = 8000;
	assert_int_equal(layout_of(words, PY_VERSION(3, 14), &l), 0);
	assert_int_equal(l.tstate.native_thread_id, 168);
	assert_int_equal(l.walk.frame_owner, 75);
	assert_int_equal(l.interp.gc, 8000);
	assert_int_equal(l.walk.gc_stats, 8000 + l.gc.stats);

	/* The code object moves as a whole, and the check with it. */
	for (int i = 40; i <= 43; i++)
		words[i] += 16;
	assert_int_equal(layout_of(words, PY_VERSION(3, 14), &l), 0);
	assert_int_equal(l.walk.code_filename, 128);

	/* 3.14.0 to 3.14.4: a shorter struct, whose generations are not those of the table. */
	words[81] = 240;
	assert_int_equal(layout_of(words, PY_VERSION(3, 14), &l), 0);
	assert_int_equal(l.gc.generation0, PY_NO_FIELD);
	assert_int_equal(l.walk.gc_generation0, PY_WALK_NONE);
	assert_int_equal(l.gc.enabled, 12);
	assert_int_equal(l.walk.gc_stats, 8000 + l.gc.stats);

	/* A collector that is laid out differently: only what was told of it is known. */
	words[82] = 200;
	assert_int_equal(layout_of(words, PY_VERSION(3, 14), &l), 0);
	assert_int_equal(l.gc.collecting, 200);
	assert_int_equal(l.gc.enabled, PY_NO_FIELD);
	assert_int_equal(l.gc.stats, PY_NO_FIELD);
	assert_int_equal(l.walk.gc_stats, PY_WALK_NONE);
}

/* One word wrong. */
static const struct {
	uint16_t index;
	uint64_t value;
	int err;
} wrong[] = {
	{0, 0x7961676562756478, -EBADMSG}, /* no cookie */
	{1, 0x030d0af0, -ENOTSUP},	   /* another minor version */
	{1, 0x040e0af0, -ENOTSUP},	   /* another major version */
	{1, 0x1030e0af0, -EBADMSG},	   /* no version */
	{2, 1, -ENOTSUP},		   /* free-threaded */
	{3, 808, -EBADMSG},		   /* a field behind its struct */
	{3, 815, -EBADMSG},		   /* the end of a field behind its struct */
	{3, 1ull << 40, -EBADMSG},	   /* a struct of a tebibyte */
	{5, 809, -EBADMSG},		   /* not aligned */
	{5, 816, -ENOTSUP},		   /* then the thread-state key is elsewhere too */
	{7, UINT64_MAX, -EBADMSG},
	{7, (uint64_t)INT64_MIN, -EBADMSG},
	{7, 1ull << 32, -EBADMSG},
	{22, 0, -EBADMSG}, /* an empty struct */
	{22, 65537, -EBADMSG},
	{36, 88, -EBADMSG},
	{41, 128, -ENOTSUP}, /* the words of the check are not in a row */
	{44, 66, -EBADMSG},
	{48, 209, -EBADMSG},
	{80, 48, -ENOTSUP},
};

static void absurd(void **state)
{
	struct py_layout l, before;
	uint64_t words[WORDS];

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int err;

		honest(words);
		words[wrong[i].index] = wrong[i].value;
		l = before;
		err = layout_of(words, PY_VERSION(3, 14), &l);
		if (err != wrong[i].err)
			fail_msg("case %zu: %d, want %d", i, err, wrong[i].err);
		assert_memory_equal(&l, &before, sizeof(l));
	}
}

static bool told_offsets_bounded(const struct py_layout *l)
{
	return l->runtime.interpreters_head < 16u << 20 && l->interp.threads_head < 16u << 20 &&
	       l->tstate.next < 65536 && l->walk.frame_owner < 65536 && l->code.linetable < 65536 &&
	       l->bytes.data < 65536;
}

/* Honest words with a few random ones, in each shape: what is accepted is bounded. */
static void random_words(void **state)
{
	unsigned int seed = 7, accepted = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t words[WORDS];
		struct py_layout l;

		honest(words);
		for (int j = rand_r(&seed) % 4; j >= 0; j--)
			words[3 + (size_t)rand_r(&seed) % (WORDS - 3)] =
				(uint64_t)rand_r(&seed) << (rand_r(&seed) % 40) >>
				(rand_r(&seed) % 30);
		words[1] = 0x03000000u | (13u + (unsigned int)i % 3) << 16;
		if (layout_of(words, (uint16_t)(words[1] >> 16), &l) == 0) {
			accepted++;
			assert_true(told_offsets_bounded(&l));
		}
	}
	assert_true(accepted > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),  cmocka_unit_test(from_table),	  cmocka_unit_test(told),
		cmocka_unit_test(absurd), cmocka_unit_test(random_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
