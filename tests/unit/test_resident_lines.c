/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Lines' estimates settled to a known resident set: the rules one by one, then samples drawn many times. */
#include "capture/resident_lines.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/deviations.h"

_Static_assert(PAGE_GROUPS == PROFILE_REPLICATES, "groups of pages are replicates");

#define ANON 0
#define FILE_PAGES 1
#define PAGE 4096.0
#define MAX_LINES 16

/* What was told of each line, by tid. */
struct told {
	struct {
		int calls;
		double bytes;
		int64_t correction, deviations[PAGE_GROUPS];
	} of[MAX_LINES];
	int calls;
};

static void tell(struct resident_line *line, int64_t correction, const int64_t deviations[PAGE_GROUPS], void *arg)
{
	struct told *told = arg;

	assert_true(line->key.tid < MAX_LINES);
	line->correction = correction;
	told->calls++;
	told->of[line->key.tid].calls++;
	told->of[line->key.tid].bytes = line->bytes;
	told->of[line->key.tid].correction = correction;
	memcpy(told->of[line->key.tid].deviations, deviations, sizeof(told->of[0].deviations));
}

static struct told settle(struct resident_lines *l, uint32_t kind, double unknown, double unsteady)
{
	double unknowns[RESIDENT_KINDS] = {}, unsteadies[RESIDENT_KINDS] = {};
	struct told told = {};

	unknowns[kind] = unknown;
	unsteadies[kind] = unsteady;
	resident_lines__settle(l, unknowns, unsteadies, tell, &told);
	return told;
}

/* `cnt` pages that stand for `factor` each, by turn in each group. */
static void find(struct resident_lines *l, uint32_t tid, uint32_t kind, int cnt, double factor)
{
	struct resident_line_key key = { .tid = tid, .kind = kind };
	int i;

	for (i = 0; i < cnt; i++)
		assert_int_equal(resident_lines__found(l, &key, 1, PAGE * factor, factor, i % PAGE_GROUPS), 0);
}

static void assert_no_deviations(const int64_t deviations[PAGE_GROUPS])
{
	int g;

	for (g = 0; g < PAGE_GROUPS; g++)
		assert_true(deviations[g] == 0);
}

/*
 * What a look stands for, three times: of a line on which none fell there is more once in twenty times. No more than lines are off by
 * without their sum: so many pages squared.
 */
static void assert_unseen(const int64_t deviations[PAGE_GROUPS], double factor, double pages_squared)
{
	double look = factor - 1, error = deviations__error(INT64_C(1) << 40, deviations);
	double wanted = 3 * PAGE * sqrt(look * look * pages_squared / (look * look + pages_squared));

	if (fabs(error - wanted) > 0.03 * wanted)
		fail_msg("%.0f bytes are told, not %.0f", error, wanted);
}

static void test_sure_line_is_left_alone(void **state)
{
	struct resident_lines l = {};
	struct told told;

	(void)state;
	find(&l, 1, ANON, 100, 1);
	find(&l, 2, ANON, 32, 8);
	told = settle(&l, ANON, 100 * PAGE, 0);
	assert_int_equal(told.calls, 2);
	assert_true(told.of[1].bytes == 100 * PAGE && told.of[1].correction == 0);
	assert_no_deviations(told.of[1].deviations);
	assert_true(told.of[2].correction == 100 * PAGE);
	/* Nobody is unsure: it is something else's. */
	resident_lines__begin(&l);
	find(&l, 1, ANON, 100, 1);
	told = settle(&l, ANON, 100 * PAGE, 0);
	assert_true(told.of[1].correction == 0 && told.of[2].correction == 0);
	assert_true(resident_lines__deviation(&l, ANON) == 0);
	resident_lines__free(&l);
}

/* To the byte, however many pages it is made of: what is told with the difference is known, but for lines that were not seen. */
static void test_one_unsure_line_takes_all(void **state)
{
	struct resident_lines l = {};
	int64_t difference;
	int cnt;

	(void)state;
	for (cnt = 1; cnt < 100; cnt++) {
		for (difference = -2; difference <= 2; difference++) {
			int64_t all = difference * (int64_t)PAGE;
			struct told told;

			resident_lines__begin(&l);
			find(&l, 1, ANON, 10, 1);
			find(&l, 2, ANON, cnt, 7.3);
			told = settle(&l, ANON, all, 0);
			if (told.of[2].correction != all || told.of[1].correction)
				fail_msg("%d pages: %lld of %lld bytes", cnt, (long long)told.of[2].correction,
					 (long long)all);
			assert_unseen(told.of[2].deviations, 7.3, cnt * 7.3 * 6.3);
		}
	}
	resident_lines__free(&l);
}

