/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The reader of recordings. The file may come from anywhere, so every value is checked: type,
 * range, order of keys, and that a node's parent comes before it. Only our tables are read, by
 * plain SELECTs, with SQLite's defences on.
 *
 * How the file is opened depends on what is beside it:
 *   no -wal and no -journal  nobody writes it: immutable, leaves nothing behind, works in a
 * read-only folder a -wal, usual            as SQLite does; a live writer goes on meanwhile a -wal,
 * no -shm to use   the writer was killed and the folder is not ours to write: without locks and
 * with the index of the WAL in our own memory (exclusive mode keeps it there, wal.c). No writer can
 *                            be alive, as a live one has its -shm.
 */
#include "model/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/intern.h"
#include "model/recording_schema.h"

#define MAX_TEXT_BYTES (16 << 20)
#define BUSY_MS 1000
#define NS_PER_MS 1000000ull

/* What a row of table cell says. */
struct cell_key {
	uint32_t process, tid, node, kind;
};

struct load {
	sqlite3 *db;
	struct profile *p;
	uint64_t from_ns, to_ns; /* since the begin */
	uint64_t begin_ns, merged;
	struct strings strings;
	const char **texts;
	uint32_t n_texts, room_texts;
	struct cell_key *cells;
	uint32_t n_cells;
	uint32_t flush; /* whose rows are being read */
	uint32_t last_cell;
	bool in_flush;
	uint32_t n_rows; /* of the table being read */
	int64_t last_gc;
};

/* One row being read: values are taken column by column, and what is wrong is remembered. */
struct row {
	sqlite3_stmt *statement;
	int column;
	bool bad;
};

static int64_t row__i64(struct row *row)
{
	int column = row->column++;

	if (sqlite3_column_type(row->statement, column) != SQLITE_INTEGER)
		row->bad = true;
	return sqlite3_column_int64(row->statement, column);
}

static uint64_t row__max(struct row *row, uint64_t max)
{
	int64_t value = row__i64(row);

	if (value >= 0 && (uint64_t)value <= max)
		return (uint64_t)value;
	row->bad = true;
	return 0;
}

static uint32_t row__u32(struct row *row)
{
	return (uint32_t)row__max(row, UINT32_MAX);
}

/* An index below n. */
static uint32_t row__index(struct row *row, uint32_t n)
{
	uint32_t i = row__u32(row);

	if (i >= n)
		row->bad = true;
	return i;
}

static int32_t row__i32(struct row *row)
{
	int64_t value = row__i64(row);

	if (value < INT32_MIN || value > INT32_MAX)
		row->bad = true;
	return (int32_t)value;
}

static const char *row__text(struct row *row)
{
	int column = row->column++;
	const char *s = NULL;

	if (sqlite3_column_type(row->statement, column) == SQLITE_TEXT)
		s = (const char *)sqlite3_column_text(row->statement, column);
	if (s)
		return s;
	row->bad = true;
	return "";
}

static void row__skip(struct row *row)
{
	row->column++;
}

static void row__blob(struct row *row, void *ret, int len)
{
	const void *blob = sqlite3_column_blob(row->statement, row->column);

	if (blob && sqlite3_column_bytes(row->statement, row->column) == len)
		memcpy(ret, blob, len);
	else
		row->bad = true;
	row->column++;
}

/* An adder's answer: the row must have become item number `index`. */
static int added(const struct row *row, int64_t ret, uint32_t index)
{
	if (row->bad || ret == -EINVAL)
		return -EBADMSG;
	if (ret < 0)
		return (int)ret;
	return ret == index ? 0 : -EBADMSG;
}

static int each_row(struct load *l, const char *sql, int (*fn)(struct load *l, struct row *row))
{
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v2(l->db, sql, -1, &statement, NULL);
	int err = recording_schema__errno(l->db, rc);

	if (err)
		return err;
	l->n_rows = 0;
	while (!err && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
		struct row row = {.statement = statement};

		err = fn(l, &row);
		l->n_rows++;
	}
	if (!err)
		err = recording_schema__errno(l->db, rc);
	sqlite3_finalize(statement);
	return err;
}

static int parse_u64(const char *s, uint64_t *ret)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(s, &end, 10);
	if (errno || end == s || *end || *s == '-')
		return -EBADMSG;
	*ret = value;
	return 0;
}

