/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Recordings: what is written comes back, after a clean end, a SIGKILL, a full disk; what is
 * damaged or foreign is told and never harmed. Damage in detail: test_recording_damage.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "model/recording.h"
#include "recording_fixture.h"

#define NS_PER_S 1000000000ull

static void test_round_trip(void **state)
{
	const struct fixture *f = *state;
	struct profile *p = fixture__profile(), *q;
	struct recording *r;
	uint64_t now = 5000000000ull;

	assert_int_equal(recording__create(f->path, &r), 0);
	for (unsigned int i = 0; i < 40; i++) {
		fixture__second(p, i);
		profile__tick(p);
		assert_int_equal(recording__flush(r, p, now + i * NS_PER_S), 0);
		/* Live, beside the writer. */
		if (i % 13 == 0) {
			assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
			fixture__assert_equal(p, q);
			profile__free(q);
		}
	}
	assert_int_equal(recording__close(r), 0);
	assert_int_equal(access(fixture__beside(f, "-wal"), F_OK), -1);
	assert_int_equal(access(fixture__beside(f, "-shm"), F_OK), -1);
	assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
	fixture__assert_equal(p, q);
	assert_int_equal(access(fixture__beside(f, "-shm"), F_OK), -1);
	profile__free(q);
	profile__free(p);
}

static void test_empty(void **state)
{
	const struct fixture *f = *state;
	struct profile *p = fixture__profile(), *q;
	struct recording *r;

	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
	assert_int_equal(profile__n_cells(q) + profile__n_processes(q), 0);
	profile__free(q);
	assert_int_equal(recording__flush(r, p, 1), 0);
	assert_int_equal(recording__close(r), 0);
	assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
	fixture__assert_equal(p, q);
	profile__free(q);
	profile__free(p);
	assert_int_equal(recording__close(NULL), 0);
}

static int64_t query(const char *path, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *s;
	int64_t value;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	value = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return value;
}

/* A flush writes what changed since the last one and no more. */
static void test_incremental(void **state)
{
	static const struct {
		const char *sql;
		int64_t first, idle, grown;
	} rows[] = {
		{"SELECT count(*) FROM flush", 1, 2, 3},
		{"SELECT count(*) FROM delta", 2, 2, 3},
		{"SELECT count(*) FROM cell", 2, 2, 2},
		{"SELECT count(*) FROM frame", 1, 1, 2},
		{"SELECT count(*) FROM node", 1, 1, 2},
		{"SELECT count(*) FROM usage", 1, 1, 2},
		{"SELECT count(*) FROM gc", 0, 0, 1},
		{"SELECT sum(alloc_bytes) FROM delta", 150, 150, 157},
		{"SELECT alloc_bytes FROM delta ORDER BY flush DESC LIMIT 1", 100, 100, 7},
		{"SELECT usage_bytes FROM container", 1000, 1000, 2000},
	};
	const struct fixture *f = *state;
	const struct profile_container c = {.cgroup_id = 1, .path = "/c", .usage_bytes = 1000};
	const struct profile_container more = {.usage_bytes = 2000};
	const struct profile_process process = {.tgid = 3};
	struct profile_frame frame = {.function = "f", .file = "a.py", .line = 1};
	const struct profile_gc gc = {.pause_ns = 5};
	struct profile *p;
	struct recording *r;
	size_t i;

	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(profile__add_container(p, &c), 0);
	assert_int_equal(profile__add_process(p, &process), 0);
	assert_int_equal(profile__add_frame(p, &frame), 0);
	assert_int_equal(profile__add_node(p, 0, 0), 1);
	profile__add(p, 0, 3, 0, 0, &(struct profile_sums){1, 100, 0, 0});
	profile__add(p, 0, 3, 1, 0, &(struct profile_sums){1, 50, 0, 0});
	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(recording__flush(r, p, 1), 0);
	for (i = 0; i < sizeof(rows) / sizeof(*rows) - 2; i++)
		assert_int_equal(query(f->path, rows[i].sql), rows[i].first);
	assert_int_equal(recording__flush(r, p, 2 * NS_PER_S), 0);
	for (i = 0; i < sizeof(rows) / sizeof(*rows) - 2; i++)
		assert_int_equal(query(f->path, rows[i].sql), rows[i].idle);
	profile__add(p, 0, 3, 0, 0, &(struct profile_sums){1, 7, 0, 0});
	frame.line = 2;
	assert_int_equal(profile__add_frame(p, &frame), 1);
	assert_int_equal(profile__add_node(p, 1, 1), 2);
	assert_int_equal(profile__update_container(p, 0, &more), 0);
	assert_int_equal(profile__add_gc(p, &gc), 0);
	assert_int_equal(recording__flush(r, p, 3 * NS_PER_S), 0);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(query(f->path, rows[i].sql), rows[i].grown);
	assert_int_equal(recording__close(r), 0);
	profile__free(p);
}

