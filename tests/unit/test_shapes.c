/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Guards, bodies, raw calls and the collector in the shapes that compilers make of them, assembled one by one. What GCC 12 really made is
 * in the interpreters of test_decode.c, of which those built as the official image are mostly not at hand; so each shape
 * seen there stands here. Labels: guard_*: a guard of an inlined allocation is found at this jump; calls_*: a guard whose
 * two sides both call; raw_*: the first place behind a call of the raw allocator that the kernel emulates, or else the call's
 * return.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "python/decode.h"
#include "python/guards.h"

#define FUNCTION(name, body) ".type " name ", @function\n" name ":\n.cfi_startproc\n" body ".cfi_endproc\n.size " name ", .-" name "\n"

/* The allocator's functions, big enough not to be taken for mere hand-overs. */
#define ALLOCATOR \
	".data\n.globl _PyRuntime\n_PyRuntime: .skip 0x400\n.text\n" \
	FUNCTION("obj_malloc", "push %rbx\n mov (%rsi), %rax\n pop %rbx\n ret\n") \
	FUNCTION("obj_calloc", "push %rbx\n mov (%rsi), %rax\n pop %rbx\n ret\n") \
	FUNCTION("obj_realloc", "test %rsi, %rsi\n je 1f\n jmp obj_realloc_part\n 1: mov %rdx, %rsi\n jmp obj_malloc\n") \
	FUNCTION("obj_realloc_part", "push %rbx\n mov (%rsi), %rax\n pop %rbx\n ret\n") \
	FUNCTION("obj_free", "test %rsi, %rsi\n je 1f\n push %rbx\n mov %rax, (%rsi)\n pop %rbx\n 1: ret\n") \
	FUNCTION("raw_malloc", "mov %rsi, %rdi\n jmp malloc@plt\n") \
	FUNCTION("raw_calloc", "mov %rsi, %rdi\n mov %rdx, %rsi\n jmp calloc@plt\n") \
	FUNCTION("raw_realloc", "mov %rsi, %rdi\n mov %rdx, %rsi\n jmp realloc@plt\n") \
	FUNCTION("raw_free", "mov %rsi, %rdi\n jmp free@plt\n") \
	FUNCTION("other", "push %rbx\n pop %rbx\n ret\n")

/* An inlined body, and the call where the pointer differs. */
#define INLINED(end) "mov (%rdi), %rax\n mov (%rax), %rcx\n mov %rcx, (%rdi)\n jmp " end "\n"

static const char *const names[ALLOC_FUNCTIONS] = { "obj_malloc", "obj_calloc", "obj_realloc", "obj_free" };
static const char *const raw_names[ALLOC_FUNCTIONS] = { "raw_malloc", "raw_calloc", "raw_realloc", "raw_free" };

/* _PyRuntime.allocators.standard of 3.13 */
#define RAW_TABLE 0x2c0

struct code {
	struct elf_file *file;
	struct machine_code *code;
	uint64_t functions[ALLOC_FUNCTIONS];
	struct alloc_table raw;
};

static uint64_t address_of(const struct code *c, const char *symbol)
{
	struct elf_symbol s;

	assert_int_equal(elf_file__symbol(c->file, symbol, &s), 0);
	return s.addr;
}

/* A shared library with the allocator's functions and the text. */
static void assemble(struct code *c, const char *text)
{
	char path[64], command[256];
	FILE *gcc;

	snprintf(path, sizeof(path), "/tmp/test_shapes.%d.so", getpid());
	snprintf(command, sizeof(command), "gcc -shared -nostdlib -Wl,-z,noexecstack -o %s -x assembler -", path);
	gcc = popen(command, "w");
	assert_non_null(gcc);
	fprintf(gcc, "%s%s", ALLOCATOR, text);
	assert_int_equal(pclose(gcc), 0);
	assert_int_equal(elf_file__open(path, &c->file), 0);
	assert_int_equal(machine_code__open(c->file, &c->code), 0);
	unlink(path);
	for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
		c->functions[i] = address_of(c, names[i]);
		c->raw.function[i] = address_of(c, raw_names[i]);
	}
	c->raw.within = address_of(c, "_PyRuntime");
	c->raw.addr = c->raw.within + RAW_TABLE;
}

