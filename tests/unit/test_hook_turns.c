/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/hook_turns.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <math.h>
#include <stdlib.h>
#include <cmocka.h>

#define MS 1000000ull
#define SECOND 1000000000ull

/* Lets time go by until `end`; the caller comes late by up to late_ns. */
static void until(struct hook_turns *t, uint64_t *now, uint64_t end, uint64_t late_ns)
{
	while (*now < end) {
		uint64_t next = hook_turns__next_ns(t);

		*now = next < end ? next + (late_ns ? (uint64_t)random() % late_ns : 0) : end;
		hook_turns__update(t, *now);
	}
}

static void test_always_on_needs_nobody(void **state)
{
	struct hook_asked asked = {};
	struct hook_turns t;

	(void)state;
	hook_turns__begin(&t, 5 * SECOND);
	assert_true(hook_turns__update(&t, 6 * SECOND));
	assert_true(hook_turns__next_ns(&t) == UINT64_MAX);
	assert_true(hook_turns__was_on(&t, &asked, 7 * SECOND) == 1);
	assert_true(hook_turns__was_on_in_all(&t) == 1);
}

static void test_share_is_kept(void **state)
{
	static const double shares[] = { 0.02, 0.1, 0.37, 0.8, 0.99 };
	static const uint64_t late[] = { 0, 5 * MS, 40 * MS };
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		for (j = 0; j < sizeof(late) / sizeof(late[0]); j++) {
			uint64_t now = 5 * SECOND;
			struct hook_asked asked = {};
			struct hook_turns t;
			double was_on;

			hook_turns__begin(&t, now);
			hook_turns__set_share(&t, shares[i]);
			hook_turns__update(&t, now);
			until(&t, &now, 605 * SECOND, late[j]);
			was_on = hook_turns__was_on(&t, &asked, now);
			/* Who comes late switches on late, too: never more than the share, and hardly less. */
			if (was_on > shares[i] * 1.01 + 0.001 || was_on < shares[i] * (late[j] > 5 * MS ? 0.85 : 0.97))
				fail_msg("share %.2f, %llu ms late: on for %.4f", shares[i],
					 (unsigned long long)(late[j] / MS), was_on);
			assert_true(hook_turns__was_on_in_all(&t) == was_on);
		}
	}
}

/* Seen from a program that does the same in every half second: each of its tenths is seen as often. */
static void test_falls_in_with_no_rhythm(void **state)
{
	uint64_t now = SECOND, seen[10] = {}, at = now, all = 0;
	struct hook_turns t;
	int i;

	(void)state;
	hook_turns__begin(&t, now);
	hook_turns__set_share(&t, 0.1);
	hook_turns__update(&t, now);
	for (; at < 2001 * SECOND; at += MS) {
		if (at >= hook_turns__next_ns(&t))
			hook_turns__update(&t, at);
		seen[at / (50 * MS) % 10] += t.on;
		all += t.on;
	}
	for (i = 0; i < 10; i++) {
		if (seen[i] < all / 10 * 8 / 10 || seen[i] > all / 10 * 12 / 10)
			fail_msg("tenth %d: %llu of %llu", i, (unsigned long long)seen[i], (unsigned long long)all);
	}
}

static void test_share_of_each_step(void **state)
{
	uint64_t now = SECOND;
	struct hook_asked asked = {};
	struct hook_turns t;

	(void)state;
	hook_turns__begin(&t, now);
	assert_true(hook_turns__was_on(&t, &asked, now += SECOND) == 1);
	hook_turns__set_share(&t, 0.02);
	hook_turns__update(&t, now);
	until(&t, &now, now + SECOND, 0);
	assert_true(hook_turns__was_on(&t, &asked, now) < 0.1);
	hook_turns__set_share(&t, 1);
	assert_true(hook_turns__update(&t, now));
	assert_true(hook_turns__next_ns(&t) == UINT64_MAX);
	assert_true(hook_turns__was_on(&t, &asked, now += SECOND) == 1);
}

static void test_rests_until_a_share_is_set(void **state)
{
	static const double shares[] = { 1, 0.3 };
	struct hook_asked asked = {};
	struct hook_turns t;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		uint64_t now = 5 * SECOND;

		hook_turns__begin(&t, now);
		hook_turns__set_share(&t, shares[i]);
		until(&t, &now, 6 * SECOND, 0);
		hook_turns__was_on(&t, &asked, now);
		hook_turns__rest(&t, now);
		assert_true(hook_turns__next_ns(&t) == UINT64_MAX);
		until(&t, &now, 8 * SECOND, 0);
		assert_false(hook_turns__update(&t, now));
		assert_true(hook_turns__was_on(&t, &asked, now) == 0);
		hook_turns__set_share(&t, shares[i]);
		hook_turns__update(&t, now);
		until(&t, &now, 608 * SECOND, 0);
		assert_true(fabs(hook_turns__was_on(&t, &asked, now) - shares[i]) < 0.02);
	}
}

