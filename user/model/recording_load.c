/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The reader of recordings. The file may come from anywhere, so every value is checked: type,
 * range, order of keys, and that a node's parent comes before it. Only our tables are read, by
 * plain SELECTs, with SQLite's defences on (recording_open.c).
 */
#include "model/recording.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/intern.h"
#include "model/recording_open.h"
#include "model/recording_schema.h"

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
	c.earlier = row__max(row, INT64_MAX);
	c.cost.cpu_ns = row__max(row, INT64_MAX);
	c.cost.cost_ns = row__max(row, INT64_MAX);
	c.cost.faults = row__max(row, INT64_MAX);
	c.cost.faults_seen = row__max(row, INT64_MAX);
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
	struct profile_frame f = {.kind = row__index(row, FRAME_KIND_MAX)};

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
	gc.trigger = row__index(row, GC_TRIGGER_MAX);
	gc.uncollectable = row__i64(row);
	if (row->bad || !gc.cnt || (l->n_rows && id <= l->last_gc))
		return -EBADMSG;
	l->last_gc = id;
	err = profile__add_gc(l->p, &gc);
	return err == -EINVAL ? -EBADMSG : err;
}

static bool row__is_null(const struct row *row)
{
	return sqlite3_column_type(row->statement, row->column) == SQLITE_NULL;
}

static void row__generations(struct row *row, bool known, int32_t ret[PROFILE_GENERATIONS])
{
	for (int g = 0; g < PROFILE_GENERATIONS; g++) {
		if (known)
			ret[g] = row__i32(row);
		else
			row->column++;
	}
}

/* In order of time, so that the last is what remains. */
static int on_collector(struct load *l, struct row *row)
{
	struct profile_collector c = {.process = row__u32(row), .frozen = -1};
	int err;

	c.enabled = row__max(row, 1);
	c.has_counts = !row__is_null(row);
	row__generations(row, c.has_counts, c.threshold);
	row__generations(row, c.has_counts, c.count);
	if (row__is_null(row))
		row->column++;
	else
		c.frozen = (int64_t)row__max(row, INT64_MAX);
	for (int g = 0; g < PROFILE_GENERATIONS; g++) {
		c.collections[g] = (int64_t)row__max(row, INT64_MAX);
		c.collected[g] = (int64_t)row__max(row, INT64_MAX);
		c.uncollectable[g] = (int64_t)row__max(row, INT64_MAX);
	}
	if (row->bad)
		return -EBADMSG;
	err = profile__set_collector(l->p, &c);
	return err == -EINVAL ? -EBADMSG : err;
}

static int on_fact(struct load *l, struct row *row)
{
	struct profile_fact f = {.process = row__u32(row)};
	int err;

	f.name = text_at(l, row);
	f.text = text_at(l, row);
	f.part = row__max(row, INT64_MAX);
	f.whole = row__max(row, INT64_MAX);
	if (row->bad)
		return -EBADMSG;
	err = profile__set_fact(l->p, &f);
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
		 " note, rss_bytes, earlier, cpu_ns, cost_ns, faults, faults_seen FROM process ORDER BY id",
		 on_process},
		{"SELECT id, text FROM text ORDER BY id", on_text},
		{"SELECT id, kind, line, function, file FROM place ORDER BY id", on_place},
		{"SELECT id, parent, frame FROM node ORDER BY id", on_node},
		{"SELECT id, process, tid, node, kind FROM cell ORDER BY id", on_cell},
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables) && !err; i++)
		err = each_row(l, tables[i].sql, tables[i].fn);
	if (!err)
		err = each_row(l, "SELECT process, name, text, part, whole FROM fact ORDER BY process, name", on_fact);
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
		 " cnt, longest_ns, trigger, uncollectable FROM gc"
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
	err = each_row(l, sql, on_usage);
	if (err)
		return err;
	snprintf(sql, sizeof(sql),
		 "SELECT process, enabled, threshold0, threshold1, threshold2, count0, count1, count2, frozen,"
		 " collections0, collected0, uncollectable0, collections1, collected1, uncollectable1,"
		 " collections2, collected2, uncollectable2 FROM collector WHERE time_ms <= %lld ORDER BY process, time_ms",
		 (long long)to_ms);
	return each_row(l, sql, on_collector);
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
	const struct profile_limits limits = {
		.max_nodes = UINT32_MAX,
		.max_frames = UINT32_MAX,
		.max_cells = UINT32_MAX,
		.max_cells_process = UINT32_MAX,
		.max_text_bytes = UINT64_MAX,
		.max_gc = UINT32_MAX,
		.max_gc_second = UINT32_MAX,
	};
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
	int err;

	if (from_ns > INT64_MAX || to_ns > INT64_MAX || (to_ns && from_ns > to_ns))
		return -EINVAL;
	err = recording_open__file(path, &l.db);
	if (err)
		return err;
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
