/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The aggregate, in dense arrays with a hash beside each (intern.h). Cells and collections are in
 * profile_cells.c.
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

#include "model/profile_impl.h"

#define DEFAULT_MAX_NODES (1u << 20)
#define DEFAULT_MAX_CELLS (1u << 20)
#define DEFAULT_MAX_GC (1u << 16)
#define DEFAULT_MAX_GC_SECOND 256

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
	deviations__free(&p->deviations);
	strings__free(&p->strings);
	free(p);
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

uint64_t profile__merged(const struct profile *p)
{
	return p->merged + p->gc_dropped;
}

void profile__set_merged(struct profile *p, uint64_t merged)
{
	p->merged = merged;
}
