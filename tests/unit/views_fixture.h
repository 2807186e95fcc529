/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Profiles whose truth is known, and golden files: tests/data/golden/, rewritten by
 * UPDATE_GOLDEN=1. */
#ifndef VIEWS_FIXTURE_H
#define VIEWS_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/profile.h"

#define GOLDEN "tests/data/golden/"
#define MIB (1024ull * 1024)
#define SECOND 1000000000ull

static inline uint32_t node(struct profile *p, uint32_t parent, uint32_t kind, const char *function,
			    const char *file, int line)
{
	struct profile_frame f = {kind, line, function, file};
	int64_t frame = profile__add_frame(p, &f);
	int64_t n;

	assert_true(frame >= 0);
	n = profile__add_node(p, parent, (uint32_t)frame);
	assert_true(n >= 0);
	return (uint32_t)n;
}

static inline uint32_t python(struct profile *p, uint32_t parent, const char *function,
			      const char *file, int line)
{
	return node(p, parent, FRAME_PYTHON, function, file, line);
}

static inline void add(struct profile *p, uint32_t process, uint32_t tid, uint32_t n, uint32_t kind,
		       uint64_t alloc_bytes, uint64_t free_bytes)
{
	struct profile_sums sums = {alloc_bytes / 64, alloc_bytes, free_bytes / 64, free_bytes};

	assert_int_equal(profile__add(p, process, tid, n, kind, &sums), 0);
}

/* In "leaky" on two lines and in "web" on one of them, what triggered them, and what did not tell all. */
static inline void add_collections(struct profile *p, uint32_t walk, uint32_t leaf, uint32_t forget)
{
	uint32_t end = node(p, 0, FRAME_REASON, "[no python stack: no Python code is running]", "", 0);
	const struct {
		uint32_t process, node, trigger;
		int32_t generation;
		int64_t collected, uncollectable;
		uint32_t pause_us;
	} rows[] = {
		{0, walk, GC_TRIGGER_AUTOMATIC, 0, -1, -1, 1500},
		{0, walk, GC_TRIGGER_AUTOMATIC, 0, 20, 0, 3000},
		{0, walk, GC_TRIGGER_UNKNOWN, 2, 1234567, 0, 4500},
		{0, leaf, GC_TRIGGER_COLLECT, 2, 1000, 0, 20000},
		{1, leaf, GC_TRIGGER_COLLECT, 1, -1, -1, 30000},
		{0, walk, GC_TRIGGER_COLLECT, 2, 7, 3, 60000},
		{2, leaf, GC_TRIGGER_COLLECT, 2, 500, 0, 5000},
		{2, forget, GC_TRIGGER_NATIVE, 2, 0, 0, 250},
		{2, end, GC_TRIGGER_SHUTDOWN, -1, -1, -1, 700},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct profile_gc gc = {.time_ns = 5,
					.process = rows[i].process,
					.tid = 1201,
					.node = rows[i].node,
					.trigger = rows[i].trigger,
					.generation = rows[i].generation,
					.collected = rows[i].collected,
					.uncollectable = rows[i].uncollectable,
					.pause_ns = rows[i].pause_us * 1000ull};

		assert_int_equal(profile__add_gc(p, &gc), 0);
	}
}

/*
 * Two containers and a process outside. "leaky" (201 of 256 MiB) keeps 100 MiB on cache.py:42,
 * below a recursion of walk(); "web" has no limit and keeps 30 MiB on a line of the same text, 2
 * MiB without a Python stack.
 */