/* Most faults are looked at less closely than those of what stays. */
static void test_a_look_at_any_fault(void **state)
{
	struct resident_lines l = { .a_look = 80 * PAGE };
	struct told told;

	(void)state;
	find(&l, 1, ANON, 10, 1);
	find(&l, 2, ANON, 100, 8);
	told = settle(&l, ANON, 20 * PAGE, 0);
	assert_no_deviations(told.of[1].deviations);
	assert_unseen(told.of[2].deviations, 81, 100 * 8 * 7);
	/* Two doubts do not make up for each other. */
	told = settle(&l, ANON, -2.9 * PAGE * sqrt(100 * 8 * 7), 0);
	assert_true(told.of[2].correction < 0);
	assert_true(deviations__error(INT64_C(1) << 40, told.of[2].deviations) > 4 * PAGE * sqrt(100 * 8 * 7));
	resident_lines__free(&l);
}

static void test_shared_by_variance(void **state)
{
	struct resident_lines l = {};
	struct told told;

	(void)state;
	/* Of each page (factor^2 - factor) pages^2. */
	find(&l, 1, ANON, 64, 2); /* 128 */
	find(&l, 2, ANON, 32, 4); /* 384 */
	find(&l, 3, ANON, 16, 16); /* 3840 */
	find(&l, 4, ANON, 500, 1);
	told = settle(&l, ANON, 500000, 0);
	assert_true(llabs(told.of[1].correction - 500000ll * 128 / 4352) <= 1);
	assert_true(llabs(told.of[2].correction - 500000ll * 384 / 4352) <= 1);
	assert_true(llabs(told.of[3].correction - 500000ll * 3840 / 4352) <= 1);
	assert_true(told.of[4].correction == 0);
	assert_true(fabs(resident_lines__deviation(&l, ANON) - PAGE * sqrt(4352)) < 1);
	resident_lines__free(&l);
}

/* Where clusters are drawn, pages of one group stand for each other: it is less sure than pages tell. */
static void test_clusters_count_as_one(void **state)
{
	const struct resident_line_key spread = { .tid = 1 }, together = { .tid = 2 };
	struct resident_lines l = {};
	struct told told;
	int i;

	(void)state;
	for (i = 0; i < 32; i++) {
		resident_lines__found(&l, &spread, 1, PAGE * 4, 4, i % PAGE_GROUPS);
		resident_lines__found(&l, &together, 1, PAGE * 4, 4, 5);
	}
	told = settle(&l, ANON, 330000, 0);
	/* 32 times the one's variance. */
	assert_true(llabs(told.of[1].correction - 10000) <= 1);
	assert_true(llabs(told.of[2].correction - 320000) <= 1);
	resident_lines__free(&l);
}

static void test_no_line_below_zero(void **state)
{
	struct resident_lines l = {};
	struct told told;

	(void)state;
	find(&l, 1, ANON, 1, 64);
	find(&l, 2, ANON, 160, 2);
	told = settle(&l, ANON, -120 * PAGE, 0);
	assert_true(told.of[1].correction == -64 * PAGE);
	assert_true(told.of[2].correction < 0 && told.of[2].correction > -120 * PAGE + 64 * PAGE);
	resident_lines__free(&l);
}

static void test_too_much_for_chance_is_left_out(void **state)
{
	struct resident_lines l = {};
	double deviation, error;
	struct told told;
	int sign;

	(void)state;
	find(&l, 1, ANON, 1600, 4);
	deviation = resident_lines__deviation(&l, ANON);
	assert_true(fabs(deviation - PAGE * sqrt(1600 * 12)) < 1);
	for (sign = -1; sign <= 1; sign += 2) {
		told = settle(&l, ANON, sign * 1.49 * deviation, 0);
		assert_true(llabs(told.of[1].correction - llround(sign * 1.49 * deviation)) <= 1);
		assert_unseen(told.of[1].deviations, 4, 1600 * 4 * 3);
		/* Hardly chance: it may be another's. */
		told = settle(&l, ANON, sign * 2.99 * deviation, 0);
		assert_true(llabs(told.of[1].correction - llround(sign * 2.99 * deviation)) <= 1);
		error = deviations__error(told.of[1].bytes + told.of[1].correction, told.of[1].deviations);
		if (error < 2.7 * deviation || error > 4 * deviation)
			fail_msg("%.0f is told of %.0f", error, deviation);
		told = settle(&l, ANON, sign * 10 * deviation, 0);
		assert_true(llabs(told.of[1].correction - llround(sign * 3 * deviation)) <= 1);
	}
	resident_lines__free(&l);
}

