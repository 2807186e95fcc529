/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Rules of .eh_frame, against functions written in assembly whose rules are plain to see: this program is the file that is read.
 * And damaged tables: nothing is believed that does not fit, and nothing hangs.
 */
#include "system/unwind_table.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define FUNCTION(name, body)                                                                                             \
	asm(".pushsection .text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" body "\n.size " #name    \
	    ", . - " #name "\n.popsection\n");                                                                           \
	extern const char name[]
#define POINT(name) ".globl " #name "\n" #name ":\n"
#define DECLARE(name) extern const char name[]

FUNCTION(with_bp, ".cfi_startproc\n"
	 "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset 6, -16\n" POINT(with_bp_pushed)
	 "mov %rsp, %rbp\n.cfi_def_cfa_register 6\n" POINT(with_bp_body)
	 "nop\npop %rbp\n.cfi_def_cfa 7, 8\n.cfi_restore 6\n" POINT(with_bp_end) "ret\n.cfi_endproc");
DECLARE(with_bp_pushed);
DECLARE(with_bp_body);
DECLARE(with_bp_end);

FUNCTION(without_bp, ".cfi_startproc\n"
	 "push %rbx\n.cfi_def_cfa_offset 16\n.cfi_offset 3, -16\n"
	 "push %rbp\n.cfi_def_cfa_offset 24\n.cfi_offset 6, -24\n"
	 "sub $5000, %rsp\n.cfi_def_cfa_offset 5024\n" POINT(without_bp_body)
	 ".cfi_remember_state\nadd $5000, %rsp\n.cfi_def_cfa_offset 24\n"
	 "pop %rbp\n.cfi_restore 6\n.cfi_def_cfa_offset 16\n" POINT(without_bp_popped)
	 "pop %rbx\nret\n.cfi_restore_state\n" POINT(without_bp_restored) "nop\nret\n.cfi_endproc");
DECLARE(without_bp_body);
DECLARE(without_bp_popped);
DECLARE(without_bp_restored);

/* As gcc aligns a stack: CFA is the word at rbp - 8, rbp was saved at rbp. */
FUNCTION(aligned, ".cfi_startproc\n"
	 "lea 8(%rsp), %r10\n.cfi_def_cfa 10, 0\n" POINT(aligned_r10)
	 "and $-32, %rsp\npush -8(%r10)\npush %rbp\n.cfi_escape 0x10, 6, 2, 0x76, 0\n"
	 "mov %rsp, %rbp\npush %r10\n.cfi_escape 0x0f, 3, 0x76, 0x78, 0x06\n" POINT(aligned_body)
	 "nop\nret\n.cfi_endproc");
DECLARE(aligned_r10);
DECLARE(aligned_body);

FUNCTION(outermost, ".cfi_startproc\n.cfi_undefined 16\nnop\nret\n.cfi_endproc");
FUNCTION(signal_frame, ".cfi_startproc\n.cfi_signal_frame\nnop\nret\n.cfi_endproc");
/* As in a procedure linkage table: an expression over the instruction pointer. */
FUNCTION(by_expression, ".cfi_startproc\n.cfi_escape 0x0f, 5, 0x77, 8, 0x80, 0, 0x22\nnop\nret\n.cfi_endproc");
FUNCTION(bp_in_register, ".cfi_startproc\n.cfi_register 6, 3\nnop\nret\n.cfi_endproc");
FUNCTION(enormous, ".cfi_startproc\n.cfi_def_cfa_offset 0x40000000\nnop\nret\n.cfi_endproc");
FUNCTION(undescribed, "nop\nnop\nret\n");

static int find_bias(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(uint64_t *)arg = info->dlpi_addr;
	return 1; /* the first is the program */
}

static uint64_t bias(void)
{
	uint64_t b = 0;

	dl_iterate_phdr(find_bias, &b);
	return b;
}

static struct elf_file *open_self(void)
{
	struct elf_file *f;

	assert_int_equal(elf_file__open("/proc/self/exe", &f), 0);
	return f;
}

static void rules(void **state)
{
	static const struct {
		const char *at, *function;
		int err;
		struct native_rule rule;
	} cases[] = {
		{ with_bp, with_bp, 0, { .from = NATIVE_FROM_SP, .cfa = 8 } },
		{ with_bp_pushed, with_bp, 0, { .from = NATIVE_FROM_SP, .cfa = 16, .bp = NATIVE_BP_AT_CFA, .bp_offset = -16 } },
		{ with_bp_body, with_bp, 0, { .from = NATIVE_FROM_BP, .cfa = 16, .bp = NATIVE_BP_AT_CFA, .bp_offset = -16 } },
		{ with_bp_end, with_bp, 0, { .from = NATIVE_FROM_SP, .cfa = 8 } },
		{ without_bp, without_bp, 0, { .from = NATIVE_FROM_SP, .cfa = 8 } },
		{ without_bp_body, without_bp, 0, { .from = NATIVE_FROM_SP, .cfa = 5024, .bp = NATIVE_BP_AT_CFA, .bp_offset = -24 } },
		{ without_bp_popped, without_bp, 0, { .from = NATIVE_FROM_SP, .cfa = 16 } },
		{ without_bp_restored, without_bp, 0,
		  { .from = NATIVE_FROM_SP, .cfa = 5024, .bp = NATIVE_BP_AT_CFA, .bp_offset = -24 } },
		{ aligned_r10, NULL, -ENOTSUP, {} },
		{ aligned_body, aligned, 0, { .from = NATIVE_FROM_BP_MEMORY, .cfa = -8, .bp = NATIVE_BP_AT_BP } },
		{ outermost, outermost, 0, { .from = NATIVE_NO_CALLER, .end = NATIVE_END_OUTERMOST } },
		{ signal_frame, NULL, -ENOTSUP, {} },
		{ by_expression, NULL, -ENOTSUP, {} },
		{ bp_in_register, bp_in_register, 0, { .from = NATIVE_FROM_SP, .cfa = 8, .bp = NATIVE_BP_LOST } },
		{ enormous, NULL, -ENOTSUP, {} },
		{ undescribed + 1, NULL, -ENOENT, {} },
	};
	struct elf_file *f = open_self();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct native_rule want = cases[i].rule, got = {};

		print_message("case %zu\n", i);
		assert_int_equal(unwind_table__rule(f, (uint64_t)cases[i].at - bias(), &got), cases[i].err);
		want.function = cases[i].function ? (uint64_t)cases[i].function - bias() : 0;
		assert_memory_equal(&got, &want, sizeof(want));
	}
	elf_file__free(f);
}

