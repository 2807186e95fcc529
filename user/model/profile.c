/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The aggregate, in dense arrays with a hash beside each (intern.h). Two lists hang beside the
 * cells so that a second costs what changed in it and not what is known: cells touched since the
 * last tick, and sums not yet drained.
 *
 * At max_nodes a new node is its parent, and a new frame is one frame "[more]" for all. At
 * max_cells sums go to the nearest ancestor that has a cell; where none has, to the root's cell of
 * the process with tid 0 (any thread). So no sum is lost, and what grows on is bounded by processes
 * x kinds.
 */
#include "model/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/collectors.h"
#include "model/intern.h"
#include "model/process_facts.h"
#include "model/usage.h"
#include "python.h"

#define DEFAULT_MAX_NODES (1u << 20)
#define DEFAULT_MAX_CELLS (1u << 20)
#define DEFAULT_MAX_GC (1u << 16)
#define DEFAULT_MAX_GC_SECOND 256
/* Indexes must stay below PROFILE_NONE, and one more item than the limit may exist. */
#define MAX_ITEMS (UINT32_MAX - 16)

struct cell {
	struct profile_cell pub;
	uint32_t pending; /* index into pending, or PROFILE_NONE */
	uint32_t touched; /* in the list for the next tick */
};
_Static_assert(sizeof(struct cell) == 64, "a cell is a cache line");

struct pending {
	uint32_t cell;
	struct profile_sums sums;
};

struct named_value {
	const char *name;
	uint64_t value;
};

struct meta {
	const char *key;
	char *value; /* not interned: "duration_ns" changes every second */
};

#define ARRAY(type, name)                                                                          \
	type *name;                                                                                \
	uint32_t n_##name, cap_##name

struct profile {
	struct profile_limits limits;
	struct strings strings;
	ARRAY(struct profile_container, containers);
	ARRAY(struct usage_history, usage); /* by container */
	ARRAY(struct profile_process, processes);
	struct collectors collectors;
	struct process_facts facts;
	ARRAY(struct profile_frame, frames);
	ARRAY(struct profile_node, nodes);
	ARRAY(struct cell, cells);
	ARRAY(uint32_t, touched);
	ARRAY(struct pending, pending);
	ARRAY(struct named_value, counters);
	ARRAY(struct meta, meta);
	ARRAY(struct profile_gc, gc); /* a ring once n_gc is max_gc */
	uint32_t gc_oldest;
	uint32_t gc_second; /* entries made since the last tick */
	uint64_t gc_dropped;
	uint64_t merged;
	struct index_table container_index, frame_index, node_index, cell_index;
	struct index_table gc_index; /* of entries that others are summed into, until the tick */
};

#define RESERVE(p, name)                                                                           \
	array__reserve((void **)&(p)->name, &(p)->cap_##name, (p)->n_##name, sizeof(*(p)->name))

int profile__new(const struct profile_limits *limits, struct profile **ret)
{
	const struct profile_limits given = limits ? *limits : (struct profile_limits){0};
	struct profile *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->limits.max_nodes = given.max_nodes ? given.max_nodes : DEFAULT_MAX_NODES;
	p->limits.max_cells = given.max_cells ? given.max_cells : DEFAULT_MAX_CELLS;
	p->limits.max_gc = given.max_gc ? given.max_gc : DEFAULT_MAX_GC;
	p->limits.max_gc_second =
		given.max_gc_second ? given.max_gc_second : DEFAULT_MAX_GC_SECOND;
	if (p->limits.max_nodes > MAX_ITEMS)
		p->limits.max_nodes = MAX_ITEMS;
	if (p->limits.max_cells > MAX_ITEMS)
		p->limits.max_cells = MAX_ITEMS;
	if (RESERVE(p, nodes)) {
		profile__free(p);
		return -ENOMEM;
	}
	p->nodes[p->n_nodes++] = (struct profile_node){PROFILE_NONE, PROFILE_NONE};
	*ret = p;
	return 0;
}

void profile__free(struct profile *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->n_meta; i++)
		free(p->meta[i].value);
	for (uint32_t i = 0; i < p->n_usage; i++)
		usage_history__free(&p->usage[i]);
	free(p->usage);
	collectors__free(&p->collectors);
	process_facts__free(&p->facts);
	free(p->containers);
	free(p->processes);
	free(p->frames);
	free(p->nodes);
	free(p->cells);
	free(p->touched);
	free(p->pending);
	free(p->counters);
	free(p->meta);
	free(p->gc);
	index_table__free(&p->container_index);
	index_table__free(&p->frame_index);
	index_table__free(&p->node_index);
	index_table__free(&p->cell_index);
	index_table__free(&p->gc_index);
	strings__free(&p->strings);
	free(p);
}

