/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sums by sorting, not by hashing: one sort of the cells by (container | process | thread, group of
 * the frame) makes every row a run. Totals with callees are made container by container: the nodes
 * that its cells touch are summed into their parents, which come before them because a node is made
 * after its parent (model/profile.h).
 */
#include "views/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "views/text.h"

struct item {
	uint32_t a, b;	/* what makes a row */
	uint32_t frame; /* what the row's top frame is chosen from */
	uint32_t cell;
};

struct maker {
	const struct selection *s;
	enum report_by by;
	uint32_t *self;	 /* by node: its frame that bytes belong to */
	uint32_t *group; /* by frame: the frame that stands for it */
	struct item *items;
	size_t n_items;
	struct rows rows;
	size_t n_other, room;
	uint32_t *cells, *ends; /* cells by container; where each container's end */
	/* Totals of one container. */
	uint64_t *node_total, *frame_total; /* by node, by frame */
	uint32_t *touched;
	size_t n_touched;
	bool *is_recursive; /* by node: a caller is of the same group */
};

/* What called malloc or memset is told, not that. */
static bool is_c_library(const struct profile_frame *f)
{
	const char *name = text__basename(f->file);

	return f->kind == FRAME_NATIVE && (strncmp(name, "libc.so", 7) == 0 || strncmp(name, "ld-musl-", 8) == 0);
}

/*
 * The Python frame above, where there is one; else the native frame itself. The collector is nobody's: at which line it begins is
 * chance.
 */
static bool belongs_above(const struct profile_frame *f, const struct profile_frame *above)
{
	if (f->kind == FRAME_PYTHON || f->kind == FRAME_COLLECTOR)
		return false;
	return above->kind == FRAME_PYTHON || above->kind == FRAME_COLLECTOR || (above->kind == FRAME_NATIVE && is_c_library(f));
}

static void make_self(struct maker *m)
{
	const struct profile *p = m->s->p;

	for (uint32_t i = 0; i < profile__n_nodes(p); i++) {
		const struct profile_node *node = profile__node(p, i);
		uint32_t above = node->parent < i ? m->self[node->parent] : PROFILE_NONE;

		if (node->parent >= i)
			m->self[i] = PROFILE_NONE;
		else if (above == PROFILE_NONE ||
			 !belongs_above(profile__frame(p, node->frame), profile__frame(p, above)))
			m->self[i] = node->frame;
		else
			m->self[i] = above;
	}
}

static int compare_functions(const void *va, const void *vb, void *arg)
{
	uint32_t ia = *(const uint32_t *)va, ib = *(const uint32_t *)vb;
	const struct profile_frame *a = profile__frame(arg, ia), *b = profile__frame(arg, ib);
	int cmp = (a->kind > b->kind) - (a->kind < b->kind);

	if (!cmp)
		cmp = strcmp(a->file, b->file);
	if (!cmp)
		cmp = strcmp(a->function, b->function);
	return cmp;
}

static int make_groups(struct maker *m)
{
	uint32_t n = profile__n_frames(m->s->p);
	uint32_t *order;

	for (uint32_t i = 0; i < n; i++)
		m->group[i] = i;
	if (m->by != REPORT_BY_FUNCTION || !n)
		return 0;
	order = malloc(n * sizeof(*order));
	if (!order)
		return -ENOMEM;
	memcpy(order, m->group, n * sizeof(*order));
	qsort_r(order, n, sizeof(*order), compare_functions, (void *)m->s->p);
	for (uint32_t i = 1; i < n; i++)
		if (!compare_functions(&order[i - 1], &order[i], (void *)m->s->p))
			m->group[order[i]] = m->group[order[i - 1]];
	free(order);
	return 0;
}

static struct item make_item(const struct maker *m, uint32_t i)
{
	const struct profile_cell *cell = profile__cell(m->s->p, i);
	uint32_t frame = m->self[cell->node];
	struct item item = {.frame = frame, .cell = i};