static void discard(struct code *c)
{
	machine_code__free(c->code);
	elf_file__free(c->file);
}

/* Labels NAME_0, NAME_1, ... of the text: their addresses. */
static size_t labels(const struct code *c, const char *name, uint64_t ret[8])
{
	struct elf_symbol s;
	char label[32];
	size_t n = 0;

	for (; n < 8; n++) {
		snprintf(label, sizeof(label), "%s_%zu", name, n);
		if (elf_file__symbol(c->file, label, &s))
			break;
		ret[n] = s.addr;
	}
	return n;
}

static void check_kind(const struct code *c, const char *title, const char *label, const struct guard *g, int n,
		       enum guard_kind kind)
{
	size_t found = 0, want;
	uint64_t at[8];

	want = labels(c, label, at);
	for (int i = 0; i < n; i++) {
		if (g[i].kind != kind)
			continue;
		if (found == want || g[i].addr != at[found])
			fail_msg("%s: one more %s guard at %lx", title, label, g[i].addr);
		found++;
	}
	if (found != want)
		fail_msg("%s: %zu %s guards of %zu", title, found, label, want);
}

static const struct {
	const char *title, *text;
} guards[] = {
	{ "an address loaded just before, a table behind the global offset table",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n mov 0x318(%rbx), %rax\n mov 0x310(%rbx), %rdi\n"
			"mov $32, %esi\n lea obj_malloc(%rip), %rdx\n cmp %rdx, %rax\n guard_0: jne 2f\n" INLINED("3f")
			"2: call *%rax\n 3: pop %rbx\n ret\n") },
	{ "the pointer compared in memory",
	  FUNCTION("f", "push %r12\n mov _PyRuntime@GOTPCREL(%rip), %r12\n lea obj_malloc(%rip), %rdx\n mov $32, %esi\n"
			"cmp %rdx, 0x318(%r12)\n guard_0: jne 2f\n" INLINED("3f") "2: call *0x318(%r12)\n 3: pop %r12\n ret\n") },
	{ "an address kept over calls and a loop",
	  FUNCTION("f", "push %r14\n push %rbx\n lea obj_malloc(%rip), %r14\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n"
			"1: call other\n mov 0x318(%rbx), %rcx\n mov $16, %esi\n cmp %r14, %rcx\n guard_0: jne 2f\n" INLINED("3f")
			"2: call *%rcx\n 3: test %rax, %rax\n jne 1b\n pop %rbx\n pop %r14\n ret\n") },
	{ "an address spilled below the frame pointer",
	  FUNCTION("f", "push %rbp\n mov %rsp, %rbp\n push %rbx\n sub $0x28, %rsp\n lea obj_free(%rip), %rax\n"
			"mov %rax, -0x30(%rbp)\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n call other\n mov %rax, %rsi\n"
			"mov 0x330(%rbx), %rax\n cmp %rax, -0x30(%rbp)\n guard_0: jne 2f\n" INLINED("3f")
			"2: call *%rax\n 3: add $0x28, %rsp\n pop %rbx\n pop %rbp\n ret\n") },
	{ "an address spilled above a stack pointer that moves",
	  FUNCTION("f", "push %rbx\n sub $0x18, %rsp\n lea obj_malloc(%rip), %rax\n mov %rax, 0x8(%rsp)\n"
			"mov _PyRuntime@GOTPCREL(%rip), %rbx\n push %r9\n call other\n pop %r9\n mov 0x8(%rsp), %rdx\n"
			"mov 0x318(%rbx), %rcx\n mov $16, %esi\n cmp %rdx, %rcx\n guard_0: jne 2f\n" INLINED("3f")
			"2: call *%rcx\n 3: add $0x18, %rsp\n pop %rbx\n ret\n") },
	{ "two ways that agree, and code between that uses the register otherwise",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n test %edi, %edi\n je 4f\n lea obj_malloc(%rip), %rdx\n"
			"jmp 1f\n 5: xor %edx, %edx\n pop %rbx\n ret\n 4: test %esi, %esi\n je 5b\n lea obj_malloc(%rip), %rdx\n"
			"1: mov 0x318(%rbx), %rax\n mov $32, %esi\n cmp %rdx, %rax\n guard_0: jne 2f\n" INLINED("3f")
			"2: call *%rax\n 3: pop %rbx\n ret\n") },
	{ "two ways that do not agree: the pointer is compared with something else",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n test %edi, %edi\n je 4f\n lea obj_malloc(%rip), %rdx\n"
			"jmp 1f\n 4: lea other(%rip), %rdx\n"
			"1: mov 0x318(%rbx), %rax\n mov $32, %esi\n cmp %rdx, %rax\n jne 2f\n" INLINED("3f")
			"2: call *%rax\n 3: pop %rbx\n ret\n") },
	{ "a register that a call may change",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n lea obj_malloc(%rip), %rdx\n call other\n"
			"mov 0x318(%rbx), %rax\n mov $32, %esi\n cmp %rdx, %rax\n jne 2f\n" INLINED("3f")
			"2: call *%rax\n 3: pop %rbx\n ret\n") },
	{ "behind a jump table",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n lea obj_malloc(%rip), %r12\n jmp *(%rdi)\n"
			"mov 0x318(%rbx), %rax\n mov $32, %esi\n cmp %r12, %rax\n guard_0: jne 2f\n" INLINED("3f")
			"2: call *%rax\n 3: pop %rbx\n ret\n") },
	{ "the other side split off",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n lea obj_malloc(%rip), %rdx\n mov $32, %esi\n"
			"mov 0x318(%rbx), %rax\n cmp %rdx, %rax\n guard_0: jne f_cold\n" INLINED("3f") "f_back: 3: pop %rbx\n ret\n")
	  FUNCTION("f_cold", "call *%rax\n jmp f_back\n") },
	{ "both sides call: the function, or its body behind the test that was inlined (_PyUnicodeWriter_Finish, 3.13)",
	  FUNCTION("f", "push %r14\n mov _PyRuntime@GOTPCREL(%rip), %r14\n mov 0x328(%r14), %rax\n"
			"lea obj_realloc(%rip), %rdx\n mov 0x310(%r14), %rdi\n mov %r12, %rsi\n cmp %rdx, %rax\n mov %rbx, %rdx\n"
			"calls_0: jne 2f\n call obj_realloc_part\n 3: pop %r14\n ret\n 2: call *%rax\n jmp 3b\n")
	  FUNCTION("g", "mov _PyRuntime@GOTPCREL(%rip), %rax\n mov 0x300(%rax), %rcx\n mov 0x2e8(%rax), %r8\n"
			"lea obj_realloc(%rip), %rax\n cmp %rax, %rcx\n calls_1: jne 2f\n test %rdi, %rdi\n je 4f\n mov %rsi, %rdx\n"
			"mov %rdi, %rsi\n mov %r8, %rdi\n jmp obj_realloc_part\n 4: mov %r8, %rdi\n jmp obj_malloc\n"
			"2: mov %rsi, %rdx\n mov %rdi, %rsi\n mov %r8, %rdi\n jmp *%rcx\n") },
};