static void test_window(void **state)
{
	/* One flush a second, the first at 0; second i allocates 1 << i bytes and collects once,
	 * 0.5 s before its end. */
	static const struct {
		uint64_t from_s, to_s;
		int err;
		uint64_t bytes, collections, usage;
	} rows[] = {
		{0, 0, 0, 0x3ff, 10, 1009},
		{0, 3, 0, 0xf, 4, 1003},
		{3, 5, 0, 0x30, 2, 1005},
		{3, 0, 0, 0x3f0, 6, 1009},
		{8, 99, 0, 0x200, 1, 1009},
		{50, 60, 0, 0, 0, 1009},
		{5, 5, 0, 0, 0, 1005},
		{6, 5, -EINVAL, 0, 0, 0},
		{UINT64_MAX / NS_PER_S + 1, 0, -EINVAL, 0, 0, 0},
	};
	const struct fixture *f = *state;
	const uint64_t second = NS_PER_S, begin = 77 * second;
	const struct profile_container container = {.cgroup_id = 1, .path = "/c"};
	const struct profile_process process = {.tgid = 3};
	struct profile *p;
	struct recording *r;

	assert_int_equal(profile__new(NULL, &p), 0);
	assert_int_equal(profile__add_container(p, &container), 0);
	assert_int_equal(profile__add_process(p, &process), 0);
	assert_int_equal(recording__create(f->path, &r), 0);
	for (uint64_t i = 0; i < 10; i++) {
		const struct profile_sums s = {1, 1u << i, 0, 0};
		const struct profile_gc gc = {.time_ns = begin + i * second - second / 2};
		const struct profile_container c = {.usage_bytes = 1000 + i};

		assert_int_equal(profile__add(p, 0, 3, 0, 0, &s), 0);
		assert_int_equal(profile__add_gc(p, &gc), 0);
		assert_int_equal(profile__update_container(p, 0, &c), 0);
		assert_int_equal(recording__flush(r, p, begin + i * second), 0);
	}
	assert_int_equal(recording__close(r), 0);
	profile__free(p);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t from = rows[i].from_s > 100 ? UINT64_MAX : rows[i].from_s * second;
		int err = recording__load(f->path, from, rows[i].to_s * second, &p);

		assert_int_equal(err, rows[i].err);
		if (err)
			continue;
		assert_int_equal(profile__n_cells(p) ? profile__cell(p, 0)->sums.alloc_bytes : 0,
				 rows[i].bytes);
		assert_int_equal(profile__n_gc(p), rows[i].collections);
		assert_int_equal(profile__container(p, 0)->usage_bytes, rows[i].usage);
		profile__free(p);
	}
}

/* Collections that the profile dropped stay in the file; what came and went between two flushes is
 * gone. */
