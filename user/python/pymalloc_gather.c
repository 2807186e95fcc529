/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reads pool headers in batches and adds them up. One that makes no sense is read again at once: the process was within
 * the allocator, which takes nanoseconds.
 *
 * Searched pools are believed only together: pools of one arenaindex lie within one arena. A copy of an arena (a buffer
 * that was read from somebody's heap) is recognised by its free lists, which lead into the original; a full pool has
 * none, and is as believable as the others of its arena. Each sub-interpreter's allocator has an arena 0 of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/pymalloc_impl.h"

#define BATCH 512
/* 64 GiB in pools of 16 KiB, a list of 64 MiB. */
#define MAX_POOLS (1u << 22)

/* A pool found by searching; POOL_NONE: it would be one elsewhere. */
struct found {
	struct pymalloc_header h;
	uint64_t base;
	enum pymalloc_state state;
};

struct pymalloc_gather {
	const struct pymalloc *a;
	struct pymalloc_pools *pools;
	struct pymalloc_totals *t;
	bool search;
	size_t cnt;
	struct mem_piece piece[BATCH];
	struct pymalloc_header header[BATCH];
	struct found *found;
	size_t found_cnt, found_room;
};

int pymalloc_gather__new(const struct pymalloc *a, bool search, struct pymalloc_pools *pools,
			 struct pymalloc_totals *totals, struct pymalloc_gather **ret)
{
	struct pymalloc_gather *g = malloc(sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->a = a;
	g->pools = pools;
	g->t = totals;
	g->search = search;
	g->cnt = 0;
	g->found = NULL;
	g->found_cnt = g->found_room = 0;
	if (pools)
		pools->cnt = 0;
	*ret = g;
	return 0;
}

void pymalloc_gather__free(struct pymalloc_gather *g)
{
	if (!g)
		return;
	free(g->found);
	free(g);
}

static int list_pool(struct pymalloc_gather *g, uint64_t base, uint32_t live, unsigned int szidx, bool full)
{
	struct pymalloc_pools *p = g->pools;

	if (!p)
		return 0;
	if (p->cnt == MAX_POOLS) {
		g->t->left_out++;
		return 0;
	}
	if (p->cnt == p->room) {
		size_t room = p->room ? 2 * p->room : 1024;
		struct pymalloc_pool *wider = realloc(p->pool, room * sizeof(*wider));

		if (!wider)
			return -ENOMEM;
		p->pool = wider;
		p->room = room;
	}
	p->pool[p->cnt++] = (struct pymalloc_pool){ .base = base, .live = live, .szidx = szidx, .full = full };
	return 0;
}

static int count(struct pymalloc_gather *g, const struct pymalloc_header *h, uint64_t base, bool full)
{
	unsigned int all = pymalloc__pool_block_cnt(g->a->pool_bytes, h->szidx);
	struct pymalloc_class *c = &g->t->class[h->szidx];

	g->t->pools_read++;
	if (!h->live) {
		g->t->free_pools++;
		return 0;
	}
	c->pools++;
	c->live += h->live;
	c->free += all - h->live;
	return list_pool(g, base, h->live, h->szidx, full);
}

static int keep_found(struct pymalloc_gather *g, const struct pymalloc_header *h, uint64_t base,
		      enum pymalloc_state state)
{
	if (g->found_cnt == MAX_POOLS) {
		g->t->left_out++;
		return 0;
	}
	if (g->found_cnt == g->found_room) {
		size_t room = g->found_room ? 2 * g->found_room : 1024;
		struct found *wider = realloc(g->found, room * sizeof(*wider));

		if (!wider)
			return -ENOMEM;
		g->found = wider;
		g->found_room = room;
	}
	g->found[g->found_cnt++] = (struct found){ .h = *h, .base = base, .state = state };
	return 0;
}

static bool is_displaced(const struct pymalloc_gather *g, const struct pymalloc_header *h)
{
	uint64_t base = h->freeblock & ~(uint64_t)(g->a->pool_bytes - 1);

	return base && pymalloc__judge(h, base, g->a->pool_bytes) >= POOL_FREE;
}

/* What was read is the last word on this pool. */
static int settle(struct pymalloc_gather *g, const struct mem_piece *p)
{
	struct pymalloc_header *h = p->buf;
	enum pymalloc_state state = p->ok ? pymalloc__judge(h, p->addr, g->a->pool_bytes) : POOL_NONE;

	if (g->search)
		return state >= POOL_FREE || (p->ok && is_displaced(g, h)) ? keep_found(g, h, p->addr, state) : 0;
	g->t->bad_pools += state == POOL_NONE;
	g->t->torn_pools += state == POOL_TORN;
	return state == POOL_NONE ? 0 : count(g, h, p->addr, state == POOL_FULL);
}

static bool worth_another_look(const struct pymalloc_gather *g, const struct mem_piece *p)
{
	enum pymalloc_state state = p->ok ? pymalloc__judge(p->buf, p->addr, g->a->pool_bytes) : POOL_NONE;

	/* Most of what is searched is no pool. */
	return state == POOL_TORN || (state == POOL_NONE && !g->search);
}

static int flush(struct pymalloc_gather *g)
{
	size_t cnt = g->cnt;
	int err = 0;

	for (int look = 1; cnt && !err; look++) {
		size_t again = 0;

		err = mem__read_many(&g->a->m, g->piece, cnt);
		for (size_t i = 0; !err && i < cnt; i++) {
			if (look < LOOKS && worth_another_look(g, &g->piece[i]))
				g->piece[again++] = g->piece[i];
			else
				err = settle(g, &g->piece[i]);
		}
		cnt = again;
	}
	g->cnt = 0;
	return err;
}

int pymalloc_gather__add(struct pymalloc_gather *g, uint64_t base)
{
	g->piece[g->cnt] =
		(struct mem_piece){ .addr = base, .buf = &g->header[g->cnt], .len = sizeof(g->header[g->cnt]) };
	return ++g->cnt == BATCH ? flush(g) : 0;
}

static int by_arena_and_base(const void *x, const void *y)
{
	const struct found *a = x, *b = y;

	if (a->h.arenaindex != b->h.arenaindex)
		return a->h.arenaindex < b->h.arenaindex ? -1 : 1;
	return a->base < b->base ? -1 : a->base > b->base;
}

/* Counts pools of one arenaindex, from i on, that fit into one arena. Returns how many were looked at in *ret. */
static int count_arena(struct pymalloc_gather *g, size_t i, size_t *ret)
{
	bool proven = false, displaced = false;
	size_t n = 0;
	int err = 0;

	for (; i + n < g->found_cnt; n++) {
		const struct found *f = &g->found[i + n];

		if (f->h.arenaindex != g->found[i].h.arenaindex || f->base - g->found[i].base >= g->a->arena_bytes)
			break;
		proven |= f->state == POOL_PARTIAL || f->state == POOL_FREE;
		displaced |= f->state == POOL_NONE;
	}
	for (size_t k = i; !err && k < i + n; k++) {
		const struct found *f = &g->found[k];

		if (f->state == POOL_NONE || (displaced && !proven))
			g->t->foreign_pools++;
		else
			err = count(g, &f->h, f->base, f->state == POOL_FULL);
	}
	*ret = n;
	return err;
}

int pymalloc_gather__finish(struct pymalloc_gather *g)
{
	int err = flush(g);

	if (g->found_cnt)
		qsort(g->found, g->found_cnt, sizeof(*g->found), by_arena_and_base);
	for (size_t i = 0, n; !err && i < g->found_cnt; i += n)
		err = count_arena(g, i, &n);
	return err;
}