/* What was not shared takes away no errors. */
static void test_left_out_leaves_errors(void **state)
{
	const struct resident_line_key key = { .tid = 1 };
	int64_t squares = 0;
	struct resident_lines l = {};
	struct told told;
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		resident_lines__found(&l, &key, 1, PAGE * 4, 4, i);
	told = settle(&l, ANON, 1e9, 0);
	for (i = 0; i < PAGE_GROUPS; i++) {
		squares += told.of[1].deviations[i] * told.of[1].deviations[i];
	}
	assert_true(squares > PAGE * PAGE * 12 * 4);
	resident_lines__free(&l);
}

/* What came in while nobody watched may have come in like what is known. */
static void test_what_is_left_out_is_in_the_error(void **state)
{
	struct resident_lines l = {};
	struct told told;
	double error;

	(void)state;
	find(&l, 1, ANON, 300, 1);
	find(&l, 2, ANON, 100, 1);
	told = settle(&l, ANON, 80 * PAGE, 0);
	assert_int_equal(told.of[1].correction, 0);
	error = deviations__error(told.of[1].bytes, told.of[1].deviations);
	assert_true(error > 55 * PAGE && error < 70 * PAGE);
	error = deviations__error(told.of[2].bytes, told.of[2].deviations);
	assert_true(error > 18 * PAGE && error < 25 * PAGE);
	told = settle(&l, ANON, -80 * PAGE, 0);
	assert_no_deviations(told.of[1].deviations);
	resident_lines__free(&l);
}

/*
 * Lines that one turn brought, as much of each: which of its pages were looked at was chance all the same. Three pages that stand for
 * 64 each are off by 110 (one standard deviation), and by 78 where both lines' sum is known.
 */
static void test_one_turn_is_no_certainty(void **state)
{
	uint32_t node, tid;

	(void)state;
	for (node = 1; node < 40; node++) {
		struct resident_lines l = {};
		int64_t both[PAGE_GROUPS];
		struct told told;
		double error;
		int i, g;

		for (tid = 1; tid <= 2; tid++) {
			struct resident_line_key key = { .tid = tid, .node = tid * node };

			for (i = 0; i < 3; i++)
				assert_int_equal(resident_lines__found(&l, &key, 1, PAGE * 64, 64, 5), 0);
		}
		told = settle(&l, ANON, PAGE, 0);
		error = deviations__error(told.of[1].bytes, told.of[1].deviations);
		if (error < 110 * PAGE || error > 360 * PAGE)
			fail_msg("node %u: %.0f pages are told", node, error / PAGE);
		for (g = 0; g < PAGE_GROUPS; g++)
			both[g] = told.of[1].deviations[g] + told.of[2].deviations[g];
		assert_unseen(both, 64, 6 * 6 * 64 * 63);
		resident_lines__free(&l);
	}
}

/* As unsteady as the sample is unsure: a half of the difference is the lines', and as much of the errors goes. */
static void test_unsteady_dampens(void **state)
{
	struct resident_lines l = {};
	struct told told;
	double deviation;

	(void)state;
	find(&l, 1, ANON, 160, 4);
	deviation = resident_lines__deviation(&l, ANON);
	told = settle(&l, ANON, 100000, deviation);
	assert_true(llabs(told.of[1].correction - 50000) <= 1);
	told = settle(&l, ANON, 100000, 3 * deviation);
	assert_true(llabs(told.of[1].correction - 10000) <= 1);
	/* It widens what may be chance. */
	told = settle(&l, ANON, 6 * deviation, 3 * deviation);
	assert_true(llabs(told.of[1].correction - llround(0.6 * deviation)) <= 1);
	/* Nobody is unsure, so it is nobody's. */
	resident_lines__begin(&l);
	find(&l, 1, ANON, 160, 1);
	told = settle(&l, ANON, 100000, 1e6);
	assert_true(told.of[1].correction == 0);
	resident_lines__free(&l);
}

static void test_gone_line_is_forgotten(void **state)
{
	struct resident_lines l = {};
	struct told told;

	(void)state;
	find(&l, 1, ANON, 16, 8);
	find(&l, 2, ANON, 16, 8);
	settle(&l, ANON, 80000, 0);
	resident_lines__begin(&l);
	find(&l, 2, ANON, 16, 8);
	assert_int_equal(HASH_COUNT(l.by_key), 2);
	told = settle(&l, ANON, 80000, 0);
	/* Once more, to take back what it was given. */
	assert_int_equal(told.of[1].calls, 1);
	assert_true(told.of[1].correction == 0);
	assert_no_deviations(told.of[1].deviations);
	assert_true(told.of[2].correction == 80000);
	assert_int_equal(HASH_COUNT(l.by_key), 1);
	told = settle(&l, ANON, 80000, 0);
	assert_int_equal(told.of[1].calls, 0);
	assert_int_equal(told.of[2].calls, 1);
	resident_lines__free(&l);
	assert_null(l.by_key);
}

