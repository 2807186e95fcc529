/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The report as JSON. Keys are only ever added; integers are exact (a reader that keeps numbers as
 * doubles loses the last digits above 2^53); strings are full, with what is not UTF-8 as U+FFFD.
 * What is not known is null.
 *
 * {
 *   "format": "pymemscope-report", "version": 1,
 *   "by": "container|process|thread|function|line", "view": "live|alloc|peak",
 *   "signal": "exact|heap|pinned|mapped|resident", "kinds": ["exact", ...],
 *   "duration_ns": n,
 *   "bytes": n, "count": n, "allocated_bytes": n, "unmatched_free_bytes": n,   sums over all rows;
 * the last: freed where less was allocated (before tracing, elsewhere), so taken away from no row
 *   "containers": [{"name", "id", "runtime", "image", "cgroup", "cgroup_id", "bytes",
 * "growth_bytes", "usage_bytes", "limited": true|false|null, "limit_bytes", "peak_bytes",
 * "oom_kills", "time_to_limit_ns"}], "rows": [{"bytes", "error_bytes" (half of the 95 % interval; 0: counted, null: not known), "count", "allocated_bytes", "container",
 * "cgroup_id", by function and line: "total_bytes"; by process and thread: "tgid", "command",
 * "python", "interpreter", "rss_bytes", "note", "earlier" (processes whose sums are in it, too), "cost": {"cpu_ns", "cost_ns", "faults",
 * "faults_seen"}; by thread: "tid"; "frame": {"kind":
 * "python|native|reason|collector", "function", "file", "line"}}], by function and line the row itself (by
 * function without "line"), else its line with the most bytes "rows_left_out": n, "gc":
 * [{"generation", "collections", "pause_ns", "longest_ns", "collected", "uncollectable", "collected_unknown" (collections
 * that did not tell), "uncollectable_unknown", "not_watched" (of "collections": not watched, so that of those "pause_ns" is
 * estimated), "estimated" (of them: not counted either)}],
 *   "gc_triggers": [{"trigger": "automatic|gc.collect|native (C code)|shutdown|not watched|not watched, estimated"|null,
 * as in "gc"}],
 *   "gc_calls": [{"trigger": "gc.collect|native", as in "gc", "frame": as in rows}], the lines that call the collector
 *   "gc_dropped": n,
 *   "cost": as in rows, for all, and "budget" (a share; 0: none), "faults_watched" (share of the time),
 *   "collectors": [{"tgid", "enabled", "thresholds": [n, n, n]|null, "counts": [n, n, n]|null, "frozen",
 * "generations": [{"collections", "collected", "uncollectable"}]}], what they said last; sums since the interpreter began
 *   "allocators": [{"allocator", "processes"}],
 *   "coverage": [{"signal", "share", "part", "whole", "known", "processes"}], how much a signal sees (share: part of whole, null:
 * not known), and from what that is known: "derived: ..." or "measured: ..."
 *   "pymalloc": {"processes", "arena_bytes", "live_bytes", "free_bytes" (blocks beside live ones), "empty_bytes" (pools without a
 * live block), "unused_bytes", "classes": [{"block_bytes", "live_bytes", "free_bytes"}]}, null where no process was read
 *   "mapped": {"arenas": {"calls", "taken_bytes", "given_back_bytes"}, "heap" (brk), "anonymous", "shared": likewise, "unseen_bytes" (there, by whom is
 * not known), "advised": {"calls", "bytes" (of address ranges)}}, memory asked of the kernel since that is watched
 *   "counters": {"name": n}, "losses": {"dropped.name": n}, "merged": n,
 *   "notes": [{"note", "processes"}],
 *   "meta": {"key": "value"}
 * }
 */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "views/report_impl.h"
#include "views/text.h"

/* Adds value to an object, which owns it then; remembers in *err what failed. A null value is
 * JSON's null. */
static void put(struct json_object *to, const char *key, struct json_object *value, int *err)
{
	if (json_object_object_add(to, key, value)) {
		json_object_put(value);
		*err = -ENOMEM;
	}
}

static void put_number(struct json_object *to, const char *key, uint64_t value, int *err)
{
	struct json_object *number = json_object_new_uint64(value);

	if (number)
		put(to, key, number, err);
	else
		*err = -ENOMEM;
}

static void put_known(struct json_object *to, const char *key, uint64_t value, int *err)
{
	if (value)
		put_number(to, key, value, err);
	else
		put(to, key, NULL, err);
}

