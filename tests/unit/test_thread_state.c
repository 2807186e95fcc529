/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A thread-local variable in each way that compilers reach one, compiled here, loaded into this process and found again: by
 * what the code says, what the dynamic linker filled in, and what the kernel side does with both (bpf/stack.bpf.h). Then
 * words that make no sense; and pthread_getspecific of musl, and of others.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "python/python_file.h"
#include "python/thread_state.h"

/* The variable is not the first of its module. */
#define SOURCE                                                                                     \
	"__thread long before[3] __attribute__((visibility(\"hidden\"))) = {1};"                        \
	"__thread void *state __attribute__((visibility(\"hidden\")));"                                \
	"void *PyGILState_GetThisThreadState(void) { return state; }"                                 \
	"void set(void *to) { state = to; before[1] = 2; }"

static void compile(const char *compiler, const char *language, const char *flags, const char *text, char path[64])
{
	char command[512];
	FILE *gcc;

	snprintf(path, 64, "/tmp/test_thread_state.%d.so", getpid());
	snprintf(command, sizeof(command), "%s %s -x %s - -o %s", compiler, flags, language, path);
	gcc = popen(command, "w");
	assert_non_null(gcc);
	fputs(text, gcc);
	assert_int_equal(pclose(gcc), 0);
}

static int decode(const char *path, struct thread_variable *ret)
{
	struct machine_code *c;
	struct elf_file *f;
	int err;

	assert_int_equal(elf_file__open(path, &f), 0);
	assert_int_equal(machine_code__open(f, &c), 0);
	err = decode__thread_variable(f, c, ret);
	machine_code__free(c);
	elf_file__free(f);
	return err;
}

struct loaded {
	struct thread_variable v;
	uint64_t bias;
	void (*set)(void *to);
};

/* What the walk would read in this thread. */
static uint64_t slot_of_thread(const struct loaded *l)
{
	struct mem_reader m = mem_reader__of_process(getpid());
	struct py_walk w = {0};
	uint64_t tp, vector;

	assert_int_equal(thread_state__find(&l->v, &m, l->bias, &w), 0);
	__asm__("mov %%fs:0, %0" : "=r"(tp));
	if (!w.tls_module)
		return tp + w.tstate_tls;
	vector = ((uint64_t *)tp)[1];
	assert_true(((uint64_t *)vector)[-2] >= w.tls_module);
	return ((uint64_t *)vector)[2 * w.tls_module] + w.tstate_tls;
}

static void check_thread(const struct loaded *l)
{
	int mark;

	l->set(&mark);
	assert_ptr_equal(*(void **)slot_of_thread(l), &mark);
}

static void *check_in_thread(void *arg)
{
	check_thread(arg);
	return NULL;
}

struct way {
	const char *flags;
	enum thread_access access;
};

static const struct way ways[] = {
	{"-shared -fPIC -O2", THREAD_MODULE},
	{"-shared -fPIC -O2 -fcf-protection -fno-omit-frame-pointer", THREAD_MODULE},
	{"-shared -fPIC -O2 -fno-plt", THREAD_MODULE},
	{"-shared -fPIC -O0", THREAD_MODULE},
	{"-shared -fPIC -O2 -mtls-dialect=gnu2", THREAD_DESCRIPTOR},
	{"-shared -fPIC -O2 -mtls-dialect=gnu2 -fno-omit-frame-pointer", THREAD_DESCRIPTOR},
	{"-shared -fPIC -O2 -ftls-model=initial-exec", THREAD_DISTANCE},
};

static void test_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct loaded l = {0};
		struct link_map *map;
		pthread_t thread;
		char path[64];
		void *library;

		compile("gcc", "c", ways[i].flags, SOURCE, path);
		if (decode(path, &l.v) || l.v.access != ways[i].access)
			fail_msg("%s: access %d", ways[i].flags, l.v.access);
		library = dlopen(path, RTLD_NOW);
		assert_non_null(library);
		unlink(path);
		assert_int_equal(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
		l.bias = map->l_addr;
		*(void **)&l.set = dlsym(library, "set");
		check_thread(&l);
		assert_int_equal(pthread_create(&thread, NULL, check_in_thread, &l), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		dlclose(library);
	}
}

