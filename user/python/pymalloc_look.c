/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pool by pool: in a full one every block lives, so that its header and the block are read; of another one the whole
 * pool, for its free list. Headers and blocks of many pools go in one call.
 *
 * Drawing n of N: the blocks in order of pools, closed to a ring and cut into n strata, as equal as whole numbers can
 * be, from a random place on; one is drawn from each. So each block has the chance n / N, none is drawn twice, and
 * neighbours, which are alike, are not drawn together.
 */
#include "python/pymalloc_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/pymalloc_impl.h"

#define GROUPS 128
#define BLOCKS 128
/* Drawn of each class, however few its bytes. */
#define LEAST_OF_CLASS 16

/* Blocks beside each other in the array that are in one pool. */
struct group {
	uint64_t base;
	size_t first, cnt;
	struct pymalloc_header header;
};

struct looker {
	const struct pymalloc *a;
	struct py_types *types;
	struct leaf_reader leaf_reader;
	bool no_leaves; /* are asked for */
	/* Blocks that live and whose leaves are asked for, with their bytes. */
	struct pymalloc_block *pending[LEAF_ROOTS];
	struct pymalloc_root root[LEAF_ROOTS];
	uint8_t pending_bytes[LEAF_ROOTS][PYMALLOC_MAX_BLOCK_BYTES];
	size_t pending_cnt;
	struct group group[GROUPS];
	/* Blocks of full pools, to be read. */
	struct pymalloc_block *wanted[BLOCKS];
	size_t wanted_cnt;
	struct mem_piece piece[GROUPS > BLOCKS ? GROUPS : BLOCKS];
	uint8_t bytes[BLOCKS][PYMALLOC_MAX_BLOCK_BYTES];
	uint8_t pool[PYMALLOC_MAX_POOL_BYTES];
};

static int looker__new(const struct pymalloc *a, bool leaves, struct looker **ret)
{
	struct looker *k = malloc(sizeof(*k));
	int err;

	if (!k)
		return -ENOMEM;
	k->a = a;
	k->no_leaves = !leaves;
	k->wanted_cnt = k->pending_cnt = 0;
	err = py_types__new(&a->m, &a->layout, &k->types);
	if (err) {
		free(k);
		return err;
	}
	k->leaf_reader = (struct leaf_reader){ .m = &a->m,
					       .layout = &a->layout,
					       .types = k->types,
					       .pool_bytes = a->pool_bytes,
					       .shared = a->data.range,
					       .shared_cnt = a->data.cnt };
	*ret = k;
	return 0;
}

static void looker__free(struct looker *k)
{
	leaf_reader__end(&k->leaf_reader);
	py_types__free(k->types);
	free(k);
}

static void set_same(struct pymalloc_block *b, enum pymalloc_same same)
{
	static const uint8_t fates[] = {
		[BLOCK_REPLACED] = FATE_REPLACED, [BLOCK_UNSURE] = FATE_UNSURE, [BLOCK_SAME] = FATE_LIVES
	};

	b->fate = fates[same];
}

/* Looks at what pending blocks lead to. Those without a fate get their print, the others are compared. */
static int read_leaves(struct looker *k)
{
	int err;

	for (size_t i = 0; i < k->pending_cnt; i++) {
		const struct pymalloc_print *p = &k->pending[i]->print;

		k->root[i] = (struct pymalloc_root){
			.bytes = k->pending_bytes[i], .end = p->end, .object_at = p->object_at, .typed = p->type
		};
	}
	err = pymalloc__leaves(&k->leaf_reader, k->root, k->pending_cnt);
	for (size_t i = 0; !err && i < k->pending_cnt; i++) {
		struct pymalloc_block *b = k->pending[i];

		if (b->fate == FATE_LIVES)
			pymalloc__add_leaves(&b->print, &k->root[i].leaves);
		else
			set_same(b, pymalloc__same_block(&b->print, k->pending_bytes[i], &k->root[i].leaves));
	}
	k->pending_cnt = 0;
	return err;
}

/* The block lives, and holds these bytes. */
static int see(struct looker *k, struct pymalloc_block *b, const void *bytes)
{
	bool leaves;

	if (b->print.block_bytes) {
		b->fate = FATE_UNSURE;
		leaves = b->print.leaf_sum;
		if (!leaves)
			set_same(b, pymalloc__same_block(&b->print, bytes, NULL));
	} else {
		b->fate = FATE_LIVES;
		pymalloc__take_print(&k->leaf_reader, bytes, pymalloc__block_bytes(b->szidx), &b->print);
		leaves = !k->no_leaves && pymalloc__wants_leaves(&b->print);
	}
	if (!leaves)
		return 0;
	memcpy(k->pending_bytes[k->pending_cnt], bytes, b->print.block_bytes);
	k->pending[k->pending_cnt++] = b;
	return k->pending_cnt == LEAF_ROOTS ? read_leaves(k) : 0;
}