static void put_string(struct json_object *to, const char *key, const char *text, int *err)
{
	char *clean = text__utf8(text);
	struct json_object *string = clean ? json_object_new_string(clean) : NULL;

	free(clean);
	if (string)
		put(to, key, string, err);
	else
		*err = -ENOMEM;
}

/* A new member of a list; NULL (and *err) when there is no memory. */
static struct json_object *append(struct json_object *list, int *err)
{
	struct json_object *item = json_object_new_object();

	if (item && json_object_array_add(list, item) == 0)
		return item;
	json_object_put(item);
	*err = -ENOMEM;
	return NULL;
}

static struct json_object *put_new(struct json_object *to, const char *key,
				   struct json_object *value, int *err)
{
	if (!value) {
		*err = -ENOMEM;
		return NULL;
	}
	if (json_object_object_add(to, key, value) == 0)
		return value;
	json_object_put(value);
	*err = -ENOMEM;
	return NULL;
}

static void put_head(const struct report *r, struct json_object *root, int *err)
{
	static const char *const by[] = {"container", "process", "thread", "function", "line"};
	struct json_object *kinds;
	char signal[64];

	put_string(root, "format", "pymemscope-report", err);
	put_number(root, "version", 1, err);
	put_string(root, "by", by[r->opts->by], err);
	put_string(root, "view", select__view_name(r->selection.view), err);
	put_string(root, "signal", select__signal(r->selection.kinds, signal, sizeof(signal)), err);
	kinds = put_new(root, "kinds", json_object_new_array(), err);
	for (uint32_t i = 0; i < KIND_MAX && kinds; i++) {
		if (r->selection.kinds >> i & 1)
			json_object_array_add(kinds, json_object_new_string(select__kind_name(i)));
	}
	put_known(root, "duration_ns", facts__duration_ns(r->p), err);
	put_number(root, "bytes", r->rows.bytes, err);
	put_number(root, "count", r->rows.cnt, err);
	put_number(root, "allocated_bytes", r->rows.alloc_bytes, err);
	put_number(root, "unmatched_free_bytes", r->rows.unmatched_bytes, err);
	put_number(root, "before_tracing_bytes", r->nobody.before_bytes, err);
	put_number(root, "given_back_bytes", r->nobody.given_back_bytes, err);
	put_number(root, "not_watched_bytes", r->nobody.not_watched_bytes, err);
	put_number(root, "not_followed_bytes", r->nobody.not_followed_bytes, err);
}

static void put_container(const struct report *r, struct json_object *to, const struct row *row,
			  int *err)
{
	const struct profile_container *c = profile__container(r->p, row->container);
	bool limited = c->limit_bytes && c->limit_bytes != UINT64_MAX;

	put_string(to, "name", select__container_name(&r->selection, row->container), err);
	put_string(to, "id", c->id, err);
	put_string(to, "runtime", c->runtime, err);
	put_string(to, "image", c->image, err);
	put_string(to, "cgroup", c->path, err);
	put_number(to, "cgroup_id", c->cgroup_id, err);
	put_number(to, "bytes", row->bytes, err);
	put(to, "growth_bytes", json_object_new_int64(row->growth_bytes), err);
	put_known(to, "usage_bytes", c->usage_bytes, err);
	put(to, "limited", c->limit_bytes ? json_object_new_boolean(limited) : NULL, err);
	put_known(to, "limit_bytes", limited ? c->limit_bytes : 0, err);
	put_known(to, "peak_bytes", c->peak_bytes, err);
	put_number(to, "oom_kills", c->oom_kills, err);
	put_known(to, "time_to_limit_ns", facts__time_to_limit_ns(r->p, row->container), err);
}

static void put_frame(const struct report *r, struct json_object *row, uint32_t frame, bool with_line, int *err)
{
	static const char *const kinds[FRAME_KIND_MAX] = {"python", "native", "reason", "collector"};
	const struct profile_frame *f;
	struct json_object *to;

	if (frame == PROFILE_NONE) {
		put(row, "frame", NULL, err);
		return;
	}
	f = profile__frame(r->p, frame);
	to = put_new(row, "frame", json_object_new_object(), err);
	if (!to)
		return;
	put_string(to, "kind", kinds[f->kind < FRAME_KIND_MAX ? f->kind : FRAME_REASON], err);
	put_string(to, "function", f->function, err);
	put_string(to, "file", f->file, err);
	if (with_line)
		put_known(to, "line", f->line > 0 ? (uint64_t)f->line : 0, err);
}

static struct json_object *put_cost(struct json_object *to, const struct profile_cost *c, int *err)
{
	struct json_object *cost = put_new(to, "cost", json_object_new_object(), err);

