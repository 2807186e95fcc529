/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The aggregate: interning, sums, peaks, draining, limits, bad indexes. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/deviations.h"
#include "model/profile.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static struct profile *new_profile(const struct profile_limits *limits)
{
	struct profile *p;

	assert_int_equal(profile__new(limits, &p), 0);
	return p;
}

/* A profile with one container, one process, and a line of frames f0 > f1 > ... as nodes 1, 2, ...
 */
static struct profile *new_chain(const struct profile_limits *limits, uint32_t depth)
{
	struct profile *p = new_profile(limits);
	const struct profile_process process = {.tgid = 10, .container = 0};
	const struct profile_container container = {.cgroup_id = 1, .path = "/a"};
	int64_t node = 0;

	assert_int_equal(profile__add_container(p, &container), 0);
	assert_int_equal(profile__add_process(p, &process), 0);
	for (uint32_t i = 0; i < depth; i++) {
		const struct profile_frame f = {
			.line = (int)i + 1, .function = "f", .file = "a.py"};
		int64_t frame = profile__add_frame(p, &f);

		assert_true(frame >= 0);
		node = profile__add_node(p, (uint32_t)node, (uint32_t)frame);
		assert_true(node >= 0);
	}
	return p;
}

static void test_empty(void **state)
{
	struct profile *p = new_profile(NULL);
	const char *name = "x", *value = "x";
	uint64_t n = 1;

	(void)state;
	assert_int_equal(profile__n_nodes(p), 1);
	assert_int_equal(profile__node(p, 0)->parent, PROFILE_NONE);
	assert_int_equal(profile__n_containers(p) + profile__n_processes(p) + profile__n_frames(p) +
				 profile__n_cells(p) + profile__n_gc(p) + profile__n_counters(p) +
				 profile__n_meta(p),
			 0);
	assert_null(profile__container(p, 0));
	assert_null(profile__process(p, 0));
	assert_null(profile__frame(p, 0));
	assert_null(profile__node(p, 1));
	assert_null(profile__node(p, PROFILE_NONE));
	assert_null(profile__cell(p, 0));
	assert_null(profile__gc(p, 0));
	assert_int_equal(profile__n_collectors(p), 0);
	assert_null(profile__collector(p, 0));
	assert_null(profile__collector_of(p, 0));
	assert_int_equal(profile__set_collector(p, &(struct profile_collector){.process = 0}), -EINVAL);
	assert_int_equal(profile__n_facts(p), 0);
	assert_null(profile__fact(p, 0));
	assert_int_equal(profile__set_fact(p, &(struct profile_fact){.name = "x"}), -EINVAL);
	assert_null(profile__meta(p, "host"));
	profile__counter(p, 0, &name, &n);
	assert_null(name);
	assert_int_equal(n, 0);
	profile__meta_at(p, 0, &name, &value);
	assert_null(value);
	profile__free(p);
	profile__free(NULL);
}

static void test_interning(void **state)
{
	static const struct {
		struct profile_frame frame;
		int64_t index;
	} frames[] = {
		{{FRAME_PYTHON, 1, "f", "a.py"}, 0},	{{FRAME_PYTHON, 2, "f", "a.py"}, 1},
		{{FRAME_PYTHON, 1, "g", "a.py"}, 2},	{{FRAME_PYTHON, 1, "f", "b.py"}, 3},
		{{FRAME_NATIVE, 1, "f", "a.py"}, 4},	{{FRAME_PYTHON, 1, "f", "a.py"}, 0},
		{{FRAME_REASON, 0, "[lost]", NULL}, 5}, {{FRAME_REASON, 0, "[lost]", ""}, 5},
	};
	static const struct {
		uint32_t parent, frame;
		int64_t index;
	} nodes[] = {
		{0, 0, 1}, {1, 1, 2}, {0, 1, 3},       {1, 0, 4},
		{0, 0, 1}, {1, 1, 2}, {5, 0, -EINVAL}, {0, 6, -EINVAL},
	};
	struct profile *p = new_profile(NULL);
	char text[] = "f";

	(void)state;
	for (size_t i = 0; i < N(frames); i++) {
		struct profile_frame f = frames[i].frame;

		if (!strcmp(f.function, "f"))
			f.function = text; /* equal strings at different addresses are the same */
		assert_int_equal(profile__add_frame(p, &f), frames[i].index);
	}
	text[0] = 'z';
	assert_string_equal(profile__frame(p, 0)->function, "f");
	assert_string_equal(profile__frame(p, 5)->file, "");
	for (size_t i = 0; i < N(nodes); i++)
		assert_int_equal(profile__add_node(p, nodes[i].parent, nodes[i].frame),
				 nodes[i].index);
	profile__free(p);
}

