/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The writer of recordings: one transaction per flush, in which only what is new or changed is
 * written. The file's making is in recording_create.c, a row's writing in recording_row.c, reading in
 * recording_load.c, the schema in recording_schema.c.
 *
 * Only this version of the format is read and written: files of earlier development are refused.
 *
 * Items that never change (texts, frames, nodes, cells, collections) are written from where the last
 * committed flush ended. Of items that may change, a digest of the row last written is kept; after
 * a failed transaction all digests are forgotten, so that everything is written again. Time 0 is
 * the first flush: flush once at the start. Peaks are not stored; a reader finds them by ending a
 * second at each flush, so tick right before each flush.
 */
#include "model/recording.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/intern.h"
#include "model/recording_create.h"
#include "model/recording_row.h"
#include "model/recording_schema.h"
#include "python.h"

/* Wait this long for somebody who writes to the file with SQL of their own. */
#define BUSY_MS 200

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	PUT_META,
	PUT_COUNTER,
	PUT_CONTAINER,
	PUT_USAGE,
	PUT_PROCESS,
	PUT_TEXT,
	PUT_PLACE,
	PUT_NODE,
	PUT_CELL,
	PUT_FLUSH,
	PUT_DELTA,
	PUT_GC,
	PUT_COLLECTOR,
	PUT_FACT,
	PUT_ESTIMATE,
	N_STATEMENTS,
};

static const char *const statements[] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[PUT_META] = "INSERT OR REPLACE INTO meta VALUES(?, ?)",
	[PUT_COUNTER] = "INSERT OR REPLACE INTO counter VALUES(?, ?, ?)",
	[PUT_CONTAINER] =
		"INSERT OR REPLACE INTO container VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[PUT_USAGE] = "INSERT OR REPLACE INTO usage VALUES(?, ?, ?, ?, ?)",
	[PUT_PROCESS] =
		"INSERT OR REPLACE INTO process VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[PUT_TEXT] = "INSERT INTO text VALUES(?, ?)",
	[PUT_PLACE] = "INSERT INTO place VALUES(?, ?, ?, ?, ?)",
	[PUT_NODE] = "INSERT INTO node VALUES(?, ?, ?)",
	[PUT_CELL] = "INSERT INTO cell VALUES(?, ?, ?, ?, ?)",
	[PUT_FLUSH] = "INSERT INTO flush VALUES(?, ?)",
	[PUT_DELTA] = "INSERT INTO delta VALUES(?, ?, ?, ?, ?, ?)",
	[PUT_ESTIMATE] = "INSERT OR REPLACE INTO estimate VALUES(?, ?, ?)",
	[PUT_GC] = "INSERT INTO gc VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[PUT_FACT] = "INSERT OR REPLACE INTO fact VALUES(?, ?, ?, ?, ?)",
	[PUT_COLLECTOR] = "INSERT OR REPLACE INTO collector VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
};

/* How far the file has come; changes only when a transaction is committed. */
struct progress {
	uint32_t texts, frames, nodes, cells;
	uint64_t gc; /* collections since the first ever */
	int64_t flushes;
	int64_t time_ms;
};

/* Texts that have a row, by id; found by address, as the profile keeps one copy of each. */
struct texts {
	const char **items;
	uint32_t capacity;
	struct index_table index;
};

struct recording {
	sqlite3 *db;
	int lock; /* descriptor that keeps other writers away */
	sqlite3_stmt *statements[N_STATEMENTS];
	struct progress done;
	uint64_t begin_ns;
	struct texts texts;
	struct row_digests meta, own_meta, counters, containers, usage, processes, collectors, facts, estimates;
	struct row_digests seen_processes, seen_collectors, seen_facts; /* recording_row__is_new */
};

static struct recording_row row_of(struct recording *r, enum statement s)
{
	return (struct recording_row){.statement = r->statements[s]};
}

int recording__create(const char *path, struct recording **ret)
{
	struct recording *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	err = recording_create__file(path, &r->db, &r->lock);
	if (err) {
		free(r);
		return err;
	}
	sqlite3_busy_timeout(r->db, BUSY_MS);
	for (int i = 0; i < N_STATEMENTS && !err; i++)
		err = recording_schema__errno(r->db, sqlite3_prepare_v3(r->db, statements[i], -1,
									SQLITE_PREPARE_PERSISTENT,
									&r->statements[i], NULL));
	if (err) {
		recording__close(r);
		return err;
	}
	*ret = r;
	return 0;
}

