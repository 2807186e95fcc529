/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What addresses of this very process are. */
#include "system/mapped_code.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct fixture {
	struct proc *proc;
	struct code_files *files;
	struct mapped_code *code;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(proc__open(NULL, &f->proc), 0);
	assert_int_equal(code_files__new(&f->files), 0);
	assert_int_equal(mapped_code__new(f->proc, getpid(), f->files, &f->code), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	mapped_code__free(f->code);
	code_files__free(f->files);
	proc__free(f->proc);
	free(f);
	return 0;
}

static bool ends_with(const char *s, const char *end)
{
	return strlen(s) >= strlen(end) && !strcmp(s + strlen(s) - strlen(end), end);
}

__attribute__((noinline)) static uint64_t return_address(void)
{
	return (uint64_t)__builtin_return_address(0);
}

static void functions(void **state)
{
	struct fixture *f = *state;
	struct native_code code;
	uint64_t here;

	assert_int_equal(mapped_code__look(f->code, (uint64_t)return_address + 1, &code), 0);
	assert_string_equal(code.function, "return_address");
	assert_true(ends_with(code.file, "/test_mapped_code"));
	assert_int_equal(code.rule.function, (uint64_t)return_address);
	assert_int_equal(code.rule.from, NATIVE_FROM_SP);
	here = return_address();
	assert_int_equal(mapped_code__look(f->code, here | NATIVE_IS_RETURN, &code), 0);
	assert_string_equal(code.function, "functions");
	assert_int_equal(code.rule.function, (uint64_t)functions);
	assert_int_equal(mapped_code__look(f->code, (uint64_t)malloc, &code), 0);
	assert_string_equal(code.function, "malloc");
	assert_int_equal(code.rule.cfa, 8);
}

/* Chosen by the C library at run time: its own table of symbols does not have it, where it is stripped. */
static void functions_by_import(void **state)
{
	void *(*volatile fill)(void *, int, size_t) = memset;
	struct fixture *f = *state;
	struct native_code code;
	char block[64];

	memset(block, (int)(intptr_t)f & 1, sizeof(block));
	assert_int_equal(mapped_code__look(f->code, (uint64_t)fill, &code), 0);
	assert_non_null(strstr(code.function, "memset"));
}

static void no_return_addresses(void **state)
{
	struct fixture *f = *state;
	uint64_t here = return_address();
	struct native_code code;

	assert_int_equal(mapped_code__look(f->code, (here + 1) | NATIVE_IS_RETURN, &code), -EILSEQ);
	assert_int_equal(mapped_code__look(f->code, (uint64_t)functions | NATIVE_IS_RETURN, &code), -EILSEQ);
	assert_int_equal(mapped_code__look(f->code, (uint64_t)&here | NATIVE_IS_RETURN, &code), -ENOENT);
	assert_int_equal(mapped_code__look(f->code, NATIVE_IS_RETURN, &code), -ENOENT);
	assert_int_equal(mapped_code__look(f->code, 0, &code), -ENOENT);
	assert_int_equal(mapped_code__look(f->code, 0x7fffffffffffffff, &code), -ENOENT);
}

static void without_files(void **state)
{
	struct fixture *f = *state;
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct native_code code;
	bool stale;

	assert_true(page != MAP_FAILED);
	assert_int_equal(mapped_code__look(f->code, (uint64_t)page, &code), -ENOENT);
	assert_int_equal(mapped_code__refresh(f->code, &stale), 0);
	assert_false(stale);
	assert_int_equal(mapped_code__look(f->code, (uint64_t)page + 16, &code), 0);
	assert_string_equal(code.file, "[anonymous]");
	assert_string_equal(code.function, "");
	assert_int_equal(code.rule.from, NATIVE_NO_CALLER);
	assert_int_equal(code.rule.end, NATIVE_END_NO_RULE);
	if (getauxval(AT_SYSINFO_EHDR)) {
		assert_int_equal(mapped_code__look(f->code, getauxval(AT_SYSINFO_EHDR) + 0x100, &code), 0);
		assert_string_equal(code.file, "[vdso]");
	}
	munmap(page, 4096);
	assert_int_equal(mapped_code__refresh(f->code, &stale), 0);
	assert_true(stale);
	assert_int_equal(mapped_code__look(f->code, (uint64_t)page + 16, &code), -ENOENT);
}

/* A library whose file is gone, and which is then unloaded. */
static void a_deleted_library(void **state)
{
	char folder[] = "/tmp/test_mapped_code.XXXXXX", path[64], command[512];
	struct fixture *f = *state;
	struct native_code code;
	uint64_t at;
	bool stale;
	void *lib;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/lib.so", folder);
	snprintf(command, sizeof(command), "echo 'static int hidden(int x) { return x * 3; }"
		 " int (*shown(void))(int) { return hidden; }' | cc -O0 -shared -fPIC -xc -s -o %s -", path);
	assert_int_equal(system(command), 0);
	lib = dlopen(path, RTLD_NOW);
	assert_non_null(lib);
	at = (uint64_t)dlsym(lib, "shown");
	unlink(path);
	rmdir(folder);
	assert_int_equal(mapped_code__refresh(f->code, &stale), 0);
	assert_int_equal(mapped_code__look(f->code, at + 1, &code), 0);
	assert_string_equal(code.function, "shown");
	assert_true(ends_with(code.file, "/lib.so (deleted)"));
	/* Stripped: where the function begins. */
	at = (uint64_t)((void *(*)(void))at)();
	assert_int_equal(mapped_code__look(f->code, at + 4, &code), 0);
	assert_int_equal(code.rule.function, at);
	assert_true(!strncmp(code.function, "+0x", 3));
	code_files__rest(f->files);
	code_files__rest(f->files);
	assert_int_equal(mapped_code__look(f->code, at + 1, &code), 0);
	dlclose(lib);
	assert_int_equal(mapped_code__refresh(f->code, &stale), 0);
	assert_true(stale);
	assert_int_equal(mapped_code__look(f->code, at + 4, &code), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(functions, setup, teardown),
		cmocka_unit_test_setup_teardown(functions_by_import, setup, teardown),
		cmocka_unit_test_setup_teardown(no_return_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(without_files, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deleted_library, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
