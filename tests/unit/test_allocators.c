/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Allocators as live interpreters have them (tests/targets/allocators.py), begun in every way that PYTHONMALLOC knows, and
 * made-up tables: loops, contexts that lead nowhere.
 */
#include "pythons.h"

#include <errno.h>
#include <stdbool.h>

#include "python/allocators.h"
#include "python/interp.h"
#include "python/layout.h"

static char folder[] = "/tmp/pymemscope-allocators.XXXXXX";

/* ---- live interpreters ---- */

static const struct {
	const char *environment;
	const char *base; /* what all ends in */
	unsigned int from_minor;
} begins[] = {
	{"", "pymalloc", 8},
	{"PYTHONMALLOC=malloc", "the C library's malloc", 8},
	{"PYTHONMALLOC=pymalloc_debug", "debug hooks over pymalloc", 8},
	{"PYTHONMALLOC=malloc_debug", "debug hooks over the C library's malloc", 8},
	{"PYTHONMALLOC=mimalloc", "mimalloc", 13},
	{"PYTHONMALLOC=mimalloc_debug", "debug hooks over mimalloc", 13},
};

static void expect(const char *state, const char *base, char *ret, size_t len)
{
	if (!strcmp(state, "tracemalloc"))
		snprintf(ret, len, "tracemalloc over %s", base);
	else if (!strcmp(state, "hooks"))
		snprintf(ret, len, "allocator_hook.so (hook_malloc) over %s", base);
	else if (!strcmp(state, "secret_hooks"))
		snprintf(ret, len, "allocator_hook.so (secret_malloc) over code that is not recognised");
	else
		snprintf(ret, len, "%s", base);
}

static void check(const struct interp *in, const struct allocator_file *file, pid_t pid, const char *state, const char *base)
{
	struct mem_reader m = mem_reader__of_process(pid);
	char text[ALLOCATOR_TEXT_BYTES], want[256];
	struct allocator_chain chain;
	struct allocator_words words;
	struct code_places *places;
	struct proc *proc;

	assert_int_equal(proc__open(NULL, &proc), 0);
	assert_int_equal(code_places__of_process(proc, pid, in->path, &places), 0);
	assert_int_equal(allocator_words__read(&m, file, in->load_bias, &words), 0);
	allocator_chain__follow(&m, &words, DOMAIN_OBJ, file, in->load_bias, places, &chain);
	allocator_chain__text(&chain, text);
	expect(state, base, want, sizeof(want));
	if (strlen(text) < strlen(want) || strcmp(text + strlen(text) - strlen(want), want))
		fail_msg("%s of %s: %s", state, base, text);
	assert_int_equal(allocator_words__untouched(&words, file, in->load_bias), !strcmp(want, "pymalloc"));
	allocator_chain__follow(&m, &words, DOMAIN_RAW, file, in->load_bias, places, &chain);
	/* 3.15 has mimalloc for this domain too. */
	assert_true(chain.base == ALLOCATOR_MALLOC || (chain.base == ALLOCATOR_MIMALLOC && strstr(base, "mimalloc")));
	code_places__free(places);
	proc__free(proc);
}

static void run_one(const struct python *p, const char *environment, const char *base)
{
	static struct interp in;
	struct allocator_file file;
	struct python with = *p;
	const char *why = NULL;
	unsigned int states = 0;
	char *line = NULL;
	struct elf_file *f;
	size_t size = 0;
	struct child c;

	snprintf(with.command, sizeof(with.command), "env HOOKS=%s/allocator_hook.so %s %.3900s", folder, environment, p->command);
	child__start(&c, &with, "tests/targets/allocators.py");
	while (getline(&line, &size, c.out) > 0 && strcmp(line, "done\n")) {
		char state[32];

		assert_int_equal(sscanf(line, "state %31s", state), 1);
		if (!states++) {
			assert_int_equal(interp__of_process(c.pid, &in, &why), 0);
			assert_int_equal(elf_file__open(in.host_path, &f), 0);
			assert_int_equal(allocator_file__examine(f, in.version, &file), 0);
			elf_file__free(f);
			assert_true(file.functions_known);
		}
		check(&in, &file, c.pid, state, base);
		assert_int_equal(write(c.in, "x", 1), 1);
	}
	free(line);
	assert_int_equal(child__end(&c), 0);
	assert_int_equal(states, 5);
}

