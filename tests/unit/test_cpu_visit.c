/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A thread that visits a processor is there, and afterwards as it was. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/resource.h>

#include "base/cpu_visit.h"

static cpu_set_t mask_now(void)
{
	cpu_set_t mask;

	assert_int_equal(sched_getaffinity(0, sizeof(mask), &mask), 0);
	return mask;
}

/* To each processor there is, and all is as before. */
static void test_goes_and_returns(void **state)
{
	cpu_set_t before = mask_now(), after;
	int cpu, policy = sched_getscheduler(0);
	struct cpu_visit v;

	(void)state;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		cpu_visit__begin(&v, cpu);
		if (!v.is_away)
			skip(); /* not allowed to be next */
		assert_int_equal(sched_getcpu(), cpu);
		assert_int_equal(sched_getscheduler(0) & ~SCHED_RESET_ON_FORK, SCHED_FIFO);
		cpu_visit__end(&v);
		after = mask_now();
		assert_true(CPU_EQUAL(&before, &after));
		assert_int_equal(sched_getscheduler(0), policy);
	}
}

/* Also from where it was kept away by its mask, which stays. */
static void test_keeps_its_mask(void **state)
{
	cpu_set_t all = mask_now(), one, after;
	struct cpu_visit v;
	int cpu = sched_getcpu(), other;

	(void)state;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	for (other = 0; other < CPU_SETSIZE; other++) {
		if (CPU_ISSET(other, &all) && other != cpu)
			break;
	}
	if (other == CPU_SETSIZE)
		skip();
	cpu_visit__begin(&v, other);
	if (v.is_away)
		assert_int_equal(sched_getcpu(), other);
	cpu_visit__end(&v);
	after = mask_now();
	assert_true(CPU_EQUAL(&one, &after));
	assert_int_equal(sched_getcpu(), cpu);
	sched_setaffinity(0, sizeof(all), &all);
}

static void test_stays_where_it_may_not_go(void **state)
{
	cpu_set_t before = mask_now(), after;
	static const int nowhere[] = { -1, CPU_SETSIZE - 1, CPU_SETSIZE, 1 << 20 };
	struct cpu_visit v;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		cpu_visit__begin(&v, nowhere[i]);
		assert_false(v.is_away);
		cpu_visit__end(&v);
		after = mask_now();
		assert_true(CPU_EQUAL(&before, &after));
	}
}

/* Nice values and policies are kept, and who is a real-time thread does not go. */
static void test_keeps_its_policy(void **state)
{
	const struct sched_param none = { .sched_priority = 0 }, two = { .sched_priority = 2 };
	int before = sched_getscheduler(0), nice_before = getpriority(PRIO_PROCESS, 0);
	struct cpu_visit v;

	(void)state;
	assert_int_equal(sched_setscheduler(0, SCHED_BATCH, &none), 0);
	setpriority(PRIO_PROCESS, 0, nice_before + 1);
	cpu_visit__begin(&v, sched_getcpu());
	cpu_visit__end(&v);
	assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), nice_before + 1);
	if (!sched_setscheduler(0, SCHED_RR, &two)) {
		cpu_visit__begin(&v, sched_getcpu());
		assert_false(v.is_away);
		cpu_visit__end(&v);
		assert_int_equal(sched_getscheduler(0), SCHED_RR);
	}
	assert_int_equal(sched_setscheduler(0, before, &none), 0);
	setpriority(PRIO_PROCESS, 0, nice_before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_and_returns),
		cmocka_unit_test(test_keeps_its_mask),
		cmocka_unit_test(test_stays_where_it_may_not_go),
		cmocka_unit_test(test_keeps_its_policy),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
