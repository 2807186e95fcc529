/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel prints, and what it never should, in a tree made for the test; then this process
 * and its own /proc.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "system/proc.h"

struct tree {
	char root[64];
	struct proc *proc;
};

static void write_file(const struct tree *t, const char *name, const char *text, size_t len)
{
	char path[256], *slash;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", t->root, name);
	for (slash = path + strlen(t->root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static int tree_setup(void **state)
{
	struct tree *t = calloc(1, sizeof(*t));

	strcpy(t->root, "/tmp/test_proc.XXXXXX");
	assert_non_null(mkdtemp(t->root));
	assert_int_equal(proc__open(t->root, &t->proc), 0);
	*state = t;
	return 0;
}

static int tree_teardown(void **state)
{
	struct tree *t = *state;
	char command[128];
	int err;

	proc__free(t->proc);
	snprintf(command, sizeof(command), "rm -r %s", t->root);
	err = system(command);
	free(t);
	return err;
}

struct maps_seen {
	struct proc_map last;
	char path[256];
	int cnt;
	int stop_after;
};

static int see_map(const struct proc_map *m, void *arg)
{
	struct maps_seen *seen = arg;

	seen->last = *m;
	snprintf(seen->path, sizeof(seen->path), "%s", m->path);
	return ++seen->cnt == seen->stop_after ? 77 : 0;
}

static void test_maps_line(void **state)
{
#define MAP(rest) "7f0000001000-7f0000003000 " rest
	static const struct {
		const char *line;
		int err;
		const char *path;
		uint64_t offset, inode;
		bool executable, writable, deleted;
	} rows[] = {
		{MAP("r-xp 0001f000 fe:00 247970      /usr/bin/python3.11\n"), 0,
		 "/usr/bin/python3.11", 0x1f000, 247970, true, false, false},
		{MAP("rw-p 00000000 00:00 0 \n"), 0, "", 0, 0, false, true, false},
		{MAP("rw-p 00000000 00:00 0\n"), 0, "", 0, 0, false, true, false},
		{MAP("rw-p 00000000 00:00 0          [heap]\n"), 0, "[heap]", 0, 0, false, true,
		 false},
		{MAP("rw-p 00000000 00:00 0          [anon:x (deleted)]\n"), 0,
		 "[anon:x (deleted)]", 0, 0, false, true, false},
		{MAP("r--s 00001000 08:1f 18446744073709551615 /a  b/ c\n"), 0, "/a  b/ c", 0x1000,
		 UINT64_MAX, false, false, false},
		{MAP("r-xp 00000000 fe:00 5  /srv/lib.so (deleted)\n"), 0, "/srv/lib.so", 0, 5,
		 true, false, true},
		{MAP("r-xp 00000000 fe:00 5  / (deleted)\n"), 0, "/", 0, 5, true, false, true},
		{MAP("r-xp 00000000 fe:00 5  /a (deleted)/b\n"), 0, "/a (deleted)/b", 0, 5, true,
		 false, false},
		{MAP("r-xp 00000000 fe:00 5  /new\\012line\\012\n"), 0, "/new\nline\n", 0, 5, true,
		 false, false},
		{MAP("r-xp 00000000 fe:00 5  /back\\slash\\01\n"), 0, "/back\\slash\\01", 0, 5,
		 true, false, false},
		{MAP("r-xp 00000000 fe:00 5  /no/newline/at/end"), 0, "/no/newline/at/end", 0, 5,
		 true, false, false},
		{MAP("r-xp ffffffffffffffff 103:fffff 5  /x\n"), 0, "/x", UINT64_MAX, 5, true,
		 false, false},
		{"\n", -EBADMSG, "", 0, 0, 0, 0, 0},
		{"7f0000001000 r-xp 0 fe:00 5 /x\n", -EBADMSG, "", 0, 0, 0, 0, 0},
		{"7f0000003000-7f0000001000 r-xp 0 fe:00 5 /x\n", -EBADMSG, "", 0, 0, 0, 0, 0},
		{"-1-7f0000001000 r-xp 0 fe:00 5 /x\n", -EBADMSG, "", 0, 0, 0, 0, 0},
		{MAP("r-xp\n"), -EBADMSG, "", 0, 0, 0, 0, 0},
		{MAP("r-\n"), -EBADMSG, "", 0, 0, 0, 0, 0},
		{MAP("r-xp 0 fe:00\n"), -EBADMSG, "", 0, 0, 0, 0, 0},
		{MAP("r-xp 0 fe:00 \n"), -EBADMSG, "", 0, 0, 0, 0, 0},
		{MAP("r-xp 0 fe:00 5x /x\n"), -EBADMSG, "", 0, 0, 0, 0, 0},
		{MAP("r-xp 10000000000000000 fe:00 5 /x\n"), -EBADMSG, "", 0, 0, 0, 0, 0},
	};
	struct tree *t = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct maps_seen seen = {0};
		int err;

		write_file(t, "5/maps", rows[i].line, strlen(rows[i].line));
		err = proc__for_each_map(t->proc, 5, see_map, &seen);
		if (err != rows[i].err)
			fail_msg("row %zu: %d for %s", i, err, rows[i].line);
		assert_int_equal(seen.cnt, err ? 0 : 1);
		if (err)
			continue;
		assert_string_equal(seen.path, rows[i].path);
		assert_int_equal(seen.last.start, 0x7f0000001000);
		assert_int_equal(seen.last.end, 0x7f0000003000);
		assert_int_equal(seen.last.offset, rows[i].offset);
		assert_int_equal(seen.last.inode, rows[i].inode);
		assert_int_equal(seen.last.executable, rows[i].executable);
		assert_int_equal(seen.last.writable, rows[i].writable);
		assert_int_equal(seen.last.deleted, rows[i].deleted);
	}
}

static void test_maps_order_and_stop(void **state)
{
	static const char text[] = "1000-2000 r--p 00000000 fe:00 5 /a\n"
				   "2000-3000 r-xp 00001000 fe:00 5 /b\n"
				   "3000-4000 rw-p 00002000 fe:00 5 /c\n";
	struct maps_seen all = {0}, two = {.stop_after = 2};
	struct tree *t = *state;

	write_file(t, "5/maps", text, strlen(text));
	write_file(t, "6/maps", "", 0); /* a kernel thread, a zombie */
	assert_int_equal(proc__for_each_map(t->proc, 5, see_map, &all), 0);
	assert_int_equal(all.cnt, 3);
	assert_string_equal(all.path, "/c");
	assert_int_equal(proc__for_each_map(t->proc, 5, see_map, &two), 77);
	assert_string_equal(two.path, "/b");
	assert_int_equal(proc__for_each_map(t->proc, 6, see_map, &all), 0);
	assert_int_equal(all.cnt, 3);
	assert_int_equal(proc__for_each_map(t->proc, 7, see_map, &all), -ESRCH);
}

static void test_stat(void **state)
{
#define AFTER_COMM                                                                                 \
	" S 42 100 100 0 -1 4194304 1 2 3 4 250 17 8 9 20 0 3 0 98765 7000 321 "                   \
	"18446744073709551615 1 1\n"
	static const struct {
		const char *text;
		int err;
	} rows[] = {
		{"5 (python3)" AFTER_COMM, 0},	 {"5 (a b)" AFTER_COMM, 0},
		{"5 (:) R 1 (x)" AFTER_COMM, 0}, {"5 (\n) R 1 2)" AFTER_COMM, 0},
		{"5 ()" AFTER_COMM, 0},		 {"", -EBADMSG},
		{"5 python3", -EBADMSG},	 {"5 (python3) S 42 100", -EBADMSG},
		{"5 (python3)", -EBADMSG},
	};
	struct tree *t = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct proc_stat s = {.ppid = -5};

		write_file(t, "5/stat", rows[i].text, strlen(rows[i].text));
		assert_int_equal(proc__stat(t->proc, 5, &s), rows[i].err);
		assert_int_equal(s.ppid, rows[i].err ? -5 : 42);
		if (rows[i].err)
			continue;
		assert_int_equal(s.state, 'S');
		assert_int_equal(s.start_time_ticks, 98765);
		assert_int_equal(s.cpu_ticks, 267);
		assert_int_equal(s.rss_pages, 321);
	}
	assert_int_equal(proc__stat(t->proc, 7, &(struct proc_stat){0}), -ESRCH);
}

static void test_waits(void **state)
{
	static const struct {
		const char *status;
		int err;
		uint64_t slept;
	} rows[] = {
		{"Name:\tx\n", -EBADMSG, 1},
		{"Name:\tx\nvoluntary_ctxt_switches:\t77\nnonvoluntary_ctxt_switches:\t5\n", -EBADMSG, 1},
		{"Name:\tx\nState:\tR (running)\nvoluntary_ctxt_switches:\t77\nnonvoluntary_ctxt_switches:\t5\n", 0, 77},
		{"Name:\tx\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t77\nnonvoluntary_ctxt_switches:\t5\n", 0, 76},
		{"Name:\tx\nState:\tD (disk sleep)\nvoluntary_ctxt_switches:\t1\n", 0, 0},
	};
	struct tree *t = *state;

	write_file(t, "5/schedstat", "100 2000 3\n", 11);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t waited_ns = 1, slept = 1;

		write_file(t, "5/status", rows[i].status, strlen(rows[i].status));
		assert_int_equal(proc__waits(t->proc, 5, &waited_ns, &slept), rows[i].err);
		assert_int_equal(waited_ns, rows[i].err ? 1 : 2000);
		assert_int_equal(slept, rows[i].slept);
		assert_int_equal(proc__waits(t->proc, 7, &waited_ns, &slept), -ESRCH);
	}
}