static void keep_correction(struct resident_line *line, int64_t correction, const int64_t deviations[PAGE_GROUPS], void *arg)
{
	(void)line, (void)correction, (void)deviations, (void)arg;
}

static void test_not_forgotten_before_it_was_taken_back(void **state)
{
	double unknown[RESIDENT_KINDS] = {}, unsteady[RESIDENT_KINDS] = {};
	struct resident_lines l = {};

	(void)state;
	find(&l, 1, ANON, 16, 8);
	settle(&l, ANON, 80000, 0);
	resident_lines__begin(&l);
	resident_lines__settle(&l, unknown, unsteady, keep_correction, NULL);
	assert_int_equal(HASH_COUNT(l.by_key), 1);
	settle(&l, ANON, 0, 0);
	assert_int_equal(HASH_COUNT(l.by_key), 0);
}

static void test_same_again_changes_nothing(void **state)
{
	struct resident_lines l = {};
	struct told first, second;
	int again;

	(void)state;
	for (again = 0; again < 2; again++) {
		resident_lines__begin(&l);
		find(&l, 1, ANON, 33, 8);
		find(&l, 2, ANON, 7, 64);
		find(&l, 3, ANON, 12, 1);
		second = settle(&l, ANON, 123456, 777);
		if (!again)
			first = second;
	}
	assert_true(first.of[1].correction > 0);
	assert_memory_equal(&first, &second, sizeof(first));
	second = settle(&l, ANON, 123456, 777);
	assert_memory_equal(&first, &second, sizeof(first));
	resident_lines__free(&l);
}

static void test_kinds_are_apart(void **state)
{
	double unknown[RESIDENT_KINDS] = { 40000, -30000 }, unsteady[RESIDENT_KINDS] = { 0, 0, 1e9 };
	struct resident_lines l = {};
	struct told told = {};

	(void)state;
	find(&l, 1, ANON, 16, 8);
	find(&l, 2, FILE_PAGES, 32, 4);
	find(&l, 3, 2, 16, 8);
	resident_lines__settle(&l, unknown, unsteady, tell, &told);
	assert_true(told.of[1].correction == 40000 && told.of[2].correction == -30000 && told.of[3].correction == 0);
	assert_true(resident_lines__deviation(&l, ANON) > resident_lines__deviation(&l, FILE_PAGES));
	resident_lines__free(&l);
}

/* Nobody knows what lines have in sum: they keep what was found, and their errors. */
static void test_an_unknown_sum(void **state)
{
	int64_t both[PAGE_GROUPS];
	struct told known, unknown;
	struct resident_lines l = {};

	(void)state;
	find(&l, 1, ANON, 16, 8);
	find(&l, 2, ANON, 5, 64);
	known = settle(&l, ANON, 0, 0);
	unknown = settle(&l, ANON, NAN, 0);
	assert_int_equal(unknown.of[1].correction, 0);
	assert_int_equal(unknown.of[2].correction, 0);
	assert_true(unknown.of[2].bytes > 0);
	for (int g = 0; g < PAGE_GROUPS; g++)
		both[g] = known.of[1].deviations[g] + known.of[2].deviations[g];
	assert_unseen(both, (16 * 8 * 7 + 5 * 64 * 63) / (16 * 8.0 + 5 * 64) + 1, 16 * 8 * 7 + 5 * 64 * 63);
	assert_int_not_equal(unknown.of[1].deviations[0] + unknown.of[2].deviations[0], 0);
	resident_lines__free(&l);
}

/* ---- samples ---- */

static uint64_t seed;