/* What the compiler says of all code is understood: our own functions are, from begin to end. */
static void every_address(void **state)
{
	struct elf_file *f = open_self();
	struct elf_symbol text;
	struct native_rule rule;
	size_t known = 0, n = 0;

	(void)state;
	assert_int_equal(elf_file__section(f, ".text", &text), 0);
	for (uint64_t at = text.addr; at < text.addr + text.size; at += 7, n++)
		known += !unwind_table__rule(f, at, &rule);
	assert_true(known * 100 > n * 95);
	elf_file__free(f);
}

static char *read_self(size_t *ret)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	off_t n = lseek(fd, 0, SEEK_END);
	char *bytes = malloc(n);

	assert_true(fd >= 0 && n > 0 && bytes);
	assert_int_equal(pread(fd, bytes, n, 0), n);
	close(fd);
	*ret = n;
	return bytes;
}

static void write_file(const char *path, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static void damaged(void **state)
{
	static const char *const sections[] = { ".eh_frame", ".eh_frame_hdr" };
	char path[] = "/tmp/test_unwind_table.XXXXXX";
	struct elf_symbol section, text;
	struct elf_file *f = open_self();
	uint64_t offset;
	size_t n;
	char *bytes = read_self(&n), *copy = malloc(n);

	(void)state;
	close(mkstemp(path));
	assert_int_equal(elf_file__section(f, ".text", &text), 0);
	srand(1);
	for (int round = 0; round < 200; round++) {
		struct elf_file *bad;
		struct native_rule rule;

		memcpy(copy, bytes, n);
		assert_int_equal(elf_file__section(f, sections[round % 2], &section), 0);
		assert_int_equal(elf_file__file_offset(f, section.addr, &offset), 0);
		for (int i = 0; i < 1 << round % 10; i++)
			copy[offset + rand() % section.size] = rand();
		write_file(path, copy, round % 5 == 4 ? offset + rand() % section.size : n);
		if (elf_file__open(path, &bad))
			continue;
		for (int i = 0; i < 100; i++)
			unwind_table__rule(bad, text.addr + rand() % text.size, &rule);
		elf_file__free(bad);
	}
	unlink(path);
	elf_file__free(f);
	free(bytes);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(every_address),
		cmocka_unit_test(damaged),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