static int put_own_meta(struct recording *r, uint32_t i, const char *key, uint64_t value)
{
	char text[24];
	struct recording_row row = row_of(r, PUT_META);

	sqlite3_snprintf(sizeof(text), text, "%llu", (unsigned long long)value);
	recording_row__text(&row, key);
	recording_row__text(&row, text);
	return recording_row__write_changed(&row, &r->own_meta, i);
}

static bool is_own_meta(const char *key)
{
	return !strcmp(key, RECORDING_META_FORMAT) || !strcmp(key, RECORDING_META_BEGIN) ||
	       !strcmp(key, RECORDING_META_MERGED);
}

static int put_meta(struct recording *r, const struct profile *p)
{
	int err = put_own_meta(r, 0, RECORDING_META_FORMAT, RECORDING_FORMAT);

	if (!err)
		err = put_own_meta(r, 1, RECORDING_META_BEGIN, r->begin_ns);
	if (!err)
		err = put_own_meta(r, 2, RECORDING_META_MERGED, profile__merged(p));
	for (uint32_t i = 0; i < profile__n_meta(p) && !err; i++) {
		struct recording_row row = row_of(r, PUT_META);
		const char *key, *value;

		profile__meta_at(p, i, &key, &value);
		if (is_own_meta(key))
			continue;
		recording_row__text(&row, key);
		recording_row__text(&row, value);
		err = recording_row__write_changed(&row, &r->meta, i);
	}
	return err;
}

static int put_counters(struct recording *r, const struct profile *p)
{
	int err = 0;

	for (uint32_t i = 0; i < profile__n_counters(p) && !err; i++) {
		struct recording_row row = row_of(r, PUT_COUNTER);
		const char *name;
		uint64_t value;

		profile__counter(p, i, &name, &value);
		recording_row__int(&row, i);
		recording_row__text(&row, name);
		recording_row__int(&row, value);
		err = recording_row__write_changed(&row, &r->counters, i);
	}
	return err;
}

/* Also in the profile, where a reader of the file would find it. */
static int put_usage(struct recording *r, struct profile *p, uint32_t i, int64_t time_ms)
{
	const struct profile_container *c = profile__container(p, i);
	const struct profile_usage usage = {(uint64_t)time_ms * 1000000, c->usage_bytes,
					    c->oom_kills};
	struct recording_row row = row_of(r, PUT_USAGE);
	int err;

	if (!c->usage_bytes)
		return 0;
	err = profile__add_usage(p, i, &usage);
	if (err)
		return err;
	recording_row__int(&row, (uint64_t)time_ms);
	row.digest = 0; /* the same usage at another time says nothing new */
	recording_row__int(&row, i);
	recording_row__int(&row, c->usage_bytes);
	recording_row__int(&row, c->limit_bytes);
	recording_row__int(&row, c->oom_kills);
	return recording_row__write_changed(&row, &r->usage, i);
}

static int put_containers(struct recording *r, struct profile *p, int64_t time_ms)
{
	int err = 0;

	for (uint32_t i = 0; i < profile__n_containers(p) && !err; i++) {
		const struct profile_container *c = profile__container(p, i);
		struct recording_row row = row_of(r, PUT_CONTAINER);

		recording_row__int(&row, i);
		recording_row__int(&row, c->cgroup_id);
		recording_row__text(&row, c->path);
		recording_row__text(&row, c->id);
		recording_row__text(&row, c->name);
		recording_row__text(&row, c->runtime);
		recording_row__text(&row, c->image);
		recording_row__int(&row, c->limit_bytes);
		recording_row__int(&row, c->usage_bytes);
		recording_row__int(&row, c->peak_bytes);
		recording_row__int(&row, c->oom_kills);
		err = recording_row__write_changed(&row, &r->containers, i);
		if (!err)
			err = put_usage(r, p, i, time_ms);
	}
	return err;
}

