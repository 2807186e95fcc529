/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How many pages of a process that moves its memory stay followed, with a model of the process and of the kernel side
 * (bpf/fault_moves.bpf.h): a list that grows and is moved, whose pages stand for at least 1 << shift each once they were moved.
 */
#include "capture/move_pace.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "records.h"

#define PAGE_NS 1200
#define ALLOWED_NS 2500000ull
#define MOVES_A_SECOND 10

struct model {
	struct move_pace p;
	struct moved now;
	uint64_t limit_cnt, step_cnt;
	double samples, pages; /* of the list: followed, and in all */
};

static struct model new_model(uint64_t allowed_ns)
{
	struct model m = {};

	move_pace__begin(&m.p, allowed_ns);
	m.limit_cnt = m.p.limit_cnt;
	m.step_cnt = m.p.step_cnt;
	return m;
}

/* Of half of those that are moved the threshold was raised already, if it was. */
static void move(struct model *m)
{
	double least;

	m->now.cnt += m->samples;
	m->now.ns += m->samples * PAGE_NS;
	while (m->now.cnt > m->limit_cnt && m->now.shift < MAX_MOVE_SHIFT) {
		m->limit_cnt += m->step_cnt;
		m->step_cnt *= 2;
		m->now.shift++;
	}
	least = m->pages / (1u << m->now.shift);
	if (m->samples > least)
		m->samples = least;
}

/* What it costs in each second, at most. */
static uint64_t run(struct model *m, int seconds, double grows, uint64_t allowed_ns)
{
	uint64_t most = 0, before;
	int i, j;

	for (i = 0; i < seconds; i++) {
		before = m->now.ns;
		for (j = 0; j < MOVES_A_SECOND; j++) {
			m->pages += grows / MOVES_A_SECOND;
			m->samples += grows / MOVES_A_SECOND;
			move(m);
		}
		most = m->now.ns - before > most ? m->now.ns - before : most;
		move_pace__step(&m->p, &m->now, allowed_ns);
		m->now.shift = m->p.shift;
		m->limit_cnt = m->p.limit_cnt;
		m->step_cnt = m->p.step_cnt;
	}
	return most;
}

static void test_without_a_limit_all_stay(void **state)
{
	struct model m = new_model(UINT64_MAX);

	(void)state;
	run(&m, 100, 100000, UINT64_MAX);
	assert_int_equal(m.now.shift, 0);
	assert_true(m.samples == m.pages);
}

static void test_few_stay_all(void **state)
{
	struct model m = new_model(ALLOWED_NS);

	(void)state;
	run(&m, 10, 10, ALLOWED_NS);
	assert_int_equal(m.now.shift, 0);
	assert_true(m.samples == m.pages);
}

static void test_many_are_thinned_out(void **state)
{
	struct model m = new_model(ALLOWED_NS);

	(void)state;
	assert_true(run(&m, 100, 1000, ALLOWED_NS) < 2.5 * ALLOWED_NS);
	/* 100,000 pages of a list, moved ten times a second, by some 200 samples. */
	assert_true(m.samples > 80);
	assert_true(run(&m, 100, 1, ALLOWED_NS) < 1.5 * ALLOWED_NS);
}

static void test_a_threshold_falls_where_it_is_not_needed(void **state)
{
	struct model m = new_model(ALLOWED_NS);
	uint32_t shift;

	(void)state;
	run(&m, 20, 3000, ALLOWED_NS);
	shift = m.now.shift;
	assert_true(shift > 3);
	m.samples = m.pages = 0;
	run(&m, 1, 0, ALLOWED_NS);
	assert_int_equal(m.now.shift, shift - 1);
	run(&m, MAX_MOVE_SHIFT, 0, ALLOWED_NS);
	assert_int_equal(m.now.shift, 0);
}

static void test_a_kernel_side_that_began_anew(void **state)
{
	struct model m = new_model(ALLOWED_NS);

	(void)state;
	run(&m, 20, 3000, ALLOWED_NS);
	m.now = (struct moved){};
	move_pace__step(&m.p, &m.now, ALLOWED_NS);
	assert_true(m.p.limit_cnt > 0 && m.p.limit_cnt < ALLOWED_NS / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_a_limit_all_stay),
		cmocka_unit_test(test_few_stay_all),
		cmocka_unit_test(test_many_are_thinned_out),
		cmocka_unit_test(test_a_threshold_falls_where_it_is_not_needed),
		cmocka_unit_test(test_a_kernel_side_that_began_anew),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
