/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views_fixture.h"

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <unistd.h>

#include "views/report.h"
#include "views/text.h"

static char *report(const struct profile *p, const struct report_opts *opts)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(report__print(p, opts, f), 0);
	fclose(f);
	return text;
}

static const struct {
	const char *name;
	struct report_opts opts;
} goldens[] = {
	{"report_line", {.by = REPORT_BY_LINE}},
	{"report_line_leaky", {.by = REPORT_BY_LINE, .container = "leaky"}},
	{"report_line_alloc_top2", {.by = REPORT_BY_LINE, .view = VIEW_ALLOC, .top = 2}},
	{"report_function", {.by = REPORT_BY_FUNCTION}},
	{"report_process", {.by = REPORT_BY_PROCESS}},
	{"report_thread", {.by = REPORT_BY_THREAD, .view = VIEW_PEAK}},
	{"report_container", {.by = REPORT_BY_CONTAINER}},
	{"report_resident", {.by = REPORT_BY_LINE, .kinds = 7}},
};

static void test_golden(void **state)
{
	struct profile *p = sample_profile();

	(void)state;
	for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++) {
		struct report_opts opts = goldens[i].opts;
		char name[64], *text = report(p, &opts);

		snprintf(name, sizeof(name), "%s.txt", goldens[i].name);
		assert_golden(text, name);
		free(text);
		opts.json = true;
		text = report(p, &opts);
		snprintf(name, sizeof(name), "%s.json", goldens[i].name);
		assert_golden(text, name);
		free(text);
	}
	profile__free(p);
}

static uint64_t number(struct json_object *o, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(o, key, &value));
	return json_object_get_uint64(value);
}

static struct json_object *find_row(struct json_object *root, const char *file, int line)
{
	struct json_object *rows, *frame, *name;

	assert_true(json_object_object_get_ex(root, "rows", &rows));
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		assert_true(json_object_object_get_ex(row, "frame", &frame));
		assert_true(json_object_object_get_ex(frame, "file", &name));
		if (!strcmp(json_object_get_string(name), file) &&
		    number(frame, "line") == (uint64_t)line)
			return row;
	}
	return NULL;
}

/* The figures themselves, worked out by hand from sample_profile(), not from a golden file. */
static void test_sums(void **state)
{
	static const struct {
		const char *file;
		int line;
		uint64_t bytes, total;
	} rows[] = {
		/* 100 + 4 + 1, and the native leaf's 8 */
		{"/srv/app/cache.py", 42, 113 * MIB, 113 * MIB},
		{"/srv/app/tree.py", 9, 2 * MIB, 115 * MIB},
		/* recursive: two frames of this line in each stack, counted once */
		{"/srv/app/tree.py", 7, 0, 115 * MIB},
		{"/srv/app/app.py", 10, 0, 115 * MIB + MIB / 2},
	};
	struct report_opts opts = {.by = REPORT_BY_LINE, .container = "leaky", .json = true};
	struct profile *p = sample_profile();
	char *text = report(p, &opts);
	struct json_object *root = json_tokener_parse(text), *list;

	(void)state;
	assert_non_null(root);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_object *row = find_row(root, rows[i].file, rows[i].line);

		assert_non_null(row);
		assert_int_equal(number(row, "bytes"), rows[i].bytes);
		assert_int_equal(number(row, "total_bytes"), rows[i].total);
	}
	assert_int_equal(number(root, "bytes"), 115 * MIB + MIB / 2);
	assert_true(json_object_object_get_ex(root, "containers", &list));
	assert_int_equal(json_object_array_length(list), 1);
	json_object_put(root);
	free(text);
	profile__free(p);
}

static void test_function_counts_recursion_once(void **state)
{
	struct report_opts opts = {.by = REPORT_BY_FUNCTION, .json = true};
	struct profile *p = sample_profile();
	char *text = report(p, &opts);
	struct json_object *root = json_tokener_parse(text), *rows, *name, *frame;
	uint64_t total = 0;
	size_t seen = 0;

	(void)state;
	assert_true(json_object_object_get_ex(root, "rows", &rows));
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		assert_true(json_object_object_get_ex(row, "frame", &frame));
		assert_true(json_object_object_get_ex(frame, "function", &name));
		if (strcmp(json_object_get_string(name), "Tree.walk"))
			continue;
		seen++;
		total += number(row, "total_bytes");
	}
	assert_int_equal(seen, 2); /* one row in each container */
	assert_int_equal(total, 145 * MIB);
	json_object_put(root);
	free(text);
	profile__free(p);
}

static void test_default_kinds(void **state)
{
	struct profile_process process = {.container = PROFILE_NONE,
					  .command = "",
					  .python = "",
					  .interpreter = "",
					  .note = ""};
	struct profile *p;

	(void)state;
	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(report__default_kinds(p), 7);
	assert_int_equal(profile__add_process(p, &process), 0);
	add(p, 0, 1, 0, KIND_RESIDENT_FILE, 1, 0);
	assert_int_equal(report__default_kinds(p), 7);
	add(p, 0, 1, 0, KIND_HEAP_LARGE, 1, 0);
	assert_int_equal(report__default_kinds(p), 1 << KIND_HEAP_POOL | 1 << KIND_HEAP_LARGE);
	add(p, 0, 1, 0, KIND_EXACT, 1, 0);
	assert_int_equal(report__default_kinds(p), 1 << KIND_EXACT);
	profile__free(p);
}

