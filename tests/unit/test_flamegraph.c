/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views_fixture.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "views/flamegraph.h"

typedef int (*render_fn)(const struct profile *, const struct flamegraph_opts *, FILE *);

static char *render(render_fn fn, const struct profile *p, const struct flamegraph_opts *opts)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(fn(p, opts, f), 0);
	fclose(f);
	return text;
}

static void check_golden(const struct profile *p, const struct flamegraph_opts *opts,
			 const char *name)
{
	char path[64], *text = render(flamegraph__svg, p, opts);

	snprintf(path, sizeof(path), "%s.svg", name);
	assert_golden(text, path);
	free(text);
	text = render(flamegraph__folded, p, opts);
	snprintf(path, sizeof(path), "%s.folded", name);
	assert_golden(text, path);
	free(text);
}

static void test_golden(void **state)
{
	struct flamegraph_opts all = {0}, one = {.container = "web", .title = "a <title>"};
	struct profile *p = sample_profile();

	(void)state;
	check_golden(p, &all, "flamegraph");
	check_golden(p, &one, "flamegraph_web");
	profile__free(p);
}

static void test_hostile(void **state)
{
	struct flamegraph_opts opts = {.title = "]]></title><script>alert(1)</script>"};
	struct profile *p = hostile_profile();
	char *text = render(flamegraph__svg, p, &opts);
	size_t scripts = 0;

	(void)state;
	check_golden(p, &opts, "flamegraph_hostile");
	for (const char *s = text; (s = strstr(s, "<script")) != NULL; s++)
		scripts++;
	assert_int_equal(scripts, 1);
	assert_null(strstr(text, "alert(1)</script>"));
	for (const char *s = text; *s; s++)
		assert_true((unsigned char)*s >= 0x20 || *s == '\n' || *s == '\t');
	free(text);
	profile__free(p);
}

static void test_empty(void **state)
{
	struct flamegraph_opts opts = {0};
	struct profile *p;
	char *text;

	(void)state;
	assert_int_equal(profile__new(NULL, &p), 0);
	check_golden(p, &opts, "flamegraph_empty");
	text = render(flamegraph__svg, p, &opts);
	assert_non_null(strstr(text, "nothing was recorded"));
	free(text);
	text = render(flamegraph__folded, p, &opts);
	assert_string_equal(text, "");
	free(text);
	profile__free(p);
}

/* What folded stacks add up to is what the cells hold, and every name of the path is where it
 * belongs. */
static void test_folded_sum(void **state)
{
	struct flamegraph_opts opts = {0};
	struct profile *p = sample_profile();
	char *text = render(flamegraph__folded, p, &opts), *save, *line;
	uint64_t sum = 0;
	bool leaf = false;

	(void)state;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		static const char want[] =
			"web;gunicorn: worker (77);<module> (/srv/app/app.py:10);"
			"Tree.walk (/srv/app/tree.py:7);"
			"Tree.walk (/srv/app/tree.py:7);"
			"Tree.walk (/srv/app/tree.py:9);"
			"remember (/srv/app/cache.py:42) 31457280";

		sum += strtoull(strrchr(line, ' ') + 1, NULL, 10);
		leaf = leaf || strcmp(line, want) == 0;
	}
	assert_int_equal(sum, 147 * MIB + MIB / 2);
	assert_true(leaf);
	free(text);
	profile__free(p);
}

static struct profile *new_profile(void)
{
	struct profile_container c = {.cgroup_id = 1,
				      .path = "/c",
				      .id = "",
				      .name = "c",
				      .runtime = "",
				      .image = "",
				      .limit_bytes = UINT64_MAX};
	struct profile_process process = {.tgid = 1,
					  .container = 0,
					  .command = "p",
					  .python = "",
					  .interpreter = "",
					  .note = ""};
	struct profile *p;

	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(profile__add_container(p, &c), 0);
	assert_int_equal(profile__add_process(p, &process), 0);
	return p;
}

static unsigned int height(const char *svg)
{
	return (unsigned int)strtoul(strstr(svg, " height=\"") + strlen(" height=\""), NULL, 10);
}

static void test_deep(void **state)
{
	struct flamegraph_opts opts = {0};
	struct profile *p = new_profile();
	uint32_t n = 0;
	char *text;

	(void)state;
	for (int i = 0; i < 128; i++)
		n = python(p, n, "f", "/f.py", i + 1);
	add(p, 0, 1, n, KIND_EXACT, 64, 0);
	text = render(flamegraph__svg, p, &opts);
	assert_true(height(text) > 131 * 18);
	assert_non_null(strstr(text, "f (/f.py:128)"));
	free(text);
	profile__free(p);
}

/* 1200 px wide, 12,000 bytes: one byte is 0.1 px. */
static void test_narrow(void **state)
{
	struct flamegraph_opts opts = {0};
	struct profile *p = new_profile();
	uint32_t parent = python(p, 0, "parent", "/f.py", 1);
	char *text;

	(void)state;
	add(p, 0, 1, python(p, parent, "drawn", "/f.py", 2), KIND_EXACT, 2, 0);
	add(p, 0, 1, python(p, parent, "narrow", "/f.py", 3), KIND_EXACT, 1, 0);
	add(p, 0, 1, parent, KIND_EXACT, 12000, 0);
	text = render(flamegraph__svg, p, &opts);
	assert_non_null(strstr(text, "drawn (/f.py:2)"));
	assert_null(strstr(text, "narrow (/f.py:3)"));
	assert_non_null(strstr(text, "in their callers: 1<"));
	assert_non_null(strstr(text, "parent (/f.py:1)\n11.7 KiB (12,003 bytes), 100.0 % of all"));
	free(text);
	profile__free(p);
}

static void test_errors(void **state)
{
	static const render_fn fns[] = {flamegraph__svg, flamegraph__folded};
	struct flamegraph_opts opts = {0}, missing = {.container = "nowhere"};
	struct profile *p = sample_profile();

	(void)state;
	for (size_t i = 0; i < sizeof(fns) / sizeof(fns[0]); i++) {
		FILE *f = fopen("/dev/full", "w");
		int fds[2];

		assert_non_null(f);
		assert_int_equal(fns[i](p, &missing, f), -ENOENT);
		assert_int_equal(fns[i](p, &opts, f), -ENOSPC);
		fclose(f);
		assert_int_equal(pipe(fds), 0);
		close(fds[0]);
		f = fdopen(fds[1], "w");
		assert_int_equal(fns[i](p, &opts, f), -EPIPE);
		fclose(f);
	}
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_empty),  cmocka_unit_test(test_folded_sum),
		cmocka_unit_test(test_deep),   cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_errors),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
