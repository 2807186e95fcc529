/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Cells (sums by process, thread, stack and kind) and collections. Two lists hang beside the cells so
 * that a second costs what changed in it and not what is known: cells touched since the last tick,
 * and sums not yet drained.
 */
#include <errno.h>
#include <stdlib.h>

#include "model/profile_impl.h"

/* Pauses of the collector that a program feels. */
#define LONG_PAUSE_NS 1000000

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
	struct process_cells *of = &p->process_cells[key->process];

	if (p->n_cells >= MAX_ITEMS || RESERVE(p, cells) || index_table__reserve(&p->cell_index))
		return -ENOMEM;
	p->cells[p->n_cells] = (struct cell){
		.pub = *key, .pending = PROFILE_NONE, .next_of_process = of->first};
	of->first = p->n_cells;
	of->n++;
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

uint32_t profile__first_cell_of(const struct profile *p, uint32_t process)
{
	uint32_t i = process < p->n_processes ? p->process_cells[process].first : NO_CELL;

	return i == NO_CELL ? PROFILE_NONE : i;
}

uint32_t profile__next_cell_of(const struct profile *p, uint32_t cell)
{
	uint32_t i = cell < p->n_cells ? p->cells[cell].next_of_process : NO_CELL;

	return i == NO_CELL ? PROFILE_NONE : i;
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
		i = p->n_cells < p->limits.max_cells &&
				    p->process_cells[process].n < p->limits.max_cells_process
			    ? add_cell(p, &key)
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

int profile__set_deviations(struct profile *p, uint32_t process, uint32_t tid, uint32_t node, uint32_t kind,
			    const int64_t bytes[PROFILE_REPLICATES])
{
	const struct profile_cell key = { .process = process, .tid = tid, .node = node, .kind = kind };
	uint32_t cell = find_cell(p, &key);

	return cell == INTERN_NONE ? -EINVAL : deviations__set(&p->deviations, cell, bytes);
}

const int64_t *profile__deviations(const struct profile *p, uint32_t cell)
{
	return deviations__get(&p->deviations, cell);
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
	/* Many short ones shall not hide when a long one was. */
	uint32_t *second = &p->gc_second[gc->pause_ns >= LONG_PAUSE_NS];
	bool many = *second >= p->limits.max_gc_second;
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
	++*second;
	if (many)
		index_table__put(&p->gc_index, gc_hash(&copy), (uint32_t)i);
	return 0;
}

/* What a writer was given must not change any more. */
static void end_gc_second(struct profile *p)
{
	p->gc_second[0] = p->gc_second[1] = 0;
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