static int put_processes(struct recording *r, const struct profile *p)
{
	int err = 0;

	for (uint32_t i = 0; i < profile__n_processes(p) && !err; i++) {
		const struct profile_process *c = profile__process(p, i);
		struct recording_row row = row_of(r, PUT_PROCESS);

		if (!recording_row__is_new(&r->seen_processes, i, c, sizeof(*c)))
			continue;
		recording_row__int(&row, i);
		recording_row__int(&row, c->tgid);
		if (c->container == PROFILE_NONE)
			recording_row__null(&row);
		else
			recording_row__int(&row, c->container);
		recording_row__int(&row, c->start_time_ticks);
		recording_row__text(&row, c->command);
		recording_row__text(&row, c->python);
		recording_row__text(&row, c->interpreter);
		recording_row__text(&row, c->note);
		recording_row__int(&row, c->rss_bytes);
		recording_row__sum(&row, c->earlier);
		recording_row__sum(&row, c->cost.cpu_ns);
		recording_row__sum(&row, c->cost.cost_ns);
		recording_row__sum(&row, c->cost.faults);
		recording_row__sum(&row, c->cost.faults_seen);
		err = recording_row__write_changed(&row, &r->processes, i);
	}
	return err;
}

static int put_collector(struct recording *r, const struct profile_collector *c, uint32_t i, int64_t time_ms)
{
	struct recording_row row = row_of(r, PUT_COLLECTOR);
	int g;

	if (!recording_row__is_new(&r->seen_collectors, i, c, sizeof(*c)))
		return 0;
	recording_row__int(&row, c->process);
	recording_row__int(&row, (uint64_t)time_ms);
	row.digest = 0; /* the same at another time says nothing new */
	recording_row__int(&row, c->enabled);
	for (g = 0; g < PROFILE_GENERATIONS; g++)
		recording_row__known(&row, c->has_counts, c->threshold[g]);
	for (g = 0; g < PROFILE_GENERATIONS; g++)
		recording_row__known(&row, c->has_counts, c->count[g]);
	recording_row__known(&row, c->frozen >= 0, c->frozen);
	for (g = 0; g < PROFILE_GENERATIONS; g++) {
		recording_row__int(&row, (uint64_t)c->collections[g]);
		recording_row__int(&row, (uint64_t)c->collected[g]);
		recording_row__int(&row, (uint64_t)c->uncollectable[g]);
	}
	return recording_row__write_changed(&row, &r->collectors, i);
}

static int put_collectors(struct recording *r, const struct profile *p, int64_t time_ms)
{
	int err = 0;

	for (uint32_t i = 0; i < profile__n_collectors(p) && !err; i++)
		err = put_collector(r, profile__collector(p, i), i, time_ms);
	return err;
}

static bool same_text(const void *owner, uint32_t item, const void *key)
{
	const struct texts *texts = owner;

	return texts->items[item] == key;
}

/* The id of a text, which gets a row if it has none. */
static int put_text(struct recording *r, const char *s, struct progress *now, uint32_t *ret)
{
	uint64_t hash = PY_HASH_STEP(0, (uintptr_t)s);
	uint32_t id = index_table__find(&r->texts.index, hash, same_text, &r->texts, s);
	struct recording_row row = row_of(r, PUT_TEXT);
	int err;

	if (id != INTERN_NONE) {
		*ret = id;
		return 0;
	}
	err = array__reserve((void **)&r->texts.items, &r->texts.capacity, now->texts,
			     sizeof(*r->texts.items));
	if (!err)
		err = index_table__reserve(&r->texts.index);
	if (err)
		return err;
	recording_row__int(&row, now->texts);
	recording_row__text(&row, s);
	err = recording_row__write(&row);
	if (err)
		return err;
	r->texts.items[now->texts] = s;
	index_table__put(&r->texts.index, hash, now->texts);
	*ret = now->texts++;
	return 0;
}

