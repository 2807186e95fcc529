/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The profile's trie is shared by all processes; here each process gets its own copy of the part it
 * uses. Everything is made in a few passes over arrays: cells sorted by process, the nodes they
 * touch in order (a parent's index is below its child's, model/profile.h), one sort of all nodes by
 * (parent, name), then offsets.
 */
#include "views/flame_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct use {
	uint32_t container, process, cell;
};

/* The uses of one process. */
struct span {
	const struct selection *s;
	size_t from, to;
	uint32_t container, process;
};

struct builder {
	struct flame_tree *t;
	struct use *uses;
	size_t n_uses;
	uint32_t *flame; /* by trie node: flame node of the process at hand; PROFILE_NONE */
	uint64_t *total; /* by trie node: bytes of the process at hand */
	uint32_t *touched;
	uint32_t *rank;	 /* by frame: its place in order of function, file, line */
	uint32_t *order; /* flame nodes by (parent, name) */
	uint32_t order_room;
};

static int64_t add_node(struct flame_tree *t, uint32_t parent, enum flame_kind kind, uint32_t ref)
{
	uint32_t room = t->room ? t->room * 2 : 1024;
	struct flame_node *at;

	if (t->n == t->room) {
		at = room > t->room ? realloc(t->at, room * sizeof(*at)) : NULL;
		if (!at)
			return -ENOMEM;
		t->at = at;
		t->room = room;
	}
	t->at[t->n] = (struct flame_node){
		.parent = parent,
		.ref = ref,
		.first_child = PROFILE_NONE,
		.next_sibling = PROFILE_NONE,
		.depth = parent == PROFILE_NONE ? 0 : (uint16_t)(t->at[parent].depth + 1),
		.kind = kind,
	};
	return t->n++;
}

static int compare_uses(const void *va, const void *vb)
{
	const struct use *a = va, *b = vb;

	if (a->container != b->container)
		return a->container < b->container ? -1 : 1;
	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	return (a->cell > b->cell) - (a->cell < b->cell);
}

static void find_uses(struct builder *b)
{
	const struct selection *s = b->t->s;

	for (uint32_t i = 0; i < profile__n_cells(s->p); i++) {
		const struct profile_cell *cell = profile__cell(s->p, i);
		enum nobody nobody;

		if (!select__has(s, cell) || !profile_cell__value(cell, s->view))
			continue;
		nobody = select__nobody(s->p, profile__node(s->p, cell->node)->frame);
		if (nobody == NOBODY_GIVEN_BACK || nobody == NOBODY_NOT_FOLLOWED)
			continue;
		b->uses[b->n_uses++] = (struct use){
			.container = select__container(s, cell->process),
			.process = cell->process,
			.cell = i,
		};
		b->t->bytes += profile_cell__value(cell, s->view);
	}
	if (b->n_uses)
		qsort(b->uses, b->n_uses, sizeof(*b->uses), compare_uses);
}

static int compare_u32(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return (a > b) - (a < b);
}

static bool is_wide(const struct builder *b, uint64_t bytes)
{
	return !b->t->parts || (unsigned __int128)bytes * b->t->parts >= b->t->bytes;
}

/* Sums uses [from, to), all of one process, over the trie; leaves in `touched` the nodes wide
 * enough. How many. */
