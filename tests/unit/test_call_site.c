/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What stands before a return address. */
#include "system/call_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define CASE(yes, ...) { yes, { __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }) }

static void bytes_before(void **state)
{
	static const struct {
		bool yes;
		uint8_t code[CALL_SITE_MAX_BYTES];
		size_t n;
	} cases[] = {
		CASE(true, 0xe8, 0x10, 0x20, 0x00, 0x00), /* call */
		CASE(true, 0x90, 0xe8, 0xff, 0xff, 0xff, 0xff),
		CASE(true, 0xff, 0xd0), /* call *%rax */
		CASE(true, 0x41, 0xff, 0xd4), /* call *%r12 */
		CASE(true, 0x90, 0x90, 0x90, 0xff, 0x50, 0x18), /* call *0x18(%rax) */
		CASE(true, 0xff, 0x15, 0x01, 0x02, 0x03, 0x04), /* call *(%rip) */
		CASE(true, 0x41, 0xff, 0x94, 0xc4, 0x01, 0x02, 0x03, 0x04), /* call *disp(%r12,%rax,8) */
		CASE(true, 0x3e, 0xff, 0xd0), /* notrack call *%rax */
		CASE(true, 0x67, 0xe8, 0x01, 0x02, 0x03, 0x04), /* addr32 call, as linkers relax call *(%rip) */
		CASE(false, 0xe9, 0x10, 0x20, 0x00, 0x00), /* jmp */
		CASE(false, 0xff, 0xe0), /* jmp *%rax */
		CASE(false, 0xff, 0xf0), /* push %rax */
		CASE(false, 0x90, 0x90, 0x90, 0x90, 0x90),
		CASE(false, 0x48, 0x89, 0xc7), /* mov %rax, %rdi */
		CASE(false, 0xc3),
		CASE(false, 0xe8, 0x10, 0x20, 0x00), /* a call that ends later */
		CASE(false, 0x00),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		print_message("case %zu\n", i);
		assert_int_equal(call_site__ends(cases[i].code, cases[i].n), cases[i].yes);
	}
	assert_false(call_site__ends(cases[0].code, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bytes_before) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
