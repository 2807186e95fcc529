/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views_fixture.h"

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <unistd.h>

#include "capture/event.h"
#include "views/facts.h"
#include "views/report.h"
#include "views/select.h"
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

static struct json_object *find_function(struct json_object *root, const char *function)
{
	struct json_object *rows, *frame, *name;

	assert_true(json_object_object_get_ex(root, "rows", &rows));
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		if (json_object_object_get_ex(row, "frame", &frame) && frame &&
		    json_object_object_get_ex(frame, "function", &name) && !strcmp(json_object_get_string(name), function))
			return row;
	}
	return NULL;
}

/* What it touches is the collector's, with the native code that it runs in; what a finaliser does is the finaliser's. */
static void test_collector(void **state)
{
	struct report_opts opts = {.by = REPORT_BY_LINE, .kinds = 7, .json = true};
	struct profile *p = sample_profile();
	uint32_t line = python(p, 0, "innocent", "/srv/app/line.py", 3);
	uint32_t collector = node(p, line, FRAME_COLLECTOR, "[collector]", "", 0);
	struct json_object *root, *frame, *kind;
	char *text;

	(void)state;
	add(p, 0, 1201, collector, KIND_RESIDENT_ANON, 8 * MIB, 0);
	add(p, 0, 1201, node(p, collector, FRAME_NATIVE, "visit", "/usr/lib/extension.so", 0), KIND_RESIDENT_ANON, 2 * MIB, 0);
	add(p, 0, 1201, python(p, collector, "Kept.__del__", "/srv/app/kept.py", 9), KIND_RESIDENT_ANON, 3 * MIB, 0);
	text = report(p, &opts);
	root = json_tokener_parse(text);
	assert_non_null(root);
	assert_int_equal(number(find_function(root, "[collector]"), "bytes"), 10 * MIB);
	assert_true(json_object_object_get_ex(find_function(root, "[collector]"), "frame", &frame));
	assert_true(json_object_object_get_ex(frame, "kind", &kind));
	assert_string_equal(json_object_get_string(kind), "collector");
	assert_int_equal(number(find_function(root, "Kept.__del__"), "bytes"), 3 * MIB);
	assert_int_equal(number(find_function(root, "innocent"), "bytes"), 0);
	json_object_put(root);
	free(text);
	opts.json = false;
	text = report(p, &opts);
	assert_non_null(strstr(text, "\nthe collector made 10.0 MiB resident: "));
	free(text);
	opts.kinds = 1 << KIND_EXACT;
	text = report(p, &opts);
	assert_null(strstr(text, "the collector made"));
	free(text);
	profile__free(p);
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

/* The lines that call the collector, from all containers and from one; worked out by hand likewise. */
static void test_gc_calls(void **state)
{
	static const struct {
		const char *container, *trigger, *file;
		int line;
		uint64_t cnt, pause_us, longest_us, collected, uncollectable, unknown;
	} rows[] = {
		{NULL, "gc.collect", "/srv/app/tree.py", 9, 1, 60000, 60000, 7, 3, 0},
		{NULL, "gc.collect", "/srv/app/cache.py", 42, 3, 55000, 30000, 1500, 0, 1},
		{NULL, "native", "/srv/app/cache.py", 60, 1, 250, 250, 0, 0, 0},
		{"leaky", "gc.collect", "/srv/app/tree.py", 9, 1, 60000, 60000, 7, 3, 0},
		{"leaky", "gc.collect", "/srv/app/cache.py", 42, 2, 50000, 30000, 1000, 0, 1},
	};
	static const size_t lens[] = {3, 2};
	struct profile *p = sample_profile();

	(void)state;
	for (size_t i = 0, at = 0; i < 2; at += lens[i++]) {
		struct report_opts opts = {.by = REPORT_BY_FUNCTION, .container = rows[at].container, .json = true};
		char *text = report(p, &opts);
		struct json_object *root = json_tokener_parse(text), *calls, *frame, *value;

		assert_true(json_object_object_get_ex(root, "gc_calls", &calls));
		assert_int_equal(json_object_array_length(calls), lens[i]);
		for (size_t k = 0; k < lens[i]; k++) {
			struct json_object *call = json_object_array_get_idx(calls, k);

			assert_true(json_object_object_get_ex(call, "trigger", &value));
			assert_string_equal(json_object_get_string(value), rows[at + k].trigger);
			assert_true(json_object_object_get_ex(call, "frame", &frame));
			assert_true(json_object_object_get_ex(frame, "file", &value));
			assert_string_equal(json_object_get_string(value), rows[at + k].file);
			assert_int_equal(number(frame, "line"), rows[at + k].line);
			assert_int_equal(number(call, "collections"), rows[at + k].cnt);
			assert_int_equal(number(call, "pause_ns"), 1000 * rows[at + k].pause_us);
			assert_int_equal(number(call, "longest_ns"), 1000 * rows[at + k].longest_us);
			assert_int_equal(number(call, "collected"), rows[at + k].collected);
			assert_int_equal(number(call, "uncollectable"), rows[at + k].uncollectable);
			assert_int_equal(number(call, "collected_unknown"), rows[at + k].unknown);
		}
		json_object_put(root);
		free(text);
	}
	profile__free(p);
}

/* Where only the collector was recorded, nothing is said of memory; where memory was, that there was none. */
static void test_gc_alone(void **state)
{
	static const struct {
		const char *signals;
		bool memory;
	} rows[] = {{"gc", false}, {"resident gc", true}, {NULL, true}};
	const struct report_opts opts = {.by = REPORT_BY_LINE};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct profile_process process = {
			.container = PROFILE_NONE, .command = "", .python = "", .interpreter = "", .note = ""};
		struct profile *p;
		char *text;

		assert_int_equal(profile__new(NULL, &p), 0);
		assert_int_equal(profile__add_process(p, &process), 0);
		assert_int_equal(profile__add_gc(p, &(struct profile_gc){.pause_ns = 1000}), 0);
		if (rows[i].signals)
			profile__set_meta(p, "signals", rows[i].signals);
		text = report(p, &opts);
		assert_int_equal(strstr(text, "signal resident") != NULL, rows[i].memory);
		assert_int_equal(strstr(text, "nothing was recorded") != NULL, rows[i].memory);
		assert_non_null(strstr(text, "\ncollector, generation 0: 1 collection, 1.0 µs"));
		free(text);
		profile__free(p);
	}
}