static void test_dropped_gc(void **state)
{
	const struct fixture *f = *state;
	const struct profile_limits limits = {.max_gc = 4};
	const struct profile_process process = {.tgid = 3, .container = PROFILE_NONE};
	struct profile *p, *q;
	struct recording *r;
	uint64_t n = 0;

	assert_int_equal(profile__new(&limits, &p), 0);
	assert_int_equal(profile__add_process(p, &process), 0);
	assert_int_equal(recording__create(f->path, &r), 0);
	for (int flush = 0; flush < 3; flush++) {
		for (int i = 0; i < 3 * flush; i++) {
			const struct profile_gc gc = {.time_ns = n++};

			assert_int_equal(profile__add_gc(p, &gc), 0);
		}
		assert_int_equal(recording__flush(r, p, 1000), 0);
	}
	assert_int_equal(recording__close(r), 0);
	assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
	assert_int_equal(profile__n_gc(q), 3 + 4);
	assert_int_equal(profile__gc(q, 2)->time_ns, 2);
	assert_int_equal(profile__gc(q, 3)->time_ns, 5);
	assert_int_equal(profile__merged(q), 5);
	profile__free(q);
	profile__free(p);
}

/* The views answer, and with the numbers of the profile. */
/* A program that collects all the time: the file does not grow with it, the sums are right. */
static void test_many_collections(void **state)
{
	enum { PER_SECOND = 8000, SECONDS = 3 };
	const struct fixture *f = *state;
	struct profile *p = fixture__profile(), *q;
	struct recording *r;

	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(recording__flush(r, p, 0), 0);
	for (unsigned int second = 0; second < SECONDS; second++) {
		for (unsigned int i = 0; i < PER_SECOND; i++)
			profile__add_gc(p, &(struct profile_gc){.time_ns = second * NS_PER_S + i,
								.process = i % 2,
								.generation = i % 10 ? 0 : 1,
								.collected = i % 3,
								.pause_ns = 100 + i});
		profile__tick(p);
		assert_int_equal(recording__flush(r, p, (second + 1) * NS_PER_S), 0);
	}
	assert_int_equal(recording__close(r), 0);
	assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
	fixture__assert_equal(p, q);
	assert_in_range(query(f->path, "SELECT count(*) FROM gc"), SECONDS * 256, SECONDS * 260);
	assert_int_equal(query(f->path, "SELECT sum(cnt) FROM gc"), SECONDS * PER_SECOND);
	assert_int_equal(query(f->path, "SELECT sum(runs) FROM collections WHERE generation = 1"),
			 SECONDS * PER_SECOND / 10);
	assert_int_equal(query(f->path, "SELECT max(longest_ns) FROM gc WHERE generation = 0"),
			 100 + PER_SECOND - 1);
	assert_int_equal(query(f->path, "SELECT sum(pause_ns) FROM gc"),
			 SECONDS * (PER_SECOND * 100 + PER_SECOND / 2 * (PER_SECOND - 1)));
	assert_int_equal(query(f->path, "SELECT sum(collected) FROM gc"), SECONDS * 7999);
	profile__free(q);
	profile__free(p);
}

/* Each text is stored once, and again after a flush that failed if need be. */
static void test_texts(void **state)
{
	const struct fixture *f = *state;
	struct profile *p = fixture__profile();
	struct recording *r;

	for (int line = 1; line <= 50; line++)
		profile__add_frame(p, &(struct profile_frame){FRAME_PYTHON, line, "main", "app.py"});
	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(recording__flush(r, p, 0), 0);
	profile__add_frame(p, &(struct profile_frame){FRAME_PYTHON, 7, "app.py", "main"});
	assert_int_equal(recording__flush(r, p, 1), 0);
	assert_int_equal(recording__close(r), 0);
	assert_int_equal(query(f->path, "SELECT count(*) FROM text"), 2);
	assert_int_equal(query(f->path, "SELECT count(*) FROM frame WHERE file = 'app.py'"), 50);
	assert_int_equal(query(f->path, "SELECT line FROM frame WHERE function = 'app.py'"), 7);
	profile__free(p);
}

static void add_unlimited(struct profile *p)
{
	const struct profile_container c = {
		.cgroup_id = 999, .path = "/unlimited", .name = "unlimited", .usage_bytes = 1, .limit_bytes = UINT64_MAX,
	};

	assert_true(profile__add_container(p, &c) >= 0);
}