static int put_facts(struct recording *r, const struct profile *p, struct progress *now)
{
	int err = 0;

	for (uint32_t i = 0; i < profile__n_facts(p) && !err; i++) {
		const struct profile_fact *f = profile__fact(p, i);
		struct recording_row row = row_of(r, PUT_FACT);
		uint32_t name, text;

		if (!recording_row__is_new(&r->seen_facts, i, f, sizeof(*f)))
			continue;
		err = put_text(r, f->name, now, &name);
		err = err ? err : put_text(r, f->text, now, &text);
		if (err)
			return err;
		recording_row__int(&row, f->process);
		recording_row__int(&row, name);
		recording_row__int(&row, text);
		recording_row__sum(&row, f->part);
		recording_row__sum(&row, f->whole);
		err = recording_row__write_changed(&row, &r->facts, i);
	}
	return err;
}

static int put_frames(struct recording *r, const struct profile *p, struct progress *now)
{
	for (; now->frames < profile__n_frames(p); now->frames++) {
		const struct profile_frame *f = profile__frame(p, now->frames);
		struct recording_row row = row_of(r, PUT_PLACE);
		uint32_t function, file;
		int err = put_text(r, f->function, now, &function);

		if (!err)
			err = put_text(r, f->file, now, &file);
		if (err)
			return err;
		recording_row__int(&row, now->frames);
		recording_row__int(&row, f->kind);
		recording_row__int(&row, (uint64_t)f->line);
		recording_row__int(&row, function);
		recording_row__int(&row, file);
		err = recording_row__write(&row);
		if (err)
			return err;
	}
	return 0;
}

/* Node 0 is in no table: it has neither parent nor frame. */
static int put_nodes(struct recording *r, const struct profile *p, struct progress *now)
{
	if (!now->nodes)
		now->nodes = 1;
	for (; now->nodes < profile__n_nodes(p); now->nodes++) {
		const struct profile_node *n = profile__node(p, now->nodes);
		struct recording_row row = row_of(r, PUT_NODE);
		int err;

		recording_row__int(&row, now->nodes);
		recording_row__int(&row, n->parent);
		recording_row__int(&row, n->frame);
		err = recording_row__write(&row);
		if (err)
			return err;
	}
	return 0;
}

static int put_cells(struct recording *r, const struct profile *p, struct progress *now)
{
	for (; now->cells < profile__n_cells(p); now->cells++) {
		const struct profile_cell *c = profile__cell(p, now->cells);
		struct recording_row row = row_of(r, PUT_CELL);
		int err;

		recording_row__int(&row, now->cells);
		recording_row__int(&row, c->process);
		recording_row__int(&row, c->tid);
		recording_row__int(&row, c->node);
		recording_row__int(&row, c->kind);
		err = recording_row__write(&row);
		if (err)
			return err;
	}
	return 0;
}

/* Of each cell that is an estimate: half of its 95 % interval, and what it takes to find that of a sum. */
static int put_estimates(struct recording *r, const struct profile *p)
{
	int err = 0;

	for (uint32_t i = 0; i < profile__n_cells(p) && !err; i++) {
		const int64_t *deviations = profile__deviations(p, i);
		struct recording_row row;
		double error;

		if (!deviations)
			continue;
		row = row_of(r, PUT_ESTIMATE);
		recording_row__int(&row, i);
		error = deviations__error(profile_cell__value(profile__cell(p, i), VIEW_LIVE), deviations);
		if (isfinite(error))
			recording_row__sum(&row, (uint64_t)error);
		else
			recording_row__null(&row);
		recording_row__blob(&row, deviations, PROFILE_REPLICATES * sizeof(*deviations));
		err = recording_row__write_changed(&row, &r->estimates, i);
	}
	return err;
}

static int put_gc(struct recording *r, const struct profile *p, struct progress *now)
{
	uint64_t dropped = profile__gc_dropped(p), end = dropped + profile__n_gc(p);

	if (now->gc < dropped)
		now->gc = dropped;
	for (; now->gc < end; now->gc++) {
		const struct profile_gc *gc = profile__gc(p, (uint32_t)(now->gc - dropped));
		struct recording_row row = row_of(r, PUT_GC);
		int err;

		recording_row__int(&row, now->gc);
		recording_row__int(&row, gc->time_ns - r->begin_ns);
		recording_row__int(&row, gc->process);
		recording_row__int(&row, gc->tid);
		recording_row__int(&row, gc->node);
		recording_row__int(&row, (uint64_t)gc->generation);
		recording_row__int(&row, (uint64_t)gc->collected);
		recording_row__sum(&row, gc->pause_ns);
		recording_row__sum(&row, gc->cnt);
		recording_row__sum(&row, gc->longest_ns);
		recording_row__int(&row, gc->trigger);
		recording_row__int(&row, (uint64_t)gc->uncollectable);
		err = recording_row__write(&row);
		if (err)
			return err;
	}
	return 0;
}

