/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which item a process gets: when a new one, when an ended one's. */
#include "capture/process_items.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

struct fixture {
	struct profile *profile;
	struct process_items *items;
	struct capture_limits limits;
	uint32_t tgid;
};

static struct fixture new_fixture(uint32_t ended_alike, uint32_t processes)
{
	struct fixture f = { .limits = { .ended_alike = ended_alike, .processes = processes } };
	struct profile_container c = { .cgroup_id = 1, .path = "/a" };

	assert_int_equal(profile__new(NULL, &f.profile), 0);
	assert_int_equal(profile__add_container(f.profile, &c), 0);
	c.cgroup_id = 2;
	assert_int_equal(profile__add_container(f.profile, &c), 1);
	return f;
}

static void begin(struct fixture *f)
{
	assert_int_equal(process_items__new(f->profile, &f->limits, &f->items), 0);
}

static void end(struct fixture *f)
{
	process_items__free(f->items);
	profile__free(f->profile);
}

static uint32_t start(struct fixture *f, uint32_t container, const char *command, bool shared)
{
	struct profile_process p = { .tgid = ++f->tgid, .container = container, .command = command };
	bool is_shared;
	int64_t item = process_items__take(f->items, &p, &is_shared);

	assert_true(item >= 0);
	assert_int_equal(is_shared, shared);
	assert_int_equal(profile__process(f->profile, item)->tgid, f->tgid);
	assert_string_equal(profile__process(f->profile, item)->command, command);
	assert_int_equal(profile__process(f->profile, item)->container, container);
	return item;
}

static void test_processes_that_live_have_items_of_their_own(void **state)
{
	struct fixture f = new_fixture(2, 5);
	uint32_t i;

	(void)state;
	begin(&f);
	for (i = 0; i < 100; i++)
		assert_int_equal(start(&f, 0, "python worker.py", false), i);
	assert_int_equal(process_items__shared(f.items), 0);
	end(&f);
}

static void test_ended_ones_of_the_same_kind_give_their_item(void **state)
{
	struct fixture f = new_fixture(2, 1000);
	uint32_t a, b, c;

	(void)state;
	begin(&f);
	a = start(&f, 0, "python worker.py", false);
	b = start(&f, 0, "python worker.py", false);
	process_items__give_back(f.items, a);
	c = start(&f, 0, "python worker.py", false); /* one ended: told apart still */
	process_items__give_back(f.items, b);
	start(&f, 1, "python worker.py", false); /* another container */
	start(&f, 0, "python other.py", false); /* another command */
	assert_int_equal(start(&f, 0, "python worker.py", true), a); /* the first that ended */
	assert_int_equal(profile__process(f.profile, a)->earlier, 1);
	start(&f, 0, "python worker.py", false); /* only b is left */
	process_items__give_back(f.items, c);
	assert_int_equal(start(&f, 0, "python worker.py", true), b);
	assert_int_equal(process_items__shared(f.items), 2);
	end(&f);
}

static void test_without_end_the_profile_does_not_grow(void **state)
{
	struct fixture f = new_fixture(4, 50);
	char command[32];
	uint32_t i;

	(void)state;
	begin(&f);
	for (i = 0; i < 5000; i++) {
		struct profile_process p = { .tgid = i, .container = i % 3 ? i % 3 - 1 : PROFILE_NONE, .command = command };
		bool shared;
		int64_t item;

		snprintf(command, sizeof(command), "job %u", i % 7 ? i : 0);
		item = process_items__take(f.items, &p, &shared);
		assert_true(item >= 0);
		process_items__give_back(f.items, item);
	}
	assert_true(profile__n_processes(f.profile) <= 50 + 3);
	assert_int_equal(process_items__shared(f.items) + profile__n_processes(f.profile), 5000);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processes_that_live_have_items_of_their_own),
		cmocka_unit_test(test_ended_ones_of_the_same_kind_give_their_item),
		cmocka_unit_test(test_without_end_the_profile_does_not_grow),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