/* Where switching is dear: cut short in each turn, and told in between that it may be on always, it switches once a turn. */
static void test_long_turns_are_held_to(void **state)
{
	uint64_t now = 5 * SECOND, cut_ns = UINT64_MAX, switches = 0, second;
	struct hook_turns t;
	bool was_on;

	(void)state;
	hook_turns__begin(&t, now);
	hook_turns__set_share(&t, 0.5);
	t.stretch = 20;
	was_on = hook_turns__update(&t, now);
	for (second = now; now < 1005 * SECOND; now += 50 * MS) {
		if (now >= second) {
			hook_turns__set_share(&t, now / SECOND % 2 && !t.on ? 1 : 0.5);
			second += SECOND;
		}
		if (now >= cut_ns) {
			hook_turns__cut(&t, now);
			assert_false(hook_turns__update(&t, now));
			cut_ns = UINT64_MAX;
		}
		hook_turns__update(&t, now);
		switches += t.on != was_on;
		if (t.on && !was_on)
			cut_ns = now + 200 * MS;
		was_on = t.on;
	}
	assert_in_range(switches, 100, 300); /* 100 turns of 10 s */
}

/* Each time switching on takes 20 ms, in which it does not serve. */
static void test_delay_is_made_up_for(void **state)
{
	uint64_t now = 5 * SECOND, served_ns = 0, last_ns, turns = 0;
	struct hook_turns t;
	bool was_on = false;

	(void)state;
	hook_turns__begin(&t, now);
	hook_turns__set_share(&t, 0.1);
	t.stretch = 4;
	hook_turns__update(&t, now);
	for (last_ns = now; now < 605 * SECOND; last_ns = now) {
		now = hook_turns__next_ns(&t);
		served_ns += was_on ? now - last_ns : 0;
		hook_turns__update(&t, now);
		if (t.on && !was_on) {
			turns++;
			now += 20 * MS;
			hook_turns__delay(&t, 20 * MS);
		}
		was_on = t.on;
	}
	assert_true(fabs(served_ns / (600.0 * SECOND) - 0.1) < 0.005);
	assert_in_range(turns, 270, 330); /* of 2 s */
}

/* Each moment that is seen stands for one over its chance: together for all the time, whatever the share was meanwhile. */
static void weigh(double stretch)
{
	static const double shares[] = { 0.05, 0.6, 0.2, 1, 0.9, 0.1 };
	uint64_t now = SECOND, end = now;
	double weighed = 0, all = 0;
	struct hook_turns t;
	int second;

	hook_turns__begin(&t, now);
	t.stretch = stretch;
	t.weighs = true;
	assert_true(hook_turns__chance(&t) == 1);
	for (second = 0; second < 6000; second++) {
		hook_turns__set_share(&t, shares[second % 6]);
		hook_turns__update(&t, now);
		for (end += SECOND; now < end;) {
			uint64_t next = hook_turns__next_ns(&t), was = now;

			now = next < end ? next : end;
			weighed += t.on ? (now - was) / hook_turns__chance(&t) : 0;
			all += now - was;
			hook_turns__update(&t, now);
		}
		if (shares[second % 6] == 1 && stretch == 1)
			assert_true(hook_turns__chance(&t) == 1);
	}
	if (weighed < all * 0.97 || weighed > all * 1.03)
		fail_msg("%.4f of all the time, turns %g times as long", weighed / all, stretch);
}

static void test_chance_weighs_to_all_time(void **state)
{
	(void)state;
	srandom(7);
	weigh(1);
	weigh(2);
	weigh(4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_always_on_needs_nobody),
		cmocka_unit_test(test_share_is_kept),
		cmocka_unit_test(test_falls_in_with_no_rhythm),
		cmocka_unit_test(test_share_of_each_step),
		cmocka_unit_test(test_rests_until_a_share_is_set),
		cmocka_unit_test(test_long_turns_are_held_to),
		cmocka_unit_test(test_delay_is_made_up_for),
		cmocka_unit_test(test_chance_weighs_to_all_time),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
