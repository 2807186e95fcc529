/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is told of a collection's trigger, from what was found; that it is right, tests/e2e/gc.t checks on every interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "capture/gc_trigger.h"

static const struct {
	uint32_t evidence;
	bool callers_known;
	enum gc_trigger trigger;
} rows[] = {
	/* 3.13+: the argument tells all but who collects on purpose. */
	{GC_SAYS_HEAP, false, GC_TRIGGER_AUTOMATIC},
	{GC_SAYS_HEAP | GC_FINALIZING, true, GC_TRIGGER_AUTOMATIC},
	{GC_SAYS_HEAP | GC_IN_COLLECT | GC_IN_FRAME, true, GC_TRIGGER_AUTOMATIC},
	{GC_SAYS_SHUTDOWN, false, GC_TRIGGER_SHUTDOWN},
	{GC_SAYS_MANUAL | GC_IN_COLLECT | GC_IN_FRAME, true, GC_TRIGGER_COLLECT},
	{GC_SAYS_MANUAL | GC_IN_COLLECT | GC_IN_FRAME | GC_FINALIZING, true, GC_TRIGGER_COLLECT},
	{GC_SAYS_MANUAL | GC_IN_API | GC_IN_FRAME, true, GC_TRIGGER_NATIVE},
	{GC_SAYS_MANUAL | GC_IN_API | GC_FINALIZING, true, GC_TRIGGER_SHUTDOWN},
	{GC_SAYS_MANUAL | GC_FINALIZING, true, GC_TRIGGER_SHUTDOWN}, /* inlined into Py_FinalizeEx */
	{GC_SAYS_MANUAL | GC_IN_FRAME | GC_DUE, true, GC_TRIGGER_UNKNOWN},
	{GC_SAYS_MANUAL, false, GC_TRIGGER_UNKNOWN},
	/* Before, and where the argument is not known: which of them it was not. */
	{GC_IN_COLLECT | GC_IN_FRAME | GC_DUE, true, GC_TRIGGER_COLLECT},
	{GC_IN_API, true, GC_TRIGGER_NATIVE},
	{GC_IN_API | GC_FINALIZING, true, GC_TRIGGER_SHUTDOWN},
	{GC_IN_FRAME | GC_DUE, true, GC_TRIGGER_AUTOMATIC},
	{GC_IN_FRAME | GC_DUE, false, GC_TRIGGER_UNKNOWN}, /* it may have been gc.collect() */
	{GC_DUE, true, GC_TRIGGER_UNKNOWN}, /* C code made objects, or an interpreter ends */
	{GC_IN_FRAME | GC_NOT_DUE, true, GC_TRIGGER_UNKNOWN},
	{GC_IN_FRAME, true, GC_TRIGGER_UNKNOWN}, /* the counts could not be read */
	{GC_FINALIZING | GC_NOT_DUE, true, GC_TRIGGER_SHUTDOWN},
	{GC_FINALIZING | GC_NOT_DUE, false, GC_TRIGGER_UNKNOWN},
	{GC_FINALIZING | GC_DUE, true, GC_TRIGGER_UNKNOWN}, /* both may be */
	{0, true, GC_TRIGGER_UNKNOWN},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum gc_trigger trigger = gc_trigger__of(rows[i].evidence, rows[i].callers_known);

		if (trigger != rows[i].trigger)
			fail_msg("row %zu: %d, want %d", i, trigger, rows[i].trigger);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