static int on_meta(struct load *l, struct row *row)
{
	const char *key = row__text(row), *value = row__text(row);

	if (row->bad)
		return -EBADMSG;
	if (!strcmp(key, RECORDING_META_FORMAT))
		return 0;
	if (!strcmp(key, RECORDING_META_BEGIN))
		return parse_u64(value, &l->begin_ns);
	if (!strcmp(key, RECORDING_META_MERGED))
		return parse_u64(value, &l->merged);
	return profile__set_meta(l->p, key, value);
}

static int on_counter(struct load *l, struct row *row)
{
	uint32_t id = row__u32(row);
	const char *name = row__text(row);
	uint64_t value = (uint64_t)row__i64(row);

	if (row->bad || id != l->n_rows)
		return -EBADMSG;
	return profile__set_counter(l->p, name, value);
}

static int on_container(struct load *l, struct row *row)
{
	uint32_t id = row__u32(row);
	struct profile_container c = {.cgroup_id = (uint64_t)row__i64(row)};

	c.path = row__text(row);
	c.id = row__text(row);
	c.name = row__text(row);
	c.runtime = row__text(row);
	c.image = row__text(row);
	c.limit_bytes = (uint64_t)row__i64(row);
	c.usage_bytes = (uint64_t)row__i64(row);
	c.peak_bytes = (uint64_t)row__i64(row);
	c.oom_kills = (uint64_t)row__i64(row);
	return row->bad ? -EBADMSG : added(row, profile__add_container(l->p, &c), id);
}

static int on_usage(struct load *l, struct row *row)
{
	struct profile_usage usage = {.time_ns = row__max(row, INT64_MAX / NS_PER_MS) * NS_PER_MS};
	struct profile_container c = {0};
	uint32_t i = row__index(row, profile__n_containers(l->p));
	int err;

	usage.usage_bytes = c.usage_bytes = (uint64_t)row__i64(row);
	c.limit_bytes = (uint64_t)row__i64(row);
	usage.oom_kills = (uint64_t)row__i64(row);
	if (row->bad)
		return -EBADMSG;
	/* Else they are what the containers' own rows say. */
	err = l->to_ns ? profile__update_container(l->p, i, &c) : 0;
	return err ? err : profile__add_usage(l->p, i, &usage);
}

static int on_process(struct load *l, struct row *row)
{
	uint32_t id = row__u32(row);
	struct profile_process c = {.tgid = row__u32(row), .container = PROFILE_NONE};

	if (sqlite3_column_type(row->statement, row->column) == SQLITE_NULL)
		row->column++;
	else
		c.container = row__index(row, profile__n_containers(l->p));
	c.start_time_ticks = (uint64_t)row__i64(row);
	c.command = row__text(row);
	c.python = row__text(row);
	c.interpreter = row__text(row);
	c.note = row__text(row);
	c.rss_bytes = (uint64_t)row__i64(row);
	return row->bad ? -EBADMSG : added(row, profile__add_process(l->p, &c), id);
}

static int on_text(struct load *l, struct row *row)
{
	uint32_t id = row__u32(row);
	const char *text = row__text(row);
	int err;

	if (row->bad || id != l->n_texts || id == UINT32_MAX)
		return -EBADMSG;
	err = array__reserve((void **)&l->texts, &l->room_texts, id, sizeof(*l->texts));
	if (!err)
		err = strings__intern(&l->strings, text, &l->texts[id]);
	l->n_texts += !err;
	return err;
}

static const char *text_at(const struct load *l, struct row *row)
{
	uint32_t i = row__index(row, l->n_texts);

	return i < l->n_texts ? l->texts[i] : "";
}

static int on_place(struct load *l, struct row *row)
{
	uint32_t id = row__u32(row);
	struct profile_frame f = {.kind = row__index(row, FRAME_REASON + 1)};

	f.line = row__i32(row);
	f.function = text_at(l, row);
	f.file = text_at(l, row);
	return row->bad ? -EBADMSG : added(row, profile__add_frame(l->p, &f), id);
}

static int on_node(struct load *l, struct row *row)
{
	uint32_t id = row__u32(row), parent = row__u32(row), frame = row__u32(row);

	if (parent >= id)
		return -EBADMSG;
	return row->bad ? -EBADMSG : added(row, profile__add_node(l->p, parent, frame), id);
}