	if (!cost)
		return NULL;
	put_number(cost, "cpu_ns", c->cpu_ns, err);
	put_number(cost, "cost_ns", c->cost_ns, err);
	put_number(cost, "faults", c->faults, err);
	put_number(cost, "faults_seen", c->faults_seen, err);
	return cost;
}

static void put_costs(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *cost = put_cost(root, &r->cost.sum, err);

	if (!cost)
		return;
	put(cost, "budget", r->cost.budget < 0 ? NULL : json_object_new_double(r->cost.budget), err);
	put(cost, "faults_watched", json_object_new_double(r->cost.hook_share), err);
}

/* Half of the 95 % interval; 0: counted, not estimated. */
static void put_error(struct json_object *to, const struct row *row, int *err)
{
	double error = row__error(row) * row->bytes;

	if (isfinite(error))
		put_number(to, "error_bytes", (uint64_t)error, err);
	else
		put(to, "error_bytes", NULL, err);
}

static void put_row(const struct report *r, struct json_object *to, const struct row *row, int *err)
{
	bool has_container = row->container < r->selection.n_containers;

	put_number(to, "bytes", row->bytes, err);
	put_error(to, row, err);
	put_number(to, "count", row->cnt, err);
	put_number(to, "allocated_bytes", row->alloc_bytes, err);
	put_number(to, "unmatched_free_bytes", row->unmatched_bytes, err);
	if (r->opts->by == REPORT_BY_FUNCTION || r->opts->by == REPORT_BY_LINE)
		put_number(to, "total_bytes", row->total_bytes, err);
	if (has_container) {
		put_string(to, "container", select__container_name(&r->selection, row->container),
			   err);
		put_number(to, "cgroup_id", profile__container(r->p, row->container)->cgroup_id,
			   err);
	} else {
		put(to, "container", NULL, err);
		put(to, "cgroup_id", NULL, err);
	}
	if (row->process < profile__n_processes(r->p)) {
		const struct profile_process *process = profile__process(r->p, row->process);

		put_number(to, "tgid", process->tgid, err);
		put_string(to, "command", process->command, err);
		put_string(to, "python", process->python, err);
		put_string(to, "interpreter", process->interpreter, err);
		put_known(to, "rss_bytes", process->rss_bytes, err);
		put_string(to, "note", process->note, err);
		put_number(to, "earlier", process->earlier, err);
		put_cost(to, &process->cost, err);
	}
	if (r->opts->by == REPORT_BY_THREAD)
		put_number(to, "tid", row->tid, err);
	put_frame(r, to, row->frame, r->opts->by != REPORT_BY_FUNCTION, err);
}

static void put_rows(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *list = put_new(root, "containers", json_object_new_array(), err);

	for (size_t i = 0; i < r->containers.n && !*err; i++) {
		const struct row *row = &r->containers.at[i];
		struct json_object *item;

		if (row->container >= r->selection.n_containers)
			continue;
		item = append(list, err);
		if (item)
			put_container(r, item, row, err);
	}
	list = put_new(root, "rows", json_object_new_array(), err);
	for (size_t i = 0; i < r->top && !*err; i++) {
		struct json_object *item = append(list, err);

		if (item)
			put_row(r, item, &r->rows.at[i], err);
	}
	put_number(root, "rows_left_out", r->rows.n - r->top, err);
	list = put_new(root, "other", json_object_new_array(), err);
	for (size_t i = 0; i < r->rows.n_other && !*err; i++) {
		struct json_object *item = append(list, err);

		if (item)
			put_row(r, item, &r->rows.at[r->rows.n + i], err);
	}
}

static void put_collections(struct json_object *to, const struct facts_gc *gc, int *err)
{
	put_number(to, "collections", gc->cnt, err);
	put_number(to, "not_watched", gc->not_watched_cnt, err);
	put_number(to, "estimated", gc->estimated_cnt, err);
	put_number(to, "pause_ns", gc->pause_ns, err);
	put_number(to, "longest_ns", gc->longest_ns, err);
	if (gc->collected_unknown_cnt < gc->cnt)
		put_number(to, "collected", gc->collected, err);
	else
		put(to, "collected", NULL, err);
	if (gc->uncollectable_unknown_cnt < gc->cnt)
		put_number(to, "uncollectable", gc->uncollectable, err);
	else
		put(to, "uncollectable", NULL, err);
	put_number(to, "collected_unknown", gc->collected_unknown_cnt, err);
	put_number(to, "uncollectable_unknown", gc->uncollectable_unknown_cnt, err);
}