static void test_containers_and_processes(void **state)
{
	struct profile *p = new_profile(NULL);
	struct profile_container a = {.cgroup_id = 7, .path = "/a", .limit_bytes = 100};
	const struct profile_container b = {.cgroup_id = 8, .path = "/b", .name = "web"};
	const struct profile_container change = {.name = "db", .usage_bytes = 50};
	struct profile_process process = {.tgid = 1, .container = 1, .command = "python3 x.py"};
	const struct profile_process note = {.note = "static", .rss_bytes = 9};

	(void)state;
	assert_int_equal(profile__add_container(p, &a), 0);
	assert_int_equal(profile__add_container(p, &b), 1);
	a.path = "/other";
	assert_int_equal(profile__add_container(p, &a), 0);
	assert_string_equal(profile__container(p, 0)->path, "/a");
	assert_string_equal(profile__container(p, 0)->name, "/a");
	assert_string_equal(profile__container(p, 0)->image, "");
	assert_int_equal(profile__update_container(p, 0, &change), 0);
	assert_string_equal(profile__container(p, 0)->name, "db");
	assert_string_equal(profile__container(p, 0)->path, "/a");
	assert_int_equal(profile__container(p, 0)->usage_bytes, 50);
	assert_int_equal(profile__container(p, 0)->limit_bytes, 100);
	assert_int_equal(profile__container(p, 0)->cgroup_id, 7);
	assert_int_equal(profile__update_container(p, 2, &change), -EINVAL);

	assert_int_equal(profile__add_process(p, &process), 0);
	assert_int_equal(profile__add_process(p, &process), 1);
	process.container = 2;
	assert_int_equal(profile__add_process(p, &process), -EINVAL);
	process.container = PROFILE_NONE;
	assert_int_equal(profile__add_process(p, &process), 2);
	assert_int_equal(profile__update_process(p, 1, &note), 0);
	assert_int_equal(profile__process(p, 1)->container, 1);
	assert_int_equal(profile__process(p, 1)->tgid, 1);
	assert_int_equal(profile__process(p, 1)->rss_bytes, 9);
	assert_string_equal(profile__process(p, 1)->note, "static");
	assert_string_equal(profile__process(p, 1)->command, "python3 x.py");
	assert_int_equal(profile__update_process(p, 3, &note), -EINVAL);
	profile__free(p);
}

/* One cell over time: what is added in each second, and what the views say after it. */
static void test_views(void **state)
{
	static const struct {
		struct profile_sums added;
		uint64_t live, alloc, peak;
	} seconds[] = {
		{{1, 100, 0, 0}, 100, 100, 100}, {{0, 0, 1, 60}, 40, 100, 100},
		{{1, 50, 0, 0}, 90, 150, 100},	 {{2, 500, 1, 400}, 190, 650, 190},
		{{0, 0, 9, 1000}, 0, 650, 190},	 {{1, 700, 0, 0}, 0, 1350, 190},
		{{0, 0, 0, 0}, 0, 1350, 190},
	};
	struct profile *p = new_chain(NULL, 1);

	(void)state;
	for (size_t i = 0; i < N(seconds); i++) {
		const struct profile_cell *c;

		assert_int_equal(profile__add(p, 0, 10, 1, KIND_EXACT, &seconds[i].added), 0);
		profile__tick(p);
		c = profile__cell(p, 0);
		assert_int_equal(profile_cell__value(c, VIEW_LIVE), seconds[i].live);
		assert_int_equal(profile_cell__value(c, VIEW_ALLOC), seconds[i].alloc);
		assert_int_equal(profile_cell__value(c, VIEW_PEAK), seconds[i].peak);
	}
	assert_int_equal(profile__n_cells(p), 1);
	profile__free(p);
}