static inline struct profile *sample_profile(void)
{
	struct profile_container leaky = {
		.cgroup_id = 4242,
		.path = "/system.slice/docker-4f1a.scope",
		.id = "4f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8",
		.name = "leaky",
		.runtime = "docker",
		.image = "shop/leaky:1",
		.limit_bytes = 256 * MIB,
		.usage_bytes = 201 * MIB,
		.peak_bytes = 210 * MIB,
		.oom_kills = 2,
	};
	struct profile_container web = {.cgroup_id = 4243,
					.path = "/runc/web",
					.id = "web-0",
					.name = "web",
					.runtime = "runc",
					.image = "",
					.limit_bytes = UINT64_MAX,
					.usage_bytes = 64 * MIB};
	struct profile_process worker = {.tgid = 1201,
					 .container = 0,
					 .start_time_ticks = 1,
					 .command = "python app.py",
					 .python = "3.11.2",
					 .interpreter = "/usr/bin/python3.11",
					 .note = "inlined allocator: 83 % of small blocks unseen",
					 .rss_bytes = 190 * MIB};
	struct profile_process other = worker, site = worker, alone = worker;
	struct profile *p;
	uint32_t main_node, walk, leaf, n;

	other.tgid = 1202;
	other.rss_bytes = 8 * MIB;
	site.tgid = 77;
	site.container = 1;
	site.command = "gunicorn: worker";
	site.python = "3.13.1";
	site.note = "";
	alone.tgid = 9;
	alone.container = PROFILE_NONE;
	alone.command = "cron";
	alone.python = alone.note = alone.interpreter = "";
	alone.rss_bytes = 0;
	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(profile__add_container(p, &leaky), 0);
	assert_int_equal(profile__add_container(p, &web), 1);
	assert_int_equal(profile__add_process(p, &worker), 0);
	assert_int_equal(profile__add_process(p, &other), 1);
	assert_int_equal(profile__add_process(p, &site), 2);
	assert_int_equal(profile__add_process(p, &alone), 3);

	main_node = python(p, 0, "<module>", "/srv/app/app.py", 10);
	walk = python(p, main_node, "Tree.walk", "/srv/app/tree.py", 7);
	walk = python(p, walk, "Tree.walk", "/srv/app/tree.py", 7);
	walk = python(p, walk, "Tree.walk", "/srv/app/tree.py", 9);
	leaf = python(p, walk, "remember", "/srv/app/cache.py", 42);
	add(p, 0, 1201, leaf, KIND_EXACT, 110 * MIB, 10 * MIB);
	add(p, 0, 1210, leaf, KIND_EXACT, 4 * MIB, 0);
	add(p, 1, 1202, leaf, KIND_EXACT, 1 * MIB, 0);
	add(p, 0, 1201, walk, KIND_EXACT, 3 * MIB, 1 * MIB);
	n = node(p, leaf, FRAME_NATIVE, "_PyDict_Resize", "/usr/bin/python3.11", 0);
	add(p, 0, 1201, n, KIND_EXACT, 8 * MIB, 0);
	n = python(p, main_node, "load_configuration_from_every_place_it_may_be_in",
		   "/usr/lib/python3/dist-packages/a_long_package_name/subpackage/configuration/"
		   "loader_of_all.py",
		   1234);
	add(p, 0, 1201, n, KIND_EXACT, MIB / 2, 0);
	add(p, 2, 77, leaf, KIND_EXACT, 30 * MIB, 0);
	n = node(p, 0, FRAME_REASON, "[no python stack: thread not known to Python]", "", 0);
	add(p, 2, 78, n, KIND_EXACT, 2 * MIB, 0);
	add(p, 3, 9, n, KIND_RESIDENT_ANON, 5 * MIB, 0);
	n = node(p, 0, FRAME_REASON, "[given back]", "", 0);
	add(p, 0, 1201, n, KIND_RESIDENT_ANON, 7 * MIB, 10 * MIB);
	n = node(p, 0, FRAME_REASON, "[there before tracing began]", "", 0);
	add(p, 0, 1201, n, KIND_RESIDENT_ANON, 100 * MIB, 0);
	add(p, 0, 1201, leaf, KIND_RESIDENT_ANON, 90 * MIB, 1 * MIB);
	n = python(p, main_node, "forget", "/srv/app/cache.py", 60);
	add(p, 0, 1201, n, KIND_RESIDENT_ANON, 0, MIB / 4);
	profile__tick(p);
	for (uint64_t i = 0; i <= 30; i++) {
		struct profile_usage u = {i * SECOND, (111 + 3 * i) * MIB, 2};

		assert_int_equal(profile__add_usage(p, 0, &u), 0);
	}

	add_collections(p, walk, leaf, n);
	/* Two are set alike; one cannot be read in full, and freezes more than was counted. */
	for (uint32_t i = 0; i < 3; i++) {
		struct profile_collector c = {.process = i,
					      .enabled = i < 2,
					      .has_counts = i < 2,
					      .threshold = {700, 10, 10},
					      .count = {(int32_t)i, 3, 2},
					      .collections = {100, 9, i},
					      .collected = {i, 0, 4567},
					      .uncollectable = {0, 0, i == 2 ? 4 : 0},
					      .frozen = i < 2 ? (int64_t)600000 + i : -1};

		assert_int_equal(profile__set_collector(p, &c), 0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		static const char *const allocators[] = {"pymalloc", "pymalloc", "tracemalloc over pymalloc"};
		const struct profile_fact facts[] = {
			{i, FACT_ALLOCATOR, allocators[i], 0, 0},
			{i, FACT_COVERAGE "gc", "measured: the interpreter's own count of collections", 20 * i + 3, 20 * i + 4},
			{i, FACT_COVERAGE "exact", i ? "derived: sees all" : "derived: sees a part", i ? 1 : 0, i ? 1 : 0},
		};

		for (int f = 0; f < 3; f++)
			assert_int_equal(profile__set_fact(p, &facts[f]), 0);
	}
	assert_int_equal(profile__set_counter(p, "events", 123456), 0);
	assert_int_equal(profile__set_counter(p, "dropped.stack_names_ring_full", 1234), 0);
	assert_int_equal(profile__set_counter(p, "dropped.pages_not_followed", 0), 0);
	assert_int_equal(profile__set_counter(p, "dropped.by_a_later_version", 7), 0);
	assert_int_equal(profile__set_meta(p, "duration_ns", "30000000000"), 0);
	assert_int_equal(profile__set_meta(p, "host", "build-7"), 0);
	return p;
}

/* Names that would break a terminal, a script, an attribute, or UTF-8 itself. */
static inline struct profile *hostile_profile(void)
{
	struct profile_container c = {.cgroup_id = 1,
				      .path = "/a;b\nc",
				      .id = "",
				      .name = "\"><script>alert(1)</script>]]>",
				      .runtime = "",
				      .image = "",
				      .limit_bytes = 1,
				      .usage_bytes = UINT64_MAX / 2};
	struct profile_process process = {.tgid = 1,
					  .container = 0,
					  .command = "\033[31mred\a\r\n\t&amp;",
					  .python = "'\"<>&",
					  .interpreter = "\xff\xfe",
					  .note = "two\nlines \033]0;title\a"};
	struct profile *p;
	uint32_t n;

	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(profile__add_container(p, &c), 0);
	assert_int_equal(profile__add_process(p, &process), 0);
	n = python(p, 0, "a;b\nc\\d", "/x;y\n/z.py", 1);
	n = python(p, n, "<lambda>&\"'", "/\xc3\x28/\xed\xa0\x80\xf0\x9f\x90\x8d/\xe2\x80\xae.py",
		   2);
	add(p, 0, 1, n, KIND_EXACT, 100, 0);
	n = python(p, n, "", "", -5);
	add(p, 0, 1, n, KIND_EXACT, 50, 0);
	n = python(p, n, "\xe6\xbc\xa2\xe5\xad\x97", "\x01\x1f\x7f\xc2\x80\xef\xbf\xbf", INT32_MAX);
	add(p, 0, 1, n, KIND_EXACT, 25, 0);
	add(p, 0, 1, 0, KIND_EXACT, 12, 0);
	return p;
}

static inline char *read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = NULL;
	size_t room = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &room, '\0', f) < 0)
		text[0] = '\0';
	fclose(f);
	return text;
}

static inline void assert_golden(const char *text, const char *name)
{
	char path[256];
	char *want;

	snprintf(path, sizeof(path), GOLDEN "%s", name);
	if (getenv("UPDATE_GOLDEN")) {
		FILE *f = fopen(path, "wb");

		assert_non_null(f);
		assert_true(fputs(text, f) >= 0);
		assert_int_equal(fclose(f), 0);
	}
	want = read_file(path);
	if (!want)
		fail_msg("no %s: run again with UPDATE_GOLDEN=1", path);
	if (strcmp(text, want))
		fail_msg("differs from %s:\n%s", path, text);
	free(want);
}

#endif