static int on_cell(struct load *l, struct row *row)
{
	uint32_t id = row__u32(row);
	struct cell_key key = {.process = row__index(row, profile__n_processes(l->p))};

	key.tid = row__u32(row);
	key.node = row__index(row, profile__n_nodes(l->p));
	key.kind = row__index(row, KIND_MAX);
	if (row->bad || id != l->n_cells || id == UINT32_MAX)
		return -EBADMSG;
	if (!(id & (id + 1))) {
		void *grown = reallocarray(l->cells, ((size_t)id + 1) * 2, sizeof(*l->cells));

		if (!grown)
			return -ENOMEM;
		l->cells = grown;
	}
	l->cells[l->n_cells++] = key;
	return 0;
}

static int on_delta(struct load *l, struct row *row)
{
	uint32_t flush = row__u32(row), cell = row__index(row, l->n_cells);
	struct profile_sums sums;
	const struct cell_key *key;
	int err;

	sums.alloc_cnt = row__max(row, INT64_MAX);
	sums.alloc_bytes = row__max(row, INT64_MAX);
	sums.free_cnt = row__max(row, INT64_MAX);
	sums.free_bytes = row__max(row, INT64_MAX);
	if (row->bad)
		return -EBADMSG;
	/* Keys rise: else a tree of pages that a damaged file bends into a loop could be read for
	 * ever. */
	if (l->in_flush && (flush < l->flush || (flush == l->flush && cell <= l->last_cell)))
		return -EBADMSG;
	if (l->in_flush && flush != l->flush)
		profile__tick(l->p);
	l->in_flush = true;
	l->flush = flush;
	l->last_cell = cell;
	key = &l->cells[cell];
	err = profile__add(l->p, key->process, key->tid, key->node, key->kind, &sums);
	return err == -EINVAL ? -EBADMSG : err;
}

static int on_estimate(struct load *l, struct row *row)
{
	uint32_t cell = row__index(row, l->n_cells);
	int64_t deviations[PROFILE_REPLICATES];
	const struct cell_key *key;
	int err;

	row__skip(row);
	row__blob(row, deviations, sizeof(deviations));
	if (row->bad)
		return -EBADMSG;
	key = &l->cells[cell];
	err = profile__set_deviations(l->p, key->process, key->tid, key->node, key->kind, deviations);
	return err == -EINVAL ? 0 : err; /* nothing of the cell lies in the span of time */
}

static int on_gc(struct load *l, struct row *row)
{
	int64_t id = row__i64(row);
	struct profile_gc gc = {.time_ns = (uint64_t)row__i64(row) + l->begin_ns};
	int err;

	gc.process = row__u32(row);
	gc.tid = row__u32(row);
	gc.node = row__u32(row);
	gc.generation = row__i32(row);
	gc.collected = row__i64(row);
	gc.pause_ns = row__max(row, INT64_MAX);
	gc.cnt = row__max(row, INT64_MAX);
	gc.longest_ns = row__max(row, INT64_MAX);
	if (row->bad || !gc.cnt || (l->n_rows && id <= l->last_gc))
		return -EBADMSG;
	l->last_gc = id;
	err = profile__add_gc(l->p, &gc);
	return err == -EINVAL ? -EBADMSG : err;
}

static int load_items(struct load *l)
{
	static const struct {
		const char *sql;
		int (*fn)(struct load *l, struct row *row);
	} tables[] = {
		{"SELECT key, value FROM meta", on_meta},
		{"SELECT id, name, value FROM counter ORDER BY id", on_counter},
		{"SELECT id, cgroup_id, path, container_id, name, runtime, image, limit_bytes,"
		 " usage_bytes, peak_bytes, oom_kills FROM container ORDER BY id",
		 on_container},
		{"SELECT id, tgid, container, start_time_ticks, command, python, interpreter,"
		 " note, rss_bytes FROM process ORDER BY id",
		 on_process},
		{"SELECT id, text FROM text ORDER BY id", on_text},
		{"SELECT id, kind, line, function, file FROM place ORDER BY id", on_place},
		{"SELECT id, parent, frame FROM node ORDER BY id", on_node},
		{"SELECT id, process, tid, node, kind FROM cell ORDER BY id", on_cell},
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables) && !err; i++)
		err = each_row(l, tables[i].sql, tables[i].fn);
	return err;
}