static void test_guards(void **state)
{
	struct alloc_table table = {};

	(void)state;
	for (size_t i = 0; i < sizeof(guards) / sizeof(guards[0]); i++) {
		const char *title = guards[i].title;
		const struct alloc_table *const domain = &table;
		unsigned int undecoded;
		struct guard *g;
		struct code c;
		int n;

		assemble(&c, guards[i].text);
		memcpy(table.function, c.functions, sizeof(table.function));
		n = guards__find(c.code, &domain, 1, &g, &undecoded);
		assert_true(n >= 0);
		assert_int_equal(undecoded, 0);
		check_kind(&c, title, "guard", g, n, GUARD_INLINED);
		check_kind(&c, title, "calls", g, n, GUARD_CALLS);
		check_kind(&c, title, "unclear", g, n, GUARD_UNCLEAR);
		free(g);
		discard(&c);
	}
}

static void test_domains(void **state)
{
	struct alloc_table objects = {};
	const struct alloc_table *domains[2] = { &objects };
	unsigned int undecoded;
	struct guard *g;
	struct code c;

	(void)state;
	assemble(&c, FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n mov 0x318(%rbx), %rax\n mov $32, %esi\n"
				   "lea obj_malloc(%rip), %rdx\n cmp %rdx, %rax\n guard_0: jne 2f\n" INLINED("3f") "2: call *%rax\n"
				   "3: mov %rax, %rsi\n mov 0x2e0(%rbx), %rax\n lea raw_free(%rip), %rdx\n cmp %rdx, %rax\n"
				   "guard_1: jne 4f\n" INLINED("5f") "4: call *%rax\n 5: pop %rbx\n ret\n"));
	memcpy(objects.function, c.functions, sizeof(objects.function));
	domains[1] = &c.raw;
	assert_int_equal(guards__find(c.code, domains, 2, &g, &undecoded), 2);
	assert_int_equal(g[0].addr, address_of(&c, "guard_0"));
	assert_int_equal(g[0].domain, 0);
	assert_int_equal(g[0].function, ALLOC_MALLOC);
	assert_int_equal(g[1].addr, address_of(&c, "guard_1"));
	assert_int_equal(g[1].domain, 1);
	assert_int_equal(g[1].function, ALLOC_FREE);
	free(g);
	discard(&c);
}