static void test_executable(void **state)
{
	static const char *const flags[] = {"-O2 -no-pie", "-O2 -fPIE -pie", "-O2 -static", "-O0 -no-pie"};
	struct thread_variable v;
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		compile("gcc", "c", flags[i], SOURCE "int main(void) { return 0; }", path);
		if (decode(path, &v) || v.access != THREAD_FIXED)
			fail_msg("%s", flags[i]);
		assert_in_range(-v.offset, 8, 4096);
		unlink(path);
	}
}

/* Functions that do something else. */
static void test_other_code(void **state)
{
	static const char *const bodies[] = {
		"void *other; void *PyGILState_GetThisThreadState(void) { return other; }",
		"void *PyGILState_GetThisThreadState(void) { return 0; }",
		"__thread int state; void *PyGILState_GetThisThreadState(void) { return &state; }",
		"__thread int state; int PyGILState_GetThisThreadState(void) { return state; }",
		"__thread void **state; void *PyGILState_GetThisThreadState(void) { state++; return *state; }",
		"void *f(void); void *PyGILState_GetThisThreadState(void) { return *(void **)f(); }",
		"void f(void) {}",
	};
	struct thread_variable v = {0}, before = v;
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		for (int descriptors = 0; descriptors < 2; descriptors++) {
			compile("gcc", "c", descriptors ? "-shared -fPIC -O2 -mtls-dialect=gnu2" : "-shared -fPIC -O2",
				bodies[i], path);
			if (decode(path, &v) != -ENOENT)
				fail_msg("body %zu: access %d", i, v.access);
			assert_memory_equal(&v, &before, sizeof(v));
			unlink(path);
		}
	}
}

#define WORDS 0x10000

static int read_words(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	const uint64_t *words = m->ctx;

	if (addr < WORDS || addr - WORDS + len > 4 * sizeof(*words))
		return -EFAULT;
	memcpy(buf, (const char *)words + (addr - WORDS), len);
	return 0;
}