static uint64_t hash_words(const uint64_t *words, size_t n)
{
	uint64_t h = 0;

	for (size_t i = 0; i < n; i++)
		h = PY_HASH_STEP(h, words[i]);
	return h;
}

/* Interns n strings; *s[i] points into the profile afterwards. */
static int intern_all(struct profile *p, const char **s[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int err = strings__intern(&p->strings, *s[i], s[i]);

		if (err)
			return err;
	}
	return 0;
}

static int intern_container(struct profile *p, struct profile_container *c)
{
	const char **strings[] = {&c->path, &c->id, &c->name, &c->runtime, &c->image};

	if (!c->name || !*c->name)
		c->name = c->path;
	return intern_all(p, strings, 5);
}

static int intern_process(struct profile *p, struct profile_process *c)
{
	const char **strings[] = {&c->command, &c->python, &c->interpreter, &c->note};

	return intern_all(p, strings, 4);
}

static bool container_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;

	return p->containers[item].cgroup_id == *(const uint64_t *)key;
}

int64_t profile__add_container(struct profile *p, const struct profile_container *c)
{
	struct profile_container copy = *c;
	uint64_t hash = hash_words(&c->cgroup_id, 1);
	uint32_t i =
		index_table__find(&p->container_index, hash, container_equal, p, &c->cgroup_id);

	if (i != INTERN_NONE)
		return i;
	if (p->n_containers >= MAX_ITEMS || RESERVE(p, containers) ||
	    RESERVE(p, usage) ||
	    index_table__reserve(&p->container_index) || intern_container(p, &copy))
		return -ENOMEM;
	p->usage[p->n_usage++] = (struct usage_history){0};
	p->containers[p->n_containers] = copy;
	index_table__put(&p->container_index, hash, p->n_containers);
	return p->n_containers++;
}

int64_t profile__add_process(struct profile *p, const struct profile_process *c)
{
	struct profile_process copy = *c;

	if (c->container != PROFILE_NONE && c->container >= p->n_containers)
		return -EINVAL;
	if (p->n_processes >= MAX_ITEMS || RESERVE(p, processes) || intern_process(p, &copy))
		return -ENOMEM;
	p->processes[p->n_processes] = copy;
	return p->n_processes++;
}

static bool frame_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct profile_frame *a = &p->frames[item], *b = key;

	return a->kind == b->kind && a->line == b->line && a->function == b->function &&
	       a->file == b->file;
}

static int64_t find_or_add_frame(struct profile *p, const struct profile_frame *f, uint32_t limit)
{
	struct profile_frame copy = *f;
	const char **strings[] = {&copy.function, &copy.file};
	uint64_t hash;
	uint32_t i;

	if (intern_all(p, strings, 2))
		return -ENOMEM;
	hash = hash_words((uint64_t[]){copy.kind, (uint32_t)copy.line, (uintptr_t)copy.function,
				       (uintptr_t)copy.file},
			  4);
	i = index_table__find(&p->frame_index, hash, frame_equal, p, &copy);
	if (i != INTERN_NONE)
		return i;
	if (p->n_frames >= limit)
		return PROFILE_NONE;
	if (RESERVE(p, frames) || index_table__reserve(&p->frame_index))
		return -ENOMEM;
	p->frames[p->n_frames] = copy;
	index_table__put(&p->frame_index, hash, p->n_frames);
	return p->n_frames++;
}