/* A flush at time t holds what came before t, so a span is (from, to]; its begin is part of it only
 * at 0. */
static int load_times(struct load *l)
{
	int64_t from_ns = l->from_ns ? (int64_t)l->from_ns : INT64_MIN;
	int64_t to_ns = l->to_ns ? (int64_t)l->to_ns : INT64_MAX;
	int64_t from_ms = l->from_ns ? (int64_t)(l->from_ns / NS_PER_MS) : INT64_MIN;
	int64_t to_ms = l->to_ns ? (int64_t)(l->to_ns / NS_PER_MS) : INT64_MAX;
	char sql[400];
	int err;

	snprintf(sql, sizeof(sql),
		 "SELECT flush, cell, alloc_cnt, alloc_bytes, free_cnt, free_bytes FROM delta"
		 " WHERE flush >= ifnull((SELECT min(id) FROM flush WHERE time_ms > %lld), 1 << 62)"
		 " AND flush <= ifnull((SELECT max(id) FROM flush WHERE time_ms <= %lld), -1)"
		 " ORDER BY flush, cell",
		 (long long)from_ms, (long long)to_ms);
	err = each_row(l, sql, on_delta);
	profile__tick(l->p);
	err = err ? err : each_row(l, "SELECT cell, error_bytes, deviations FROM estimate ORDER BY cell", on_estimate);
	if (err)
		return err;
	snprintf(sql, sizeof(sql),
		 "SELECT id, time_ns, process, tid, node, generation, collected, pause_ns,"
		 " cnt, longest_ns FROM gc"
		 " WHERE time_ns > %lld AND time_ns <= %lld ORDER BY id",
		 (long long)from_ns, (long long)to_ns);
	err = each_row(l, sql, on_gc);
	if (err)
		return err;
	snprintf(sql, sizeof(sql),
		 "SELECT time_ms, container, usage_bytes, limit_bytes, oom_kills FROM usage"
		 " WHERE time_ms <= %lld"
		 " ORDER BY time_ms, container",
		 (long long)to_ms);
	return each_row(l, sql, on_usage);
}

static int query_int(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(statement, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(statement);
	return rc;
}

/* Is it ours, of a version we know, with tables that are tables (not views or modules that run code
 * of the file)? */
static int check_schema(sqlite3 *db)
{
	int64_t id = 0, format = 0, is_table = 0;
	int rc = query_int(db, "PRAGMA application_id", &id);

	if (rc == SQLITE_OK)
		rc = query_int(db, "PRAGMA user_version", &format);
	if (rc != SQLITE_OK)
		return recording_schema__errno(db, rc);
	if (id != RECORDING_APPLICATION_ID)
		return -EMEDIUMTYPE;
	if (format < 1)
		return -EBADMSG;
	if (format != RECORDING_FORMAT)
		return -EPROTONOSUPPORT;
	for (int i = 0; recording_tables[i]; i++) {
		char sql[160];

		snprintf(sql, sizeof(sql),
			 "SELECT count(*) FROM sqlite_schema WHERE name = '%s' AND type = 'table'"
			 " AND rootpage > 0",
			 recording_tables[i]);
		rc = query_int(db, sql, &is_table);
		if (rc != SQLITE_OK)
			return recording_schema__errno(db, rc);
		if (is_table != 1)
			return -EBADMSG;
	}
	return 0;
}

/* file:... with all but plain characters escaped. */
static int make_uri(const char *path, const char *options, char *uri, size_t size)
{
	size_t n = (size_t)snprintf(uri, size, "file:");

	for (const char *s = path; *s; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			     (*s >= '0' && *s <= '9') || strchr("/._-", *s);

		if (n + 4 > size)
			return -ENAMETOOLONG;
		n += (size_t)snprintf(uri + n, size - n, plain ? "%c" : "%%%02X",
				      (unsigned char)*s);
	}
	if (n + strlen(options) + 1 > size)
		return -ENAMETOOLONG;
	strcpy(uri + n, options);
	return 0;
}

/* Opens the file and reads its first page, so that what SQLite cannot do shows here. Returns a code
 * of SQLite. */
static int try_open(const char *path, const char *options, const char *vfs, sqlite3 **ret)
{
	char uri[3 * PATH_MAX + 32];
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_EXRESCODE;
	sqlite3 *db = NULL;
	int64_t unused;
	int rc;

	if (make_uri(path, options, uri, sizeof(uri)))
		return SQLITE_TOOBIG;
	rc = sqlite3_open_v2(uri, &db, flags, vfs);
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(db, BUSY_MS);
		sqlite3_limit(db, SQLITE_LIMIT_LENGTH, MAX_TEXT_BYTES);
		sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		if (vfs)
			sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
		sqlite3_exec(db, "PRAGMA cell_size_check = ON", NULL, NULL, NULL);
		rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	}
	if (rc == SQLITE_OK)
		rc = query_int(db, "SELECT count(*) FROM sqlite_schema", &unused);
	if (rc != SQLITE_OK) {
		sqlite3_close(db);
		return rc;
	}
	*ret = db;
	return SQLITE_OK;
}