static void test_sql(void **state)
{
	const struct fixture *f = *state;
	struct profile *p = fixture__profile();
	uint64_t live = 0, alloc = 0;
	struct recording *r;

	assert_int_equal(recording__create(f->path, &r), 0);
	for (unsigned int i = 0; i < 5; i++) {
		fixture__second(p, i);
		if (!i)
			add_unlimited(p);
		assert_int_equal(recording__flush(r, p, i * NS_PER_S), 0);
	}
	assert_int_equal(recording__close(r), 0);
	for (uint32_t i = 0; i < profile__n_cells(p); i++) {
		live += profile_cell__value(profile__cell(p, i), VIEW_LIVE);
		alloc += profile_cell__value(profile__cell(p, i), VIEW_ALLOC);
	}
	assert_int_equal(query(f->path, "SELECT sum(live_bytes) FROM lines"), live);
	assert_int_equal(query(f->path, "SELECT sum(live_bytes) FROM stacks"), live);
	assert_int_equal(query(f->path, "SELECT sum(alloc_bytes) FROM lines"), alloc);
	assert_int_equal(query(f->path, "SELECT sum(alloc_bytes) FROM stacks"), alloc);
	assert_int_equal(query(f->path, "SELECT sum(alloc_bytes) FROM sample"), alloc);
	assert_int_equal(query(f->path, "SELECT count(*) FROM stacks WHERE stack LIKE"
					" 'main (app.py:1);f1 (app.py:%);f2 (app.py:%)'") > 0,
			 1);
	assert_int_equal(query(f->path, "SELECT count(*) FROM collections"), profile__n_gc(p));
	assert_int_equal(query(f->path, "SELECT count(*) FROM collectors"), 2);
	assert_int_equal(query(f->path, "SELECT frozen FROM collectors WHERE tgid = 101"), 3000);
	assert_int_equal(query(f->path, "SELECT frozen IS NULL FROM collectors WHERE tgid = 100"), 1);
	assert_int_equal(query(f->path, "SELECT count(*) FROM memory WHERE percent > 0") > 0, 1);
	assert_int_equal(query(f->path, "SELECT limit_bytes IS NULL FROM memory WHERE container = 'unlimited'"), 1);
	assert_int_equal(query(f->path, "SELECT count(*) FROM kind"), KIND_MAX);
	profile__free(p);
}

