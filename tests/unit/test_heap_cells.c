/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which kinds of things are told apart within a size class, and how much of it each is (model/heap_cells.h). */
#include "model/heap_cells.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#define MOST 20000

static struct heap_draw draws[MOST];
static struct heap_member members[MOST];
static size_t n_draws, n_members;
static struct heap_cells cells;

static void draw(uint8_t class, uint32_t type, uint32_t shape, size_t n)
{
	while (n--) {
		draws[n_draws] = (struct heap_draw){ { type, shape }, class, n_draws % HEAP_REPLICATES };
		n_draws++;
	}
}

static void sample_heavy(uint8_t class, uint32_t type, uint32_t shape, size_t n, double weight)
{
	while (n--)
		members[n_members++] =
			(struct heap_member){ .kind = { type, shape }, .weight = weight, .class = class, .cell = UINT16_MAX };
}

static void sample(uint8_t class, uint32_t type, uint32_t shape, size_t n)
{
	sample_heavy(class, type, shape, n, 1);
}

static int begin(void **state)
{
	(void)state;
	n_draws = n_members = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_cells__free(&cells);
	return 0;
}

static void make(void)
{
	assert_int_equal(heap_cells__make(draws, n_draws, members, n_members, &cells), 0);
	for (size_t i = 0; i < n_members; i++) {
		assert_true(members[i].cell < cells.n);
		assert_int_equal(cells.cell[members[i].cell].class, members[i].class);
	}
	for (size_t i = 1; i < cells.n; i++)
		assert_true(cells.cell[i - 1].class <= cells.cell[i].class);
}

/* What the cells of a class are of it, together. */
static double sum_of(uint8_t class, int r)
{
	double sum = 0;

	for (size_t i = 0; i < cells.n; i++)
		sum += cells.cell[i].class == class ? cells.cell[i].share[r] : 0;
	return sum;
}

static double share_of(size_t member, int r)
{
	return cells.cell[members[member].cell].share[r];
}

static void close_to(double value, double expected)
{
	assert_true(fabs(value - expected) < 1e-9);
}

static void test_nothing_was_drawn(void **state)
{
	(void)state;
	sample(3, 1, 0, 10);
	sample(3, 2, 0, 10);
	sample(7, 1, 0, 1);
	make();
	assert_int_equal(cells.n, 2);
	close_to(sum_of(3, 0), 0);
}

static void test_types_are_told_apart(void **state)
{
	(void)state;
	sample(3, 1, 0, 10);
	sample(3, 2, 0, 30);
	draw(3, 1, 0, 160);
	draw(3, 2, 0, 480);
	make();
	assert_int_equal(cells.n, 2);
	close_to(share_of(0, 0), 0.25);
	close_to(share_of(10, 0), 0.75);
}

/* Lists of another class are no lists of this one. */
static void test_classes_are_apart(void **state)
{
	(void)state;
	sample(3, 1, 0, 10);
	sample(4, 1, 0, 10);
	draw(3, 1, 0, 100);
	draw(4, 1, 0, 50);
	make();
	assert_int_equal(cells.n, 2);
	close_to(share_of(0, 0), 1);
	close_to(share_of(10, 0), 1);
}

/* Shapes of which enough was sampled; the others are the rest of their type, and as many as were drawn of them. */
static void test_shapes(void **state)
{
	(void)state;
	sample(3, 1, 60, 20);
	sample(3, 1, 61, 20);
	sample(3, 1, 62, 1);
	sample(3, 1, 63, 1);
	sample(3, 2, 0, 20);
	draw(3, 1, 60, 300);
	draw(3, 1, 61, 100);
	draw(3, 1, 62, 10);
	draw(3, 1, 63, 20);
	draw(3, 1, 64, 20);
	draw(3, 2, 0, 150);
	make();
	assert_int_equal(cells.n, 4);
	close_to(share_of(0, 0), 0.5);
	close_to(share_of(20, 0), 100 / 600.0);
	assert_int_equal(members[40].cell, members[41].cell);
	close_to(share_of(40, 0), 50 / 600.0);
	close_to(share_of(42, 0), 150 / 600.0);
}

/* A type that is drawn often was made by nobody that was seen: it is a cell without a block. One that is drawn twice tells nothing. */
static void test_never_sampled(void **state)
{
	(void)state;
	sample(3, 1, 0, 40);
	draw(3, 1, 0, 300);
	draw(3, 2, 5, 98);
	draw(3, 3, 0, 2);
	make();
	assert_int_equal(cells.n, 2);
	close_to(share_of(0, 0), 300 / 398.0);
	close_to(sum_of(3, 0), 1);
}

/* Types of which each is too few to tell are nobody's where they are many together; but not where few blocks were sampled. */
static void test_rest_never_sampled(void **state)
{
	(void)state;
	for (int few = 0; few < 2; few++) {
		n_draws = n_members = 0;
		sample(3, 1, 0, few ? 5 : 100);
		draw(3, 1, 0, 90);
		for (uint32_t type = 2; type < 12; type++)
			draw(3, type, 0, 1);
		make();
		assert_int_equal(cells.n, few ? 1 : 2);
		close_to(share_of(0, 0), few ? 1 : 0.9);
		if (!few)
			heap_cells__free(&cells);
	}
}

/* One block of a rare type does not stand for all types that were never sampled. */
static void test_rare_beside_never_sampled(void **state)
{
	(void)state;
	sample(3, 1, 0, 36);
	sample(3, 2, 0, 1);
	draw(3, 1, 0, 280);
	draw(3, 2, 0, 8);
	for (uint32_t type = 3; type < 7; type++)
		draw(3, type, 0, 178);
	make();
	assert_int_equal(cells.n, 3);
	close_to(share_of(0, 0), 0.28);
	close_to(share_of(36, 0), 0.008);
}

