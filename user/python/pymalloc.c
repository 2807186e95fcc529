/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which addresses to look at: pools of the arenas that the allocator lists, else all that could be pools in private
 * anonymous memory. 3.8's to 3.15's sizes: see pymalloc_pool.h.
 */
#include "python/pymalloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/pymalloc_impl.h"

/* Searching: address space beyond this is left out; looking at where nothing is resident costs too. */
#define MAX_SEARCH_BYTES (64ull << 30)
#define PAGES_A_LOOK 4096

/* splitmix64 */
uint64_t pymalloc__random(uint64_t *state)
{
	uint64_t x = *state += 0x9E3779B97F4A7C15ull;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
	x = (x ^ x >> 27) * 0x94D049BB133111EBull;
	return x ^ x >> 31;
}

int pymalloc_ranges__add(struct pymalloc_ranges *r, uint64_t start, uint64_t end)
{
	if (r->cnt == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct pymalloc_range *wider = realloc(r->range, room * sizeof(*wider));

		if (!wider)
			return -ENOMEM;
		r->range = wider;
		r->room = room;
	}
	r->range[r->cnt++] = (struct pymalloc_range){ start, end };
	return 0;
}

static struct pymalloc *new_allocator(const struct mem_reader *m, const struct py_layout *l)
{
	struct pymalloc *a = calloc(1, sizeof(*a));
	bool large = l->version >= PY_VERSION(3, 10);

	if (!a)
		return NULL;
	a->m = *m;
	a->layout = *l;
	a->pool_bytes = large ? 16384 : 4096;
	a->arena_bytes = large ? 2 << 20 : 256 << 10;
	return a;
}

int pymalloc__open(const struct proc *p, pid_t tgid, const struct interp *in, struct pymalloc **ret)
{
	struct mem_reader m = mem_reader__of_process(tgid);
	struct pymalloc *a = new_allocator(&m, &in->layout);

	if (!a)
		return -ENOMEM;
	a->proc = p;
	a->tgid = tgid;
	a->runtime = in->runtime;
	a->path = strdup(in->path);
	if (!a->path) {
		pymalloc__free(a);
		return -ENOMEM;
	}
	*ret = a;
	return 0;
}

int pymalloc__open_memory(const struct mem_reader *m, const struct py_layout *l, const struct pymalloc_range *data,
			  size_t data_cnt, const struct pymalloc_range *anon, size_t anon_cnt, struct pymalloc **ret)
{
	struct pymalloc *a = new_allocator(m, l);
	int err = a ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < data_cnt; i++)
		err = pymalloc_ranges__add(&a->data, data[i].start, data[i].end);
	for (size_t i = 0; !err && i < anon_cnt; i++)
		err = pymalloc_ranges__add(&a->anon, anon[i].start, anon[i].end);
	if (err) {
		pymalloc__free(a);
		return err;
	}
	*ret = a;
	return 0;
}

void pymalloc__free(struct pymalloc *a)
{
	if (!a)
		return;
	free(a->data.range);
	free(a->anon.range);
	free(a->path);
	free(a);
}

void pymalloc_pools__free(struct pymalloc_pools *p)
{
	free(p->pool);
	*p = (struct pymalloc_pools){ 0 };
}

struct map_walk {
	struct pymalloc *a;
	uint64_t data_end; /* of the mapping before, where that was the interpreter's data */
};

/* Memory from mmap or brk, which may have been given a name ("[anon:...]", prctl(2) PR_SET_VMA). */
static bool is_anonymous(const struct proc_map *m)
{
	return !m->inode && (!m->path[0] || !strcmp(m->path, "[heap]") || !strncmp(m->path, "[anon", 5));
}

static int take_map(const struct proc_map *m, void *arg)
{
	struct map_walk *w = arg;
	bool data = false;
	int err = 0;

	if (m->writable && m->inode) {
		data = !strcmp(m->path, w->a->path);
	} else if (m->writable && is_anonymous(m)) {
		/* What follows the data is the zeroed part of it. */
		data = m->start == w->data_end && !m->path[0];
		err = pymalloc_ranges__add(&w->a->anon, m->start, m->end);
	}
	w->data_end = data ? m->end : 0;
	if (!err && data)
		err = pymalloc_ranges__add(&w->a->data, m->start, m->end);
	return err;
}

static int read_maps(struct pymalloc *a)
{
	struct map_walk w = { .a = a };

	if (!a->proc)
		return 0;
	a->data.cnt = a->anon.cnt = 0;
	return proc__for_each_map(a->proc, a->tgid, take_map, &w);
}

/* Of each `every` pools in a row one is read, by chance: a program opens pools of its classes in a rhythm. */
struct stride {
	unsigned int every, at, chosen;
	uint64_t random;
};

static bool is_turn(struct stride *s)
{
	bool turn;

	if (!s->at)
		s->chosen = pymalloc__random(&s->random) % s->every;
	turn = s->at == s->chosen;
	s->at = (s->at + 1) % s->every;
	return turn;
}