/* A thread's stat: processor is the 39th field, policy the 41st. */
static void write_thread(struct tree *t, const char *path, const char *begins, int processor, int policy)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "%s 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 "
			 "35 %d 1 %d 77\n", begins, processor, policy);

	write_file(t, path, line, n);
}

static void test_running_on(void **state)
{
	struct tree *t = *state;

	write_thread(t, "5/task/5/stat", "5 (py) R 8) S", 3, 0);
	assert_int_equal(proc__running_on(t->proc, 5), -1);
	write_thread(t, "5/task/6/stat", "6 (a b) R", 11, 0);
	assert_int_equal(proc__running_on(t->proc, 5), 11);
	write_thread(t, "5/task/6/stat", "6 (a b) R", 11, 1); /* SCHED_FIFO */
	assert_int_equal(proc__running_on(t->proc, 5), -1);
	write_thread(t, "5/task/6/stat", "6 (a b) R", 0, 3); /* SCHED_BATCH */
	assert_int_equal(proc__running_on(t->proc, 5), 0);
	write_thread(t, "5/task/6/stat", "6 (x) D", 11, 0);
	assert_int_equal(proc__running_on(t->proc, 5), -1);
	write_file(t, "5/task/6/stat", "6 (x) R 1 2 3\n", 14);
	assert_int_equal(proc__running_on(t->proc, 5), -1);
	assert_int_equal(proc__running_on(t->proc, 7), -1);
}

