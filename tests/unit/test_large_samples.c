/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A sample of large blocks of this very process: what is found there is counted once, whoever saw it first.
 */
#include "capture/large_samples.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define BYTES (9u << 20)

static const struct stack_name mover = { .node = 7 }, allocator = { .node = 8 };

static bool knows(void *arg, uint64_t bytes, struct stack_name *ret)
{
	(void)arg;
	*ret = mover;
	return bytes == malloc_usable_size(arg) + 2 * sizeof(void *);
}

/* Bytes that are told of both. */
static double told(struct large_samples *s, double of[2])
{
	const struct heap_holdings *all;

	of[0] = of[1] = 0;
	assert_int_equal(large_samples__read(s, 1, &all), 0);
	for (size_t i = 0; i < all->n; i++) {
		of[0] += all->holders[i].stack.node == mover.node ? all->holders[i].sum.bytes : 0;
		of[1] += all->holders[i].stack.node == allocator.node ? all->holders[i].sum.bytes : 0;
	}
	return of[0] + of[1];
}

static void *make_block(void)
{
	uint64_t *block = malloc(BYTES);

	assert_non_null(block);
	for (size_t i = 0; i < 64; i++)
		block[i] = i + 1;
	return block;
}

/* A reading may come before what a window saw is settled, and finds the block that it saw. */
static void test_a_block_found_before_its_window_is_settled(void **state)
{
	const struct heap_look look = { .at_s = 0.5, .own_s = 0.1, .stands_s = 1 };
	struct large_samples *s;
	struct large_seen seen;
	struct proc *p;
	double of[2];
	void *block;

	(void)state;
	assert_int_equal(proc__open(NULL, &p), 0);
	assert_int_equal(large_samples__new(p, getpid(), NULL, 0, &s), 0);
	block = make_block();
	large_samples__ask(s, knows, block);
	assert_int_equal((long)(told(s, of) / BYTES * 100 + 0.5), 100);
	assert_true(of[0] > 0);
	large_samples__ask(s, NULL, NULL);
	seen = (struct large_seen){ .addr = (uintptr_t)block, .bytes = BYTES, .stack = allocator };
	assert_int_equal(large_samples__add_window(s, &look, &seen, 1), 0);
	assert_int_equal((long)(told(s, of) / BYTES * 100 + 0.5), 100);
	assert_true(of[1] > 0);
	free(block);
	assert_int_equal((long)told(s, of), 0);
	large_samples__free(s);
	proc__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_block_found_before_its_window_is_settled),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