int64_t profile__add_frame(struct profile *p, const struct profile_frame *f)
{
	static const struct profile_frame more = {.kind = FRAME_REASON, .function = "[more]"};
	int64_t i = find_or_add_frame(p, f, p->limits.max_nodes);

	if (i != PROFILE_NONE)
		return i;
	p->merged++;
	return find_or_add_frame(p, &more, p->limits.max_nodes + 1);
}

static bool node_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct profile_node *n = key;

	return p->nodes[item].parent == n->parent && p->nodes[item].frame == n->frame;
}

int64_t profile__add_node(struct profile *p, uint32_t parent, uint32_t frame)
{
	const struct profile_node node = {parent, frame};
	uint64_t hash = hash_words((uint64_t[]){(uint64_t)parent << 32 | frame}, 1);
	uint32_t i;

	if (parent >= p->n_nodes || frame >= p->n_frames)
		return -EINVAL;
	i = index_table__find(&p->node_index, hash, node_equal, p, &node);
	if (i != INTERN_NONE)
		return i;
	if (p->n_nodes >= p->limits.max_nodes) {
		p->merged++;
		return parent;
	}
	if (RESERVE(p, nodes) || index_table__reserve(&p->node_index))
		return -ENOMEM;
	p->nodes[p->n_nodes] = node;
	index_table__put(&p->node_index, hash, p->n_nodes);
	return p->n_nodes++;
}

static void sum(uint64_t *to, uint64_t added)
{
	if (__builtin_add_overflow(*to, added, to))
		*to = UINT64_MAX;
}

static void take_string(const char **to, const char *from)
{
	if (from)
		*to = from;
}

static void take_u64(uint64_t *to, uint64_t from)
{
	if (from)
		*to = from;
}

int profile__update_container(struct profile *p, uint32_t container,
			      const struct profile_container *c)
{
	struct profile_container copy;
	int err;

	if (container >= p->n_containers)
		return -EINVAL;
	copy = p->containers[container];
	take_string(&copy.path, c->path);
	take_string(&copy.id, c->id);
	take_string(&copy.name, c->name);
	take_string(&copy.runtime, c->runtime);
	take_string(&copy.image, c->image);
	take_u64(&copy.limit_bytes, c->limit_bytes);
	take_u64(&copy.usage_bytes, c->usage_bytes);
	take_u64(&copy.peak_bytes, c->peak_bytes);
	take_u64(&copy.oom_kills, c->oom_kills);
	err = intern_container(p, &copy);
	if (err)
		return err;
	p->containers[container] = copy;
	return 0;
}

int profile__add_usage(struct profile *p, uint32_t container, const struct profile_usage *u)
{
	return container < p->n_usage ? usage_history__add(&p->usage[container], u) : -EINVAL;
}

uint32_t profile__usage(const struct profile *p, uint32_t container, const struct profile_usage **ret)
{
	if (container >= p->n_usage)
		return 0;
	*ret = p->usage[container].at;
	return p->usage[container].n;
}

int profile__update_process(struct profile *p, uint32_t process, const struct profile_process *c)
{
	struct profile_process copy;
	int err;

	if (process >= p->n_processes)
		return -EINVAL;
	copy = p->processes[process];
	take_string(&copy.command, c->command);
	take_string(&copy.python, c->python);
	take_string(&copy.interpreter, c->interpreter);
	take_string(&copy.note, c->note);
	take_u64(&copy.rss_bytes, c->rss_bytes);
	err = intern_process(p, &copy);
	if (err)
		return err;
	p->processes[process] = copy;
	return 0;
}

int profile__add_cost(struct profile *p, uint32_t process, const struct profile_cost *added)
{
	struct profile_cost *c;

	if (process >= p->n_processes)
		return -EINVAL;
	c = &p->processes[process].cost;
	sum(&c->cpu_ns, added->cpu_ns);
	sum(&c->cost_ns, added->cost_ns);
	sum(&c->faults, added->faults);
	sum(&c->faults_seen, added->faults_seen);
	return 0;
}

int profile__set_collector(struct profile *p, const struct profile_collector *c)
{
	return c->process < p->n_processes ? collectors__set(&p->collectors, c) : -EINVAL;
}

uint32_t profile__n_collectors(const struct profile *p)
{
	return p->collectors.n;
}