	if (frame != PROFILE_NONE)
		frame = m->group[frame];
	switch (m->by) {
	case REPORT_BY_CONTAINER:
		item.a = select__container(m->s, cell->process);
		break;
	case REPORT_BY_PROCESS:
		item.a = cell->process;
		break;
	case REPORT_BY_THREAD:
		item.a = cell->process;
		item.b = cell->tid;
		break;
	case REPORT_BY_FUNCTION:
	case REPORT_BY_LINE:
		item.a = select__container(m->s, cell->process);
		item.b = frame;
		item.frame = frame;
		break;
	}
	return item;
}

static int compare_items(const void *va, const void *vb)
{
	const struct item *a = va, *b = vb;

	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	if (a->b != b->b)
		return a->b < b->b ? -1 : 1;
	if (a->frame != b->frame)
		return a->frame < b->frame ? -1 : 1;
	return (a->cell > b->cell) - (a->cell < b->cell);
}

static void make_items(struct maker *m)
{
	for (uint32_t i = 0; i < profile__n_cells(m->s->p); i++)
		if (select__has(m->s, profile__cell(m->s->p, i)))
			m->items[m->n_items++] = make_item(m, i);
	if (m->n_items)
		qsort(m->items, m->n_items, sizeof(*m->items), compare_items);
}

static struct row *add_row(struct maker *m)
{
	size_t room = m->room ? m->room * 2 : 64;
	struct row *at;

	if (m->rows.n == m->room) {
		at = realloc(m->rows.at, room * sizeof(*at));
		if (!at)
			return NULL;
		m->rows.at = at;
		m->room = room;
	}
	at = &m->rows.at[m->rows.n++];
	*at = (struct row){
		.container = m->s->n_containers, .process = PROFILE_NONE, .frame = PROFILE_NONE};
	return at;
}

static void add_deviations(struct row *row, const int64_t *deviations)
{
	if (!deviations)
		return;
	row->estimated = true;
	for (int i = 0; i < PROFILE_REPLICATES; i++)
		row->deviations[i] += deviations[i];
}

double row__error(const struct row *row)
{
	return row->estimated ? deviations__error(row->bytes, row->deviations) / row->bytes : 0;
}

/* Whether they live nobody knows, and their line has counted their allocation: they only are a row of nobody. */
static bool counts_for_nothing(const struct maker *m, enum nobody nobody)
{
	bool by_code = m->by == REPORT_BY_FUNCTION || m->by == REPORT_BY_LINE;

	return nobody == NOBODY_NOT_FOLLOWED && (!by_code || m->s->view != VIEW_LIVE);
}

static void add_cell(struct maker *m, struct row *row, const struct item *item)
{
	const struct profile *p = m->s->p;
	const struct profile_cell *cell = profile__cell(p, item->cell);
	const struct profile_sums *sums = &cell->sums;
	bool is_reason =
		item->frame == PROFILE_NONE || profile__frame(p, item->frame)->kind == FRAME_REASON;

	if (counts_for_nothing(m, select__nobody(p, item->frame)))
		return;
	/* What was given back is only frees; its allocations are what lines took of them since. */
	if (select__nobody(p, item->frame) != NOBODY_GIVEN_BACK) {
		row->bytes += profile_cell__value(cell, m->s->view);
		row->cnt += select__count(m->s, cell);
		row->alloc_bytes += sums->alloc_bytes;
	}
	add_deviations(row, profile__deviations(p, item->cell));
	if (sums->free_bytes > sums->alloc_bytes)
		row->unmatched_bytes += sums->free_bytes - sums->alloc_bytes;
	if (!is_reason || sums->free_bytes > sums->alloc_bytes)
		row->growth_bytes += (int64_t)(sums->alloc_bytes - sums->free_bytes);
}

/* Sums the items from `from` that share a row; the frame with the most bytes becomes the row's.
 * Where the next starts. */