#define RAX 0
#define RDX 2
#define RSI 6
#define RDI 7

/* at: where the place is; second, third: the registers that hold these arguments there. */
static const struct {
	const char *title, *text;
	uint8_t second, third;
} moved[] = {
	{ "moved by one, jumped on (_PyMem_RawRealloc)",
	  FUNCTION("f", "test %rdx, %rdx\n mov $1, %eax\n mov %rsi, %rdi\n cmovne %rdx, %rax\n mov %rax, %rsi\n at: jmp other\n"),
	  RDI, RDX },
	{ "moved by one, and tested (_PyMem_RawCalloc)",
	  FUNCTION("f", "mov %rsi, %rdi\n mov %rdx, %rsi\n test %rdi, %rdi\n at: je 1f\n 1: jmp other\n"), RDI, RDX },
	{ "both moved, and their registers lost",
	  FUNCTION("f", "mov %rsi, %rdi\n mov %rdx, %rax\n xor %esi, %esi\n xor %edx, %edx\n at: jmp other\n"), RDI, RAX },
	{ "changed in place: the first instruction", FUNCTION("f", "at: add $16, %rsi\n mov %rsi, %rdi\n jmp other\n"), RSI, RDX },
	{ "a half of one", FUNCTION("f", "at: mov %edx, %edx\n mov %rsi, %rdi\n jmp other\n"), RSI, RDX },
	{ "where the stack pointer has moved no return probe can stand",
	  FUNCTION("f", "at: sub $8, %rsp\n mov %rsi, %rdi\n call other\n add $8, %rsp\n ret\n"), RSI, RDX },
	{ "a loop leads behind the start", FUNCTION("f", "at: mov %rsi, %rdi\n 1: test %rdx, %rdx\n je 1b\n jmp other\n"), RSI, RDX },
};

static void test_moved(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
		struct decode_place p;
		struct code c;

		assemble(&c, moved[i].text);
		assert_int_equal(decode__place_with_moved(c.code, address_of(&c, "f"), 6, true, &p), 0);
		if (p.addr != address_of(&c, "at") || p.arg[1] != moved[i].second || p.arg[2] != moved[i].third)
			fail_msg("%s: %lx for %lx, registers %d and %d", moved[i].title, p.addr, address_of(&c, "at"), p.arg[1], p.arg[2]);
		discard(&c);
	}
}