static void test_sums_saturate(void **state)
{
	const struct profile_sums huge = {.alloc_bytes = UINT64_MAX - 1};
	struct profile *p = new_chain(NULL, 1);

	(void)state;
	assert_int_equal(profile__add(p, 0, 10, 1, KIND_EXACT, &huge), 0);
	assert_int_equal(profile__add(p, 0, 10, 1, KIND_EXACT, &huge), 0);
	assert_true(profile__cell(p, 0)->sums.alloc_bytes == UINT64_MAX);
	profile__free(p);
}

static void test_add_rejects(void **state)
{
	static const struct {
		uint32_t process, node, kind;
		int err;
	} rows[] = {
		{0, 0, 0, 0},
		{0, 1, KIND_MAX - 1, 0},
		{1, 1, 0, -EINVAL},
		{0, 2, 0, -EINVAL},
		{0, 1, KIND_MAX, -EINVAL},
		{PROFILE_NONE, 0, 0, -EINVAL},
		{0, PROFILE_NONE, 0, -EINVAL},
	};
	const struct profile_sums one = {1, 1, 0, 0}, none = {0};
	struct profile *p = new_chain(NULL, 1);

	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		assert_int_equal(
			profile__add(p, rows[i].process, 1, rows[i].node, rows[i].kind, &one),
			rows[i].err);
	assert_int_equal(profile__n_cells(p), 2);
	assert_int_equal(profile__add(p, 0, 99, 0, 0, &none), 0);
	assert_int_equal(profile__n_cells(p), 2);
	profile__free(p);
}

struct drained {
	uint32_t cells[8];
	uint64_t bytes[8];
	size_t n;
	int err;
};

static int on_change(uint32_t cell, const struct profile_sums *added, void *arg)
{
	struct drained *d = arg;

	assert_true(d->n < N(d->cells));
	d->cells[d->n] = cell;
	d->bytes[d->n++] = added->alloc_bytes;
	return d->err;
}

static struct drained drain(struct profile *p, int err)
{
	struct drained d = {.err = err};

	assert_int_equal(profile__drain_changes(p, on_change, &d), err);
	return d;
}

static void add_bytes(struct profile *p, uint32_t tid, uint32_t node, uint64_t bytes)
{
	const struct profile_sums s = {1, bytes, 0, 0};

	assert_int_equal(profile__add(p, 0, tid, node, KIND_EXACT, &s), 0);
}

static void test_drain(void **state)
{
	struct profile *p = new_chain(NULL, 3);
	struct drained d;

	(void)state;
	assert_int_equal(drain(p, 0).n, 0);
	add_bytes(p, 1, 1, 10);
	add_bytes(p, 1, 2, 20);
	add_bytes(p, 1, 1, 5);
	d = drain(p, 0);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.bytes[0], 15);
	assert_int_equal(d.bytes[1], 20);
	assert_int_equal(drain(p, 0).n, 0);
	/* By index, whatever the order of adding; only what is new. */
	add_bytes(p, 1, 3, 1);
	add_bytes(p, 1, 2, 2);
	add_bytes(p, 1, 1, 3);
	d = drain(p, 0);
	assert_int_equal(d.n, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(d.cells[i], i);
		assert_int_equal(d.bytes[i], 3 - i);
	}
	/* An error ends it, and what was left is forgotten too. */
	add_bytes(p, 1, 1, 1);
	add_bytes(p, 1, 2, 1);
	assert_int_equal(drain(p, -EIO).n, 1);
	assert_int_equal(drain(p, 0).n, 0);
	assert_int_equal(profile__cell(p, 0)->sums.alloc_bytes, 19);
	profile__free(p);
}

static void test_node_limit(void **state)
{
	const struct profile_limits limits = {.max_nodes = 4};
	struct profile *p = new_chain(&limits, 3);
	const struct profile_frame extra = {.function = "x", .file = "x.py"};
	const struct profile_frame extra2 = {.function = "y", .file = "x.py"};
	int64_t frame, more;

	(void)state;
	assert_int_equal(profile__n_nodes(p), 4);
	frame = profile__add_frame(p, &extra);
	assert_int_equal(frame, 3);
	assert_int_equal(profile__merged(p), 0);
	assert_int_equal(profile__add_node(p, 3, (uint32_t)frame), 3);
	assert_int_equal(profile__add_node(p, 1, (uint32_t)frame), 1);
	assert_int_equal(profile__add_node(p, 0, 0), 1);
	assert_int_equal(profile__merged(p), 2);
	assert_int_equal(profile__n_nodes(p), 4);
	/* Frames end at the same limit, in one frame for all that follow. */
	more = profile__add_frame(p, &extra2);
	assert_int_equal(more, 4);
	assert_int_equal(profile__frame(p, 4)->kind, FRAME_REASON);
	for (int i = 0; i < 100; i++) {
		const struct profile_frame f = {.line = i, .function = "z", .file = "z.py"};

		assert_int_equal(profile__add_frame(p, &f), more);
	}
	assert_int_equal(profile__n_frames(p), 5);
	assert_int_equal(profile__merged(p), 103);
	profile__free(p);
}