static void test_container_names(void **state)
{
	static const struct {
		const char *name;
		int err;
	} cases[] = {
		{"leaky", 0},	   {"4f1a2b3c4d5e", 0}, {"/runc/web", 0}, {"web-0", 0},
		{"4f1a", -ENOENT}, {"leak", -ENOENT},	{"", -ENOENT},	  {"4f1a2b3c4d5f", -ENOENT},
	};
	struct profile *p = sample_profile();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct report_opts opts = {.by = REPORT_BY_LINE, .container = cases[i].name};
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);

		assert_int_equal(report__print(p, &opts, f), cases[i].err);
		fclose(f);
		assert_int_equal(len != 0, cases[i].err == 0);
		free(text);
	}
	profile__free(p);
}

static void test_hostile(void **state)
{
	struct profile *p = hostile_profile();

	(void)state;
	for (int by = REPORT_BY_CONTAINER; by <= REPORT_BY_LINE; by++) {
		struct report_opts opts = {.by = (enum report_by)by};
		char *text = report(p, &opts);
		struct json_object *root;

		for (const char *s = text; *s; s++)
			assert_true((unsigned char)*s >= 0x20 || *s == '\n');
		if (by == REPORT_BY_LINE)
			assert_golden(text, "report_hostile.txt");
		free(text);
		opts.json = true;
		text = report(p, &opts);
		root = json_tokener_parse(text);
		assert_non_null(root);
		json_object_put(root);
		if (by == REPORT_BY_PROCESS)
			assert_golden(text, "report_hostile.json");
		free(text);
	}
	profile__free(p);
}

/* Without a terminal no line is wider than 110 columns, whatever the names are; what is a sentence
 * may be. */
static void test_width(void **state)
{
	struct profile *p = sample_profile();

	(void)state;
	for (int by = REPORT_BY_CONTAINER; by <= REPORT_BY_LINE; by++) {
		struct report_opts opts = {.by = (enum report_by)by};
		char *text = report(p, &opts), *save, *line = strtok_r(text, "\n", &save);
		bool in_table = false;

		for (; line; line = strtok_r(NULL, "\n", &save)) {
			in_table = in_table || strstr(line, "SHARE");
			if (strstr(line, "collector"))
				break;
			if (in_table)
				assert_in_range(text__width(line), 1, 110);
		}
		assert_true(in_table);
		free(text);
	}
	profile__free(p);
}

static void test_empty(void **state)
{
	struct report_opts opts = {.by = REPORT_BY_LINE};
	struct profile *p;
	char *text;

	(void)state;
	assert_int_equal(profile__new(NULL, &p), 0);
	text = report(p, &opts);
	assert_non_null(strstr(text, "nothing was recorded"));
	free(text);
	opts.json = true;
	text = report(p, &opts);
	assert_golden(text, "report_empty.json");
	free(text);
	profile__free(p);
}

static void test_write_errors(void **state)
{
	struct profile *p = sample_profile();
	int fds[2];
	FILE *f;

	(void)state;
	for (int json = 0; json < 2; json++) {
		struct report_opts opts = {.by = REPORT_BY_LINE, .json = json};

		f = fopen("/dev/full", "w");
		assert_non_null(f);
		assert_int_equal(report__print(p, &opts, f), -ENOSPC);
		fclose(f);
		f = fopen("/dev/full", "w");
		assert_non_null(f);
		setvbuf(f, NULL, _IONBF, 0);
		assert_true(report__print(p, &opts, f) < 0);
		fclose(f);
		assert_int_equal(pipe(fds), 0);
		close(fds[0]);
		f = fdopen(fds[1], "w");
		assert_int_equal(report__print(p, &opts, f), -EIO);
		fclose(f);
	}
	profile__free(p);
}

static void test_cut(void **state)
{
	static const struct {
		const char *text;
		size_t width;
		const char *start, *end;
	} cases[] = {
		{"", 5, "", ""},
		{"abcde", 5, "abcde", "abcde"},
		{"abcdef", 5, "…cdef", "abcd…"},
		{"abc", 1, "…", "…"},
		{"abc", 0, "", ""},
		{"ä€🐍z", 5, "ä€🐍z", "ä€🐍z"},
		{"ä€🐍z", 4, "…🐍z", "ä€…"},
		{"a\xff\nb", 4, "a��b", "a��b"},
		{"\xc3", 2, "�", "�"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *start = text__cut_start(cases[i].text, cases[i].width);
		char *end = text__cut_end(cases[i].text, cases[i].width);

		assert_string_equal(start, cases[i].start);
		assert_string_equal(end, cases[i].end);
		assert_true(text__width(start) <= cases[i].width);
		assert_true(text__width(end) <= cases[i].width);
		free(start);
		free(end);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_function_counts_recursion_once),
		cmocka_unit_test(test_default_kinds),
		cmocka_unit_test(test_container_names),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_cut),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