static const struct {
	const char *title, *text;
} raw_calls[] = {
	{ "the function behind the table, the C library's",
	  FUNCTION("f", "sub $8, %rsp\n call raw_malloc\n test %rax, %rax\n raw_0: call malloc@plt\n raw_1: add $8, %rsp\n ret\n") },
	{ "through the table, behind the global offset table",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n call other\n call *0x2c8(%rbx)\n raw_0: mov %rax, %rdx\n"
			"mov 0x2d0(%rbx), %rax\n mov 0x2c0(%rbx), %rdi\n call *%rax\n raw_1: mov %rax, %rdx\n"
			"call *0x2e0(%rbx)\n pop %rbx\n ret\n") },
	{ "in a part that was split off, which relies on its function's registers",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n call *0x2c8(%rbx)\n test %rax, %rax\n"
			"raw_0: je f_cold\n f_back: pop %rbx\n ret\n")
	  FUNCTION("f_cold", "call other\n call *0x2d0(%rbx)\n mov %rax, %rdx\n raw_1: jmp f_back\n") },
	{ "not where the pointer was found to be another: nobody allocates there until the runtime is changed",
	  FUNCTION("f", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n mov 0x2c8(%rbx), %rax\n lea raw_malloc(%rip), %rdx\n"
			"cmp %rdx, %rax\n jne 2f\n call malloc@plt\n raw_0: mov %rax, %rdx\n 1: pop %rbx\n ret\n"
			"2: call *%rax\n mov %rax, %rdx\n jmp 1b\n")
	  FUNCTION("g", "push %rbx\n mov _PyRuntime@GOTPCREL(%rip), %rbx\n lea raw_malloc(%rip), %rdx\n"
			"cmp %rdx, 0x2c8(%rbx)\n jne 2f\n call malloc@plt\n raw_1: mov %rax, %rdx\n 1: pop %rbx\n ret\n"
			"2: call *0x2c8(%rbx)\n mov %rax, %rdx\n jmp 1b\n") },
};

static void test_raw_calls(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(raw_calls) / sizeof(raw_calls[0]); i++) {
		static struct raw_uses uses;
		uint64_t want[8];
		struct code c;
		size_t n_want;

		assemble(&c, raw_calls[i].text);
		guards__raw_uses(c.code, &c.raw, NULL, 0, &uses);
		n_want = labels(&c, "raw", want);
		for (size_t k = 0; k < n_want; k++) {
			size_t found = 0;

			for (size_t j = 0; j < uses.return_cnt; j++)
				found += uses.returns[j].addr == want[k];
			if (found != 1)
				fail_msg("%s: raw_%zu: %zu times", raw_calls[i].title, k, found);
		}
		if (uses.return_cnt != n_want)
			fail_msg("%s: %zu places, %zu are right", raw_calls[i].title, uses.return_cnt, n_want);
		discard(&c);
	}
}

static void test_body(void **state)
{
	struct code c;

	(void)state;
	assemble(&c, "");
	for (int i = 0; i < ALLOC_FUNCTIONS; i++)
		assert_int_equal(decode__body(c.code, c.functions, i),
				 i == ALLOC_REALLOC ? address_of(&c, "obj_realloc_part") : c.functions[i]);
	discard(&c);
}

static const struct {
	const char *title, *text;
	enum alloc_function which;
	const char *body;
} bodies[] = {
	{ "free, behind its test", FUNCTION("f", "test %rsi, %rsi\n je 1f\n jmp other\n 1: ret\n"), ALLOC_FREE, "other" },
	{ "malloc does not simply return", FUNCTION("f", "test %rsi, %rsi\n je 1f\n jmp other\n 1: ret\n"), ALLOC_MALLOC, "f" },
	{ "other arguments", FUNCTION("f", "test %rsi, %rsi\n je 1f\n mov %rsi, %rdi\n jmp other\n 1: ret\n"), ALLOC_FREE, "f" },
	{ "two bodies", FUNCTION("f", "test %rsi, %rsi\n je 1f\n jmp other\n 1: jmp raw_free\n"), ALLOC_FREE, "f" },
	{ "the stack pointer moved: no return probe can stand there",
	  FUNCTION("f", "push %rbx\n .cfi_def_cfa_offset 16\n test %rsi, %rsi\n je 1f\n jmp other\n 1: jmp other\n"), ALLOC_FREE,
	  "f" },
	{ "a part of it that was split off",
	  FUNCTION("f", "push %rbx\n .cfi_def_cfa_offset 16\n pop %rbx\n test %rsi, %rsi\n je 1f\n jmp f_cold\n 1: ret\n")
	  FUNCTION("f_cold", ".cfi_def_cfa_offset 16\n pop %rbx\n ret\n"), ALLOC_FREE, "f" },
	{ "an indirect jump", FUNCTION("f", "test %rsi, %rsi\n je 1f\n jmp *%rax\n 1: jmp other\n"), ALLOC_FREE, "f" },
	{ "a loop", FUNCTION("f", "1: test %rsi, %rsi\n je 1b\n jmp other\n"), ALLOC_FREE, "f" },
};

