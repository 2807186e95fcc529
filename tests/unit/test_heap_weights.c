/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who holds the heap, estimated for programs of known truth (heap_programs.h) as the tool would (heap_watcher.h): 200 watches
 * of each, of four runs.
 *
 * HEAP_WEIGHTS_TABLE=1 build/tests/unit/test_heap_weights prints what came out: bias and spread in percent of the line, the half of
 * the 95 % interval that was stated, and in how many watches the truth was in it.
 */
#include "model/heap_weights.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "heap_programs.h"
#include "heap_watcher.h"

#define WATCHES 200
#define PATHS 4

/* What came out for a line: sums over the watches. */
struct outcome {
	double truth, off, squares, error;
	uint32_t watches, covered, endless; /* of those in which a window saw it */
};

static void judge(struct outcome *o, const struct heap_blocks *bytes, double truth)
{
	double deviation[HEAP_REPLICATES], error, off = bytes->at[0] - truth;

	for (int i = 0; i < HEAP_REPLICATES; i++)
		deviation[i] = bytes->at[1 + i] - bytes->at[0];
	error = heap_error(bytes->at[0], deviation);
	/* A line that no window saw is not told: nothing is said of it. */
	if (truth > 0 && !bytes->at[0])
		return;
	assert_true(isfinite(bytes->at[0]) && bytes->at[0] > -1 && !isnan(error));
	o->watches++;
	o->truth += truth;
	o->off += off;
	o->squares += off * off;
	o->covered += fabs(off) <= error;
	if (isinf(error))
		o->endless++;
	else
		o->error += error;
}

static double bytes_of(const struct heap_program *p, int line)
{
	double bytes = 0;

	for (int c = 0; c < HEAP_CLASSES; c++)
		bytes += p->truth[line][c] * 16 * (c + 1);
	return bytes;
}

struct test_program {
	const char *name;
	void (*run)(struct heap_program *p);
	struct watch_opts opts;
	double most_bias; /* of a line of 5 % and more */
	double endless; /* so many watches of 100 may know no error of such a line; 0: 2 */
	uint8_t missed; /* line that is told as unknown, for no window sees it; 0: none */
};

static void print_outcomes(const struct test_program *t, const struct outcome outcomes[LINES + 1], double all,
			   uint64_t windows)
{
	for (int s = 0; s <= LINES; s++) {
		const struct outcome *o = &outcomes[s];
		double base = (o->truth > 0 ? o->truth : all) / 100, n = o->watches - o->endless;

		if (!o->watches || (!o->truth && fabs(o->off) < 1e-4 * all))
			continue;
		printf("# %-36s %3u windows, %3u told  %-8s %5.1f %%  bias %+6.2f  spread %6.2f  stated +-%6.2f  covers %5.1f %%  "
		       "no error %4.1f %%\n",
		       t->name, (unsigned int)(windows / WATCHES), o->watches, s == UNKNOWN ? "unknown" : (char[]){ 'A' + s, 0 },
		       100 * o->truth / all, o->off / base, sqrt(o->squares / o->watches) / (base / o->watches),
		       n > 0 ? o->error / n * o->watches / base : 0, 100.0 * o->covered / o->watches,
		       100.0 * o->endless / o->watches);
	}
}

/* A missed line is unknown: both are judged as one. */
static void judge_all(const struct test_program *t, const struct heap_program *p, struct heap_blocks lines[LINES + 1],
		      struct outcome outcomes[LINES + 1])
{
	for (int r = 0; t->missed && r <= HEAP_REPLICATES; r++)
		lines[UNKNOWN].at[r] += lines[t->missed].at[r];
	for (int s = 0; s < LINES; s++)
		if (!t->missed || s != t->missed)
			judge(&outcomes[s], &lines[s], bytes_of(p, s));
	judge(&outcomes[UNKNOWN], &lines[UNKNOWN], t->missed ? bytes_of(p, t->missed) : 0);
}

/* Returns the bytes of all watches together. */
static double run_program(const struct test_program *t, struct outcome outcomes[LINES + 1])
{
	static struct watched watched;
	struct heap_blocks lines[LINES + 1];
	uint64_t windows = 0;
	double all = 0;

	memset(outcomes, 0, (LINES + 1) * sizeof(*outcomes));
	for (int path = 0; path < PATHS; path++) {
		watched__new(&watched, t->run, 1000 + path);
		for (int i = 0; i < WATCHES / PATHS; i++) {
			windows += watch(&watched, &t->opts, 1 + path * WATCHES + i, lines);
			judge_all(t, &watched.p, lines, outcomes);
		}
		for (int s = 0; s < LINES; s++)
			all += bytes_of(&watched.p, s) * WATCHES / PATHS;
		heap_program__free(&watched.p);
	}
	if (getenv("HEAP_WEIGHTS_TABLE"))
		print_outcomes(t, outcomes, all, windows);
	return all;
}