static void put_trigger(struct json_object *to, enum gc_trigger trigger, int *err)
{
	const char *name = gc_trigger__name(trigger);

	if (name)
		put_string(to, "trigger", name, err);
	else
		put(to, "trigger", NULL, err);
}

static void put_generations(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *list = put_new(root, "gc", json_object_new_array(), err);

	for (int i = 0; i < FACTS_GENERATIONS && !*err; i++) {
		struct json_object *item;

		if (!r->gc.generations[i].cnt)
			continue;
		item = append(list, err);
		if (!item)
			return;
		put(item, "generation", i ? json_object_new_int(i - 1) : NULL, err);
		put_collections(item, &r->gc.generations[i], err);
	}
}

static void put_triggers(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *list = put_new(root, "gc_triggers", json_object_new_array(), err);

	for (int i = 0; i < GC_TRIGGER_MAX && !*err; i++) {
		struct json_object *item;

		if (!r->gc.triggers[i].cnt)
			continue;
		item = append(list, err);
		if (!item)
			return;
		put_trigger(item, (enum gc_trigger)i, err);
		put_collections(item, &r->gc.triggers[i], err);
	}
}

static void put_gc(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *list;

	put_generations(r, root, err);
	put_triggers(r, root, err);
	list = put_new(root, "gc_calls", json_object_new_array(), err);
	for (size_t i = 0; i < r->gc.n_calls && !*err; i++) {
		const struct facts_gc_call *call = &r->gc.calls[i];
		struct json_object *item = append(list, err);

		if (!item)
			return;
		put_trigger(item, call->trigger, err);
		put_collections(item, &call->sums, err);
		put_frame(r, item, call->frame, true, err);
	}
	put_number(root, "gc_dropped", profile__gc_dropped(r->p), err);
}

static void put_integers(struct json_object *to, const char *key, const int32_t values[PROFILE_GENERATIONS], int *err)
{
	struct json_object *list = put_new(to, key, json_object_new_array(), err);

	for (int g = 0; g < PROFILE_GENERATIONS && list; g++)
		json_object_array_add(list, json_object_new_int(values[g]));
}

static void put_collector(const struct report *r, struct json_object *to, const struct profile_collector *c, int *err)
{
	struct json_object *list;

	put_number(to, "tgid", profile__process(r->p, c->process)->tgid, err);
	put(to, "enabled", json_object_new_boolean(c->enabled), err);
	if (c->has_counts) {
		put_integers(to, "thresholds", c->threshold, err);
		put_integers(to, "counts", c->count, err);
	} else {
		put(to, "thresholds", NULL, err);
		put(to, "counts", NULL, err);
	}
	put(to, "frozen", c->frozen < 0 ? NULL : json_object_new_int64(c->frozen), err);
	list = put_new(to, "generations", json_object_new_array(), err);
	for (int g = 0; g < PROFILE_GENERATIONS && list && !*err; g++) {
		struct json_object *item = append(list, err);

		if (!item)
			return;
		put_number(item, "collections", (uint64_t)c->collections[g], err);
		put_number(item, "collected", (uint64_t)c->collected[g], err);
		put_number(item, "uncollectable", (uint64_t)c->uncollectable[g], err);
	}
}

static void put_collectors(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *list = put_new(root, "collectors", json_object_new_array(), err);

	for (uint32_t i = 0; i < profile__n_collectors(r->p) && !*err; i++) {
		const struct profile_collector *c = profile__collector(r->p, i);
		struct json_object *item;

		if (!r->selection.wanted[select__container(&r->selection, c->process)])
			continue;
		item = append(list, err);
		if (item)
			put_collector(r, item, c, err);
	}
}

static void put_facts(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *allocators = put_new(root, "allocators", json_object_new_array(), err);
	struct json_object *coverage = put_new(root, "coverage", json_object_new_array(), err);

	for (size_t i = 0; i < r->n_facts && !*err; i++) {
		const struct fact_group *g = &r->facts[i];
		const char *signal = fact_group__signal(g);
		struct json_object *item;

		if (!signal && strcmp(g->name, FACT_ALLOCATOR))
			continue;
		item = append(signal ? coverage : allocators, err);
		if (!item)
			return;
		put_string(item, signal ? "signal" : "allocator", signal ? signal : g->text, err);
		if (signal) {
			put(item, "share", g->whole ? json_object_new_double((double)g->part / (double)g->whole) : NULL, err);
			put_number(item, "part", g->part, err);
			put_number(item, "whole", g->whole, err);
			put_string(item, "known", g->text, err);
		}
		put_number(item, "processes", g->processes, err);
	}
}

