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

#define DEFAULT_MAX_NODES (1u << 18)
#define DEFAULT_MAX_FRAMES (1u << 16)
#define DEFAULT_MAX_CELLS (1u << 17)
#define DEFAULT_MAX_TEXT_BYTES (8u << 20)
#define DEFAULT_MAX_GC (1u << 16)
#define DEFAULT_MAX_GC_SECOND 256

static uint32_t limit_of(uint32_t given, uint32_t otherwise)
{
	uint32_t limit = given ? given : otherwise;

	return limit < MAX_ITEMS ? limit : MAX_ITEMS;
}

static struct profile_limits limits_of(const struct profile_limits *given)
{
	struct profile_limits l = given ? *given : (struct profile_limits){0};

	l.max_nodes = limit_of(l.max_nodes, DEFAULT_MAX_NODES);
	l.max_frames = limit_of(l.max_frames, l.max_nodes < DEFAULT_MAX_FRAMES ? l.max_nodes : DEFAULT_MAX_FRAMES);
	l.max_cells = limit_of(l.max_cells, DEFAULT_MAX_CELLS);
	l.max_cells_process = limit_of(l.max_cells_process, l.max_cells / 2);
	l.max_text_bytes = l.max_text_bytes ? l.max_text_bytes : DEFAULT_MAX_TEXT_BYTES;
	l.max_gc = limit_of(l.max_gc, DEFAULT_MAX_GC);
	l.max_gc_second = limit_of(l.max_gc_second, DEFAULT_MAX_GC_SECOND);
	return l;
}

int profile__new(const struct profile_limits *limits, struct profile **ret)
{
	struct profile *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->limits = limits_of(limits);
	if (RESERVE(p, nodes)) {
		profile__free(p);
		return -ENOMEM;
	}
	p->nodes[p->n_nodes++] = (struct profile_node){PROFILE_NONE, PROFILE_NONE};
	*ret = p;
	return 0;
}

static void free_process(const struct profile_process *c)
{
	free((char *)c->command);
	free((char *)c->note);
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
	for (uint32_t i = 0; i < p->n_processes; i++)
		free_process(&p->processes[i]);
	free(p->processes);
	free(p->process_cells);
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

/* A process's strings; where it fails, nothing is left of it. */
static int copy_process(struct profile *p, const struct profile_process *c, struct profile_process *ret)
{
	const char **strings[] = {&ret->python, &ret->interpreter};
	int err;

	*ret = *c;
	err = intern_all(p, strings, 2);
	ret->command = strdup(c->command ? c->command : "");
	ret->note = strdup(c->note ? c->note : "");
	if (!err && ret->command && ret->note)
		return 0;
	free_process(ret);
	return -ENOMEM;
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
	struct profile_process copy;

	if (c->container != PROFILE_NONE && c->container >= p->n_containers)
		return -EINVAL;
	if (p->n_processes >= MAX_ITEMS || RESERVE(p, processes) || RESERVE(p, process_cells) ||
	    copy_process(p, c, &copy))
		return -ENOMEM;
	p->processes[p->n_processes] = copy;
	p->process_cells[p->n_process_cells++] = (struct process_cells){.first = NO_CELL};
	return p->n_processes++;
}

int profile__reuse_process(struct profile *p, uint32_t process, const struct profile_process *c)
{
	struct profile_process copy, *old;

	if (process >= p->n_processes || p->processes[process].container != c->container)
		return -EINVAL;
	if (copy_process(p, c, &copy))
		return -ENOMEM;
	old = &p->processes[process];
	copy.cost = old->cost;
	copy.earlier = old->earlier + 1;
	free_process(old);
	*old = copy;
	return 0;
}

static bool frame_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct profile_frame *a = &p->frames[item], *b = key;

	return a->kind == b->kind && a->line == b->line && a->function == b->function &&
	       a->file == b->file;
}

static uint64_t frame_hash(const struct profile_frame *f)
{
	return hash_words((uint64_t[]){f->kind, (uint32_t)f->line, (uintptr_t)f->function,
				       (uintptr_t)f->file},
			  4);
}

