/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/resident_account.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "records.h"

#define LINE 0x1234567890ull
#define PAGE 4096

struct step {
	uint64_t stack_id;
	uint32_t kind;
	int64_t gained;
};

struct claim_case {
	const char *what;
	struct step step[4];
	uint32_t kind;
	uint64_t bytes, claimable;
};

static void test_no_line_loses_more_than_the_process(void **state)
{
	static const struct claim_case cases[] = {
		{ "nothing lost", { { LINE, 0, 8 * PAGE } }, 0, PAGE, 0 },
		{ "lost by nobody we know", { { LINE, 0, 8 * PAGE }, { STACK_GIVEN_BACK, 0, -2 * PAGE } }, 0, PAGE, PAGE },
		{ "asked for more than was lost", { { LINE, 0, 8 * PAGE }, { STACK_GIVEN_BACK, 0, -PAGE } }, 0, 3 * PAGE, PAGE },
		{ "lost by a line itself", { { LINE, 0, 8 * PAGE }, { LINE, 0, -PAGE } }, 0, PAGE, 0 },
		{ "lost, then taken from a line",
		  { { STACK_GIVEN_BACK, 0, -2 * PAGE }, { LINE, 0, -PAGE }, { STACK_GIVEN_BACK, 0, PAGE } }, 0, 2 * PAGE, PAGE },
		{ "taken back in full", { { STACK_GIVEN_BACK, 0, -PAGE }, { STACK_GIVEN_BACK, 0, PAGE } }, 0, PAGE, 0 },
		{ "never below nothing", { { STACK_GIVEN_BACK, 0, PAGE } }, 0, PAGE, 0 },
		{ "file pages are no anonymous ones", { { STACK_GIVEN_BACK, 1, -PAGE } }, 0, PAGE, 0 },
		{ "file pages", { { STACK_GIVEN_BACK, 1, -PAGE } }, 1, PAGE, PAGE },
		{ "shared memory", { { STACK_GIVEN_BACK, 2, -PAGE } }, 2, PAGE, PAGE },
		{ "blocks are no pages", { { STACK_GIVEN_BACK, KIND_EXACT, -PAGE } }, KIND_EXACT, PAGE, 0 },
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct claim_case *c = &cases[i];
		struct resident_account a = {};
		uint64_t got;

		for (j = 0; j < 4; j++)
			resident_account__count(&a, c->step[j].stack_id, c->step[j].kind, c->step[j].gained);
		got = resident_account__claimable(&a, c->kind, c->bytes);
		if (got != c->claimable)
			fail_msg("%s: %llu, not %llu", c->what, (unsigned long long)got, (unsigned long long)c->claimable);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_line_loses_more_than_the_process),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
