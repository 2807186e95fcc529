/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A folder for one recording, a profile whose every second is known, and equality of profiles; for
 * cmocka tests. */
#ifndef RECORDING_FIXTURE_H
#define RECORDING_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/profile.h"

struct fixture {
	char folder[64], path[80];
};

static inline const char *fixture__beside(const struct fixture *f, const char *suffix)
{
	static char name[100];

	snprintf(name, sizeof(name), "%s%s", f->path, suffix);
	return name;
}

static inline int fixture__setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	if (!f)
		return -1;
	snprintf(f->folder, sizeof(f->folder), "%.40s/recording.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(f->folder) || chmod(f->folder, 0755))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/x.pms", f->folder);
	*state = f;
	return 0;
}

static inline int fixture__teardown(void **state)
{
	struct fixture *f = *state;
	char command[100];
	int status;

	snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
	status = chmod(f->folder, 0755) || system(command);
	free(f);
	return status;
}

/* Two containers, three processes, nothing allocated. */
static inline struct profile *fixture__profile(void)
{
	static const struct profile_container containers[] = {
		{.cgroup_id = UINT64_MAX - 5,
		 .path = "/a",
		 .id = "0123",
		 .name = "web",
		 .runtime = "docker",
		 .image = "python:3.11",
		 .limit_bytes = 256 << 20},
		{.cgroup_id = 12, .path = "/b", .limit_bytes = UINT64_MAX},
	};
	static const struct profile_process processes[] = {
		{.tgid = 100,
		 .container = 0,
		 .start_time_ticks = 5,
		 .command = "python3 app.py",
		 .python = "3.11.2",
		 .interpreter = "/usr/bin/python3.11",
		 .note = ""},
		{.tgid = 101, .container = 1, .command = "p\xc3\xa4", .note = "static"},
		{.tgid = 4194304, .container = PROFILE_NONE},
	};
	struct profile *p;

	if (profile__new(NULL, &p))
		abort();
	for (int i = 0; i < 2; i++)
		profile__add_container(p, &containers[i]);
	for (int i = 0; i < 3; i++)
		profile__add_process(p, &processes[i]);
	profile__reuse_process(p, 2, &processes[2]);
	profile__set_meta(p, "host", "h");
	return p;
}

/* Adds what happens in second i: new and known stacks, allocations and frees, a collection, usage.
 */
static inline void fixture__second(struct profile *p, unsigned int i)
{
	const struct profile_container usage = {
		.usage_bytes = (1 + i / 2) << 20, .peak_bytes = (2 + i) << 20, .oom_kills = i / 20};
	const struct profile_process rss = {.rss_bytes = (1 + i) << 12};
	const struct profile_cost cost = {1000 + i, i, 7, i % 3};
	char text[16];

	profile__add_cost(p, i % 3, &cost);

	for (unsigned int j = 0; j < 50; j++) {
		const struct profile_frame frames[] = {
			{FRAME_PYTHON, 1, "main", "app.py"},
			{FRAME_PYTHON, (int)(2 + j % 7), "f1", "app.py"},
			{FRAME_PYTHON, (int)(i * 2 + j % 5), "f2", "app.py"},
			{FRAME_NATIVE, 0, "memcpy", "libc.so.6"},
			{FRAME_REASON, 0, "[no python stack: not python]", ""},
		};
		const struct profile_sums s = {j + 1, (j + 1) * 4096u, j * i % 40,
					       j * i % 40 * 5000u};
		int64_t node = 0;

		if (j % 10 == 9)
			node = profile__add_node(p, 0, (uint32_t)profile__add_frame(p, &frames[4]));
		else
			for (unsigned int k = 0; k < 3 + j % 2; k++)
				node = profile__add_node(
					p, (uint32_t)node,
					(uint32_t)profile__add_frame(p, &frames[k]));
		profile__add(p, j % 3, 100 + j % 4, (uint32_t)node, j % KIND_MAX, &s);
	}
	profile__add_gc(p, &(struct profile_gc){.time_ns = i * 1000000000ull + 77,
						.process = i % 3,
						.tid = 100,
						.node = 1,
						.generation = (int32_t)(i % 4) - 1,
						.collected = (int64_t)i - 1,
						.pause_ns = i * 1000,
						.trigger = i % GC_TRIGGER_MAX,
						.uncollectable = (int64_t)i % 3 - 1});
	/* Not of process 2; what is not known of the one is known of the other. */
	profile__set_collector(p, &(struct profile_collector){.process = i % 2,
							      .enabled = i / 2 % 2,
							      .has_counts = i % 2,
							      .threshold = {i % 2 ? 700 : 0, 0, i % 2 ? -1 : 0},
							      .count = {i % 2 ? (int)i : 0},
							      .collections = {i, 1, INT64_MAX},
							      .collected = {i * 3, 0, i},
							      .uncollectable = {0, i},
							      .frozen = i % 2 ? (int64_t)i * 1000 : -1});
	profile__set_fact(p, &(struct profile_fact){0, "allocator", i < 3 ? "pymalloc" : "tracemalloc over pymalloc", 0, 0});
	profile__set_fact(p, &(struct profile_fact){i % 3, "coverage.gc", "measured", i, i + 1});
	profile__update_container(p, 0, &usage);
	profile__update_process(p, 0, &rss);
	profile__set_counter(p, "events", i * 100);
	if (i > 3)
		profile__set_counter(p, "lost", UINT64_MAX);
	snprintf(text, sizeof(text), "%u", i);
	profile__set_meta(p, "duration_ns", text);
}