static void test_cmdline(void **state)
{
	static const struct {
		const char *text;
		size_t text_len, len;
		const char *want;
	} rows[] = {
		{"python3\0-c\0pass\0", 16, 64, "python3 -c pass"},
		{"python3\0\0x\0", 11, 64, "python3  x"},
		{"title\0\0\0\0  \0", 12, 64, "title"},
		{"no-null-at-end", 14, 64, "no-null-at-end"},
		{"python3\0-c\0pass\0", 16, 9, "python3"},
		{"python3\0-c\0pass\0", 16, 10, "python3 -"},
		{"", 0, 64, "[the comm]"},
		{"\0", 1, 64, "[the comm]"},
		{"", 0, 5, "[the"},
	};
	struct tree *t = *state;
	char buf[64];

	write_file(t, "5/task/5/comm", "the comm\n", 9);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		write_file(t, "5/cmdline", rows[i].text, rows[i].text_len);
		memset(buf, 'Z', sizeof(buf));
		assert_int_equal(proc__cmdline(t->proc, 5, buf, rows[i].len), 0);
		assert_string_equal(buf, rows[i].want);
	}
	strcpy(buf, "untouched");
	assert_int_equal(proc__cmdline(t->proc, 7, buf, sizeof(buf)), -ESRCH);
	assert_int_equal(proc__cmdline(t->proc, 5, buf, 0), -EINVAL);
	assert_string_equal(buf, "untouched");
}

