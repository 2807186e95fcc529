/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Arguments of USDT probes: the forms that compilers write, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/ptrace.h>
#include <cmocka.h>
#include <errno.h>

#include "python/usdt_arg.h"

#if defined(__x86_64__)
#define REG(name) (offsetof(struct pt_regs, name) / 8)

static const struct {
	const char *text;
	int err;
	enum site_arg_form form;
	int is_signed, log2_bytes;
	size_t reg;
	long value;
} cases[] = {
	{"-4@112(%rsp)", 0, SITE_ARG_MEMORY, 1, 2, REG(rsp), 112}, /* Debian's 3.11, gc__start */
	{"-8@%r12", 0, SITE_ARG_REGISTER, 1, 3, REG(r12), 0}, /* Debian's 3.11, gc__done */
	{"8@%rax -4@%ebx", 0, SITE_ARG_REGISTER, 0, 3, REG(rax), 0},
	{"-4@%r10d", 0, SITE_ARG_REGISTER, 1, 2, REG(r10), 0},
	{"-4@%ebx", 0, SITE_ARG_REGISTER, 1, 2, REG(rbx), 0},
	{"1@%sil", 0, SITE_ARG_REGISTER, 0, 0, REG(rsi), 0},
	{"2@-16(%rbp)", 0, SITE_ARG_MEMORY, 0, 1, REG(rbp), -16},
	{"-4@(%rdi)", 0, SITE_ARG_MEMORY, 1, 2, REG(rdi), 0},
	{"-4@$2", 0, SITE_ARG_CONSTANT, 1, 2, 0, 2},
	{"-8@$-1", 0, SITE_ARG_CONSTANT, 1, 3, 0, -1},
	{"", -ENOENT, 0, 0, 0, 0, 0},
	{"  ", -ENOENT, 0, 0, 0, 0, 0},
	{"4", -EINVAL, 0, 0, 0, 0, 0},
	{"3@%rax", -EINVAL, 0, 0, 0, 0, 0},
	{"16@%rax", -EINVAL, 0, 0, 0, 0, 0},
	{"4@%xmm0", -EINVAL, 0, 0, 0, 0, 0},
	{"4@8(%rax,%rbx,4)", -EINVAL, 0, 0, 0, 0, 0},
	{"4@symbol(%rip)", -EINVAL, 0, 0, 0, 0, 0},
	{"4@8(%rip)", -EINVAL, 0, 0, 0, 0, 0},
	{"4@9999999(%rsp)", -EINVAL, 0, 0, 0, 0, 0},
	{"4@%rax)", -EINVAL, 0, 0, 0, 0, 0},
	{"4@8(%rax", -EINVAL, 0, 0, 0, 0, 0},
	{"4@8(%raxraxrax)", -EINVAL, 0, 0, 0, 0, 0},
	{"4@%rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", -EINVAL, 0, 0, 0, 0, 0},
};

static void test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		union site_cookie c = {.attach_id = 0xabcdef, .kind = PROBE_GC_USDT}, before = c;

		print_message("# '%s'\n", cases[i].text);
		assert_int_equal(usdt_arg__parse(cases[i].text, &c), cases[i].err);
		if (cases[i].err) {
			assert_true(c.raw == before.raw);
			continue;
		}
		assert_int_equal(c.attach_id, 0xabcdef);
		assert_int_equal(c.kind, PROBE_GC_USDT);
		assert_int_equal(c.arg_form, cases[i].form);
		assert_int_equal(c.arg_signed, cases[i].is_signed);
		assert_int_equal(c.arg_log2_bytes, cases[i].log2_bytes);
		assert_int_equal(c.arg_register, cases[i].reg);
		assert_int_equal(c.arg_value, cases[i].value);
	}
}
#else
static void test_forms(void **state)
{
	(void)state;
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms)};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
