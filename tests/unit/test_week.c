/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A week in short: 300,000 workers, one in two seconds, in containers that come and go, under stacks that are different each time.
 * What is kept of it must not grow without end, and what is not told apart is counted.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "capture/limits.h"
#include "capture/process_items.h"
#include "model/recording.h"

#define WORKERS 300000
#define STACKS 2 /* of one worker, of other frames each time, */
#define DEPTH 4 /* so deep */
#define FUNCTIONS 5000
#define MAX_KEPT_BYTES (96u << 20) /* what the tracer may have in all */

struct week {
	struct profile *profile;
	struct process_items *items;
	struct capture_limits limits;
	unsigned int random;
	uint64_t allocated, told;
};

static size_t resident_bytes(void)
{
	unsigned long pages;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*s %lu", &pages), 1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static uint32_t any(struct week *w, uint32_t n)
{
	w->random = w->random * 1664525 + 1013904223;
	return (uint64_t)w->random * n >> 32;
}

static uint32_t any_frame(struct week *w)
{
	char function[48];
	struct profile_frame f = { .kind = FRAME_PYTHON, .line = any(w, 50) + 1, .function = function, .file = "/srv/app.py" };
	int64_t i;

	snprintf(function, sizeof(function), "function_%u", any(w, FUNCTIONS));
	i = profile__add_frame(w->profile, &f);
	assert_true(i >= 0);
	return i;
}

static void allocate(struct week *w, uint32_t process, uint32_t *nodes_left)
{
	const struct profile_sums sums = { .alloc_cnt = 1, .alloc_bytes = 100 };
	int64_t node = 0;
	int i;

	for (i = 0; i < DEPTH; i++)
		node = profile__add_node_within(w->profile, node, any_frame(w), nodes_left);
	assert_true(node >= 0);
	assert_int_equal(profile__add(w->profile, process, any(w, 1000), node, KIND_RESIDENT_ANON, &sums), 0);
	w->allocated += sums.alloc_bytes;
}

/* As accounts.c does for a process that has ended. */
static void give_back(struct week *w, uint32_t process)
{
	uint32_t i;

	for (i = profile__first_cell_of(w->profile, process); i != PROFILE_NONE; i = profile__next_cell_of(w->profile, i)) {
		const struct profile_cell c = *profile__cell(w->profile, i);
		const struct profile_sums back = { .free_bytes = c.sums.alloc_bytes - c.sums.free_bytes };

		assert_int_equal(profile__add(w->profile, c.process, c.tid, c.node, c.kind, &back), 0);
	}
}

static void work(struct week *w, uint32_t number)
{
	char command[32];
	struct profile_process p = { .tgid = number, .container = any(w, 200), .command = command };
	const struct profile_gc gc = { .time_ns = number * 1000000000ull, .generation = 2, .cnt = 1, .pause_ns = 1000 };
	struct profile_fact fact = { .name = FACT_COVERAGE "gc", .text = "measured", .part = 1, .whole = 1 };
	struct profile_gc of_worker = gc;
	uint32_t left = w->limits.nodes_process, i;
	bool shared;
	int64_t item;

	snprintf(command, sizeof(command), "job %u", number % 5 ? 0 : any(w, 100000));
	item = process_items__take(w->items, &p, &shared);
	assert_true(item >= 0);
	for (i = 0; i < STACKS; i++)
		allocate(w, item, &left);
	of_worker.process = fact.process = item;
	assert_int_equal(profile__add_gc(w->profile, &of_worker), 0);
	assert_int_equal(profile__set_fact(w->profile, &fact), 0);
	give_back(w, item);
	process_items__give_back(w->items, item);
	profile__tick(w->profile);
}

static int told(uint32_t cell, const struct profile_sums *added, void *arg)
{
	struct week *w = arg;

	(void)cell;
	w->told += added->alloc_bytes;
	return 0;
}

static void test_what_is_kept_of_a_week_is_bounded(void **state)
{
	struct week w = { .limits = CAPTURE_LIMITS_DEFAULT, .random = 1 };
	size_t before = resident_bytes(), half = 0, end;
	uint32_t i;

	(void)state;
	assert_int_equal(profile__new(&w.limits.profile, &w.profile), 0);
	assert_int_equal(process_items__new(w.profile, &w.limits, &w.items), 0);
	for (i = 0; i < 200; i++) {
		char path[32];
		struct profile_container c = { .cgroup_id = i + 1, .path = path };

		snprintf(path, sizeof(path), "/pod-%u", i);
		assert_int_equal(profile__add_container(w.profile, &c), i);
	}
	for (i = 0; i < WORKERS; i++) {
		work(&w, i);
		if (i % 64 == 0)
			assert_int_equal(profile__drain_changes(w.profile, told, &w), 0);
		if (i == WORKERS / 6 * 5)
			half = resident_bytes();
	}
	assert_int_equal(profile__drain_changes(w.profile, told, &w), 0);
	end = resident_bytes();
	print_message("# %u items, %u nodes, %u cells, %u collections, %zu MiB, of which %zd KiB in the last sixth\n",
		      profile__n_processes(w.profile), profile__n_nodes(w.profile), profile__n_cells(w.profile),
		      profile__n_gc(w.profile), (end - before) >> 20, (ssize_t)(end - half) / 1024);
	assert_true(profile__n_processes(w.profile) <= w.limits.processes + 200);
	assert_int_equal(process_items__shared(w.items) + profile__n_processes(w.profile), WORKERS);
	assert_true(end - before < MAX_KEPT_BYTES);
	assert_true(end < half + (1 << 20));
	/* What was merged is counted, and no byte is lost. */
	assert_true(profile__merged(w.profile) > 0);
	assert_int_equal(w.told, w.allocated);
	process_items__free(w.items);
	profile__free(w.profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_kept_of_a_week_is_bounded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