static inline void fixture__assert_equal_items(const struct profile *a, const struct profile *b)
{
	for (uint32_t i = 0; i < profile__n_containers(a); i++) {
		const struct profile_container *x = profile__container(a, i);
		const struct profile_container *y = profile__container(b, i);

		assert_true(x->cgroup_id == y->cgroup_id && x->limit_bytes == y->limit_bytes &&
			    x->usage_bytes == y->usage_bytes && x->peak_bytes == y->peak_bytes &&
			    x->oom_kills == y->oom_kills);
		{
			const struct profile_usage *u, *v;
			uint32_t n = profile__usage(a, i, &u);

			/* A profile that was never flushed has none. */
			if (n) {
				assert_int_equal(n, profile__usage(b, i, &v));
				assert_memory_equal(u, v, n * sizeof(*u));
			}
		}
		assert_string_equal(x->path, y->path);
		assert_string_equal(x->id, y->id);
		assert_string_equal(x->name, y->name);
		assert_string_equal(x->runtime, y->runtime);
		assert_string_equal(x->image, y->image);
	}
	for (uint32_t i = 0; i < profile__n_processes(a); i++) {
		const struct profile_process *x = profile__process(a, i);
		const struct profile_process *y = profile__process(b, i);

		assert_true(x->tgid == y->tgid && x->container == y->container &&
			    x->start_time_ticks == y->start_time_ticks &&
			    x->rss_bytes == y->rss_bytes && x->earlier == y->earlier);
		assert_memory_equal(&x->cost, &y->cost, sizeof(x->cost));
		assert_string_equal(x->command, y->command);
		assert_string_equal(x->python, y->python);
		assert_string_equal(x->interpreter, y->interpreter);
		assert_string_equal(x->note, y->note);
	}
	for (uint32_t i = 0; i < profile__n_collectors(a); i++) {
		const struct profile_collector *x = profile__collector(a, i);
		const struct profile_collector *y = profile__collector_of(b, x->process);

		assert_non_null(y);
		assert_true(x->enabled == y->enabled && x->has_counts == y->has_counts && x->frozen == y->frozen);
		assert_memory_equal(x->threshold, y->threshold, sizeof(x->threshold));
		assert_memory_equal(x->count, y->count, sizeof(x->count));
		assert_memory_equal(x->collections, y->collections, sizeof(x->collections));
		assert_memory_equal(x->collected, y->collected, sizeof(x->collected));
		assert_memory_equal(x->uncollectable, y->uncollectable, sizeof(x->uncollectable));
	}
	assert_int_equal(profile__n_facts(a), profile__n_facts(b));
	for (uint32_t i = 0, j; i < profile__n_facts(a); i++) {
		const struct profile_fact *x = profile__fact(a, i), *y;

		for (j = 0; (y = profile__fact(b, j)); j++)
			if (x->process == y->process && !strcmp(x->name, y->name))
				break;
		assert_non_null(y);
		assert_string_equal(x->text, y->text);
		assert_true(x->part == y->part && x->whole == y->whole);
	}
	for (uint32_t i = 0; i < profile__n_counters(a); i++) {
		const char *x, *y;
		uint64_t m, n;

		profile__counter(a, i, &x, &m);
		profile__counter(b, i, &y, &n);
		assert_string_equal(x, y);
		assert_true(m == n);
	}
	for (uint32_t i = 0; i < profile__n_meta(a); i++) {
		const char *key, *value;

		profile__meta_at(a, i, &key, &value);
		assert_non_null(profile__meta(b, key));
		assert_string_equal(value, profile__meta(b, key));
	}
}

/* Everything that readers of a profile can see, at the same indexes. */
static inline void fixture__assert_equal(const struct profile *a, const struct profile *b)
{
	assert_int_equal(profile__n_containers(a), profile__n_containers(b));
	assert_int_equal(profile__n_processes(a), profile__n_processes(b));
	assert_int_equal(profile__n_frames(a), profile__n_frames(b));
	assert_int_equal(profile__n_nodes(a), profile__n_nodes(b));
	assert_int_equal(profile__n_cells(a), profile__n_cells(b));
	assert_int_equal(profile__n_gc(a), profile__n_gc(b));
	assert_int_equal(profile__n_collectors(a), profile__n_collectors(b));
	assert_int_equal(profile__n_counters(a), profile__n_counters(b));
	assert_int_equal(profile__n_meta(a), profile__n_meta(b));
	assert_true(profile__merged(a) == profile__merged(b));
	fixture__assert_equal_items(a, b);
	for (uint32_t i = 0; i < profile__n_frames(a); i++) {
		const struct profile_frame *x = profile__frame(a, i), *y = profile__frame(b, i);

		assert_true(x->kind == y->kind && x->line == y->line);
		assert_string_equal(x->function, y->function);
		assert_string_equal(x->file, y->file);
	}
	for (uint32_t i = 0; i < profile__n_nodes(a); i++)
		assert_memory_equal(profile__node(a, i), profile__node(b, i),
				    sizeof(struct profile_node));
	for (uint32_t i = 0; i < profile__n_cells(a); i++)
		assert_memory_equal(profile__cell(a, i), profile__cell(b, i),
				    sizeof(struct profile_cell));
	for (uint32_t i = 0; i < profile__n_gc(a); i++) {
		const struct profile_gc *x = profile__gc(a, i), *y = profile__gc(b, i);

		assert_true(x->time_ns == y->time_ns && x->process == y->process &&
			    x->tid == y->tid && x->node == y->node &&
			    x->generation == y->generation && x->collected == y->collected &&
			    x->pause_ns == y->pause_ns && x->cnt == y->cnt &&
			    x->longest_ns == y->longest_ns && x->trigger == y->trigger &&
			    x->uncollectable == y->uncollectable);
	}
}

#endif