static void live(void **state)
{
	const struct python *p = *state;

	if (!p->command[0])
		skip();
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (p->minor >= begins[i].from_minor)
			run_one(p, begins[i].environment, begins[i].base);
}

/* ---- made-up memory ---- */

#define MEMORY_BYTES 4096u
#define CODE 0x100000u
#define OTHER_CODE 0x200000u

struct fake {
	uint64_t words[MEMORY_BYTES / 8];
};

static int read_fake(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	if (addr < 8 || addr > MEMORY_BYTES || len > MEMORY_BYTES - addr)
		return -EFAULT;
	memcpy(buf, (const char *)m->ctx + addr, len);
	return 0;
}

static void put_table(struct fake *f, uint64_t at, uint64_t ctx, uint64_t code)
{
	f->words[at / 8] = ctx;
	for (int i = 0; i < ALLOC_FUNCTIONS; i++)
		f->words[at / 8 + 1 + (unsigned int)i] = code + 16 * (unsigned int)i;
}

static struct code_places *fake_places(void)
{
	const struct proc_map own = {.start = CODE, .end = CODE + 4096, .executable = true, .path = "/usr/bin/python"};
	const struct proc_map other = {.start = OTHER_CODE, .end = OTHER_CODE + 4096, .executable = true, .path = ""};
	const struct proc_map data = {.start = 8, .end = MEMORY_BYTES, .path = "/usr/bin/python"};
	struct code_places *c;

	assert_int_equal(code_places__new(&c), 0);
	assert_int_equal(code_places__add(c, &own, true), 0);
	assert_int_equal(code_places__add(c, &other, false), 0);
	assert_int_equal(code_places__add(c, &data, true), 0);
	return c;
}

#define PYMALLOC (CODE + 256)
#define RAW_MALLOC (CODE + 512)
#define HOOK (CODE + 768)

static const struct {
	struct {
		uint64_t at, ctx, code;
	} table[4];
	uint64_t api_at, api;
	uint32_t asked;
	const char *text;
} made_up[] = {
	{{{64, 0, PYMALLOC}}, 0, 0, 0, "pymalloc"},
	{{{64, 0, RAW_MALLOC}}, 0, 0, 0, "the C library's malloc"},
	{{{64, 0, HOOK}}, 0, 0, 0, "code that is not recognised"},
	{{{64, 0, HOOK}}, 0, 0, 2, "code that is not recognised"}, /* debug was asked for */
	{{{64, 0, HOOK}}, 0, 0, 7, "mimalloc"},
	{{{64, 0, 0}}, 0, 0, 0, "code that is not recognised"}, /* nulls */
	{{{64, 0, 0x7fff0000}}, 0, 0, 0, "code that is not recognised"}, /* no code */
	{{{64, 128, HOOK}, {128, 0, PYMALLOC}}, 0, 0, 0, "tracemalloc over pymalloc"},
	{{{64, 192, HOOK}, {200, 0, PYMALLOC}}, 192, 'o', 0, "debug hooks over pymalloc"},
	{{{64, 192, HOOK}, {200, 0, PYMALLOC}}, 192, 'x', 0, "code that is not recognised"},
	{{{64, 128, HOOK}, {128, 192, HOOK}, {200, 0, RAW_MALLOC}}, 192, 'm', 0,
	 "tracemalloc over debug hooks over the C library's malloc"},
	{{{64, 64, HOOK}}, 0, 0, 0,
	 "tracemalloc over tracemalloc over tracemalloc over tracemalloc over tracemalloc over tracemalloc over code that is not "
	 "recognised"}, /* a loop */
	{{{64, MEMORY_BYTES - 16, HOOK}}, 0, 0, 0, "code that is not recognised"}, /* a context that ends too early */
	{{{64, 0x7fff0000, HOOK}}, 0, 0, 0, "code that is not recognised"},
	{{{64, 0, OTHER_CODE}}, 0, 0, 0, "[anonymous] over code that is not recognised"},
	{{{64, 128, OTHER_CODE}, {128, 320, OTHER_CODE}, {320, 0, PYMALLOC}}, 0, 0, 0,
	 "[anonymous] over code of another file over pymalloc"},
};

