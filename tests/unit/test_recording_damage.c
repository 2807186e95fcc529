/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Recordings that are cut off, damaged or made up: an error of the header or a profile whose every
 * reference holds, never a crash (run it with SAN=address,undefined), never an endless read.
 * RECORDING_FLIPS sets how many damaged copies are tried, RECORDING_SEED where the random numbers
 * start.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "model/recording.h"
#include "recording_fixture.h"

struct bytes {
	unsigned char data[1 << 20];
	size_t size;
};

static void read_file(const char *path, struct bytes *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, ret->data, sizeof(ret->data));
	assert_true(n > 0 && (size_t)n < sizeof(ret->data));
	ret->size = (size_t)n;
	close(fd);
}

static void write_file(const char *path, const struct bytes *b, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, b->data, size), (ssize_t)size);
	close(fd);
}

static void record(const struct fixture *f, unsigned int seconds, bool close_it)
{
	struct profile *p = fixture__profile();
	struct recording *r;

	assert_int_equal(recording__create(f->path, &r), 0);
	for (unsigned int i = 0; i < seconds; i++) {
		fixture__second(p, i);
		assert_int_equal(recording__flush(r, p, i * 1000000000ull), 0);
	}
	if (close_it)
		assert_int_equal(recording__close(r), 0);
	profile__free(p);
}

/* As record, by a process that ends without closing. */
static void record_and_die(const struct fixture *f, unsigned int seconds)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		record(f, seconds, false);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void assert_sound(const struct profile *p)
{
	for (uint32_t i = 0; i < profile__n_processes(p); i++) {
		const struct profile_process *x = profile__process(p, i);

		assert_true(x->container == PROFILE_NONE ||
			    x->container < profile__n_containers(p));
	}
	for (uint32_t i = 1; i < profile__n_nodes(p); i++) {
		const struct profile_node *n = profile__node(p, i);

		assert_true(n->parent < i && n->frame < profile__n_frames(p));
	}
	for (uint32_t i = 0; i < profile__n_cells(p); i++) {
		const struct profile_cell *c = profile__cell(p, i);

		assert_true(c->kind < KIND_MAX && c->node < profile__n_nodes(p) &&
			    c->process < profile__n_processes(p));
	}
	for (uint32_t i = 0; i < profile__n_collectors(p); i++) {
		const struct profile_collector *c = profile__collector(p, i);

		assert_true(c->process < profile__n_processes(p) && c->frozen >= -1);
		assert_ptr_equal(profile__collector_of(p, c->process), c);
	}
	for (uint32_t i = 0; i < profile__n_gc(p); i++) {
		const struct profile_gc *gc = profile__gc(p, i);

		assert_true(gc->node < profile__n_nodes(p) &&
			    gc->process < profile__n_processes(p));
	}
}

/* Loads what is there; returns the error, which must be one that tells of damage, or 0. */
static int load_damaged(const struct fixture *f)
{
	struct profile *p = NULL;
	int err = recording__load(f->path, 0, 0, &p);

	if (err) {
		assert_null(p);
		assert_true(err == -EBADMSG || err == -EMEDIUMTYPE || err == -EPROTONOSUPPORT);
		return err;
	}
	assert_sound(p);
	profile__free(p);
	return 0;
}

static void test_truncated(void **state)
{
	static struct bytes whole;
	const struct fixture *f = *state;

	record(f, 6, true);
	read_file(f->path, &whole);
	for (size_t size = 0; size < whole.size; size += size < 1024 ? 7 : 509) {
		write_file(f->path, &whole, size);
		assert_int_not_equal(load_damaged(f), 0);
	}
	/* Cut at the end of a page, too, and by one byte. */
	write_file(f->path, &whole, whole.size - 4096);
	assert_int_equal(load_damaged(f), -EBADMSG);
	write_file(f->path, &whole, whole.size - 1);
	assert_int_equal(load_damaged(f), -EBADMSG);
	write_file(f->path, &whole, whole.size);
	assert_int_equal(load_damaged(f), 0);
}