/* What nobody watched is in the sums, and said to be an estimate. */
static void test_gc_not_watched(void **state)
{
	static const struct profile_gc rows[] = {
		{.generation = 0, .trigger = GC_TRIGGER_AUTOMATIC, .cnt = 20, .pause_ns = 1000000, .longest_ns = 90000, .collected = 60},
		{.generation = 0, .trigger = GC_TRIGGER_NOT_WATCHED, .cnt = 180, .pause_ns = 9000000, .collected = 540},
		{.generation = 1, .trigger = GC_TRIGGER_NOT_WATCHED, .cnt = 1, .pause_ns = 50000, .collected = 5},
		{.generation = 2, .trigger = GC_TRIGGER_NOT_COUNTED, .cnt = 3, .pause_ns = 70000, .collected = -1, .uncollectable = -1},
	};
	struct profile_process process = {.container = PROFILE_NONE, .command = "", .python = "", .interpreter = "", .note = ""};
	struct report_opts opts = {.by = REPORT_BY_LINE};
	struct json_object *root, *list, *name;
	struct profile *p;
	char *text;

	(void)state;
	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(profile__add_process(p, &process), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(profile__add_gc(p, &rows[i]), 0);
	text = report(p, &opts);
	assert_non_null(strstr(text, "\ncollector, generation 0: 200 collections, about 10.0 ms in total (by 20 that were watched), "
				     "longest of those 90.0 µs, 600 objects collected\n"));
	assert_non_null(strstr(text, "\ncollector, generation 1: 1 collection, about 50.0 µs, 5 objects collected\n"));
	assert_non_null(strstr(text, "\ncollector, generation 2: about 3 collections, about 70.0 µs in total, objects collected not known\n"));
	assert_non_null(strstr(text, "\ncollector, run automatically: 20 collections, 1.0 ms in total, longest 90.0 µs, 60 objects collected\n"));
	assert_non_null(strstr(text, "\ncollector, not watched, to keep the budget or before probes were there, but counted: 181 collections, about 9.1 ms in total, "
				     "545 objects collected\n"));
	assert_non_null(strstr(text, "\ncollector, not watched, to keep the budget or before probes were there: about 3 collections, about 70.0 µs in total"));
	free(text);
	opts.json = true;
	text = report(p, &opts);
	root = json_tokener_parse(text);
	assert_true(json_object_object_get_ex(root, "gc", &list));
	assert_int_equal(number(json_object_array_get_idx(list, 0), "collections"), 200);
	assert_int_equal(number(json_object_array_get_idx(list, 0), "not_watched"), 180);
	assert_int_equal(number(json_object_array_get_idx(list, 2), "estimated"), 3);
	assert_true(json_object_object_get_ex(root, "gc_triggers", &list));
	assert_true(json_object_object_get_ex(json_object_array_get_idx(list, 2), "trigger", &name));
	assert_string_equal(json_object_get_string(name), "not watched, estimated");
	json_object_put(root);
	free(text);
	profile__free(p);
}

static void test_many_gc_calls(void **state)
{
	struct report_opts opts = {.by = REPORT_BY_LINE, .container = "web"};
	struct profile *p = sample_profile();
	char *text;

	(void)state;
	for (int line = 1; line <= 9; line++) {
		struct profile_gc gc = {.process = 2, .trigger = GC_TRIGGER_COLLECT, .pause_ns = 1000ull * line};

		gc.node = python(p, 0, "each", "/srv/app/each.py", line);
		assert_int_equal(profile__add_gc(p, &gc), 0);
	}
	text = report(p, &opts);
	assert_non_null(strstr(text, "run by gc.collect(): 10 collections, 5.0 ms in total, longest 5.0 ms, 500 objects collected\n"
				     "  at /srv/app/cache.py:42 remember: 1 collection, 5.0 ms, 500 objects collected\n"
				     "  at /srv/app/each.py:9 each: 1 collection, 9.0 µs, 0 objects collected\n"));
	assert_non_null(strstr(text, "each.py:3 each"));
	assert_null(strstr(text, "each.py:2 each"));
	assert_non_null(strstr(text, "\n  and at 2 more lines (--json)\n"));
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
	assert_int_equal(report__default_kinds(p), 7);
	assert_int_equal(select__recorded(p), 7 | 1 << KIND_HEAP_POOL | 1 << KIND_HEAP_LARGE);
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

/* Memory that is no line's is in no table of lines, in whatever view, and by container in its container. */
static void test_nobody(void **state)
{
	static const struct {
		enum report_by by;
		enum profile_view view;
		uint64_t bytes, before;
		size_t others;
	} cases[] = {
		{REPORT_BY_LINE, VIEW_LIVE, 94 * MIB, 100 * MIB, 2},
		{REPORT_BY_FUNCTION, VIEW_LIVE, 94 * MIB, 100 * MIB, 2},
		{REPORT_BY_LINE, VIEW_ALLOC, 95 * MIB, 100 * MIB, 2},
		{REPORT_BY_CONTAINER, VIEW_LIVE, 194 * MIB, 100 * MIB, 0},
		{REPORT_BY_CONTAINER, VIEW_ALLOC, 195 * MIB, 100 * MIB, 0},
		{REPORT_BY_PROCESS, VIEW_LIVE, 194 * MIB, 100 * MIB, 0},
	};
	struct profile *p = sample_profile();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct report_opts opts = {.by = cases[i].by, .view = cases[i].view, .kinds = 7};
		char *text = report(p, &opts), *json;
		struct json_object *root, *others, *rows, *frame, *name;

		assert_non_null(strstr(text, "100.0 MiB"));
		assert_non_null(strstr(text, " there before tracing began\n"));
		assert_non_null(strstr(text, "3.0 MiB were given back by lines not known"));
		assert_null(strstr(text, "[there before"));
		assert_null(strstr(text, "[given back]"));
		opts.json = true;
		json = report(p, &opts);
		root = json_tokener_parse(json);
		assert_int_equal(number(root, "bytes"), cases[i].bytes);
		assert_int_equal(number(root, "before_tracing_bytes"), cases[i].before);
		assert_int_equal(number(root, "given_back_bytes"), 3 * MIB);
		assert_true(json_object_object_get_ex(root, "other", &others));
		assert_int_equal(json_object_array_length(others), cases[i].others);
		assert_true(json_object_object_get_ex(root, "rows", &rows));
		assert_true(json_object_object_get_ex(json_object_array_get_idx(rows, 0), "frame",
						      &frame));
		assert_true(json_object_object_get_ex(frame, "function", &name));
		assert_string_equal(json_object_get_string(name), "remember");
		json_object_put(root);
		free(json);
		free(text);
	}
	profile__free(p);
}

/* Blocks that are not followed any more are of no row and no flame, and their line keeps that it allocated them. */
static void test_not_followed(void **state)
{
	static const struct {
		enum report_by by;
		enum profile_view view;
		uint64_t bytes;
	} cases[] = {
		{REPORT_BY_LINE, VIEW_LIVE, 6 * MIB},	   {REPORT_BY_LINE, VIEW_ALLOC, 10 * MIB},
		{REPORT_BY_CONTAINER, VIEW_LIVE, 6 * MIB}, {REPORT_BY_CONTAINER, VIEW_ALLOC, 10 * MIB},
		{REPORT_BY_PROCESS, VIEW_LIVE, 6 * MIB},   {REPORT_BY_THREAD, VIEW_ALLOC, 10 * MIB},
	};
	struct profile *p = sample_profile();
	uint32_t line = python(p, 0, "grow", "/srv/app/cache.py", 71);
	uint32_t gone = node(p, 0, FRAME_REASON, "[not followed any more]", "", 0);

	(void)state;
	add(p, 0, 1201, line, KIND_HEAP_LARGE, 10 * MIB, 4 * MIB);
	add(p, 0, 1201, gone, KIND_HEAP_LARGE, 4 * MIB, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct report_opts opts = {
			.by = cases[i].by, .view = cases[i].view, .kinds = 1u << KIND_HEAP_LARGE, .json = true};
		char *json = report(p, &opts), *text;
		struct json_object *root = json_tokener_parse(json);

		assert_int_equal(number(root, "bytes"), cases[i].bytes);
		assert_int_equal(number(root, "allocated_bytes"), 10 * MIB);
		assert_int_equal(number(root, "not_followed_bytes"), 4 * MIB);
		opts.json = false;
		text = report(p, &opts);
		assert_non_null(strstr(text, "4.0 MiB lived when they were followed last, and may be freed since"));
		assert_null(strstr(text, "[not followed any more]"));
		json_object_put(root);
		free(json);
		free(text);
	}
	profile__free(p);
}

/* The tracker's own names. */
static void test_names_of_nobody(void **state)
{
	static const struct {
		enum stack_status status;
		enum nobody nobody;
	} cases[] = {
		{STACK_BEFORE_ATTACH, NOBODY_BEFORE},
		{STACK_GIVEN_BACK, NOBODY_GIVEN_BACK},
		{STACK_NOT_FOLLOWED, NOBODY_NOT_FOLLOWED},
		{STACK_LOST, SOMEBODY},
	};
	struct profile *p;

	(void)state;
	assert_int_equal(profile__new(NULL, &p), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[80];
		struct profile_frame f = {.kind = FRAME_REASON, .function = text, .file = ""};

		snprintf(text, sizeof(text), "[%s]", stack_status__text(cases[i].status));
		assert_int_equal(profile__add_frame(p, &f), 2 * i);
		assert_int_equal(select__nobody(p, 2 * (uint32_t)i), cases[i].nobody);
		/* A function of that name is somebody. */
		f.kind = FRAME_PYTHON;
		assert_int_equal(profile__add_frame(p, &f), 2 * i + 1);
		assert_int_equal(select__nobody(p, 2 * (uint32_t)i + 1), SOMEBODY);
	}
	assert_int_equal(select__nobody(p, PROFILE_NONE), SOMEBODY);
	profile__free(p);
}

/* Every counter of the capture that tells of a loss has words for it. */
static void test_names_of_losses(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < CTR_MAX; i++) {
		const char *name = counter__name(i);

		if (!strncmp(name, "dropped.", 8))
			assert_string_not_equal(facts__loss(name), name);
	}
	assert_string_not_equal(facts__loss("dropped.programs_ended_at_once"),
				"dropped.programs_ended_at_once");
	assert_string_equal(facts__loss("dropped.unheard_of"), "dropped.unheard_of");
	assert_true(facts__is_loss("dropped.unheard_of", 1));
	assert_true(facts__is_loss("code_objects_ring_full", 1));
	assert_false(facts__is_loss("code_objects_ring_full", 0));
	assert_false(facts__is_loss("events", 1));
}