static void tables(void **state)
{
	struct code_places *places = fake_places();
	struct allocator_file file = {.functions_known = true, .asked = 1024};

	(void)state;
	for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
		file.function[DOMAIN_RAW][i] = RAW_MALLOC + 16 * (unsigned int)i;
		file.function[DOMAIN_MEM][i] = file.function[DOMAIN_OBJ][i] = PYMALLOC + 16 * (unsigned int)i;
	}
	for (int i = 0; i < ALLOC_DOMAINS; i++)
		file.table[i] = 64;
	for (size_t i = 0; i < sizeof(made_up) / sizeof(made_up[0]); i++) {
		struct fake f = {0};
		struct mem_reader m = {.read = read_fake, .ctx = &f};
		char text[ALLOCATOR_TEXT_BYTES];
		struct allocator_chain chain;
		struct allocator_words words;

		for (int t = 0; t < 4; t++)
			if (made_up[i].table[t].at)
				put_table(&f, made_up[i].table[t].at, made_up[i].table[t].ctx, made_up[i].table[t].code);
		if (made_up[i].api_at)
			f.words[made_up[i].api_at / 8] = made_up[i].api;
		f.words[1024 / 8] = made_up[i].asked;
		assert_int_equal(allocator_words__read(&m, &file, 0, &words), 0);
		allocator_chain__follow(&m, &words, DOMAIN_OBJ, &file, 0, places, &chain);
		if (strcmp(allocator_chain__text(&chain, text), made_up[i].text))
			fail_msg("row %zu: %s", i, text);
	}
	code_places__free(places);
}

/* The longest there can be ends within its buffer. */
static void long_text(void **state)
{
	struct allocator_chain c = {.layers = ALLOCATOR_MAX_LAYERS};
	char text[ALLOCATOR_TEXT_BYTES];

	(void)state;
	memset(c.place, 'x', sizeof(c.place) - 1);
	for (int i = 0; i < ALLOCATOR_MAX_LAYERS; i++)
		c.layer[i] = LAYER_FOREIGN;
	allocator_chain__text(&c, text);
	assert_true(strlen(text) > sizeof(c.place) + 5 * strlen("code of another file over "));
	assert_int_equal(strspn(text, "x"), sizeof(c.place) - 1);
	memcpy(c.place, "/usr/lib/_memray.so (f)", 24);
	c.layers = 1;
	assert_string_equal(allocator_chain__text(&c, text), "memray: /usr/lib/_memray.so (f) over code that is not recognised");
}

static void places_of_this(void **state)
{
	struct code_places *c;
	struct code_place place;
	struct proc *proc;

	(void)state;
	assert_int_equal(proc__open(NULL, &proc), 0);
	assert_int_equal(code_places__of_process(proc, getpid(), "/nowhere", &c), 0);
	assert_int_equal(code_places__find(c, (uintptr_t)places_of_this, &place), 0);
	assert_string_equal(place.symbol, "places_of_this");
	assert_non_null(strstr(place.path, "test_allocators"));
	assert_false(place.own);
	assert_true(code_places__has(c, (uintptr_t)getpid));
	assert_int_equal(code_places__find(c, (uintptr_t)&place, &place), -ENOENT);
	code_places__free(c);
	proc__free(proc);
}

int main(void)
{
	struct CMUnitTest tests[MAX_PYTHONS + 8] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(long_text),
		cmocka_unit_test(places_of_this),
	};
	size_t cnt = 3;
	char command[256];
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	signal(SIGPIPE, SIG_IGN);
	snprintf(command, sizeof(command),
		 "${CC:-gcc} -shared -fPIC -nostdlib -O1 tests/targets/allocator_hook.c -o %s/allocator_hook.so",
		 mkdtemp(folder));
	if (system(command))
		return 1;
	cnt += pythons__tests(tests + cnt, live);
	failed = _cmocka_run_group_tests("allocators", tests, cnt, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) || failed;
}