/* A WAL that is cut off loses its end, nothing else. */
static void test_truncated_wal(void **state)
{
	static struct bytes whole;
	const struct fixture *f = *state;
	uint64_t last = 0;
	unsigned int loaded = 0;

	record_and_die(f, 6);
	read_file(fixture__beside(f, "-wal"), &whole);
	for (size_t size = 0; size <= whole.size; size += 997) {
		struct profile *p;
		uint64_t events = 0;
		const char *name;

		write_file(fixture__beside(f, "-wal"), &whole, size);
		unlink(fixture__beside(f, "-shm"));
		assert_int_equal(recording__load(f->path, 0, 0, &p), 0);
		assert_sound(p);
		profile__counter(p, 0, &name, &events);
		assert_true(events >= last);
		loaded += events > last;
		last = events;
		profile__free(p);
	}
	assert_true(loaded >= 4);
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static unsigned int setting(const char *name, unsigned int otherwise)
{
	const char *s = getenv(name);

	return s ? (unsigned int)atoi(s) : otherwise;
}

static void damage(struct bytes *b, uint64_t *seed)
{
	unsigned int n = 1 + (unsigned int)(next_random(seed) % 8);

	for (unsigned int i = 0; i < n; i++) {
		size_t at = next_random(seed) % b->size;

		/* Half of them where a page begins: that is where its shape is told. */
		if (next_random(seed) % 2)
			at = at / 4096 * 4096 + next_random(seed) % 64;
		if (at < b->size)
			b->data[at] = (unsigned char)next_random(seed);
	}
}

static void test_flipped(void **state)
{
	static struct bytes whole, copy;
	const struct fixture *f = *state;
	unsigned int n = setting("RECORDING_FLIPS", 1500), failed = 0;
	uint64_t seed = setting("RECORDING_SEED", 1);

	record(f, 6, true);
	read_file(f->path, &whole);
	for (unsigned int i = 0; i < n; i++) {
		copy = whole;
		damage(&copy, &seed);
		write_file(f->path, &copy, copy.size);
		failed += load_damaged(f) != 0;
	}
	/* Both happen: damage is found, and damage to a name or a number cannot be. */
	assert_true(failed > n / 10 && failed < n);
}

static void test_flipped_wal(void **state)
{
	static struct bytes whole, wal, copy;
	const struct fixture *f = *state;
	unsigned int n = setting("RECORDING_FLIPS", 1500) / 5;
	uint64_t seed = setting("RECORDING_SEED", 1) + 1;

	record_and_die(f, 6);
	read_file(f->path, &whole);
	read_file(fixture__beside(f, "-wal"), &wal);
	for (unsigned int i = 0; i < n; i++) {
		bool flip_wal = next_random(&seed) % 2;

		copy = flip_wal ? wal : whole;
		damage(&copy, &seed);
		write_file(f->path, flip_wal ? &whole : &copy, whole.size);
		write_file(fixture__beside(f, "-wal"), flip_wal ? &copy : &wal, wal.size);
		unlink(fixture__beside(f, "-shm"));
		load_damaged(f);
	}
}

/* Each statement makes of a good recording one that must be refused, for a reason. */
static void test_made_up(void **state)
{
	static const struct {
		const char *sql;
		int err;
	} rows[] = {
		{"SELECT 1", 0},
		{"PRAGMA application_id = 0", -EMEDIUMTYPE},
		{"PRAGMA user_version = 1", -EPROTONOSUPPORT},
		{"PRAGMA user_version = 2", -EPROTONOSUPPORT},
		{"PRAGMA user_version = 5", -EPROTONOSUPPORT},
		{"PRAGMA user_version = 3", 0},
		{"PRAGMA user_version = 0", -EBADMSG},
		{"DROP TABLE node", -EBADMSG},
		{"ALTER TABLE node DROP COLUMN frame", -EBADMSG},
		{"DROP TABLE usage; CREATE VIEW usage AS SELECT 1", -EBADMSG},
		{"DROP TABLE meta; CREATE VIEW meta AS WITH RECURSIVE r(x) AS (SELECT 'a' UNION ALL"
		 " SELECT x FROM r) SELECT x AS key, x AS value FROM r",
		 -EBADMSG},
		{"UPDATE node SET parent = id WHERE id = 3", -EBADMSG},
		{"UPDATE node SET parent = -1 WHERE id = 3", -EBADMSG},
		{"UPDATE node SET parent = 1 << 32 WHERE id = 3", -EBADMSG},
		{"UPDATE node SET frame = 1000000 WHERE id = 3", -EBADMSG},
		{"UPDATE node SET parent = 'x' WHERE id = 3", -EBADMSG},
		{"DELETE FROM node WHERE id = 3", -EBADMSG},
		{"INSERT INTO node SELECT max(id) + 1, 0, 0 FROM node", -EBADMSG},
		{"UPDATE place SET kind = 4 WHERE id = 0", -EBADMSG},
		{"UPDATE place SET line = 1 << 31 WHERE id = 0", -EBADMSG},
		{"UPDATE place SET function = 'main' WHERE id = 0", -EBADMSG},
		{"UPDATE place SET function = 1000000 WHERE id = 0", -EBADMSG},
		{"UPDATE place SET file = -1 WHERE id = 0", -EBADMSG},
		{"UPDATE text SET text = x'00' WHERE id = 0", -EBADMSG},
		{"DELETE FROM text WHERE id = 0", -EBADMSG},
		{"UPDATE text SET id = 1 << 40 WHERE id = 0", -EBADMSG},
		{"UPDATE gc SET cnt = 0", -EBADMSG},
		{"UPDATE gc SET longest_ns = -1", -EBADMSG},
		{"INSERT INTO place SELECT (SELECT max(id) + 1 FROM place), kind, line, function, file"
		 " FROM place WHERE id = 0",
		 -EBADMSG},
		{"DELETE FROM place WHERE id = 0", -EBADMSG},
		{"UPDATE cell SET kind = 99 WHERE id = 0", -EBADMSG},
		{"UPDATE cell SET process = 3 WHERE id = 0", -EBADMSG},
		{"UPDATE cell SET node = 100000 WHERE id = 0", -EBADMSG},
		{"UPDATE cell SET tid = -1 WHERE id = 0", -EBADMSG},
		{"DELETE FROM cell WHERE id = 0", -EBADMSG},
		{"UPDATE delta SET alloc_bytes = -1 WHERE flush = 0 AND cell = 0", -EBADMSG},
		{"UPDATE delta SET free_cnt = 0.5 WHERE flush = 0 AND cell = 0", -EBADMSG},
		{"INSERT INTO delta VALUES(0, 1000000, 1, 1, 1, 1)", -EBADMSG},
		{"UPDATE gc SET process = 3", -EBADMSG},
		{"UPDATE gc SET node = 100000", -EBADMSG},
		{"UPDATE gc SET generation = 1 << 32", -EBADMSG},
		{"UPDATE gc SET trigger = 7", -EBADMSG},
		{"UPDATE gc SET uncollectable = 'x'", -EBADMSG},
		{"UPDATE process SET container = 2 WHERE id = 0", -EBADMSG},
		{"UPDATE process SET tgid = -1 WHERE id = 0", -EBADMSG},
		{"UPDATE container SET cgroup_id = 12", -EBADMSG},
		{"UPDATE meta SET value = '-1' WHERE key = 'begin_ns'", -EBADMSG},
		{"UPDATE meta SET value = '' WHERE key = 'merged'", -EBADMSG},
		{"UPDATE collector SET process = 3 WHERE process = 1", -EBADMSG},
		{"UPDATE collector SET enabled = 2", -EBADMSG},
		{"UPDATE collector SET frozen = -1", -EBADMSG},
		{"UPDATE collector SET threshold1 = NULL WHERE threshold0 NOT NULL", -EBADMSG},
		{"UPDATE collector SET collected2 = -1", -EBADMSG},
		{"DROP VIEW collectors; DROP TABLE collector", -EBADMSG},
		{"UPDATE fact SET process = 3 WHERE process = 1", -EBADMSG},
		{"UPDATE fact SET text = 1000000", -EBADMSG},
		{"UPDATE fact SET whole = -1", -EBADMSG},
		{"DROP VIEW facts; DROP TABLE fact", -EBADMSG},
		{"DELETE FROM delta; DELETE FROM flush; DELETE FROM gc; DELETE FROM collector", 0},
		{"CREATE TABLE mine(x); CREATE INDEX i ON delta(cell)", 0},
	};
	static struct bytes whole;
	const struct fixture *f = *state;

	record(f, 3, true);
	read_file(f->path, &whole);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		sqlite3 *db;
		char *message = NULL;
		int err;

		write_file(f->path, &whole, whole.size);
		assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
		/* The views get in the way of changes to the tables. */
		sqlite3_exec(db, "PRAGMA legacy_alter_table = ON", NULL, NULL, NULL);
		if (sqlite3_exec(db, rows[i].sql, NULL, NULL, &message) != SQLITE_OK)
			fail_msg("%s: %s", rows[i].sql, message);
		sqlite3_close(db);
		err = load_damaged(f);
		if (err != rows[i].err)
			fail_msg("%s: %d", rows[i].sql, err);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture__setup, fixture__teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_truncated),	TEST(test_truncated_wal), TEST(test_flipped),
		TEST(test_flipped_wal), TEST(test_made_up),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