static void test_finds_the_truth(void **state)
{
	static const struct test_program programs[] = {
		{ "turns", run_turns, .most_bias = 0.01 },
		{ "turns, half of the sample forgotten", run_turns, { .max_samples = 2000 }, .most_bias = 0.015 },
		{ "phases", run_phases, .most_bias = 0.01 },
		{ "phases, read every 10 s", run_phases, { .read_every = 10 }, .most_bias = 0.02 },
		{ "phases, a few windows", run_phases, { .share = 0.0005 }, .most_bias = 0.25, .endless = 25 },
		{ "phases, too late for them", run_phases, { .late_s = 0.1 }, .most_bias = 0.02 },
		{ "even phases, a few windows", run_even_phases, { .share = 0.0005 }, .most_bias = 0.2, .endless = 25 },
		{ "even phases, too late, some windows", run_even_phases, { .late_s = 0.1, .share = 0.0015 }, .most_bias = 0.05, .endless = 30 },
		{ "even phases, too late, a few", run_even_phases, { .late_s = 0.1, .share = 0.0005 }, .most_bias = 0.15, .endless = 75 },
		{ "ten lines, a few windows", run_ten, { .share = 0.0005 }, .most_bias = 0.1, .endless = 40 },
		{ "bursts that are freed", run_bursts, .most_bias = 0.03 },
		{ "cache, any goes", run_cache_of_any, .most_bias = 0.02 },
		{ "cache, the oldest goes", run_cache_of_oldest, .most_bias = 0.02 },
		{ "ten lines", run_ten, .most_bias = 0.01 },
		{ "one burst", run_one_off, .most_bias = 0.12, .missed = 2 },
		{ "old ones die", run_old, .most_bias = 0.01 },
		{ "few come, more go", run_shrink, .most_bias = 0.02 },
		/* What lives is drawn, too, by kind: of each line another one, or two lines make the same. */
		{ "turns, drawn", run_turns, { .draws = 4000, .kinds = 1 }, .most_bias = 0.01 },
		{ "phases, drawn", run_phases, { .draws = 4000, .kinds = 1 }, .most_bias = 0.01 },
		{ "phases, drawn, a few windows", run_phases, { .share = 0.0005, .draws = 4000, .kinds = 1 }, .most_bias = 0.05, .endless = 25 },
		{ "phases of one kind, drawn", run_phases, { .draws = 4000, .kinds = 2 }, .most_bias = 0.01 },
		{ "even phases, drawn, a few windows", run_even_phases, { .share = 0.0005, .draws = 4000, .kinds = 1 }, .most_bias = 0.1, .endless = 25 },
		{ "even phases, drawn, too late, a few", run_even_phases, { .late_s = 0.1, .share = 0.0005, .draws = 4000, .kinds = 1 }, .most_bias = 0.15, .endless = 75 },
		{ "bursts that are freed, drawn", run_bursts, { .draws = 4000, .kinds = 1 }, .most_bias = 0.03 },
		{ "cache, any goes, drawn", run_cache_of_any, { .draws = 4000, .kinds = 1 }, .most_bias = 0.02 },
		{ "cache, the oldest goes, two of a kind, drawn", run_cache_of_oldest, { .draws = 4000, .kinds = 2 }, .most_bias = 0.02 },
		{ "ten lines, two of a kind, drawn, a few windows", run_ten, { .share = 0.0005, .draws = 4000, .kinds = 2 }, .most_bias = 0.1, .endless = 40 },
		{ "ten lines, drawn", run_ten, { .draws = 4000, .kinds = 1 }, .most_bias = 0.03 },
		{ "one burst, drawn", run_one_off, { .draws = 4000, .kinds = 1 }, .most_bias = 0.12, .missed = 2 },
		{ "old ones die, drawn", run_old, { .draws = 4000, .kinds = 1 }, .most_bias = 0.01 },
		{ "old ones of many kinds die, drawn", run_old, { .draws = 4000, .kinds = 1, .old_kinds = 60 }, .most_bias = 0.02 },
		{ "old ones of many kinds go, drawn", run_shrink, { .draws = 4000, .kinds = 1, .old_kinds = 150 }, .most_bias = 0.02 },
		{ "few come, more go, drawn", run_shrink, { .draws = 4000, .kinds = 1 }, .most_bias = 0.02 },
	};

	double watches = 0, covered = 0;
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		struct outcome outcomes[LINES + 1];
		double all = run_program(&programs[i], outcomes);

		for (int s = 0; s <= LINES; s++) {
			const struct outcome *o = &outcomes[s];

			if (o->truth < 0.05 * all)
				continue;
			if (!(fabs(o->off) <= programs[i].most_bias * o->truth) || !(o->covered >= 0.8 * o->watches) ||
			    o->endless > (programs[i].endless ? programs[i].endless : 2) / 100 * o->watches) {
				print_error("%s: line %c\n", programs[i].name, 'A' + s);
				wrong++;
			}
			watches += o->watches;
			covered += o->covered;
		}
	}
	assert_int_equal(wrong, 0);
	assert_true(covered >= 0.92 * watches);
}

/* Its programs and traps are not the process's own time. */
static void test_length_of_window(void **state)
{
	static const struct {
		struct window_state w;
		double cpu_s, own_s;
	} cases[] = {
		/* It ended in time, or by the number of allocations: what came after is no part of it. */
		{ { .left = 0, .limit_ns = 1000000, .own_ns = 1000000, .hits = 500 }, 0.1, 0.001 },
		{ { .left = 0, .limit_ns = 1000000, .own_ns = 300000, .hits = 2000 }, 0.1, 0.0003 },
		/* Closed before: 10 ms, of which programs and traps took 4; and where nothing was allocated after its end. */
		{ { .left = 1, .limit_ns = 20000000, .hits = 1000, .inside_ns = 2000000, .trap_ns = 2000 }, 0.010, 0.006 },
		{ { .left = 1, .limit_ns = 20000000 }, 0.030, 0.020 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_true(fabs(heap_window__own_s(&cases[i].w, cases[i].cpu_s) - cases[i].own_s) < 1e-9);
	/* Shorter after one that was full, longer after others, as long as is allowed. */
	assert_true(heap_window__limit_s(0.001, &cases[1].w) < 0.001);
	assert_true(heap_window__limit_s(0.001, &cases[0].w) > 0.001);
	assert_true(heap_window__limit_s(HEAP_MOST_LIMIT_S, &cases[0].w) == HEAP_MOST_LIMIT_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length_of_window),
		cmocka_unit_test(test_finds_the_truth),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