/* Many types with a block or two: others have none by chance, and are like them. */
static void test_many_rare_types(void **state)
{
	(void)state;
	for (uint32_t type = 1; type <= 90; type++) {
		if (type % 3)
			sample(3, type, 0, 1);
		draw(3, type, 0, 10);
	}
	make();
	assert_int_equal(cells.n, 1);
	close_to(share_of(0, 0), 1);
}

/*
 * A heap that was large before tracing began: few blocks of it were sampled, each for many, and more of what is new. That of most old
 * types no block was sampled tells nothing.
 */
static void test_old_blocks_are_few(void **state)
{
	static const size_t sampled[8] = { 1, 2, 3, 2, 0, 1, 2, 4 };

	(void)state;
	for (uint32_t type = 1; type <= 60; type++) {
		sample_heavy(3, type, 0, sampled[type % 8], 1000);
		draw(3, type, 0, 65);
	}
	sample(3, 7, 0, 300);
	sample(3, 100, 0, 1000);
	draw(3, 100, 0, 40);
	make();
	for (size_t i = 0; i < n_members; i++)
		assert_int_equal(members[i].cell, members[0].cell);
	assert_int_equal(cells.n, 1);
}

/* A shape is another matter: they are like the others of their type, of which there is more. */
static void test_shape_never_sampled(void **state)
{
	(void)state;
	sample(3, 1, 61, 40);
	sample(3, 1, 62, 40);
	sample(3, 2, 0, 10);
	draw(3, 1, 60, 400);
	draw(3, 1, 61, 300);
	draw(3, 1, 62, 200);
	draw(3, 2, 0, 100);
	make();
	assert_int_equal(cells.n, 3);
	close_to(share_of(0, 0), 0.54);
	close_to(share_of(40, 0), 0.36);
	close_to(share_of(80, 0), 0.1);
}

/* Where a handful was sampled, nobody can say of which kinds there are none. */
static void test_few_sampled(void **state)
{
	(void)state;
	sample(3, 1, 60, 3);
	for (uint32_t shape = 60; shape < 80; shape++)
		draw(3, 1, shape, 50);
	draw(3, 2, 0, 1000);
	make();
	assert_int_equal(cells.n, 1);
	close_to(share_of(0, 0), 1);
}

static void test_replicates_leave_a_group_out(void **state)
{
	(void)state;
	sample(3, 1, 0, 10);
	sample(3, 2, 0, 10);
	draw(3, 1, 0, HEAP_REPLICATES);
	draw(3, 2, 0, HEAP_REPLICATES / 2);
	make();
	close_to(share_of(0, 0), 2 / 3.0);
	close_to(share_of(0, 1), 15 / 22.0);
	close_to(share_of(0, HEAP_REPLICATES), 15 / 23.0);
}

static void test_any(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 300; round++) {
		int types = 1 + rand() % 200, shapes = 1 + rand() % 40, classes = 1 + rand() % HEAP_CLASSES;

		n_draws = n_members = 0;
		for (size_t n = rand() % 3000; n; n--)
			draw(rand() % classes, 1 + rand() % types * (rand() % 2), rand() % shapes, 1);
		for (size_t n = rand() % 3000; n; n--)
			sample(rand() % classes, 1 + rand() % types * (rand() % 2), rand() % shapes, 1);
		make();
		for (int c = 0; c < HEAP_CLASSES; c++)
			for (int r = 0; r <= HEAP_REPLICATES; r++)
				assert_true(fabs(sum_of(c, r) - 1) < 1e-9 || sum_of(c, 0) == 0);
		for (size_t i = 0; i < n_draws; i++)
			close_to(sum_of(draws[i].class, 0), 1);
		heap_cells__free(&cells);
	}
}

/* More kinds than there may be cells. */
static void test_many_kinds(void **state)
{
	(void)state;
	for (uint32_t type = 1; type <= HEAP_MOST_CELLS + 500; type++) {
		sample(3, type, 0, 4);
		draw(3, type, 0, 4);
	}
	make();
	assert_true(cells.n <= HEAP_MOST_CELLS && cells.n > HEAP_MOST_CELLS / 3);
	close_to(sum_of(3, 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_was_drawn, begin, end),
		cmocka_unit_test_setup_teardown(test_types_are_told_apart, begin, end),
		cmocka_unit_test_setup_teardown(test_classes_are_apart, begin, end),
		cmocka_unit_test_setup_teardown(test_shapes, begin, end),
		cmocka_unit_test_setup_teardown(test_never_sampled, begin, end),
		cmocka_unit_test_setup_teardown(test_rest_never_sampled, begin, end),
		cmocka_unit_test_setup_teardown(test_rare_beside_never_sampled, begin, end),
		cmocka_unit_test_setup_teardown(test_many_rare_types, begin, end),
		cmocka_unit_test_setup_teardown(test_old_blocks_are_few, begin, end),
		cmocka_unit_test_setup_teardown(test_shape_never_sampled, begin, end),
		cmocka_unit_test_setup_teardown(test_few_sampled, begin, end),
		cmocka_unit_test_setup_teardown(test_replicates_leave_a_group_out, begin, end),
		cmocka_unit_test_setup_teardown(test_any, begin, end),
		cmocka_unit_test_setup_teardown(test_many_kinds, begin, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
