/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where each interpreter at hand maps memory: all six calls, in its own C library. */
#include "pythons.h"

#include <errno.h>
#include <stdbool.h>

#include "system/mapping_sites.h"

static void start(struct child *c, const struct python *p)
{
	char line[64];

	child__start(c, p, "tests/targets/leak_at_line.py 1");
	assert_non_null(fgets(line, sizeof(line), c->out));
	assert_string_equal(line, "ready\n");
}

/* No two at one place, each where the caller is known. */
static void check_sites(const struct mapping_file *m, bool musl)
{
	for (int call = 0; call < MAP_CALLS; call++) {
		if (musl && call == MAP_CALL_BRK) { /* it refuses, without a system call */
			assert_int_equal(m->site[call].offset, 0);
			continue;
		}
		assert_true(m->site[call].offset > 0);
		assert_true(m->site[call].emulated || musl);
		assert_true(m->site[call].caller_at >= 0 && m->site[call].caller_at < 256);
		for (int k = 0; k < call; k++)
			assert_int_not_equal(m->site[call].offset, m->site[k].offset);
	}
}

static void test_interpreter(void **state)
{
	const struct python *p = *state;
	struct mapping_file m = {0}, again = {0};
	struct mapping_finder *f;
	struct child c;

	if (!p->command[0])
		skip();
	start(&c, p);
	assert_int_equal(mapping_finder__new(&f), 0);
	assert_int_equal(mapping_finder__find(f, c.pid, "/proc/self/exe", &m), 0);
	check_sites(&m, !!strstr(p->name, "alpine"));
	assert_int_equal(mapping_finder__find(f, c.pid, "/proc/self/exe", &again), 0);
	assert_memory_equal(m.site, again.site, sizeof(m.site));
	child__end(&c);
	assert_int_not_equal(mapping_finder__find(f, c.pid, "/proc/self/exe", &again), 0);
	mapping_finder__free(f);
}

int main(void)
{
	struct CMUnitTest tests[MAX_PYTHONS];
	size_t n = pythons__tests(tests, test_interpreter);

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("mapping_sites", tests, n, NULL, NULL);
}