static void test_comm(void **state)
{
	struct tree *t = *state;
	char buf[64];

	write_file(t, "5/task/5/comm", "main\n", 5);
	write_file(t, "5/task/6/comm", "two\nlines\n", 10);
	assert_int_equal(proc__comm(t->proc, 5, 6, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "two\nlines");
	assert_int_equal(proc__comm(t->proc, 5, 5, buf, 3), 0);
	assert_string_equal(buf, "ma");
	assert_int_equal(proc__comm(t->proc, 5, 7, buf, sizeof(buf)), -ESRCH);
}

struct ids {
	int sum, cnt, stop_after;
};

static int see_id(pid_t id, void *arg)
{
	struct ids *ids = arg;

	ids->sum += id;
	return ++ids->cnt == ids->stop_after ? 77 : 0;
}

static void test_lists(void **state)
{
	static const char *const names[] = {"1/stat",		"20/stat",   "20/task/20/comm",
					    "20/task/300/comm", "self/stat", "12x/stat",
					    "99999999999/stat", "0/stat"};
	struct tree *t = *state;
	struct ids processes = {0}, again = {0}, threads = {0}, one = {.stop_after = 1};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		write_file(t, names[i], "x", 1);
	assert_int_equal(proc__for_each_process(t->proc, see_id, &processes), 0);
	assert_int_equal(processes.sum, 21);
	assert_int_equal(proc__for_each_process(t->proc, see_id, &again), 0);
	assert_int_equal(again.sum, 21);
	assert_int_equal(proc__for_each_thread(t->proc, 20, see_id, &threads), 0);
	assert_int_equal(threads.sum, 320);
	assert_int_equal(proc__for_each_process(t->proc, see_id, &one), 77);
	assert_int_equal(one.cnt, 1);
	assert_int_equal(proc__for_each_thread(t->proc, 7, see_id, &threads), -ESRCH);
}

static void test_open(void **state)
{
	struct proc *p = NULL;

	(void)state;
	assert_int_equal(proc__open("/does/not/exist", &p), -ENOENT);
	assert_null(p);
	assert_int_equal(proc__open(NULL, &p), 0);
	assert_string_equal(proc__root(p), "/proc");
	proc__free(p);
	proc__free(NULL);
}

static int see_own_code(const struct proc_map *m, void *arg)
{
	uint64_t here = (uintptr_t)see_own_code;

	(void)arg;
	return m->executable && here >= m->start && here < m->end ? 77 : 0;
}

static void test_live(void **state)
{
	struct proc_stat s;
	char buf[256];
	struct proc *p;
	pid_t child;

	(void)state;
	assert_int_equal(proc__open(NULL, &p), 0);
	assert_int_equal(proc__for_each_map(p, getpid(), see_own_code, NULL), 77);
	assert_int_equal(proc__stat(p, getpid(), &s), 0);
	assert_int_equal(s.ppid, getppid());
	assert_int_equal(s.state, 'R');
	assert_true(s.rss_pages > 0 && s.start_time_ticks > 0);
	assert_int_equal(proc__cmdline(p, getpid(), buf, sizeof(buf)), 0);
	assert_non_null(strstr(buf, "test_proc"));

	child = fork();
	if (child == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, child, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_int_equal(proc__stat(p, child, &s), 0);
	assert_int_equal(s.state, 'Z');
	assert_int_equal(proc__cmdline(p, child, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "[test_proc]");
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(proc__stat(p, child, &s), -ESRCH);
	assert_int_equal(proc__for_each_map(p, child, see_own_code, NULL), -ESRCH);
	proc__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_maps_line, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_maps_order_and_stop, tree_setup,
						tree_teardown),
		cmocka_unit_test_setup_teardown(test_stat, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_waits, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_cmdline, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_running_on, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_comm, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_lists, tree_setup, tree_teardown),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_live),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
