/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which file serves malloc in each interpreter at hand, and the places for probes in it. */
#include "pythons.h"

#include <errno.h>
#include <stdbool.h>

#include "python/malloc_sites.h"

static void start(struct child *c, const struct python *p, struct interp *ret)
{
	char line[64];
	const char *why;

	child__start(c, p, "tests/targets/leak_at_line.py 1");
	assert_non_null(fgets(line, sizeof(line), c->out));
	assert_string_equal(line, "ready\n");
	assert_int_equal(interp__of_process(c->pid, ret, &why), 0);
}

static bool is_c_library(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && (!strncmp(slash, "/libc.so", 8) || !strncmp(slash, "/libc-2", 7));
}

static bool is_often_called(const char *symbol)
{
	return !strcmp(symbol, "malloc") || !strcmp(symbol, "calloc") || !strcmp(symbol, "realloc") ||
	       !strcmp(symbol, "free");
}

/* Each function, those that are called often on an emulated instruction, no two at one place. */
static void check_sites(const struct malloc_file *m)
{
	size_t functions[LARGE_FUNCTIONS] = {0};

	for (size_t i = 0; i < m->n; i++) {
		functions[m->site[i].function]++;
		assert_true(m->site[i].insn[0]);
		assert_true(m->site[i].emulated || !is_often_called(m->site[i].symbol));
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(m->site[i].offset, m->site[k].offset);
	}
	for (int function = 0; function < LARGE_FUNCTIONS; function++)
		assert_true(functions[function] > 0);
}

static void test_interpreter(void **state)
{
	const struct python *p = *state;
	struct malloc_file m = {0}, again = {0};
	struct malloc_finder *f;
	struct interp in = {0};
	struct child c;

	if (!p->command[0])
		skip();
	start(&c, p, &in);
	assert_int_equal(malloc_finder__new(&f), 0);
	assert_int_equal(malloc_finder__find(f, c.pid, &in, &m), 0);
	assert_true(is_c_library(m.path));
	assert_int_equal(m.musl, !!strstr(p->name, "alpine"));
	check_sites(&m);
	assert_int_equal(malloc_finder__find(f, c.pid, &in, &again), 0);
	assert_ptr_equal(again.site, m.site);
	child__end(&c);
	assert_int_not_equal(malloc_finder__find(f, c.pid, &in, &again), 0);
	malloc_finder__free(f);
}

int main(void)
{
	struct CMUnitTest tests[MAX_PYTHONS];
	size_t n = pythons__tests(tests, test_interpreter);

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("malloc_sites", tests, n, NULL, NULL);
}