static size_t fill_row(struct maker *m, struct row *row, size_t from)
{
	const struct item *first = &m->items[from], *it = first, *end = m->items + m->n_items;
	const struct profile_cell *cell = profile__cell(m->s->p, first->cell);
	uint64_t most = 0;

	row->container = select__container(m->s, cell->process);
	row->frame = first->frame;
	if (m->by == REPORT_BY_PROCESS || m->by == REPORT_BY_THREAD)
		row->process = cell->process;
	if (m->by == REPORT_BY_THREAD)
		row->tid = cell->tid;
	while (it < end && it->a == first->a && it->b == first->b) {
		uint64_t before = row->bytes;
		uint32_t frame = it->frame;

		for (; it < end && it->a == first->a && it->b == first->b && it->frame == frame;
		     it++)
			add_cell(m, row, it);
		if (select__nobody(m->s->p, frame)) {
			if (!most && row->bytes > before)
				row->frame = frame;
			continue;
		}
		if (row->bytes - before > most) {
			most = row->bytes - before;
			row->frame = frame;
		}
	}
	return (size_t)(it - m->items);
}

static bool is_other(const struct profile *p, enum report_by by, const struct row *row)
{
	return (by == REPORT_BY_FUNCTION || by == REPORT_BY_LINE) && select__nobody(p, row->frame);
}

static int make_rows(struct maker *m)
{
	size_t i = 0;

	while (i < m->n_items) {
		struct row *row = add_row(m);

		if (!row)
			return -ENOMEM;
		i = fill_row(m, row, i);
		if (is_other(m->s->p, m->by, row)) {
			m->n_other++;
			continue;
		}
		m->rows.bytes += row->bytes;
		m->rows.cnt += row->cnt;
		m->rows.alloc_bytes += row->alloc_bytes;
		m->rows.unmatched_bytes += row->unmatched_bytes;
	}
	return 0;
}

/* Containers and processes are listed also when nothing of this signal was seen in them. */
static int add_silent(struct maker *m)
{
	uint32_t n =
		m->by == REPORT_BY_CONTAINER ? m->s->n_containers : profile__n_processes(m->s->p);
	size_t next = 0, seen = m->rows.n;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t container = m->by == REPORT_BY_CONTAINER ? i : select__container(m->s, i);
		const struct row *at = next < seen ? &m->rows.at[next] : NULL;
		struct row *row;

		if (at && (m->by == REPORT_BY_CONTAINER ? at->container : at->process) == i) {
			next++;
			continue;
		}
		if (!m->s->wanted[container])
			continue;
		row = add_row(m);
		if (!row)
			return -ENOMEM;
		row->container = container;
		if (m->by == REPORT_BY_PROCESS)
			row->process = i;
	}
	return 0;
}

/*
 * Sorts the cells by container, each container's in order of creation: their stacks then lie close
 * together in the trie. m->ends gets where each container's end.
 */
static void sort_cells(struct maker *m)
{
	uint32_t at = 0;

	for (size_t i = 0; i < m->n_items; i++)
		m->ends[m->items[i].a]++;
	for (uint32_t c = 0; c <= m->s->n_containers; c++) {
		uint32_t n = m->ends[c];

		m->ends[c] = at;
		at += n;
	}
	for (uint32_t i = 0; i < profile__n_cells(m->s->p); i++) {
		const struct profile_cell *cell = profile__cell(m->s->p, i);

		if (select__has(m->s, cell))
			m->cells[m->ends[select__container(m->s, cell->process)]++] = i;
	}
}

/* Sums m->cells [from, to), all of one container, over the trie. */
static void sum_nodes(struct maker *m, size_t from, size_t to)
{
	const struct profile *p = m->s->p;

	m->n_touched = 0;
	for (size_t i = from; i < to; i++) {
		const struct profile_cell *cell = profile__cell(p, m->cells[i]);
		uint64_t bytes = profile_cell__value(cell, m->s->view);

		for (uint32_t node = cell->node; bytes && node;
		     node = profile__node(p, node)->parent) {
			if (!m->node_total[node])
				m->touched[m->n_touched++] = node;
			m->node_total[node] += bytes;
		}
	}
}