static void put_pool_classes(const struct facts_pools *p, struct json_object *to, int *err)
{
	struct json_object *list = put_new(to, "classes", json_object_new_array(), err);

	for (size_t c = 0; c < FACTS_POOL_CLASSES && !*err; c++) {
		struct json_object *item = p->class[c].live || p->class[c].free ? append(list, err) : NULL;

		if (!item)
			continue;
		put_number(item, "block_bytes", 16 * (c + 1), err);
		put_number(item, "live_bytes", p->class[c].live, err);
		put_number(item, "free_bytes", p->class[c].free, err);
	}
}

static void put_pools(const struct report *r, struct json_object *root, int *err)
{
	const struct facts_pools *p = &r->pools;
	struct json_object *to;

	if (!p->processes) {
		put(root, "pymalloc", NULL, err);
		return;
	}
	to = put_new(root, "pymalloc", json_object_new_object(), err);
	put_number(to, "processes", p->processes, err);
	put_number(to, "arena_bytes", p->arenas, err);
	put_number(to, "live_bytes", p->live, err);
	put_number(to, "free_bytes", p->free, err);
	put_number(to, "empty_bytes", p->empty, err);
	put_number(to, "unused_bytes", p->unused, err);
	put_pool_classes(p, to, err);
}

static void put_mapped_kind(const struct facts_mapped_kind *k, const char *name, struct json_object *to, int *err)
{
	struct json_object *item = put_new(to, name, json_object_new_object(), err);

	put_number(item, "calls", k->calls, err);
	put_number(item, "taken_bytes", k->taken_bytes, err);
	put_number(item, "given_back_bytes", k->given_back_bytes, err);
}

static void put_mapped(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *to = put_new(root, "mapped", json_object_new_object(), err), *advised;

	put_mapped_kind(&r->mapped.arenas, "arenas", to, err);
	put_mapped_kind(&r->mapped.brk, "heap", to, err);
	put_mapped_kind(&r->mapped.anon, "anonymous", to, err);
	put_mapped_kind(&r->mapped.shared, "shared", to, err);
	put_number(to, "unseen_bytes", r->mapped.unseen_bytes, err);
	advised = put_new(to, "advised", json_object_new_object(), err);
	put_number(advised, "calls", r->mapped.advised_calls, err);
	put_number(advised, "bytes", r->mapped.advised_bytes, err);
}

static void put_counters(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *all = put_new(root, "counters", json_object_new_object(), err);
	struct json_object *losses = put_new(root, "losses", json_object_new_object(), err);
	const char *name;
	uint64_t value;

	for (uint32_t i = 0; i < profile__n_counters(r->p) && !*err; i++) {
		profile__counter(r->p, i, &name, &value);
		put_number(all, name, value, err);
		if (facts__is_loss(name, value))
			put_number(losses, name, value, err);
	}
	put_number(root, "merged", profile__merged(r->p), err);
}

static void put_texts(const struct report *r, struct json_object *root, int *err)
{
	struct json_object *list = put_new(root, "notes", json_object_new_array(), err);
	struct json_object *meta = put_new(root, "meta", json_object_new_object(), err);
	const char *key, *value;

	for (size_t i = 0; i < r->n_notes && !*err; i++) {
		struct json_object *item = append(list, err);

		if (!item)
			return;
		put_string(item, "note", r->notes[i].text, err);
		put_number(item, "processes", r->notes[i].processes, err);
	}
	for (uint32_t i = 0; i < profile__n_meta(r->p) && !*err; i++) {
		profile__meta_at(r->p, i, &key, &value);
		put_string(meta, key, value, err);
	}
}

int report_json__print(const struct report *r, FILE *out)
{
	struct json_object *root = json_object_new_object();
	const char *text = NULL;
	int err = root ? 0 : -ENOMEM;

	if (!err)
		put_head(r, root, &err);
	if (!err)
		put_rows(r, root, &err);
	if (!err)
		put_gc(r, root, &err);
	if (!err)
		put_costs(r, root, &err);
	if (!err)
		put_collectors(r, root, &err);
	if (!err)
		put_facts(r, root, &err);
	if (!err)
		put_pools(r, root, &err);
	if (!err)
		put_mapped(r, root, &err);
	if (!err)
		put_counters(r, root, &err);
	if (!err)
		put_texts(r, root, &err);
	if (!err)
		text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
								    JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!err && !text)
		err = -ENOMEM;
	if (!err) {
		fputs(text, out);
		putc('\n', out);
	}
	json_object_put(root);
	return err;
}