static void test_time_to_limit(void **state)
{
	static const struct {
		const char *what;
		uint64_t limit;
		struct profile_usage at[4]; /* time in s, usage in MiB, OOM kills ever */
		const char *duration;
		uint64_t seconds;
	} cases[] = {
		{"steady", 200, {{0, 40, 0}, {5, 60, 0}, {10, 80, 0}}, "10000000000", 30},
		{"killed before", 200, {{0, 40, 2}, {5, 60, 2}, {10, 80, 2}}, "10000000000", 30},
		{"killed", 200, {{0, 40, 0}, {5, 60, 1}, {10, 80, 1}}, "10000000000", 0},
		{"faster at first", 200, {{0, 20, 0}, {5, 90, 0}, {10, 100, 0}}, "10000000000", 50},
		{"too short", 200, {{0, 40, 0}, {1, 60, 0}, {2, 80, 0}}, "2000000000", 0},
		{"stands still", 200, {{0, 40, 0}, {1, 60, 0}, {2, 80, 0}}, "10000000000", 0},
		{"goes up and down", 200, {{0, 80, 0}, {5, 60, 0}, {10, 81, 0}}, "10000000000", 0},
		{"ended", 64, {{0, 20, 0}, {4, 50, 0}, {5, 1, 0}}, "5000000000", 0},
		{"partly ended", 64, {{0, 20, 0}, {6, 30, 0}, {8, 60, 0}, {10, 50, 0}}, "10000000000", 0},
		{"at its limit", 80, {{0, 40, 0}, {5, 60, 0}, {10, 80, 0}}, "10000000000", 0},
		{"one point", 80, {{0, 40, 0}}, "10000000000", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct profile_container c = {.path = "/c", .limit_bytes = cases[i].limit * MIB};
		struct profile *p;
		uint64_t ns;

		assert_int_equal(profile__new(NULL, &p), 0);
		assert_int_equal(profile__add_container(p, &c), 0);
		profile__set_meta(p, "duration_ns", cases[i].duration);
		for (int k = 0; k < 4 && cases[i].at[k].usage_bytes; k++) {
			struct profile_usage u = cases[i].at[k];

			u.time_ns *= SECOND;
			u.usage_bytes *= MIB;
			assert_int_equal(profile__add_usage(p, 0, &u), 0);
		}
		ns = facts__time_to_limit_ns(p, 0);
		if (ns != cases[i].seconds * SECOND)
			fail_msg("%s: %lu ns, not %lu s", cases[i].what, ns, cases[i].seconds);
		profile__free(p);
	}
}

/* The history of a week keeps its ends and its shape. */
static void test_long_history(void **state)
{
	struct profile_container c = {.path = "/c", .limit_bytes = UINT64_MAX - 1};
	const struct profile_usage *at;
	struct profile *p;
	uint32_t n;

	(void)state;
	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(profile__add_container(p, &c), 0);
	for (uint64_t i = 0; i < 604800; i++)
		assert_int_equal(profile__add_usage(p, 0, &(struct profile_usage){i, MIB + i, 0}), 0);
	n = profile__usage(p, 0, &at);
	assert_in_range(n, 100, 256);
	assert_int_equal(at[0].time_ns, 0);
	assert_int_equal(at[n - 1].time_ns, 604799);
	for (uint32_t i = 1; i < n; i++)
		assert_true(at[i].time_ns > at[i - 1].time_ns);
	assert_int_equal(profile__add_usage(p, 0, &(struct profile_usage){1u << 20, MIB + 604799, 0}), 0);
	assert_int_equal(profile__usage(p, 0, &at), n);
	assert_int_equal(profile__add_usage(p, 1, &at[0]), -EINVAL);
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

struct cost_row {
	struct profile_cost cost[2]; /* of two processes */
	const char *budget, *hook_on; /* NULL: not in the recording */
	const char *text; /* what the report says; NULL: nothing */
};

static void test_cost(void **state)
{
	static const struct cost_row rows[] = {
		{{{0}, {0}}, "0.01", NULL, NULL},
		{{{5000000, 90000, 10, 10}, {0}}, "0.01", "1.0000",
		 "tracing took 90.0 µs of 5.0 ms of CPU time (budget 1 %)\n"},
		{{{2000000000, 16000000, 4000, 4000}, {0}}, "0.01", "1.0000",
		 "tracing took 16.0 ms of 2.0 s of CPU time: 0.80 % (budget 1 %)\n"},
		{{{2000000000, 16000000, 4000, 4000}, {0}}, "0", NULL,
		 "tracing took 16.0 ms of 2.0 s of CPU time: 0.80 % (no budget)\n"},
		{{{2000000000, 16000000, 4000, 4000}, {0}}, NULL, NULL,
		 "tracing took 16.0 ms of 2.0 s of CPU time: 0.80 %\n"},
		{{{2000000000, 40000000, 4000, 4000}, {0}}, "0.01", NULL,
		 "tracing took 40.0 ms of 2.0 s of CPU time: 2.00 % (budget 1 %); up to 58 ms a process are spent in advance, by those that began later together\n"},
		{{{9000000000, 8000000, 1000000, 400}, {1000000000, 32000000, 200000, 5600}}, "0.005", "0.1379",
		 "tracing took 40.0 ms of 10.0 s of CPU time: 0.40 % (budget 0.5 %); the most 3.20 %, of process 12\n"
		 "0.5 % of 1,200,000 page faults were looked at, and stand for the others; page faults were watched for "
		 "13.8 % of the time\n"},
	};
	struct report_opts opts = {.by = REPORT_BY_LINE};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct profile *p;
		char *text;

		assert_int_equal(profile__new(NULL, &p), 0);
		for (uint32_t k = 0; k < 2; k++) {
			struct profile_process process = {.tgid = 11 + k, .container = PROFILE_NONE};

			assert_int_equal(profile__add_process(p, &process), k);
			assert_int_equal(profile__add_cost(p, k, &rows[i].cost[k]), 0);
		}
		if (rows[i].budget)
			profile__set_meta(p, "budget", rows[i].budget);
		if (rows[i].hook_on)
			profile__set_meta(p, "fault_hook_on", rows[i].hook_on);
		text = report(p, &opts);
		if (rows[i].text ? !strstr(text, rows[i].text) : !!strstr(text, "tracing took"))
			fail_msg("row %zu:\n%s", i, text);
		free(text);
		profile__free(p);
	}
}

/* Two signals of the same memory: the heading says what the sum is. */
static void test_several_signals(void **state)
{
	struct report_opts opts = {.by = REPORT_BY_LINE, .kinds = 1u << KIND_EXACT | 1u << KIND_RESIDENT_ANON};
	struct profile *p = sample_profile();
	char *text = report(p, &opts);

	(void)state;
	assert_non_null(strstr(text, "signal exact,resident, view live (summed over signals that see the same memory)"));
	free(text);
	profile__free(p);
}

static void set_pool_fact(struct profile *p, uint32_t process, const char *name, uint64_t part, uint64_t whole)
{
	const struct profile_fact f = {.process = process, .name = name, .text = "read", .part = part, .whole = whole};

	assert_int_equal(profile__set_fact(p, &f), 0);
}

/* What pools hold of two processes, together; and of classes that no pool can have, nothing. */
static void test_pools(void **state)
{
	struct report_opts opts = {.by = REPORT_BY_LINE};
	struct json_object *root, *pools, *classes, *one;
	struct profile *p = sample_profile();
	char *text;

	(void)state;
	for (uint32_t process = 0; process < 2; process++) {
		set_pool_fact(p, process, FACT_POOLS_LIVE, 30 * MIB, 64 * MIB);
		set_pool_fact(p, process, FACT_POOLS_FREE, 20 * MIB, 64 * MIB);
		set_pool_fact(p, process, FACT_POOLS_EMPTY, 8 * MIB, 64 * MIB);
		set_pool_fact(p, process, FACT_POOLS_UNUSED, 5 * MIB, 64 * MIB);
		set_pool_fact(p, process, FACT_POOLS_CLASS "64", 10 * MIB, 28 * MIB);
		set_pool_fact(p, process, FACT_POOLS_CLASS "512", 20 * MIB, 22 * MIB);
		set_pool_fact(p, process, FACT_POOLS_CLASS "528", 1, 1000 * MIB);
		set_pool_fact(p, process, FACT_POOLS_CLASS "-16", 1, 1000 * MIB);
		set_pool_fact(p, process, FACT_POOLS_CLASS "7", 1, 1000 * MIB);
	}
	text = report(p, &opts);
	assert_non_null(strstr(text, "\npymalloc of 2 processes: 128.0 MiB of arenas: 60.0 MiB live, 40.0 MiB free beside live blocks "
				     "(36.0 MiB of it in blocks of 64 bytes), 16.0 MiB in empty pools, 10.0 MiB not used yet\n"));
	free(text);
	opts.json = true;
	text = report(p, &opts);
	root = json_tokener_parse(text);
	assert_true(json_object_object_get_ex(root, "pymalloc", &pools));
	assert_int_equal(number(pools, "processes"), 2);
	assert_int_equal(number(pools, "unused_bytes"), 10 * MIB);
	assert_true(json_object_object_get_ex(pools, "classes", &classes));
	assert_int_equal(json_object_array_length(classes), 2);
	one = json_object_array_get_idx(classes, 1);
	assert_int_equal(number(one, "block_bytes"), 512);
	assert_int_equal(number(one, "live_bytes"), 40 * MIB);
	assert_int_equal(number(one, "free_bytes"), 4 * MIB);
	json_object_put(root);
	free(text);
	profile__free(p);
}

/* What was asked of the kernel: in sums, without what was there before; and by line. */
static void test_mapped(void **state)
{
	static const struct {
		const char *function, *file;
		uint32_t kind;
		struct profile_sums sums;
	} rows[] = {
		{"serve", "/app.py", KIND_MAPPED_ARENA, {.alloc_cnt = 3, .alloc_bytes = 3 * MIB, .free_cnt = 1, .free_bytes = MIB}},
		{"serve", "/app.py", KIND_MAPPED_BRK, {.alloc_cnt = 1, .alloc_bytes = MIB / 2}},
		{"load", "/load.py", KIND_MAPPED_ANON, {.alloc_cnt = 1, .alloc_bytes = 7 * MIB}},
		{"load", "/load.py", KIND_ADVISED, {.alloc_cnt = 2, .alloc_bytes = 4 * MIB}},
		{"[mapped, by whom is not known]", "", KIND_MAPPED_ANON, {.alloc_cnt = 1, .alloc_bytes = 6 * MIB, .free_bytes = MIB}},
		{"[there before tracing began]", "", KIND_MAPPED_ANON, {.alloc_cnt = 9, .alloc_bytes = 30 * MIB}},
	};
	const struct report_opts opts = {.by = REPORT_BY_LINE,
					 .kinds = 1u << KIND_MAPPED_ARENA | 1u << KIND_MAPPED_ANON | 1u << KIND_MAPPED_BRK};
	struct profile_process process = {
		.container = PROFILE_NONE, .command = "", .python = "", .interpreter = "", .note = ""};
	struct profile *p;
	char *text;

	(void)state;
	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(profile__add_process(p, &process), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct profile_frame f = {.kind = rows[i].file[0] ? FRAME_PYTHON : FRAME_REASON, .line = rows[i].file[0] ? 5 : 0,
					  .function = rows[i].function, .file = rows[i].file};
		int64_t node = profile__add_node(p, 0, (uint32_t)profile__add_frame(p, &f));

		assert_int_equal(profile__add(p, 0, 1, (uint32_t)node, rows[i].kind, &rows[i].sums), 0);
	}
	text = report(p, &opts);
	assert_non_null(strstr(text, "signal mapped, view live (asked of the kernel and not yet given back): 14.5 MiB in 5 calls"));
	assert_non_null(strstr(text, "\n30.0 MiB were there before tracing began\n"));
	assert_non_null(strstr(text, "\nasked of the kernel: pymalloc's arenas 3.0 MiB in 3 calls (1.0 MiB given back); "
				     "the C library's heap 512.0 KiB in 1 call; other memory 7.0 MiB in 1 call; "
				     "5.0 MiB more are there, by whom is not known; "
				     "2 calls of madvise to give back in place what is there of 4.0 MiB\n"));
	assert_null(strstr(text, "advised"));
	free(text);
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
		assert_int_equal(report__print(p, &opts, f), -EPIPE);
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
		cmocka_unit_test(test_collector),
		cmocka_unit_test(test_gc_calls),
		cmocka_unit_test(test_gc_alone),
		cmocka_unit_test(test_gc_not_watched),
		cmocka_unit_test(test_many_gc_calls),
		cmocka_unit_test(test_function_counts_recursion_once),
		cmocka_unit_test(test_default_kinds),
		cmocka_unit_test(test_container_names),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_not_followed),
		cmocka_unit_test(test_names_of_nobody),
		cmocka_unit_test(test_names_of_losses),
		cmocka_unit_test(test_time_to_limit),
		cmocka_unit_test(test_long_history),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_several_signals),
		cmocka_unit_test(test_pools),
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_cut),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