struct walk {
	uint32_t *first_child, *next_sibling; /* by node; 0: none, the root is nobody's child */
	uint32_t *active; /* by frame: how many frames of its group the walk is in */
};

/* One walk over the trie, depth first. */
static void walk_trie(struct maker *m, struct walk *w)
{
	const struct profile *p = m->s->p;
	uint32_t n = profile__n_nodes(p), node;

	for (uint32_t i = n; i-- > 1;) {
		uint32_t parent = profile__node(p, i)->parent;

		w->next_sibling[i] = w->first_child[parent];
		w->first_child[parent] = i;
	}
	for (node = n ? w->first_child[0] : 0; node;) {
		uint32_t group = m->group[profile__node(p, node)->frame];

		m->is_recursive[node] = w->active[group]++ > 0;
		if (w->first_child[node]) {
			node = w->first_child[node];
			continue;
		}
		while (node && !w->next_sibling[node]) {
			w->active[m->group[profile__node(p, node)->frame]]--;
			node = profile__node(p, node)->parent;
		}
		if (node) {
			w->active[m->group[profile__node(p, node)->frame]]--;
			node = w->next_sibling[node];
		}
	}
}

/* Marks the nodes with a caller of their own group: that one already holds their bytes. */
static int mark_recursive(struct maker *m)
{
	size_t nodes = profile__n_nodes(m->s->p), frames = profile__n_frames(m->s->p);
	struct walk w = {
		.first_child = calloc(nodes + 1, sizeof(*w.first_child)),
		.next_sibling = calloc(nodes + 1, sizeof(*w.next_sibling)),
		.active = calloc(frames + 1, sizeof(*w.active)),
	};
	int err = w.first_child && w.next_sibling && w.active ? 0 : -ENOMEM;

	if (!err)
		walk_trie(m, &w);
	free(w.first_child);
	free(w.next_sibling);
	free(w.active);
	return err;
}

static void sum_frames(struct maker *m)
{
	const struct profile *p = m->s->p;

	for (size_t i = 0; i < m->n_touched; i++) {
		uint32_t node = m->touched[i];

		if (!m->is_recursive[node])
			m->frame_total[m->group[profile__node(p, node)->frame]] +=
				m->node_total[node];
	}
}

/* Gives rows [from, to) of one container their totals and adds rows for functions and lines that
 * only call. */
static int take_totals(struct maker *m, size_t from, size_t to)
{
	const struct profile *p = m->s->p;
	uint32_t container = m->rows.at[from].container;

	for (size_t i = from; i < to; i++) {
		struct row *row = &m->rows.at[i];

		row->total_bytes = row->bytes;
		if (row->frame == PROFILE_NONE)
			continue;
		row->total_bytes = m->frame_total[row->frame];
		m->frame_total[row->frame] = 0;
	}
	for (size_t i = 0; i < m->n_touched; i++) {
		uint32_t node = m->touched[i];
		uint32_t frame = m->group[profile__node(p, node)->frame];

		m->node_total[node] = 0;
		if (!m->frame_total[frame])
			continue;
		if (profile__frame(p, frame)->kind == FRAME_PYTHON || profile__frame(p, frame)->kind == FRAME_COLLECTOR) {
			struct row *row = add_row(m);

			if (!row)
				return -ENOMEM;
			row->container = container;
			row->frame = frame;
			row->total_bytes = m->frame_total[frame];
		}
		m->frame_total[frame] = 0;
	}
	return 0;
}

static int make_totals(struct maker *m)
{
	size_t n_rows = m->rows.n, from = 0, row = 0;
	int err = mark_recursive(m);

	if (err)
		return err;
	sort_cells(m);
	for (uint32_t container = 0; container <= m->s->n_containers; container++) {
		size_t row_to = row;

		while (row_to < n_rows && m->rows.at[row_to].container == container)
			row_to++;
		if (row_to == row)
			continue;
		sum_nodes(m, from, m->ends[container]);
		sum_frames(m);
		err = take_totals(m, row, row_to);
		if (err)
			return err;
		from = m->ends[container];
		row = row_to;
	}
	return 0;
}

