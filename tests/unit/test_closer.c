/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Descriptors are closed behind one's back, and not before their time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/closer.h"

#define MS_NS 1000000ull
#define PIPES 5

/* When whoever reads from a pipe is told that nobody writes any more. */
static uint64_t closed_at(int fd)
{
	char c;

	assert_int_equal(read(fd, &c, 1), 0);
	close(fd);
	return clock_now_ns();
}

static void test_one_after_the_other(void **state)
{
	uint64_t begin = clock_now_ns();
	int fd[PIPES][2], cpu = sched_getcpu();
	struct closer *c;

	(void)state;
	assert_int_equal(closer__new(&c), 0);
	for (int i = 0; i < PIPES; i++)
		assert_int_equal(pipe(fd[i]), 0);
	for (int i = 0; i < PIPES; i++)
		closer__close_on(c, fd[i][1], i % 2 ? cpu : -1, begin + i * 30 * MS_NS);
	for (int i = 0; i < PIPES; i++)
		assert_true(closed_at(fd[i][0]) >= begin + i * 30 * MS_NS);
	closer__wait(c);
	assert_false(closer__is_busy(c));
	closer__free(c);
}

/* A time that is over is now. */
static void test_at_once(void **state)
{
	struct closer *c;
	int fd[2];

	(void)state;
	assert_int_equal(closer__new(&c), 0);
	assert_int_equal(pipe(fd), 0);
	closer__close_on(c, fd[1], -1, clock_now_ns() - MS_NS);
	closed_at(fd[0]);
	closer__free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_after_the_other), cmocka_unit_test(test_at_once) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