const struct profile_collector *profile__collector(const struct profile *p, uint32_t i)
{
	return i < p->collectors.n ? &p->collectors.at[i] : NULL;
}

const struct profile_collector *profile__collector_of(const struct profile *p, uint32_t process)
{
	return collectors__of(&p->collectors, process);
}

int profile__set_fact(struct profile *p, const struct profile_fact *f)
{
	struct profile_fact copy = *f;
	const char **strings[] = {&copy.name, &copy.text};

	if (f->process >= p->n_processes)
		return -EINVAL;
	return intern_all(p, strings, 2) ? -ENOMEM : process_facts__set(&p->facts, &copy);
}

uint32_t profile__n_facts(const struct profile *p)
{
	return p->facts.n;
}

const struct profile_fact *profile__fact(const struct profile *p, uint32_t i)
{
	return i < p->facts.n ? &p->facts.at[i] : NULL;
}

static bool cell_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct profile_cell *a = &p->cells[item].pub, *b = key;

	return a->process == b->process && a->tid == b->tid && a->node == b->node &&
	       a->kind == b->kind;
}

static uint64_t cell_hash(const struct profile_cell *c)
{
	return hash_words((uint64_t[]){(uint64_t)c->process << 32 | c->tid,
				       (uint64_t)c->node << 32 | c->kind},
			  2);
}

static uint32_t find_cell(const struct profile *p, const struct profile_cell *key)
{
	return index_table__find(&p->cell_index, cell_hash(key), cell_equal, p, key);
}

static int64_t add_cell(struct profile *p, const struct profile_cell *key)
{
	if (p->n_cells >= MAX_ITEMS || RESERVE(p, cells) || index_table__reserve(&p->cell_index))
		return -ENOMEM;
	p->cells[p->n_cells] = (struct cell){.pub = *key, .pending = PROFILE_NONE};
	index_table__put(&p->cell_index, cell_hash(key), p->n_cells);
	return p->n_cells++;
}

/* The cell that takes the sums of key once no more may be made. */
static int64_t find_ancestor_cell(struct profile *p, struct profile_cell key)
{
	uint32_t i;

	p->merged++;
	while (key.node) {
		key.node = p->nodes[key.node].parent;
		i = find_cell(p, &key);
		if (i != INTERN_NONE)
			return i;
	}
	key.tid = 0;
	i = find_cell(p, &key);
	return i != INTERN_NONE ? i : add_cell(p, &key);
}

static void sums_add(struct profile_sums *to, const struct profile_sums *added)
{
	sum(&to->alloc_cnt, added->alloc_cnt);
	sum(&to->alloc_bytes, added->alloc_bytes);
	sum(&to->free_cnt, added->free_cnt);
	sum(&to->free_bytes, added->free_bytes);
}

static bool sums_empty(const struct profile_sums *s)
{
	return !(s->alloc_cnt | s->alloc_bytes | s->free_cnt | s->free_bytes);
}

int profile__add(struct profile *p, uint32_t process, uint32_t tid, uint32_t node, uint32_t kind,
		 const struct profile_sums *delta)
{
	const struct profile_cell key = {
		.process = process, .tid = tid, .node = node, .kind = kind};
	struct cell *cell;
	int64_t i;

	if (process >= p->n_processes || node >= p->n_nodes || kind >= KIND_MAX)
		return -EINVAL;
	if (sums_empty(delta))
		return 0;
	i = find_cell(p, &key);
	if (i == INTERN_NONE)
		i = p->n_cells < p->limits.max_cells ? add_cell(p, &key)
						     : find_ancestor_cell(p, key);
	if (i < 0)
		return (int)i;
	if (RESERVE(p, touched) || RESERVE(p, pending))
		return -ENOMEM;
	cell = &p->cells[i];
	if (!cell->touched) {
		cell->touched = 1;
		p->touched[p->n_touched++] = (uint32_t)i;
	}
	if (cell->pending == PROFILE_NONE) {
		cell->pending = p->n_pending;
		p->pending[p->n_pending++] = (struct pending){.cell = (uint32_t)i};
	}
	sums_add(&cell->pub.sums, delta);
	sums_add(&p->pending[cell->pending].sums, delta);
	return 0;
}