static int read_wanted(struct looker *k)
{
	int err;

	for (size_t i = 0; i < k->wanted_cnt; i++)
		k->piece[i] = (struct mem_piece){ .addr = k->wanted[i]->addr,
						  .buf = k->bytes[i],
						  .len = pymalloc__block_bytes(k->wanted[i]->szidx) };
	err = mem__read_many(&k->a->m, k->piece, k->wanted_cnt);
	for (size_t i = 0; !err && i < k->wanted_cnt; i++) {
		if (k->piece[i].ok)
			err = see(k, k->wanted[i], k->bytes[i]);
		else
			k->wanted[i]->fate = FATE_FREED;
	}
	k->wanted_cnt = 0;
	return err;
}

/* Which block of its pool begins at addr; beyond all where none does. */
static unsigned int block_number(uint64_t addr, uint64_t base, unsigned int szidx)
{
	uint32_t at = addr - base, bytes = pymalloc__block_bytes(szidx);

	if (at < PYMALLOC_HEADER_BYTES || (at - PYMALLOC_HEADER_BYTES) % bytes)
		return PYMALLOC_MAX_POOL_BLOCKS;
	return (at - PYMALLOC_HEADER_BYTES) / bytes;
}

/* A pool that has a free list. */
static int look_at_list(struct looker *k, const struct group *g, struct pymalloc_block *blocks)
{
	enum pymalloc_doubt doubt;
	struct pymalloc_header h;
	struct pymalloc_live live;
	int err = 0;

	doubt = pymalloc__read_pool(k->a, g->base, k->pool, &live);
	memcpy(&h, k->pool, sizeof(h));
	for (size_t i = g->first; !err && i < g->first + g->cnt; i++) {
		struct pymalloc_block *b = &blocks[i];

		if (doubt)
			b->fate = FATE_UNKNOWN;
		else if (h.szidx != b->szidx || !pymalloc__is_live(&live, block_number(b->addr, g->base, b->szidx)))
			b->fate = FATE_FREED;
		else
			err = see(k, b, k->pool + (b->addr - g->base));
	}
	return err;
}

static int look_at_full(struct looker *k, const struct group *g, struct pymalloc_block *blocks)
{
	unsigned int all = pymalloc__pool_block_cnt(k->a->pool_bytes, g->header.szidx);
	int err = 0;

	for (size_t i = g->first; !err && i < g->first + g->cnt; i++) {
		struct pymalloc_block *b = &blocks[i];

		b->fate = FATE_FREED;
		if (b->szidx != g->header.szidx || block_number(b->addr, g->base, b->szidx) >= all)
			continue;
		k->wanted[k->wanted_cnt++] = b;
		if (k->wanted_cnt == BLOCKS)
			err = read_wanted(k);
	}
	return err;
}

static void set_fate(const struct group *g, struct pymalloc_block *blocks, enum pymalloc_fate fate)
{
	for (size_t i = g->first; i < g->first + g->cnt; i++)
		blocks[i].fate = fate;
}

static int look_at_groups(struct looker *k, size_t cnt, struct pymalloc_block *blocks)
{
	bool gone[GROUPS];
	int err;

	for (size_t i = 0; i < cnt; i++)
		k->piece[i] = (struct mem_piece){ .addr = k->group[i].base,
						  .buf = &k->group[i].header,
						  .len = sizeof(k->group[i].header) };
	err = mem__read_many(&k->a->m, k->piece, cnt);
	/* Reading blocks uses the pieces again. */
	for (size_t i = 0; i < cnt; i++)
		gone[i] = !k->piece[i].ok;
	for (size_t i = 0; !err && i < cnt; i++) {
		struct group *g = &k->group[i];
		enum pymalloc_state state = pymalloc__judge(&g->header, g->base, k->a->pool_bytes);

		if (gone[i] || state == POOL_FREE)
			set_fate(g, blocks, FATE_FREED);
		else if (state == POOL_FULL)
			err = look_at_full(k, g, blocks);
		else
			err = look_at_list(k, g, blocks);
	}
	if (!err)
		err = read_wanted(k);
	return err ? err : read_leaves(k);
}