static bool exists_beside(const char *path, const char *suffix, bool filled)
{
	char name[PATH_MAX + 16];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return !stat(name, &st) && (!filled || st.st_size > 0);
}

/* SQLite takes a last page that is cut short for one that ends in zeros. */
static int check_size(const char *path, sqlite3 *db)
{
	struct stat st;
	int64_t bytes = 0;
	int rc = query_int(db,
			   "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
			   &bytes);

	if (rc != SQLITE_OK)
		return recording_schema__errno(db, rc);
	return stat(path, &st) || st.st_size < bytes ? -EBADMSG : 0;
}

static int open_finished(const char *path, sqlite3 **ret)
{
	sqlite3 *db;
	int err = recording_schema__errno(NULL, try_open(path, "?immutable=1", NULL, &db));

	if (err)
		return err;
	err = check_size(path, db);
	if (err) {
		sqlite3_close(db);
		return err;
	}
	*ret = db;
	return 0;
}

static int open_for_reading(const char *path, sqlite3 **ret)
{
	int rc;

	if (!exists_beside(path, "-wal", false) && !exists_beside(path, "-journal", true))
		return open_finished(path, ret);
	rc = try_open(path, "", NULL, ret);
	if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY ||
	    (rc & 0xff) == SQLITE_PERM) {
		if (exists_beside(path, "-wal", true))
			rc = try_open(path, "", "unix-none", ret);
		else
			rc = try_open(path, "?immutable=1", NULL, ret);
	}
	/* The file itself may be read, as was checked: what is missing is beside it. */
	return (rc & 0xff) == SQLITE_CANTOPEN ? -EACCES : recording_schema__errno(NULL, rc);
}

static int check_path(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EMEDIUMTYPE;
	if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))
		return -errno;
	return 0;
}

static int ignore_change(uint32_t cell, const struct profile_sums *sums, void *arg)
{
	(void)cell;
	(void)sums;
	(void)arg;
	return 0;
}

static int load_all(struct load *l)
{
	/* What was recorded within its own limits fits; the size of the file bounds the rest. */
	const struct profile_limits limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
	int err = profile__new(&limits, &l->p);

	if (!err)
		err = load_items(l);
	if (!err)
		err = load_times(l);
	if (err)
		return err;
	profile__set_merged(l->p, l->merged);
	return profile__drain_changes(l->p, ignore_change, NULL);
}

int recording__load(const char *path, uint64_t from_ns, uint64_t to_ns, struct profile **ret)
{
	struct load l = {.from_ns = from_ns, .to_ns = to_ns};
	char real[PATH_MAX];
	int err;

	if (from_ns > INT64_MAX || to_ns > INT64_MAX || (to_ns && from_ns > to_ns))
		return -EINVAL;
	/* The -wal is beside the file itself, not beside a link to it. */
	if (!realpath(path, real))
		return -errno;
	err = check_path(real);
	if (!err)
		err = open_for_reading(real, &l.db);
	if (err)
		return err;
	err = check_schema(l.db);
	if (!err)
		err = load_all(&l);
	sqlite3_close(l.db);
	free(l.cells);
	free(l.texts);
	strings__free(&l.strings);
	if (err) {
		profile__free(l.p);
		return err;
	}
	*ret = l.p;
	return 0;
}
