/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Records with native code that are not what they say. */
#include "capture/event.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

union any {
	struct rec_stack stack;
	struct rec_native native;
	char bytes[8192];
};

static void stacks(void **state)
{
	const size_t empty = sizeof(struct rec_stack), one = empty + sizeof(struct py_frame);
	const struct {
		size_t len;
		uint32_t depth;
		uint8_t native_cnt, native_end;
		int err;
	} cases[] = {
		{ empty, 0, 0, NATIVE_END_NONE, 0 },
		{ empty, 0, MAX_NATIVE_FRAMES, NATIVE_END_CUT, 0 },
		{ one, 1, 3, NATIVE_END_PYTHON, 0 },
		{ empty, 1, 0, NATIVE_END_NONE, -EBADMSG },
		{ empty, 0, MAX_NATIVE_FRAMES + 1, NATIVE_END_CUT, -EBADMSG },
		{ empty, 0, 255, NATIVE_END_CUT, -EBADMSG },
		{ empty, 0, 1, NATIVE_END_MAX, -EBADMSG },
		{ empty - 8, 0, 0, NATIVE_END_NONE, -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		union any a;

		memset(&a, 0, sizeof(a));
		a.stack.hdr.kind = REC_STACK;
		a.stack.hdr.len = cases[i].len;
		a.stack.depth = cases[i].depth;
		a.stack.native_cnt = cases[i].native_cnt;
		a.stack.native_end = cases[i].native_end;
		print_message("case %zu\n", i);
		assert_int_equal(record__check(&a, cases[i].len), cases[i].err);
	}
}

static void questions(void **state)
{
	const struct {
		size_t len;
		uint16_t got;
		int err;
	} cases[] = {
		{ sizeof(struct rec_native), 0, 0 },
		{ sizeof(struct rec_native), NATIVE_STACK_BYTES, 0 },
		{ sizeof(struct rec_native), NATIVE_STACK_BYTES + 1, -EBADMSG },
		{ sizeof(struct rec_native), 0xffff, -EBADMSG },
		{ sizeof(struct rec_native) - 8, 0, -EBADMSG },
		{ sizeof(struct rec_native) + 8, 0, -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		union any a;

		memset(&a, 0, sizeof(a));
		a.native.hdr.kind = REC_NATIVE;
		a.native.hdr.len = cases[i].len;
		a.native.got = cases[i].got;
		print_message("case %zu\n", i);
		assert_int_equal(record__check(&a, cases[i].len), cases[i].err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(stacks), cmocka_unit_test(questions) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