/* splitmix64; [0, 1). */
static double chance(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

#define LINES 6
#define MAX_TURNS 256
#define SAMPLES 600

struct drawing {
	const char *name;
	double page_factor; /* each page is followed with chance 1 / page_factor, */
	double turn_factor; /* where its turn is seen at all */
	uint32_t turns;
};

/* Pages of each line; the last one is looked at whole. */
static const int line_pages[LINES] = { 400, 800, 1200, 2000, 4000, 700 };

/* What is unknown after a sample was drawn. */
static double draw(struct resident_lines *l, const struct drawing *d)
{
	bool seen[MAX_TURNS];
	double unknown = 0;
	uint32_t t;
	int line, i;

	for (t = 0; t < d->turns; t++)
		seen[t] = chance() * d->turn_factor < 1;
	for (line = 0; line < LINES; line++) {
		struct resident_line_key key = { .tid = line, .node = 7 };
		bool sure = line == LINES - 1;
		double factor = sure ? 1 : d->page_factor * d->turn_factor;

		unknown += line_pages[line] * PAGE;
		for (i = 0; i < line_pages[line]; i++) {
			uint32_t turn = chance() * d->turns;

			if (!sure && (!seen[turn] || chance() * d->page_factor >= 1))
				continue;
			resident_lines__found(l, &key, 1, factor * PAGE, factor, turn % PAGE_GROUPS);
			unknown -= factor * PAGE;
		}
	}
	return unknown;
}

struct tally {
	double sum[LINES], squares[LINES]; /* of errors, in bytes */
	int covered, all;
	int not_shared; /* too large for chance, or so it was taken */
};

static void judge(struct tally *tally, const struct told *told, double unknown)
{
	double shared = 0;
	int line;

	for (line = 0; line < LINES; line++) {
		double error = told->of[line].bytes + told->of[line].correction - line_pages[line] * PAGE;

		shared += told->of[line].correction;
		tally->sum[line] += error;
		tally->squares[line] += error * error;
		if (line == LINES - 1)
			continue;
		tally->all++;
		/* A line of which nothing was seen states no error. */
		tally->covered += told->of[line].bytes + told->of[line].correction &&
				  fabs(error) <= deviations__error(told->of[line].bytes + told->of[line].correction,
								   told->of[line].deviations);
	}
	tally->not_shared += fabs(unknown - shared) > LINES;
}

/*
 * Measured, of the errors of unsure lines within what is told: 0.97, 0.97, 0.96, 0.93, 0.96; of 600 differences not shared
 * out: 2, 1, 10, 32, 9. With variance taken between pages alone the last were 2, 1, 354, 473, 156.
 */
static void test_samples(void **state)
{
	static const struct drawing drawings[] = {
		{ "pages, one in 4", 4, 1, 256 },
		{ "pages, one in 16", 16, 1, 256 },
		{ "turns, one in 4", 1, 4, 256 },
		{ "turns, one in 2", 1, 2, 64 },
		{ "pages, one in 4, of one turn in 4", 4, 4, 256 },
	};
	size_t i;
	int s, line;

	(void)state;
	seed = 20240229;
	for (i = 0; i < sizeof(drawings) / sizeof(drawings[0]); i++) {
		struct tally tally = {};

		for (s = 0; s < SAMPLES; s++) {
			struct resident_lines l = {};
			double unknown = draw(&l, &drawings[i]);
			struct told told = settle(&l, ANON, unknown, 0);

			judge(&tally, &told, unknown);
			resident_lines__free(&l);
		}
		for (line = 0; line < LINES; line++) {
			double mean = tally.sum[line] / SAMPLES;
			double se = sqrt((tally.squares[line] / SAMPLES - mean * mean) / SAMPLES);

			if (fabs(mean) > 3 * se)
				fail_msg("%s: line %d is off by %.0f on average, standard error %.0f",
					 drawings[i].name, line, mean, se);
		}
		if (tally.covered < 0.9 * tally.all)
			fail_msg("%s: %d of %d errors were told", drawings[i].name, tally.covered, tally.all);
		if (tally.not_shared > SAMPLES / 10)
			fail_msg("%s: %d of %d differences were not shared", drawings[i].name, tally.not_shared, SAMPLES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sure_line_is_left_alone),
		cmocka_unit_test(test_one_unsure_line_takes_all),
		cmocka_unit_test(test_a_look_at_any_fault),
		cmocka_unit_test(test_shared_by_variance),
		cmocka_unit_test(test_clusters_count_as_one),
		cmocka_unit_test(test_no_line_below_zero),
		cmocka_unit_test(test_too_much_for_chance_is_left_out),
		cmocka_unit_test(test_left_out_leaves_errors),
		cmocka_unit_test(test_what_is_left_out_is_in_the_error),
		cmocka_unit_test(test_one_turn_is_no_certainty),
		cmocka_unit_test(test_unsteady_dampens),
		cmocka_unit_test(test_gone_line_is_forgotten),
		cmocka_unit_test(test_not_forgotten_before_it_was_taken_back),
		cmocka_unit_test(test_same_again_changes_nothing),
		cmocka_unit_test(test_kinds_are_apart),
		cmocka_unit_test(test_an_unknown_sum),
		cmocka_unit_test(test_samples),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