/* A child that flushes n times, says so on its stdout, and waits to be killed. */
static pid_t start_writer(const struct fixture *f, unsigned int n, int *ret_fd)
{
	int fds[2];
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct profile *p = fixture__profile();
		struct recording *r;
		int failed = recording__create(f->path, &r);

		for (unsigned int i = 0; i < n && !failed; i++) {
			fixture__second(p, i);
			profile__tick(p);
			failed = recording__flush(r, p, i * NS_PER_S);
		}
		fixture__second(p, n); /* in memory only */
		if (failed || write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	*ret_fd = fds[0];
	return child;
}

static void kill_writer(const struct fixture *f, unsigned int n)
{
	int fd;
	pid_t child = start_writer(f, n, &fd);
	char c;

	assert_int_equal(read(fd, &c, 1), 1);
	close(fd);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static struct profile *expected_after(unsigned int n)
{
	struct profile *p = fixture__profile();

	for (unsigned int i = 0; i < n; i++) {
		fixture__second(p, i);
		profile__tick(p);
	}
	return p;
}

static void assert_loads_as(const struct fixture *f, const struct profile *expected)
{
	struct profile *q;

	assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
	fixture__assert_equal(expected, q);
	profile__free(q);
}

static void test_killed(void **state)
{
	static const unsigned int flushes[] = {1, 7, 60};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(flushes) / sizeof(*flushes); i++) {
		struct profile *p = expected_after(flushes[i]);
		struct recording *r;

		kill_writer(f, flushes[i]);
		assert_int_equal(access(fixture__beside(f, "-wal"), F_OK), 0);
		assert_loads_as(f, p);
		/* Without the index of the WAL, as after a copy of two files. */
		assert_int_equal(unlink(fixture__beside(f, "-shm")), 0);
		assert_loads_as(f, p);
		profile__free(p);
		/* The next recording takes its place and nothing of its WAL. */
		p = fixture__profile();
		assert_int_equal(recording__create(f->path, &r), 0);
		assert_int_equal(recording__flush(r, p, 1), 0);
		assert_int_equal(recording__close(r), 0);
		assert_loads_as(f, p);
		profile__free(p);
	}
}

/* Runs load as a user who may only read: 0, or the error. Root gives up its rights for that in a
 * child. */
static int load_as_reader(const struct fixture *f, const struct profile *expected)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		struct profile *q;
		int err;

		if (!geteuid() &&
		    (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
			_exit(99);
		err = recording__load(f->path, 0, 0, &q);
		if (!err)
			fixture__assert_equal(expected, q);
		_exit(-err);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void test_reader_without_rights(void **state)
{
	const struct fixture *f = *state;
	struct profile *p = expected_after(9);
	struct recording *r;

	kill_writer(f, 9);
	assert_int_equal(chmod(f->folder, 0555), 0);
	assert_int_equal(load_as_reader(f, p), 0); /* -wal and -shm */
	assert_int_equal(chmod(f->folder, 0755), 0);
	assert_int_equal(unlink(fixture__beside(f, "-shm")), 0);
	assert_int_equal(chmod(f->folder, 0555), 0);
	assert_int_equal(load_as_reader(f, p), 0); /* -wal only */
	assert_int_equal(access(fixture__beside(f, "-shm"), F_OK), -1);
	assert_int_equal(chmod(f->folder, 0755), 0);
	profile__free(p);

	/* In WAL mode, without a -wal: a copy of the one file. */
	assert_int_equal(unlink(fixture__beside(f, "-wal")), 0);
	assert_int_equal(chmod(f->folder, 0555), 0);
	p = fixture__profile();
	{
		struct profile *q;

		assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
		assert_int_equal(load_as_reader(f, q), 0);
		profile__free(q);
	}
	assert_int_equal(chmod(f->folder, 0755), 0);

	/* Closed. */
	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(recording__flush(r, p, 1), 0);
	assert_int_equal(load_as_reader(f, p), 0); /* live */
	assert_int_equal(recording__close(r), 0);
	assert_int_equal(chmod(f->folder, 0555), 0);
	assert_int_equal(load_as_reader(f, p), 0);
	assert_int_equal(chmod(f->path, 0), 0);
	assert_int_equal(load_as_reader(f, p), -EACCES);
	assert_int_equal(chmod(f->folder, 0755), 0);
	profile__free(p);
}

static void test_names(void **state)
{
	static const char *const names[] = {"a b.pms", "100%41?mode=ro#x.pms", "\xc3\xa4'\".pms"};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct profile *p = fixture__profile(), *q;
		struct recording *r;
		char path[300];

		snprintf(path, sizeof(path), "%s/%s", f->folder, names[i]);
		assert_int_equal(recording__create(path, &r), 0);
		assert_int_equal(recording__flush(r, p, 1), 0);
		assert_int_equal(recording__close(r), 0);
		assert_int_equal(recording__load(path, 0, 0, &q), 0);
		fixture__assert_equal(p, q);
		profile__free(q);
		profile__free(p);
	}
}

static void put_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	close(fd);
}

static void assert_file_holds(const char *path, const void *data, size_t size)
{
	char found[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && size <= sizeof(found));
	assert_int_equal(read(fd, found, sizeof(found)), (ssize_t)size);
	assert_memory_equal(found, data, size);
	close(fd);
}

static void test_places(void **state)
{
	const struct fixture *f = *state;
	const struct {
		const char *path;
		int create, load;
	} rows[] = {
		{f->folder, -EISDIR, -EMEDIUMTYPE},
		{"/nonexistent/x.pms", -ENOENT, -ENOENT},
		{"/proc/x.pms", -ENOENT, -ENOENT},
		{"/proc/self/status", -EEXIST, -EMEDIUMTYPE},
		{"/proc/self/status/x", -ENOTDIR, -ENOTDIR},
		{"/dev/null", -EEXIST, -EMEDIUMTYPE},
		{"", -ENOENT, -ENOENT},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct recording *r = NULL;
		struct profile *p = NULL;

		assert_int_equal(recording__create(rows[i].path, &r), rows[i].create);
		assert_int_equal(recording__load(rows[i].path, 0, 0, &p), rows[i].load);
		assert_null(r);
		assert_null(p);
	}
}

static void test_read_only_folder(void **state)
{
	const struct fixture *f = *state;
	struct recording *r;

	if (!geteuid()) {
		print_message("SKIP: root may write everywhere\n");
		skip();
	}
	assert_int_equal(chmod(f->folder, 0555), 0);
	assert_int_equal(recording__create(f->path, &r), -EACCES);
	assert_int_equal(chmod(f->folder, 0755), 0);
}

/* Other files are neither replaced nor touched, nor is anything beside them. */
static void test_foreign_files(void **state)
{
	static const char text[] = "important\n", sqlite[] = "SQLite format 3";
	const struct fixture *f = *state;
	struct recording *r = NULL;
	struct profile *p;
	char other[300];
	sqlite3 *db;

	put_file(f->path, text, sizeof(text));
	put_file(fixture__beside(f, "-wal"), text, sizeof(text));
	assert_int_equal(recording__create(f->path, &r), -EEXIST);
	assert_int_equal(recording__load(f->path, 0, 0, &p), -EMEDIUMTYPE);
	assert_file_holds(f->path, text, sizeof(text));
	put_file(f->path, sqlite, sizeof(sqlite));
	assert_int_equal(recording__create(f->path, &r), -EEXIST);
	assert_file_holds(f->path, sqlite, sizeof(sqlite));

	/* A name that is free, but whose -wal is somebody's. */
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(recording__create(f->path, &r), -EEXIST);
	assert_int_equal(access(f->path, F_OK), -1);
	assert_file_holds(fixture__beside(f, "-wal"), text, sizeof(text));
	assert_int_equal(unlink(fixture__beside(f, "-wal")), 0);

	/* A link is not followed, wherever it goes. */
	snprintf(other, sizeof(other), "%s/other", f->folder);
	assert_int_equal(symlink(other, f->path), 0);
	assert_int_equal(recording__create(f->path, &r), -EEXIST);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(unlink(f->path), 0);

	/* Another program's database. */
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(recording__create(f->path, &r), -EEXIST);
	assert_int_equal(recording__load(f->path, 0, 0, &p), -EMEDIUMTYPE);
	assert_int_equal(query(f->path, "SELECT count(*) FROM t"), 0);

	/* An empty file is free. */
	put_file(f->path, "", 0);
	assert_int_equal(recording__load(f->path, 0, 0, &p), -EMEDIUMTYPE);
	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(recording__close(r), 0);
}

/* A recording that is being written is not replaced. */
static void test_in_use(void **state)
{
	const struct fixture *f = *state;
	struct profile *p = expected_after(3);
	struct recording *r;
	char c;
	int fd;
	pid_t child = start_writer(f, 3, &fd);

	assert_int_equal(read(fd, &c, 1), 1);
	close(fd);
	assert_int_equal(recording__create(f->path, &r), -EBUSY);
	assert_loads_as(f, p);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_loads_as(f, p);
	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(recording__close(r), 0);
	profile__free(p);
}

/* The file may not grow past a limit: what was flushed stays, also once room is there again. */
static void test_one_process(void **state)
{
	const struct fixture *f = *state;
	struct recording *r, *other;

	assert_int_equal(recording__create(f->path, &r), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(recording__create(f->path, &other), -EBUSY);
	assert_int_equal(recording__close(r), 0);
	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(recording__close(r), 0);
}

/* What recording__create says in a process that lives on until `go` is closed. */
static pid_t start_racer(const struct fixture *f, const int begin[2], const int said[2],
			 const int go[2])
{
	pid_t child = fork();
	struct recording *r;
	char c, err;

	assert_true(child >= 0);
	if (child)
		return child;
	close(begin[1]);
	close(go[1]);
	if (read(begin[0], &c, 1) != 0)
		_exit(1);
	err = (char)-recording__create(f->path, &r);
	if (write(said[1], &err, 1) != 1 || read(go[0], &c, 1) != 0)
		_exit(1);
	_exit(0);
}

/* Of writers that begin at the same time one gets the place, and its file stays whole. */
static void test_race(void **state)
{
	enum { RACERS = 8, ROUNDS = 20 };
	const struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		int begin[2], said[2], go[2], won = 0, busy = 0;
		pid_t children[RACERS];
		struct profile *p;

		assert_int_equal(pipe(begin) | pipe(said) | pipe(go), 0);
		for (int i = 0; i < RACERS; i++)
			children[i] = start_racer(f, begin, said, go);
		close(begin[0]);
		close(begin[1]);
		for (int i = 0; i < RACERS; i++) {
			char err;

			assert_int_equal(read(said[0], &err, 1), 1);
			won += err == 0;
			busy += err == EBUSY;
		}
		assert_int_equal(won, 1);
		assert_int_equal(busy, RACERS - 1);
		assert_int_equal(recording__load(f->path, 0, 0, &p), 0);
		profile__free(p);
		close(go[0]);
		close(go[1]);
		for (int i = 0; i < RACERS; i++)
			assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
		close(said[0]);
		close(said[1]);
		/* Every other round there is a recording of a writer that was killed. */
		if (round % 2)
			assert_int_equal(unlink(f->path), 0);
	}
}

static void test_full(void **state)
{
	const struct fixture *f = *state;
	struct rlimit old, small = {.rlim_cur = 400000};
	struct profile *p = fixture__profile(), *q;
	struct profile *good = fixture__profile();
	struct recording *r;
	unsigned int n = 0;
	int err = 0;

	assert_int_equal(recording__create(f->path, &r), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (; n < 10000; n++) {
		fixture__second(p, n);
		profile__tick(p);
		err = recording__flush(r, p, n * NS_PER_S);
		if (err)
			break;
		fixture__second(good, n);
		profile__tick(good);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(err, -ENOSPC);
	assert_true(n > 3);
	assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
	fixture__assert_equal(good, q);
	profile__free(q);
	/* It goes on, less what was in the flush that failed. */
	fixture__second(p, n + 1);
	assert_int_equal(recording__flush(r, p, (n + 1) * NS_PER_S), 0);
	assert_int_equal(recording__close(r), 0);
	assert_int_equal(recording__load(f->path, 0, 0, &q), 0);
	assert_int_equal(profile__n_nodes(q), profile__n_nodes(p));
	assert_true(profile__n_cells(q) >= profile__n_cells(good));
	profile__free(q);
	profile__free(good);
	profile__free(p);
}

static void test_strerror(void **state)
{
	static const int errors[] = {EEXIST, EBUSY,	  EACCES,	   EROFS,  ENOSPC,
				     ENOENT, EISDIR,	  ENOTDIR,	   EIO,	   ENOMEM,
				     EINVAL, EMEDIUMTYPE, EPROTONOSUPPORT, EBADMSG};

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		const char *s = recording__strerror(-errors[i]);

		assert_string_not_equal(s, strerror(errors[i]));
		assert_int_not_equal(s[strlen(s) - 1], '.');
	}
	/* A command that reads does not tell to make a folder. */
	assert_non_null(strstr(recording__strerror(-ENOENT), "make the folder"));
	assert_null(strstr(recording__load_strerror(-ENOENT), "folder first"));
	assert_non_null(strstr(recording__load_strerror(-ENOENT), "no such file"));
	assert_string_equal(recording__load_strerror(-EBADMSG), recording__strerror(-EBADMSG));
	assert_string_equal(recording__strerror(-EPIPE), strerror(EPIPE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture__setup, fixture__teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_empty),
		TEST(test_incremental),
		TEST(test_window),
		TEST(test_dropped_gc),
		TEST(test_many_collections),
		TEST(test_texts),
		TEST(test_sql),
		TEST(test_killed),
		TEST(test_reader_without_rights),
		TEST(test_names),
		TEST(test_places),
		TEST(test_read_only_folder),
		TEST(test_foreign_files),
		TEST(test_in_use),
		TEST(test_full),
		TEST(test_one_process),
		TEST(test_race),
		TEST(test_strerror),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