static size_t sum_stacks(struct builder *b, size_t from, size_t to)
{
	const struct selection *s = b->t->s;
	size_t n = 0, wide = 0;

	for (size_t i = from; i < to; i++) {
		const struct profile_cell *cell = profile__cell(s->p, b->uses[i].cell);
		uint64_t bytes = profile_cell__value(cell, s->view);

		for (uint32_t node = cell->node; node; node = profile__node(s->p, node)->parent) {
			if (!b->total[node])
				b->touched[n++] = node;
			b->total[node] += bytes;
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (is_wide(b, b->total[b->touched[i]]))
			b->touched[wide++] = b->touched[i];
		else
			b->total[b->touched[i]] = 0;
	}
	b->t->left_out += n - wide;
	return wide;
}

/* Adds the stacks of uses [from, to), all of one process, below that process's node. */
static int add_stacks(struct builder *b, size_t from, size_t to, uint32_t process_node)
{
	const struct selection *s = b->t->s;
	size_t n = sum_stacks(b, from, to);
	int64_t added = 0;

	b->flame[0] = process_node;
	qsort(b->touched, n, sizeof(*b->touched), compare_u32);
	for (size_t i = 0; i < n && added >= 0; i++) {
		const struct profile_node *node = profile__node(s->p, b->touched[i]);

		added = add_node(b->t, b->flame[node->parent], FLAME_FRAME, node->frame);
		if (added < 0)
			break;
		b->flame[b->touched[i]] = (uint32_t)added;
		b->t->at[added].total = b->total[b->touched[i]];
	}
	for (size_t i = from; i < to && added >= 0; i++) {
		const struct profile_cell *cell = profile__cell(s->p, b->uses[i].cell);
		uint64_t bytes = profile_cell__value(cell, s->view);

		b->t->at[process_node].total += bytes;
		if (b->flame[cell->node] != PROFILE_NONE)
			b->t->at[b->flame[cell->node]].self += bytes;
	}
	for (size_t i = 0; i < n; i++) {
		b->flame[b->touched[i]] = PROFILE_NONE;
		b->total[b->touched[i]] = 0;
	}
	return added < 0 ? (int)added : 0;
}

static int add_processes(struct builder *b)
{
	int64_t container = 0, process;
	size_t from = 0, to;
	int err = 0;

	for (; from < b->n_uses && !err; from = to) {
		const struct use *use = &b->uses[from];

		if (!from || use->container != use[-1].container)
			container = add_node(b->t, 0, FLAME_CONTAINER, use->container);
		if (container < 0)
			return (int)container;
		process = add_node(b->t, (uint32_t)container, FLAME_PROCESS, use->process);
		if (process < 0)
			return (int)process;
		for (to = from; to < b->n_uses && b->uses[to].process == use->process; to++)
			;
		err = add_stacks(b, from, to, (uint32_t)process);
		b->t->at[container].total += b->t->at[process].total;
	}
	b->t->at[0].total = b->t->bytes;
	return err;
}

static int compare_frames(const void *va, const void *vb, void *arg)
{
	uint32_t ia = *(const uint32_t *)va, ib = *(const uint32_t *)vb;
	const struct profile_frame *a = profile__frame(arg, ia), *b = profile__frame(arg, ib);
	int cmp = strcmp(a->function, b->function);

	if (!cmp)
		cmp = strcmp(a->file, b->file);
	if (!cmp)
		cmp = (a->line > b->line) - (a->line < b->line);
	return cmp ? cmp : (ia > ib) - (ia < ib);
}

/* touched is large enough to hold the order for a while: see reserve(). */
static void rank_frames(struct builder *b)
{
	uint32_t n = profile__n_frames(b->t->s->p);

	for (uint32_t i = 0; i < n; i++)
		b->touched[i] = i;
	if (n)
		qsort_r(b->touched, n, sizeof(*b->touched), compare_frames, (void *)b->t->s->p);
	for (uint32_t i = 0; i < n; i++)
		b->rank[b->touched[i]] = i;
}

static int compare_containers(const struct selection *s, uint32_t a, uint32_t b)
{
	return strcmp(select__container_name(s, a), select__container_name(s, b));
}

static int compare_processes(const struct profile *p, uint32_t ia, uint32_t ib)
{
	const struct profile_process *a = profile__process(p, ia), *b = profile__process(p, ib);
	int cmp = strcmp(a->command, b->command);

	return cmp ? cmp : (a->tgid > b->tgid) - (a->tgid < b->tgid);
}

static int compare_nodes(const void *va, const void *vb, void *arg)
{
	uint32_t ia = *(const uint32_t *)va, ib = *(const uint32_t *)vb;
	const struct builder *b = arg;
	const struct flame_node *na = &b->t->at[ia], *nb = &b->t->at[ib];
	const struct selection *s = b->t->s;
	int cmp = 0;

	if (na->parent != nb->parent)
		return na->parent < nb->parent ? -1 : 1;
	if (na->kind != nb->kind)
		return na->kind < nb->kind ? -1 : 1;
	if (na->kind == FLAME_FRAME)
		return b->rank[na->ref] < b->rank[nb->ref] ? -1 : 1;
	if (na->kind == FLAME_CONTAINER)
		cmp = compare_containers(s, na->ref, nb->ref);
	else if (na->kind == FLAME_PROCESS)
		cmp = compare_processes(s->p, na->ref, nb->ref);
	return cmp ? cmp : (ia > ib) - (ia < ib);
}

static int link_nodes(struct builder *b)
{
	struct flame_node *at = b->t->at;
	uint32_t n = b->t->n, last = PROFILE_NONE;
	uint64_t offset = 0;

	if (n > b->order_room) {
		uint32_t *order = realloc(b->order, b->t->room * sizeof(*order));

		if (!order)
			return -ENOMEM;
		b->order = order;
		b->order_room = b->t->room;
	}

	for (uint32_t i = 0; i < n; i++)
		b->order[i] = i;
	/* Order of (parent, name): parents come up by rising index, so a parent's offset is there
	 * before its children's. */
	qsort_r(b->order + 1, n - 1, sizeof(*b->order), compare_nodes, b);
	for (uint32_t i = 1; i < n; i++) {
		struct flame_node *node = &at[b->order[i]];

		if (last != PROFILE_NONE && at[last].parent == node->parent) {
			at[last].next_sibling = b->order[i];
		} else {
			at[node->parent].first_child = b->order[i];
			offset = at[node->parent].offset;
		}
		node->offset = offset;
		offset += node->total;
		last = b->order[i];
	}
	return 0;
}

static int reserve(struct builder *b)
{
	const struct profile *p = b->t->s->p;
	size_t nodes = profile__n_nodes(p), frames = profile__n_frames(p);

	b->uses = calloc((size_t)profile__n_cells(p) + 1, sizeof(*b->uses));
	b->flame = malloc((nodes + 1) * sizeof(*b->flame));
	b->total = calloc(nodes + 1, sizeof(*b->total));
	b->touched = malloc((nodes + frames + 1) * sizeof(*b->touched));
	b->rank = malloc((frames + 1) * sizeof(*b->rank));
	if (!b->uses || !b->flame || !b->total || !b->touched || !b->rank)
		return -ENOMEM;
	memset(b->flame, 0xff, (nodes + 1) * sizeof(*b->flame));
	return 0;
}

static int build(struct builder *b)
{
	int err = reserve(b);
	int64_t root;

	if (err)
		return err;
	rank_frames(b);
	root = add_node(b->t, PROFILE_NONE, FLAME_ROOT, 0);
	if (root < 0)
		return (int)root;
	find_uses(b);
	err = add_processes(b);
	return err ? err : link_nodes(b);
}

static void builder__free(struct builder *b)
{
	free(b->uses);
	free(b->flame);
	free(b->total);
	free(b->touched);
	free(b->rank);
	free(b->order);
}

static int compare_spans(const void *va, const void *vb)
{
	const struct span *a = va, *b = vb;
	int cmp = compare_containers(a->s, a->container, b->container);

	if (!cmp)
		cmp = (a->container > b->container) - (a->container < b->container);
	if (!cmp)
		cmp = compare_processes(a->s->p, a->process, b->process);
	return cmp ? cmp : (a->process > b->process) - (a->process < b->process);
}

/* In the order of their names. */
static int find_spans(const struct builder *b, struct span **ret, size_t *ret_cnt)
{
	struct span *spans = malloc(((size_t)profile__n_processes(b->t->s->p) + 1) * sizeof(*spans));
	size_t n = 0, to;

	if (!spans)
		return -ENOMEM;
	for (size_t from = 0; from < b->n_uses; from = to) {
		const struct use *use = &b->uses[from];

		for (to = from; to < b->n_uses && b->uses[to].process == use->process; to++)
			;
		spans[n++] = (struct span){b->t->s, from, to, use->container, use->process};
	}
	if (n)
		qsort(spans, n, sizeof(*spans), compare_spans);
	*ret = spans;
	*ret_cnt = n;
	return 0;
}

static int build_process(struct builder *b, const struct span *span)
{
	int64_t at;
	int err;

	b->t->n = 0;
	at = add_node(b->t, PROFILE_NONE, FLAME_ROOT, 0);
	if (at >= 0)
		at = add_node(b->t, 0, FLAME_CONTAINER, span->container);
	if (at >= 0)
		at = add_node(b->t, (uint32_t)at, FLAME_PROCESS, span->process);
	if (at < 0)
		return (int)at;
	err = add_stacks(b, span->from, span->to, (uint32_t)at);
	if (err)
		return err;
	b->t->bytes = b->t->at[0].total = b->t->at[1].total = b->t->at[at].total;
	return link_nodes(b);
}

int flame_tree__each_process(const struct selection *s,
			     int (*fn)(const struct flame_tree *t, void *arg), void *arg)
{
	struct flame_tree t = {.s = s};
	struct builder b = {.t = &t};
	struct span *spans = NULL;
	size_t n = 0;
	int err = reserve(&b);

	if (!err) {
		rank_frames(&b);
		find_uses(&b);
		err = find_spans(&b, &spans, &n);
	}
	for (size_t i = 0; i < n && !err; i++) {
		err = build_process(&b, &spans[i]);
		if (!err)
			err = fn(&t, arg);
	}
	free(spans);
	builder__free(&b);
	flame_tree__free(&t);
	return err;
}

int flame_tree__new(const struct selection *s, uint32_t parts, struct flame_tree *ret)
{
	struct flame_tree t = {.s = s, .parts = parts};
	struct builder b = {.t = &t};
	int err = build(&b);

	builder__free(&b);
	if (err)
		flame_tree__free(&t);
	else
		*ret = t;
	return err;
}

void flame_tree__free(struct flame_tree *t)
{
	free(t->at);
	t->at = NULL;
	t->n = t->room = 0;
}

uint32_t flame_tree__next(const struct flame_tree *t, uint32_t node, bool below)
{
	if (below && t->at[node].first_child != PROFILE_NONE)
		return t->at[node].first_child;
	while (node != PROFILE_NONE && t->at[node].next_sibling == PROFILE_NONE)
		node = t->at[node].parent;
	return node == PROFILE_NONE ? PROFILE_NONE : t->at[node].next_sibling;
}

uint32_t flame_tree__container(const struct flame_tree *t, uint32_t node)
{
	while (node != PROFILE_NONE && t->at[node].kind != FLAME_CONTAINER)
		node = t->at[node].parent;
	return node;
}