/* The frame, or INTERN_NONE; *ret gets interned strings where there are such. */
static uint32_t find_frame(const struct profile *p, const struct profile_frame *f, struct profile_frame *ret)
{
	*ret = *f;
	ret->function = strings__find(&p->strings, f->function);
	ret->file = strings__find(&p->strings, f->file);
	if (!ret->function || !ret->file)
		return INTERN_NONE;
	return index_table__find(&p->frame_index, frame_hash(ret), frame_equal, p, ret);
}

static int64_t find_or_add_frame(struct profile *p, const struct profile_frame *f, uint32_t limit,
				 uint64_t text_limit)
{
	struct profile_frame copy;
	const char **strings[] = {&copy.function, &copy.file};
	uint32_t i = find_frame(p, f, &copy);

	if (i != INTERN_NONE)
		return i;
	if (p->n_frames >= limit || p->strings.bytes >= text_limit)
		return PROFILE_NONE;
	copy = *f;
	if (RESERVE(p, frames) || index_table__reserve(&p->frame_index) || intern_all(p, strings, 2))
		return -ENOMEM;
	p->frames[p->n_frames] = copy;
	index_table__put(&p->frame_index, frame_hash(&copy), p->n_frames);
	return p->n_frames++;
}

int64_t profile__add_frame(struct profile *p, const struct profile_frame *f)
{
	static const struct profile_frame more = {.kind = FRAME_REASON, .function = "[more]"};
	int64_t i = find_or_add_frame(p, f, p->limits.max_frames, p->limits.max_text_bytes);

	if (i != PROFILE_NONE)
		return i;
	p->merged++;
	return find_or_add_frame(p, &more, UINT32_MAX, UINT64_MAX);
}

static bool node_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct profile_node *n = key;

	return p->nodes[item].parent == n->parent && p->nodes[item].frame == n->frame;
}

int64_t profile__add_node_within(struct profile *p, uint32_t parent, uint32_t frame, uint32_t *left)
{
	const struct profile_node node = {parent, frame};
	uint64_t hash = hash_words((uint64_t[]){(uint64_t)parent << 32 | frame}, 1);
	uint32_t i;

	if (parent >= p->n_nodes || frame >= p->n_frames)
		return -EINVAL;
	i = index_table__find(&p->node_index, hash, node_equal, p, &node);
	if (i != INTERN_NONE)
		return i;
	if (p->n_nodes >= p->limits.max_nodes || !*left) {
		p->merged++;
		return parent;
	}
	if (RESERVE(p, nodes) || index_table__reserve(&p->node_index))
		return -ENOMEM;
	--*left;
	p->nodes[p->n_nodes] = node;
	index_table__put(&p->node_index, hash, p->n_nodes);
	return p->n_nodes++;
}

int64_t profile__add_node(struct profile *p, uint32_t parent, uint32_t frame)
{
	uint32_t left = UINT32_MAX;

	return profile__add_node_within(p, parent, frame, &left);
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

static int take_own(const char **to, const char *from)
{
	char *copy;

	if (!from || !strcmp(from, *to))
		return 0;
	copy = strdup(from);
	if (!copy)
		return -ENOMEM;
	free((char *)*to);
	*to = copy;
	return 0;
}

int profile__update_process(struct profile *p, uint32_t process, const struct profile_process *c)
{
	const char *python = c->python, *interpreter = c->interpreter;
	const char **strings[] = {&python, &interpreter};
	struct profile_process *to;

	if (process >= p->n_processes)
		return -EINVAL;
	to = &p->processes[process];
	if (!python)
		python = to->python;
	if (!interpreter)
		interpreter = to->interpreter;
	if (intern_all(p, strings, 2) || take_own(&to->command, c->command) || take_own(&to->note, c->note))
		return -ENOMEM;
	to->python = python;
	to->interpreter = interpreter;
	take_u64(&to->rss_bytes, c->rss_bytes);
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