static void test_cell_limit(void **state)
{
	const struct profile_limits limits = {.max_cells = 2, .max_cells_process = 2};
	const struct profile_process second = {.tgid = 11, .container = 0};
	const struct profile_sums s = {1, 8, 0, 0};
	struct profile *p = new_chain(&limits, 4);

	(void)state;
	add_bytes(p, 1, 2, 100); /* cell 0 */
	add_bytes(p, 1, 1, 200); /* cell 1; full */
	assert_int_equal(profile__merged(p), 0);
	add_bytes(p, 1, 4, 1); /* nearest ancestor with a cell: node 2 */
	assert_int_equal(profile__n_cells(p), 2);
	assert_int_equal(profile__cell(p, 0)->sums.alloc_bytes, 101);
	assert_int_equal(profile__merged(p), 1);
	add_bytes(p, 1, 1, 1); /* known cells go on */
	assert_int_equal(profile__cell(p, 1)->sums.alloc_bytes, 201);
	assert_int_equal(profile__merged(p), 1);
	/* No ancestor: the root's cell of the process, one for all threads. */
	for (uint32_t tid = 2; tid < 50; tid++)
		add_bytes(p, tid, 4, 2);
	assert_int_equal(profile__n_cells(p), 3);
	assert_int_equal(profile__cell(p, 2)->node, 0);
	assert_int_equal(profile__cell(p, 2)->tid, 0);
	assert_int_equal(profile__cell(p, 2)->sums.alloc_bytes, 96);
	assert_int_equal(profile__merged(p), 49);
	/* Never another process's or another kind's. */
	assert_int_equal(profile__add_process(p, &second), 1);
	assert_int_equal(profile__add(p, 1, 1, 4, KIND_EXACT, &s), 0);
	assert_int_equal(profile__add(p, 0, 1, 4, KIND_HEAP_POOL, &s), 0);
	assert_int_equal(profile__n_cells(p), 5);
	assert_int_equal(profile__cell(p, 3)->process, 1);
	assert_int_equal(profile__cell(p, 4)->kind, KIND_HEAP_POOL);
	profile__free(p);
}

/* One process does not take the others' room. */
static void test_cell_limit_of_a_process(void **state)
{
	const struct profile_limits limits = {.max_cells = 100, .max_cells_process = 3};
	const struct profile_process second = {.tgid = 11, .container = 0};
	const struct profile_sums s = {1, 8, 0, 0};
	struct profile *p = new_chain(&limits, 4);
	uint32_t n = 0;

	(void)state;
	assert_int_equal(profile__add_process(p, &second), 1);
	assert_int_equal(profile__first_cell_of(p, 1), PROFILE_NONE);
	for (uint32_t tid = 1; tid < 10; tid++)
		add_bytes(p, tid, 4, 2);
	assert_int_equal(profile__n_cells(p), 4); /* the root's comes on top */
	assert_int_equal(profile__merged(p), 6);
	for (uint32_t node = 1; node <= 3; node++)
		assert_int_equal(profile__add(p, 1, 1, node, KIND_EXACT, &s), 0);
	assert_int_equal(profile__n_cells(p), 7);
	for (uint32_t i = profile__first_cell_of(p, 1); i != PROFILE_NONE; i = profile__next_cell_of(p, i)) {
		assert_int_equal(profile__cell(p, i)->process, 1);
		n++;
	}
	assert_int_equal(n, 3);
	profile__free(p);
}