static int look_at(struct pymalloc *a, struct pymalloc_block *blocks, size_t n, bool leaves)
{
	uint64_t mask = ~(uint64_t)(a->pool_bytes - 1);
	struct looker *k;
	size_t cnt = 0;
	int err = looker__new(a, leaves, &k);

	if (err)
		return err;
	for (size_t i = 0; !err && i < n; i++) {
		uint64_t base = blocks[i].addr & mask;

		if (cnt && k->group[cnt - 1].base == base) {
			k->group[cnt - 1].cnt++;
			continue;
		}
		if (cnt == GROUPS) {
			err = look_at_groups(k, cnt, blocks);
			cnt = 0;
		}
		k->group[cnt++] = (struct group){ .base = base, .first = i, .cnt = 1 };
	}
	if (!err && cnt)
		err = look_at_groups(k, cnt, blocks);
	looker__free(k);
	return err;
}

int pymalloc__look(struct pymalloc *a, struct pymalloc_block *blocks, size_t n)
{
	return look_at(a, blocks, n, true);
}

/* Draws from one class. Its live blocks have numbers, in order of pools. */
struct draw {
	uint64_t live;	 /* blocks of the class */
	uint64_t passed; /* of these, in pools before */
	uint64_t n;	 /* to draw */
	uint64_t drawn;	 /* so far */
	uint32_t turn;	 /* where stratum 0 begins, in 2^-32 of a stratum */
	uint64_t last;	 /* from the last stratum, where it came out before the end */
	uint64_t next;	 /* number of the next block; live: no more */
};

/* Where stratum i begins. The last one goes on at 0 and ends where the first begins. */
static uint64_t stratum(const struct draw *d, uint64_t i)
{
	return (((unsigned __int128)i << 32) + d->turn) * d->live / ((unsigned __int128)d->n << 32);
}

static uint64_t draw_between(uint64_t from, uint64_t end, uint64_t *random)
{
	return from + (unsigned __int128)pymalloc__random(random) * (end - from) / ((unsigned __int128)1 << 64);
}

static void draw_next(struct draw *d, uint64_t *random)
{
	uint64_t i = d->drawn++;

	if (i + 1 < d->n)
		d->next = draw_between(stratum(d, i), stratum(d, i + 1), random);
	else if (i + 1 == d->n)
		d->next = d->last;
	else
		d->next = d->live;
}

/* The last stratum goes first where its block is at the beginning. */
static void draw_first(struct draw *d, uint64_t *random)
{
	d->next = d->last = d->live;
	if (!d->n)
		return;
	d->turn = pymalloc__random(random) >> 32;
	d->last = draw_between(stratum(d, d->n - 1), stratum(d, d->n), random);
	if (d->last < d->live) {
		draw_next(d, random);
		return;
	}
	d->next = d->last - d->live;
	d->last = d->live;
}

static void count_live(const struct pymalloc_pools *pools, struct draw draws[PYMALLOC_CLASSES])
{
	memset(draws, 0, PYMALLOC_CLASSES * sizeof(*draws));
	for (size_t i = 0; i < pools->cnt; i++)
		draws[pools->pool[i].szidx].live += pools->pool[i].live;
}

/* wanted: of each class. Returns how many there will be. */
static size_t begin_draws(const uint64_t wanted[PYMALLOC_CLASSES], uint64_t *random, struct draw draws[PYMALLOC_CLASSES])
{
	size_t total = 0;

	for (int i = 0; i < PYMALLOC_CLASSES; i++) {
		draws[i].n = draws[i].live < wanted[i] ? draws[i].live : wanted[i];
		total += draws[i].n;
		draw_first(&draws[i], random);
	}
	return total;
}

/* Address of the live block number `rank`, or 0. */
static uint64_t address_of(const struct pymalloc_live *live, uint64_t base, unsigned int szidx, unsigned int rank)
{
	for (unsigned int i = 0; i < PYMALLOC_MAX_POOL_BLOCKS; i++) {
		if (pymalloc__is_live(live, i) && rank-- == 0)
			return base + PYMALLOC_HEADER_BYTES + i * pymalloc__block_bytes(szidx);
	}
	return 0;
}

/* Blocks that were drawn. */
struct drawn {
	struct pymalloc_block *block;
	size_t cnt;
};

/* Its print is taken of what was just read, where that will do. */
static int draw_block(struct looker *k, struct pymalloc_block b, uint64_t base, bool read, struct drawn *seen, struct drawn *unseen)
{
	bool at_once = read && k->no_leaves;
	struct drawn *to = at_once ? seen : unseen;
	struct pymalloc_block *block = &to->block[to->cnt++];

	*block = b;
	return at_once ? see(k, block, k->pool + (b.addr - base)) : 0;
}