static int put_delta(uint32_t cell, const struct profile_sums *added, void *arg)
{
	struct recording *r = arg;
	struct recording_row row = row_of(r, PUT_DELTA);

	recording_row__int(&row, (uint64_t)r->done.flushes);
	recording_row__int(&row, cell);
	recording_row__sum(&row, added->alloc_cnt);
	recording_row__sum(&row, added->alloc_bytes);
	recording_row__sum(&row, added->free_cnt);
	recording_row__sum(&row, added->free_bytes);
	return recording_row__write(&row);
}

static int put_flush(struct recording *r, struct progress *now)
{
	struct recording_row row = row_of(r, PUT_FLUSH);

	recording_row__int(&row, (uint64_t)now->flushes++);
	recording_row__int(&row, (uint64_t)now->time_ms);
	return recording_row__write(&row);
}

static int put_all(struct recording *r, struct profile *p, struct progress *now)
{
	int err = put_meta(r, p);

	if (!err)
		err = put_counters(r, p);
	if (!err)
		err = put_containers(r, p, now->time_ms);
	if (!err)
		err = put_processes(r, p);
	if (!err)
		err = put_collectors(r, p, now->time_ms);
	if (!err)
		err = put_facts(r, p, now);
	if (!err)
		err = put_frames(r, p, now);
	if (!err)
		err = put_nodes(r, p, now);
	if (!err)
		err = put_cells(r, p, now);
	if (!err)
		err = put_estimates(r, p);
	if (!err)
		err = put_gc(r, p, now);
	if (!err)
		err = put_flush(r, now);
	return err ? err : profile__drain_changes(p, put_delta, r);
}

static void forget_digests(struct recording *r)
{
	struct row_digests *all[] = {&r->meta,	 &r->own_meta, &r->counters,
				 &r->containers, &r->usage,    &r->processes, &r->collectors, &r->facts, &r->estimates,
				 &r->seen_processes, &r->seen_collectors, &r->seen_facts};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		all[i]->n = 0;
	/* Texts that were committed may get a second row: only their number matters to readers. */
	index_table__free(&r->texts.index);
}

int recording__flush(struct recording *r, struct profile *p, uint64_t time_ns)
{
	struct progress now = r->done;
	int64_t time_ms;
	int err;

	if (!now.flushes)
		r->begin_ns = time_ns;
	time_ms = time_ns > r->begin_ns ? (int64_t)((time_ns - r->begin_ns) / 1000000) : 0;
	if (time_ms > now.time_ms)
		now.time_ms = time_ms;
	err = recording_row__step(r->statements[BEGIN]);
	if (!err)
		err = put_all(r, p, &now);
	if (!err)
		err = recording_row__step(r->statements[COMMIT]);
	if (!err) {
		r->done = now;
		return 0;
	}
	/* SQLite has rolled back already after some errors. */
	if (!sqlite3_get_autocommit(r->db))
		recording_row__step(r->statements[ROLLBACK]);
	forget_digests(r);
	return err;
}

int recording__close(struct recording *r)
{
	int err;

	if (!r)
		return 0;
	for (int i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(r->statements[i]);
	/* A file that is not in WAL mode opens read-only wherever it is; while someone reads it, it
	 * stays as it is. */
	err = recording_schema__errno(
		r->db, sqlite3_exec(r->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL));
	sqlite3_close(r->db);
	close(r->lock);
	forget_digests(r);
	free(r->texts.items);
	free(r->meta.items);
	free(r->own_meta.items);
	free(r->counters.items);
	free(r->containers.items);
	free(r->usage.items);
	free(r->processes.items);
	free(r->collectors.items);
	free(r->facts.items);
	free(r->estimates.items);
	free(r->seen_processes.items);
	free(r->seen_collectors.items);
	free(r->seen_facts.items);
	free(r);
	return err == -EBUSY ? 0 : err;
}