static bool gc_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct profile_gc *a = &p->gc[item], *b = key;

	return a->process == b->process && a->tid == b->tid && a->node == b->node &&
	       a->generation == b->generation && a->trigger == b->trigger &&
	       (a->collected < 0) == (b->collected < 0) && (a->uncollectable < 0) == (b->uncollectable < 0);
}

static uint64_t gc_hash(const struct profile_gc *gc)
{
	return hash_words((uint64_t[]){(uint64_t)gc->process << 32 | gc->tid,
				       (uint64_t)gc->node << 32 | (uint32_t)gc->generation,
				       (uint64_t)gc->trigger << 2 | (gc->collected < 0) << 1 |
					       (gc->uncollectable < 0)},
			  3);
}

static void gc_merge(struct profile_gc *to, const struct profile_gc *gc)
{
	sum(&to->cnt, gc->cnt);
	sum(&to->pause_ns, gc->pause_ns);
	if (gc->longest_ns > to->longest_ns)
		to->longest_ns = gc->longest_ns;
	if (gc->collected >= 0 && __builtin_add_overflow(to->collected, gc->collected, &to->collected))
		to->collected = INT64_MAX;
	if (gc->uncollectable >= 0 &&
	    __builtin_add_overflow(to->uncollectable, gc->uncollectable, &to->uncollectable))
		to->uncollectable = INT64_MAX;
}

/* Where the next entry goes: a new place, or the oldest one's. */
static int64_t gc_slot(struct profile *p)
{
	uint32_t oldest = p->gc_oldest;

	if (p->n_gc < p->limits.max_gc)
		return RESERVE(p, gc) ? -ENOMEM : (int64_t)p->n_gc++;
	p->gc_oldest = (oldest + 1) % p->n_gc;
	p->gc_dropped++;
	return oldest;
}

int profile__add_gc(struct profile *p, const struct profile_gc *gc)
{
	bool many = p->gc_second >= p->limits.max_gc_second;
	struct profile_gc copy = *gc;
	uint32_t known;
	int64_t i;

	if (gc->process >= p->n_processes || gc->node >= p->n_nodes || gc->trigger >= GC_TRIGGER_MAX)
		return -EINVAL;
	if (!copy.cnt) {
		copy.cnt = 1;
		copy.longest_ns = copy.pause_ns;
	}
	known = many ? index_table__find(&p->gc_index, gc_hash(&copy), gc_equal, p, &copy)
		     : INTERN_NONE;
	if (known != INTERN_NONE) {
		gc_merge(&p->gc[known], &copy);
		return 0;
	}
	if (many && index_table__reserve(&p->gc_index))
		return -ENOMEM;
	i = gc_slot(p);
	if (i < 0)
		return (int)i;
	p->gc[i] = copy;
	p->gc_second++;
	if (many)
		index_table__put(&p->gc_index, gc_hash(&copy), (uint32_t)i);
	return 0;
}

/* What a writer was given must not change any more. */
static void end_gc_second(struct profile *p)
{
	p->gc_second = 0;
	index_table__free(&p->gc_index);
}

void profile__tick(struct profile *p)
{
	for (uint32_t i = 0; i < p->n_touched; i++) {
		struct cell *cell = &p->cells[p->touched[i]];
		uint64_t live = profile_cell__value(&cell->pub, VIEW_LIVE);

		if (live > cell->pub.peak_live_bytes)
			cell->pub.peak_live_bytes = live;
		cell->touched = 0;
	}
	p->n_touched = 0;
	end_gc_second(p);
}

int profile__set_counter(struct profile *p, const char *name, uint64_t value)
{
	struct named_value c = {.value = value};

	for (uint32_t i = 0; i < p->n_counters; i++) {
		if (!strcmp(p->counters[i].name, name)) {
			p->counters[i].value = value;
			return 0;
		}
	}
	if (RESERVE(p, counters) || strings__intern(&p->strings, name, &c.name))
		return -ENOMEM;
	p->counters[p->n_counters++] = c;
	return 0;
}