static void test_words(void **state)
{
	static const struct {
		enum thread_access access;
		int32_t offset;
		uint64_t words[4];
		int err;
		int32_t tls;
		uint32_t module;
	} rows[] = {
		{THREAD_FIXED, -32, {0}, 0, -32, 0},
		{THREAD_DISTANCE, 0, {-64}, 0, -64, 0},
		{THREAD_DISTANCE, 8, {-64}, 0, -56, 0},
		{THREAD_DISTANCE, 0, {0}, -ENOENT, 0, 0},
		{THREAD_DISTANCE, 0, {64}, -EBADMSG, 0, 0},
		{THREAD_DISTANCE, 64, {-64}, -EBADMSG, 0, 0},
		{THREAD_DISTANCE, 0, {1ull << 63}, -EBADMSG, 0, 0},
		{THREAD_MODULE, 8, {2, 16}, 0, 24, 2},
		{THREAD_MODULE, 0, {1, 0}, 0, 0, 1},
		{THREAD_MODULE, 8, {0, 16}, -ENOENT, 0, 0},
		{THREAD_MODULE, 8, {1ull << 32, 16}, -EBADMSG, 0, 0},
		{THREAD_MODULE, 8, {1, 1ull << 32}, -EBADMSG, 0, 0},
		{THREAD_MODULE, -8, {1, 0}, -EBADMSG, 0, 0},
		{THREAD_DESCRIPTOR, 8, {0x401000, -64}, 0, -56, 0},
		{THREAD_DESCRIPTOR, 8, {0x401000, WORDS + 16, 3, 16}, 0, 24, 3},
		{THREAD_DESCRIPTOR, 8, {0x401000, WORDS + 16, 0, 16}, -ENOENT, 0, 0},
		{THREAD_DESCRIPTOR, 8, {0x401000, WORDS + 24, 3, 16}, -EFAULT, 0, 0},
		{THREAD_DESCRIPTOR, 8, {0, 0}, -ENOENT, 0, 0},
		{THREAD_UNKNOWN, 0, {1, 1}, -EBADMSG, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct thread_variable v = {.access = rows[i].access, .offset = rows[i].offset, .word = 0x1000};
		struct mem_reader m = {.read = read_words, .ctx = rows[i].words};
		struct py_walk w = {0};
		int err = thread_state__find(&v, &m, WORDS - 0x1000, &w);

		if (err != rows[i].err || w.tstate_tls != rows[i].tls || w.tls_module != rows[i].module)
			fail_msg("row %zu: %d, %d in module %u", i, err, w.tstate_tls, w.tls_module);
	}
}

static uint32_t specific_of(const char *path)
{
	struct elf_file *f;
	uint32_t offset;

	assert_int_equal(elf_file__open(path, &f), 0);
	offset = python_file__musl_specific(f);
	elf_file__free(f);
	return offset;
}

#define GETSPECIFIC(body)                                                                          \
	".text\n.globl pthread_getspecific\n.type pthread_getspecific, @function\n"                  \
	"pthread_getspecific:\n.cfi_startproc\n" body ".cfi_endproc\n.size pthread_getspecific, .-pthread_getspecific\n"

static void test_musl(void **state)
{
	static const struct {
		const char *text;
		uint32_t offset;
	} rows[] = {
		/* 1.2.3 (Debian), and before 1.2.1, with one word more in front */
		{GETSPECIFIC("mov %fs:0, %rax\n mov 0x80(%rax), %rax\n mov %edi, %edi\n mov (%rax,%rdi,8), %rax\n ret\n"), 128},
		{GETSPECIFIC("mov %fs:0, %rax\n mov 0x88(%rax), %rax\n mov %edi, %edi\n mov (%rax,%rdi,8), %rax\n ret\n"), 136},
		{GETSPECIFIC("endbr64\n mov %edi, %edi\n mov %fs:0, %rcx\n mov 0x80(%rcx), %rdx\n mov (%rdx,%rdi,8), %rax\n ret\n"), 128},
		{GETSPECIFIC("mov %fs:0, %rax\n mov 0x80(%rdx), %rax\n mov (%rax,%rdi,8), %rax\n ret\n"), 0},
		{GETSPECIFIC("mov %fs:0, %rax\n mov 0x80(%rax), %rax\n mov (%rax,%rsi,8), %rax\n ret\n"), 0},
		{GETSPECIFIC("mov %fs:0, %rax\n mov 0x80(%rax), %rax\n mov (%rax,%rdi,4), %rax\n ret\n"), 0},
		{GETSPECIFIC("mov %fs:8, %rax\n mov 0x80(%rax), %rax\n mov (%rax,%rdi,8), %rax\n ret\n"), 0},
		{GETSPECIFIC("mov %fs:0, %rax\n mov 0x80(%rax), %rax\n mov (%rax,%rdi,8), %rax\n inc %rax\n ret\n"), 0},
		{GETSPECIFIC("mov %fs:0, %rax\n mov 0x80(%rax), %rax\n ret\n"), 0},
	};
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		compile("gcc", "assembler", "-shared -nostdlib -Wl,-z,noexecstack", rows[i].text, path);
		if (specific_of(path) != rows[i].offset)
			fail_msg("row %zu: %u", i, specific_of(path));
		unlink(path);
	}
}

static void test_this_libc(void **state)
{
	Dl_info info;

	(void)state;
	assert_true(dladdr((void *)pthread_getspecific, &info));
	assert_int_equal(specific_of(info.dli_fname), 0);
}

/* A program of musl's says itself whether the place is right, shared and static. */
static void test_musl_itself(void **state)
{
	static const char program[] =
		"#include <pthread.h>\n#include <stdlib.h>\n"
		"int main(int c, char **v) { pthread_key_t k; char *self; int offset = atoi(v[1]);"
		" pthread_key_create(&k, 0); pthread_key_create(&k, 0); pthread_setspecific(k, v);"
		" __asm__(\"mov %%fs:0, %0\" : \"=r\"(self));"
		" return (*(void ***)(self + offset))[k] != v || pthread_getspecific(k) != v; }";
	static const char *const flags[] = {"-O2", "-O2 -static"};
	char path[64], command[128];

	(void)state;
	if (system("command -v musl-gcc >/dev/null")) {
		print_message("# no musl-gcc here\n");
		skip();
	}
	for (int i = 0; i < 2; i++) {
		compile("musl-gcc", "c", flags[i], program, path);
		snprintf(command, sizeof(command), "%s %u", path, specific_of(i ? path : realpath("/lib/ld-musl-x86_64.so.1", NULL)));
		if (system(command))
			fail_msg("%s: %s", flags[i], command);
		unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways), cmocka_unit_test(test_executable), cmocka_unit_test(test_other_code),
		cmocka_unit_test(test_words), cmocka_unit_test(test_musl), cmocka_unit_test(test_this_libc),
		cmocka_unit_test(test_musl_itself),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