/* Draws from one pool; appends to what was seen already, or is yet to be looked at. */
static int draw_from(struct looker *k, const struct pymalloc_pool *pool, struct draw *d, uint64_t *random, struct drawn *seen,
		     struct drawn *unseen)
{
	struct pymalloc_live live;
	bool listed = false;
	int err = 0;

	for (; !err && d->next < d->passed + pool->live; draw_next(d, random)) {
		unsigned int rank = d->next - d->passed;
		uint64_t addr = pool->base + PYMALLOC_HEADER_BYTES + rank * pymalloc__block_bytes(pool->szidx);

		if (!pool->full) {
			if (!listed && pymalloc__read_pool(k->a, pool->base, k->pool, &live))
				live = (struct pymalloc_live){ 0 };
			listed = true;
			addr = address_of(&live, pool->base, pool->szidx, rank);
		}
		if (!addr)
			continue;
		err = draw_block(k,
				 (struct pymalloc_block){
					 .addr = addr, .weight = (double)d->live / d->n, .szidx = pool->szidx },
				 pool->base, !pool->full, seen, unseen);
	}
	d->passed += pool->live;
	return err;
}

/* Leaves out what no longer lives. */
static size_t keep_living(struct pymalloc_block *blocks, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (blocks[i].fate == FATE_LIVES)
			blocks[kept++] = blocks[i];
	}
	return kept;
}

static int draw_all(struct pymalloc *a, const struct pymalloc_pools *pools, struct draw draws[PYMALLOC_CLASSES], bool leaves,
		    uint64_t *random, struct drawn *seen, struct drawn *unseen)
{
	struct looker *k;
	int err = looker__new(a, leaves, &k);

	if (err)
		return err;
	for (size_t i = 0; i < pools->cnt && !err; i++)
		err = draw_from(k, &pools->pool[i], &draws[pools->pool[i].szidx], random, seen, unseen);
	looker__free(k);
	return err ? err : look_at(a, unseen->block, unseen->cnt, leaves);
}

/* wanted: of each class, whose live blocks draws have. */
static int sample(struct pymalloc *a, const struct pymalloc_pools *pools, const uint64_t wanted[PYMALLOC_CLASSES],
		  struct draw draws[PYMALLOC_CLASSES], bool leaves, uint64_t random, struct pymalloc_block **ret, size_t *cnt)
{
	size_t total = begin_draws(wanted, &random, draws);
	struct drawn seen = { .block = calloc(2 * total + 1, sizeof(*seen.block)) }, unseen = { .block = seen.block + total };
	int err = seen.block ? draw_all(a, pools, draws, leaves, &random, &seen, &unseen) : -ENOMEM;

	if (err) {
		free(seen.block);
		return err;
	}
	memmove(&seen.block[seen.cnt], unseen.block, unseen.cnt * sizeof(*unseen.block));
	*ret = seen.block;
	*cnt = keep_living(seen.block, seen.cnt + unseen.cnt);
	return 0;
}

int pymalloc__sample(struct pymalloc *a, const struct pymalloc_pools *pools, unsigned int per_class, uint64_t seed,
		     struct pymalloc_block **ret, size_t *cnt)
{
	struct draw draws[PYMALLOC_CLASSES];
	uint64_t wanted[PYMALLOC_CLASSES];

	count_live(pools, draws);
	for (int i = 0; i < PYMALLOC_CLASSES; i++)
		wanted[i] = per_class;
	return sample(a, pools, wanted, draws, true, seed, ret, cnt);
}

int pymalloc__sample_kinds(struct pymalloc *a, const struct pymalloc_pools *pools, unsigned int most, uint64_t seed,
			   struct pymalloc_block **ret, size_t *cnt)
{
	struct draw draws[PYMALLOC_CLASSES];
	uint64_t wanted[PYMALLOC_CLASSES];
	double all = 0;

	count_live(pools, draws);
	for (int i = 0; i < PYMALLOC_CLASSES; i++)
		all += (double)draws[i].live * pymalloc__block_bytes(i);
	for (int i = 0; i < PYMALLOC_CLASSES; i++)
		wanted[i] = all > 0 ? LEAST_OF_CLASS + most * (draws[i].live * pymalloc__block_bytes(i) / all) : 0;
	return sample(a, pools, wanted, draws, false, seed, ret, cnt);
}