int profile__set_meta(struct profile *p, const char *key, const char *value)
{
	struct meta m = {.value = strdup(value)};

	if (!m.value)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_meta; i++) {
		if (!strcmp(p->meta[i].key, key)) {
			free(p->meta[i].value);
			p->meta[i].value = m.value;
			return 0;
		}
	}
	if (RESERVE(p, meta) || strings__intern(&p->strings, key, &m.key)) {
		free(m.value);
		return -ENOMEM;
	}
	p->meta[p->n_meta++] = m;
	return 0;
}

const char *profile__meta(const struct profile *p, const char *key)
{
	for (uint32_t i = 0; i < p->n_meta; i++) {
		if (!strcmp(p->meta[i].key, key))
			return p->meta[i].value;
	}
	return NULL;
}

#define COUNT(name)                                                                                \
	uint32_t profile__n_##name(const struct profile *p)                                        \
	{                                                                                          \
		return p->n_##name;                                                                \
	}

COUNT(containers)
COUNT(processes)
COUNT(frames)
COUNT(nodes)
COUNT(cells)
COUNT(gc)
COUNT(counters)
COUNT(meta)

const struct profile_container *profile__container(const struct profile *p, uint32_t i)
{
	return i < p->n_containers ? &p->containers[i] : NULL;
}

const struct profile_process *profile__process(const struct profile *p, uint32_t i)
{
	return i < p->n_processes ? &p->processes[i] : NULL;
}

const struct profile_frame *profile__frame(const struct profile *p, uint32_t i)
{
	return i < p->n_frames ? &p->frames[i] : NULL;
}

const struct profile_node *profile__node(const struct profile *p, uint32_t i)
{
	return i < p->n_nodes ? &p->nodes[i] : NULL;
}

const struct profile_cell *profile__cell(const struct profile *p, uint32_t i)
{
	return i < p->n_cells ? &p->cells[i].pub : NULL;
}

const struct profile_gc *profile__gc(const struct profile *p, uint32_t i)
{
	return i < p->n_gc ? &p->gc[((uint64_t)p->gc_oldest + i) % p->n_gc] : NULL;
}

uint64_t profile__gc_dropped(const struct profile *p)
{
	return p->gc_dropped;
}

void profile__counter(const struct profile *p, uint32_t i, const char **name, uint64_t *value)
{
	*name = i < p->n_counters ? p->counters[i].name : NULL;
	*value = i < p->n_counters ? p->counters[i].value : 0;
}

void profile__meta_at(const struct profile *p, uint32_t i, const char **key, const char **value)
{
	*key = i < p->n_meta ? p->meta[i].key : NULL;
	*value = i < p->n_meta ? p->meta[i].value : NULL;
}

static int pending_order(const void *a, const void *b)
{
	uint32_t x = ((const struct pending *)a)->cell, y = ((const struct pending *)b)->cell;

	return (x > y) - (x < y);
}

int profile__drain_changes(struct profile *p,
			   int (*fn)(uint32_t cell, const struct profile_sums *added, void *arg),
			   void *arg)
{
	int err = 0;

	end_gc_second(p);
	if (p->n_pending)
		qsort(p->pending, p->n_pending, sizeof(*p->pending), pending_order);
	for (uint32_t i = 0; i < p->n_pending; i++) {
		uint32_t cell = p->pending[i].cell;

		if (!err)
			err = fn(cell, &p->pending[i].sums, arg);
		p->cells[cell].pending = PROFILE_NONE;
	}
	p->n_pending = 0;
	return err;
}

uint64_t profile__merged(const struct profile *p)
{
	return p->merged + p->gc_dropped;
}

void profile__set_merged(struct profile *p, uint64_t merged)
{
	p->merged = merged;
}

uint64_t profile_cell__value(const struct profile_cell *c, enum profile_view view)
{
	switch (view) {
	case VIEW_LIVE:
		return c->sums.alloc_bytes > c->sums.free_bytes
			       ? c->sums.alloc_bytes - c->sums.free_bytes
			       : 0;
	case VIEW_ALLOC:
		return c->sums.alloc_bytes;
	case VIEW_PEAK:
		return c->peak_live_bytes;
	}
	return 0;
}