/* Adds those pools of a range whose header is in memory. look: ask; else all are. */
static int add_range(struct pymalloc *a, struct pymalloc_gather *g, struct stride *s, uint64_t first, uint64_t end,
		     bool look, uint64_t *swapped)
{
	const uint64_t step = PAGES_A_LOOK * RESIDENCY_PAGE_BYTES;
	uint8_t place[PAGES_A_LOOK];
	int err = 0;

	for (uint64_t at = first; !err && at < end; at += step) {
		uint64_t stop = end - at < step ? end : at + step;

		if (look)
			err = residency__look(a->residency, at, place, (stop - at) / RESIDENCY_PAGE_BYTES);
		for (uint64_t base = at; !err && base < stop; base += a->pool_bytes) {
			uint8_t where = look ? place[(base - at) / RESIDENCY_PAGE_BYTES] : PAGE_PRESENT;

			*swapped += where == PAGE_SWAPPED;
			if (where == PAGE_PRESENT && is_turn(s))
				err = pymalloc_gather__add(g, base);
		}
	}
	return err;
}

static int scan_arenas(struct pymalloc *a, struct pymalloc_gather *g, struct stride *s, bool look,
		       struct pymalloc_totals *t)
{
	int err = 0;

	for (size_t i = 0; !err && i < a->book_cnt; i++) {
		struct pymalloc_arena *arena;
		size_t cnt;

		err = pymalloc__read_arenas(a, &a->books[i], &arena, &cnt, &t->left_out);
		/* An interpreter that ends meanwhile, or one whose array is never at rest. */
		if (err == -EFAULT || err == -EAGAIN) {
			t->left_out++;
			err = 0;
			continue;
		}
		if (err)
			return err;
		for (size_t k = 0; !err && k < cnt; k++) {
			t->arenas++;
			t->arena_bytes += arena[k].bytes;
			t->pools_carved += arena[k].carved;
			t->virgin_pools += arena[k].virgin;
			err = add_range(a, g, s, arena[k].first,
					arena[k].first + (uint64_t)arena[k].carved * a->pool_bytes, look,
					&t->swapped_pools);
		}
		free(arena);
	}
	return err;
}

static int scan_ranges(struct pymalloc *a, struct pymalloc_gather *g, struct stride *s, struct pymalloc_totals *t)
{
	/* The smallest arena of the version; several beside each other are one mapping. */
	const uint64_t least = a->pool_bytes * 64ull;
	uint64_t total = 0;
	int err = 0;

	for (size_t i = 0; !err && i < a->anon.cnt; i++) {
		uint64_t first = (a->anon.range[i].start + a->pool_bytes - 1) & ~(uint64_t)(a->pool_bytes - 1);
		uint64_t end = a->anon.range[i].end & ~(uint64_t)(a->pool_bytes - 1);

		if (a->anon.range[i].end - a->anon.range[i].start < least)
			continue;
		if (end - first > MAX_SEARCH_BYTES - total) {
			t->left_out++;
			continue;
		}
		total += end - first;
		err = add_range(a, g, s, first, end, a->residency, &t->swapped_pools);
	}
	return err;
}

/* Of pools that are listed as carved and were touched once, only swapped ones are not resident. */
static bool is_swapped(const struct pymalloc *a)
{
	uint64_t bytes;

	return a->proc && (residency__swapped_bytes(a->proc, a->tgid, &bytes) || bytes);
}

static int scan_books(struct pymalloc *a, const struct pymalloc_opts *opts, struct pymalloc_pools *pools,
		      struct pymalloc_totals *t)
{
	struct stride s = { .every = opts->every ? opts->every : 1, .random = opts->seed };
	struct pymalloc_gather *g;
	int err = pymalloc_gather__new(a, !t->by_arenas, pools, t, &g);

	if (err)
		return err;
	if (t->by_arenas)
		err = scan_arenas(a, g, &s, is_swapped(a), t);
	else
		err = scan_ranges(a, g, &s, t);
	if (!err)
		err = pymalloc_gather__finish(g);
	pymalloc_gather__free(g);
	if (!t->by_arenas)
		t->pools_carved = t->pools_read;
	return err;
}

static int scan(struct pymalloc *a, const struct pymalloc_opts *opts, struct pymalloc_pools *pools,
		struct pymalloc_totals *t)
{
	int err;

	if (opts->search || !pymalloc__know_books(a)) {
		err = read_maps(a);
		if (err)
			return err;
		t->why = opts->search ? "asked to" : pymalloc__find_books(a);
	}
	t->by_arenas = !t->why;
	t->pool_bytes = a->pool_bytes;
	return scan_books(a, opts, pools, t);
}

int pymalloc__scan(struct pymalloc *a, const struct pymalloc_opts *opts, struct pymalloc_pools *pools,
		   struct pymalloc_totals *ret)
{
	static const struct pymalloc_opts all;
	struct pymalloc_totals t = { 0 };
	int err = a->proc ? residency__open(a->proc, a->tgid, &a->residency) : 0;

	if (err)
		return err;
	err = scan(a, opts ? opts : &all, pools, &t);
	residency__free(a->residency);
	a->residency = NULL;
	if (!err)
		*ret = t;
	return err;
}

enum pymalloc_doubt pymalloc__read_pool(const struct pymalloc *a, uint64_t base, void *copy, struct pymalloc_live *ret)
{
	enum pymalloc_doubt doubt = POOL_BAD_HEADER;

	for (int i = 0; doubt && i < LOOKS; i++) {
		if (mem__read(&a->m, base, copy, a->pool_bytes))
			return POOL_BAD_HEADER;
		doubt = pymalloc__pool_blocks(copy, base, a->pool_bytes, ret);
	}
	return doubt;
}