static void test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct code c;
		uint64_t body;

		assemble(&c, bodies[i].text);
		c.functions[bodies[i].which] = address_of(&c, "f");
		body = decode__body(c.code, c.functions, bodies[i].which);
		if (body != address_of(&c, bodies[i].body))
			fail_msg("%s: %lx", bodies[i].title, body);
		discard(&c);
	}
}

#define RUNS_CALLBACKS(generation) \
	FUNCTION("with_callback", "push %rbp\n mov %rdi, %rbp\n push %rbx\n mov %esi, %ebx\n mov _PyRuntime@GOTPCREL(%rip), %rsi\n" \
				  "mov 0x10(%rdi), %rdi\n call other\n mov " generation ", %esi\n mov %rbp, %rdi\n call main\n" \
				  "mov %rbp, %rdi\n call other\n pop %rbx\n pop %rbp\n ret\n") \
	FUNCTION("generations", "mov $1, %esi\n jmp with_callback\n") \
	FUNCTION("gc_collect_impl", "call other\n call with_callback\n ret\n")
#define COLLECTS "sub $8, %rsp\n mov %rdi, %rbx\n mov $2, %esi\n mov %rbx, %rdi\n call with_callback\n add $8, %rsp\n ret\n"
#define MAIN "push %rbx\n test %rdi, %rdi\n pop %rbx\n ret\n"

static const struct {
	const char *title, *text, *found;
	unsigned int callers;
	bool reason;
} collectors[] = {
	{ "behind what runs the callbacks (3.11)",
	  RUNS_CALLBACKS("%ebx") FUNCTION("no_fail", "call other\n call main\n ret\n") FUNCTION("main", MAIN)
	  ".globl PyGC_Collect\n" FUNCTION("PyGC_Collect", COLLECTS), "main", 4, false },
	{ "what runs the callbacks has the collector in it",
	  FUNCTION("with_callback", MAIN) FUNCTION("generations", "mov $1, %esi\n jmp with_callback\n")
	  ".globl PyGC_Collect\n" FUNCTION("PyGC_Collect", COLLECTS), "with_callback", 2, false },
	{ "what it calls gets something else", RUNS_CALLBACKS("$2") FUNCTION("main", MAIN)
	  ".globl PyGC_Collect\n" FUNCTION("PyGC_Collect", COLLECTS), "with_callback", 3, false },
	{ "it is told why (3.13)", FUNCTION("with_callback", MAIN) FUNCTION("generations", "mov $1, %esi\n jmp with_callback\n")
	  ".globl PyGC_Collect\n" FUNCTION("PyGC_Collect", "mov $2, %edx\n" COLLECTS), "with_callback", 2, true },
};

static void test_collectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(collectors) / sizeof(collectors[0]); i++) {
		unsigned int callers = 0;
		uint64_t found = 0;
		bool reason;
		struct code c;

		assemble(&c, collectors[i].text);
		assert_int_equal(decode__collector(c.file, c.code, &found, &callers, &reason), 0);
		if (found != address_of(&c, collectors[i].found))
			fail_msg("%s: %lx", collectors[i].title, found);
		assert_int_equal(callers, collectors[i].callers);
		assert_int_equal(reason, collectors[i].reason);
		discard(&c);
	}
}

static int count(const struct elf_symbol *function, void *arg)
{
	(void)function;
	++*(int *)arg;
	return 0;
}

/* A jump of two bytes names a function too (gc_collect_generations, 3.11). */
static void test_short_jump(void **state)
{
	uint64_t to;
	struct code c;
	int users = 0;

	(void)state;
	assemble(&c, FUNCTION("f", "mov $2, %esi\n jmp g\n") FUNCTION("g", "mov %rsi, %rax\n ret\n") FUNCTION("h", "ret\n"));
	to = address_of(&c, "g");
	assert_int_equal(machine_code__for_each_user(c.code, &to, 1, count, &users), 0);
	assert_int_equal(users, 1);
	discard(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guards), cmocka_unit_test(test_domains), cmocka_unit_test(test_moved),
		cmocka_unit_test(test_raw_calls), cmocka_unit_test(test_body),
		cmocka_unit_test(test_bodies), cmocka_unit_test(test_collectors),
		cmocka_unit_test(test_short_jump),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("shapes", tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL);
}