static void test_text_limit(void **state)
{
	const struct profile_limits limits = {.max_text_bytes = 1000};
	struct profile *p = new_profile(&limits);
	int64_t more = -1;

	(void)state;
	for (int i = 0; i < 500; i++) {
		char name[32];
		const struct profile_frame f = {.line = 1, .function = name, .file = "x.py"};
		int64_t frame;

		snprintf(name, sizeof(name), "function_%d", i);
		frame = profile__add_frame(p, &f);
		if (more < 0 && !strcmp(profile__frame(p, (uint32_t)frame)->function, "[more]"))
			more = frame;
		assert_true(more < 0 || frame == more);
	}
	assert_in_range(more, 50, 150);
	/* Known ones are known on. */
	assert_int_equal(profile__add_frame(p, &(struct profile_frame){.line = 1, .function = "function_7", .file = "x.py"}), 7);
	assert_int_equal(profile__merged(p), 500 - (uint64_t)more);
	profile__free(p);
}

static void test_nodes_within(void **state)
{
	struct profile *p = new_chain(NULL, 3);
	uint32_t left = 1;

	(void)state;
	assert_int_equal(profile__add_node_within(p, 0, 0, &left), 1); /* known */
	assert_int_equal(left, 1);
	assert_int_equal(profile__add_node_within(p, 0, 2, &left), 4);
	assert_int_equal(left, 0);
	assert_int_equal(profile__add_node_within(p, 4, 1, &left), 4);
	assert_int_equal(profile__add_node_within(p, 0, 2, &left), 4);
	assert_int_equal(profile__merged(p), 1);
	assert_int_equal(profile__add_node(p, 4, 1), 5);
	profile__free(p);
}

static void test_reused_process(void **state)
{
	struct profile *p = new_chain(NULL, 1);
	const struct profile_cost cost = {5, 6, 7, 8};
	const struct profile_process next = {
		.tgid = 12, .container = 0, .start_time_ticks = 99, .command = "worker", .python = "3.11.2"};
	const struct profile_process elsewhere = {.tgid = 13, .container = PROFILE_NONE};
	const struct profile_process noted = {.note = "a note", .rss_bytes = 5};
	const struct profile_process *got;

	(void)state;
	add_bytes(p, 1, 1, 100);
	profile__add_cost(p, 0, &cost);
	assert_int_equal(profile__update_process(p, 0, &noted), 0);
	assert_int_equal(profile__reuse_process(p, 0, &elsewhere), -EINVAL);
	assert_int_equal(profile__reuse_process(p, 1, &next), -EINVAL);
	assert_int_equal(profile__reuse_process(p, 0, &next), 0);
	got = profile__process(p, 0);
	assert_int_equal(got->tgid, 12);
	assert_int_equal(got->start_time_ticks, 99);
	assert_string_equal(got->command, "worker");
	assert_string_equal(got->note, "");
	assert_int_equal(got->rss_bytes, 0);
	assert_int_equal(got->earlier, 1);
	assert_memory_equal(&got->cost, &cost, sizeof(cost));
	assert_int_equal(profile__cell(p, 0)->sums.alloc_bytes, 100);
	assert_int_equal(profile__reuse_process(p, 0, got), 0); /* from itself */
	assert_string_equal(profile__process(p, 0)->command, "worker");
	assert_int_equal(profile__process(p, 0)->earlier, 2);
	assert_int_equal(profile__n_processes(p), 1);
	profile__free(p);
}

static void test_gc_limit(void **state)
{
	const struct profile_limits limits = {.max_gc = 3};
	struct profile *p = new_chain(&limits, 1);
	struct profile_gc gc = {.node = 1};

	(void)state;
	for (uint64_t i = 0; i < 8; i++) {
		gc.time_ns = i;
		assert_int_equal(profile__add_gc(p, &gc), 0);
		assert_int_equal(profile__gc(p, profile__n_gc(p) - 1)->time_ns, i);
	}
	assert_int_equal(profile__n_gc(p), 3);
	assert_int_equal(profile__gc_dropped(p), 5);
	assert_int_equal(profile__merged(p), 5);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(profile__gc(p, i)->time_ns, 5 + i);
	assert_null(profile__gc(p, 3));
	gc.process = 1;
	assert_int_equal(profile__add_gc(p, &gc), -EINVAL);
	profile__free(p);
}