static int compare_frames(const struct profile *p, uint32_t ia, uint32_t ib)
{
	const struct profile_frame *a, *b;
	int cmp;

	if (ia == PROFILE_NONE || ib == PROFILE_NONE || ia == ib)
		return (ia > ib) - (ia < ib);
	a = profile__frame(p, ia);
	b = profile__frame(p, ib);
	cmp = strcmp(a->file, b->file);
	if (!cmp)
		cmp = (a->line > b->line) - (a->line < b->line);
	return cmp ? cmp : strcmp(a->function, b->function);
}

static int compare_rows(const void *va, const void *vb, void *arg)
{
	const struct maker *m = arg;
	const struct profile *p = m->s->p;
	const struct row *a = va, *b = vb;
	int cmp = (int)is_other(p, m->by, a) - (int)is_other(p, m->by, b);

	if (cmp)
		return cmp;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	if (a->total_bytes != b->total_bytes)
		return a->total_bytes > b->total_bytes ? -1 : 1;
	if (a->alloc_bytes != b->alloc_bytes)
		return a->alloc_bytes > b->alloc_bytes ? -1 : 1;
	if (a->process == PROFILE_NONE)
		cmp = compare_frames(p, a->frame, b->frame);
	if (!cmp && a->container != b->container)
		cmp = a->container < b->container ? -1 : 1;
	if (!cmp && a->process != b->process)
		cmp = a->process < b->process ? -1 : 1;
	return cmp ? cmp : (a->tid > b->tid) - (a->tid < b->tid);
}

static int reserve(struct maker *m)
{
	const struct profile *p = m->s->p;
	size_t nodes = profile__n_nodes(p), frames = profile__n_frames(p);

	m->self = calloc(nodes + 1, sizeof(*m->self));
	m->group = calloc(frames + 1, sizeof(*m->group));
	m->items = calloc((size_t)profile__n_cells(p) + 1, sizeof(*m->items));
	m->cells = calloc((size_t)profile__n_cells(p) + 1, sizeof(*m->cells));
	m->ends = calloc((size_t)m->s->n_containers + 1, sizeof(*m->ends));
	m->node_total = calloc(nodes + 1, sizeof(*m->node_total));
	m->frame_total = calloc(frames + 1, sizeof(*m->frame_total));
	m->touched = calloc(nodes + 1, sizeof(*m->touched));
	m->is_recursive = calloc(nodes + 1, sizeof(*m->is_recursive));
	return m->self && m->group && m->items && m->cells && m->ends && m->node_total &&
			       m->frame_total && m->touched && m->is_recursive
		       ? 0
		       : -ENOMEM;
}

static int make(struct maker *m)
{
	int err = reserve(m);

	if (err)
		return err;
	make_self(m);
	err = make_groups(m);
	if (err)
		return err;
	make_items(m);
	err = make_rows(m);
	if (err)
		return err;
	if (m->by == REPORT_BY_FUNCTION || m->by == REPORT_BY_LINE)
		return make_totals(m);
	return m->by == REPORT_BY_THREAD ? 0 : add_silent(m);
}

int rows__new(const struct selection *s, enum report_by by, struct rows *ret)
{
	struct maker m = {.s = s, .by = by};
	int err = make(&m);

	free(m.self);
	free(m.group);
	free(m.items);
	free(m.cells);
	free(m.ends);
	free(m.node_total);
	free(m.frame_total);
	free(m.touched);
	free(m.is_recursive);
	if (err) {
		rows__free(&m.rows);
		return err;
	}
	if (m.rows.n)
		qsort_r(m.rows.at, m.rows.n, sizeof(*m.rows.at), compare_rows, &m);
	m.rows.n_other = m.n_other;
	m.rows.n -= m.n_other;
	*ret = m.rows;
	return 0;
}

void rows__free(struct rows *r)
{
	free(r->at);
	*r = (struct rows){0};
}