/* Of what exceeds a second's room sums are kept; a long pause after many short ones keeps its own time. */
static void test_gc_second(void **state)
{
	enum { SHORT = 999999, LONG = 1000000 };
	const struct profile_limits limits = {.max_gc_second = 2};
	static const struct {
		uint64_t time_ns, pause_ns, cnt;
	} rows[] = {{0, SHORT, 1}, {1, SHORT, 1}, {2, SHORT, 8}, {10, LONG, 1}, {11, LONG, 1}};
	struct profile *p = new_chain(&limits, 1);
	struct profile_gc gc = {.node = 1, .pause_ns = SHORT};

	(void)state;
	for (; gc.time_ns < 12; gc.time_ns++) {
		if (gc.time_ns == 10)
			gc.pause_ns = LONG;
		assert_int_equal(profile__add_gc(p, &gc), 0);
	}
	assert_int_equal(profile__n_gc(p), 5);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(profile__gc(p, i)->time_ns, rows[i].time_ns);
		assert_int_equal(profile__gc(p, i)->cnt, rows[i].cnt);
		assert_int_equal(profile__gc(p, i)->pause_ns, rows[i].cnt * rows[i].pause_ns);
	}
	for (; gc.time_ns < 20; gc.time_ns++)
		assert_int_equal(profile__add_gc(p, &gc), 0);
	assert_int_equal(profile__n_gc(p), 5);
	assert_int_equal(profile__gc(p, 2)->cnt, 16);
	profile__tick(p);
	assert_int_equal(profile__add_gc(p, &gc), 0);
	assert_int_equal(profile__n_gc(p), 6);
	profile__free(p);
}

static void test_counters_and_meta(void **state)
{
	struct profile *p = new_profile(NULL);
	const char *key, *value;
	uint64_t n;

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%d", (int)i);
		assert_int_equal(profile__set_counter(p, "ring full", i), 0);
		assert_int_equal(profile__set_meta(p, "duration_ns", text), 0);
	}
	assert_int_equal(profile__set_counter(p, "lost", 1), 0);
	assert_int_equal(profile__set_meta(p, "host", "h"), 0);
	assert_int_equal(profile__n_counters(p), 2);
	assert_int_equal(profile__n_meta(p), 2);
	profile__counter(p, 0, &key, &n);
	assert_string_equal(key, "ring full");
	assert_int_equal(n, 199);
	profile__meta_at(p, 1, &key, &value);
	assert_string_equal(key, "host");
	assert_string_equal(profile__meta(p, "duration_ns"), "199");
	assert_null(profile__meta(p, "kernel"));
	profile__free(p);
}

/* Growth past several doublings keeps every item findable, and long strings whole. */
static void test_many(void **state)
{
	static char name[200000];
	struct profile *p = new_profile(NULL);
	const uint32_t n = 20000;

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < n; i++) {
			const struct profile_frame f = {.line = (int)(i / 2),
							.function = i % 2 ? "f" : "g",
							.file = "m.py"};

			assert_int_equal(profile__add_frame(p, &f), i);
			assert_int_equal(profile__add_node(p, i / 3, i), i + 1);
		}
	}
	assert_int_equal(profile__add_frame(p, &(struct profile_frame){.function = name}), n);
	assert_string_equal(profile__frame(p, n)->function, name);
	profile__free(p);
}

/* What is counted has no error; of what nothing in the sample stands for, none can be told. */
static void test_errors(void **state)
{
	int64_t none[PROFILE_REPLICATES] = {0}, some[PROFILE_REPLICATES] = {-10, 10, -10, 10}, one[PROFILE_REPLICATES] = {10};

	(void)state;
	assert_true(deviations__error(1000, none) == 0);
	assert_true(isinf(deviations__error(0, none)));
	assert_true(deviations__error(1000, some) > 0 && deviations__error(1000, some) < 1000);
	assert_true(isinf(deviations__error(1000, one)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_interning),
		cmocka_unit_test(test_containers_and_processes),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_sums_saturate),
		cmocka_unit_test(test_add_rejects),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_node_limit),
		cmocka_unit_test(test_cell_limit),
		cmocka_unit_test(test_cell_limit_of_a_process),
		cmocka_unit_test(test_text_limit),
		cmocka_unit_test(test_nodes_within),
		cmocka_unit_test(test_reused_process),
		cmocka_unit_test(test_gc_limit),
		cmocka_unit_test(test_gc_second),
		cmocka_unit_test(test_counters_and_meta),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
