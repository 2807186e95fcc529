/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Goes from all blocks at once, step by step, so that each step is one batch of reads. An object that others refer to
 * as well is not gone through: what it leads to is not the block's own. Memory without an object (tables of dicts,
 * items of lists) is.
 */
#include "python/pymalloc_leaves.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/pymalloc_block.h"

#define OB_TYPE 8
#define OBJECT_HEADER_BYTES 16
#define GC_HEAD_BYTES 16
#define MAX_NODES (LEAF_ROOTS * LEAF_NODES)

struct node {
	uint64_t addr;
	unsigned int root;
	uint8_t bytes[LEAF_NODE_BYTES];
};

struct leaf_walk {
	struct leaf_reader *r;
	struct pymalloc_root *roots;
	/* Nodes of each root, and their addresses. */
	unsigned int used[LEAF_ROOTS];
	uint64_t visited[LEAF_ROOTS][LEAF_NODES];
	/* In order of steps; a step reads those from `from` on. */
	struct node node[MAX_NODES];
	size_t cnt;
	struct mem_piece piece[2 * MAX_NODES];
	struct pymalloc_header header[MAX_NODES];
};

static uint64_t word_at(const uint8_t *bytes, uint32_t at)
{
	uint64_t v;

	memcpy(&v, bytes + at, sizeof(v));
	return v;
}

bool leaf_reader__is_shared(const struct leaf_reader *r, uint64_t word)
{
	for (size_t i = 0; i < r->shared_cnt; i++) {
		if (word >= r->shared[i].start && word < r->shared[i].end)
			return true;
	}
	return false;
}

static bool is_visited(const struct leaf_walk *w, unsigned int root, uint64_t addr)
{
	for (unsigned int i = 0; i < w->used[root]; i++) {
		if (w->visited[root][i] == addr)
			return true;
	}
	return false;
}

/* 3.12: an instance's values, one less (_PyDictOrValues_GetValues); 3.14+: a borrowed reference in a frame, one more
 * (_PyStackRef). */
static uint64_t untagged(uint64_t word)
{
	if (word % 8 == 7)
		return word + 1;
	return word % 8 == 1 ? word - 1 : word;
}

/* Pointers in [from, end) become nodes. */
static void follow(struct leaf_walk *w, unsigned int root, const uint8_t *bytes, uint32_t from, uint32_t end)
{
	for (uint32_t at = from; at + 8 <= end && w->used[root] < LEAF_NODES; at += 8) {
		uint64_t word = untagged(word_at(bytes, at));

		if (word % 8 || word < 1 << 20 || word >= 1ull << 47 || leaf_reader__is_shared(w->r, word) ||
		    is_visited(w, root, word))
			continue;
		w->node[w->cnt].addr = word;
		w->node[w->cnt++].root = root;
		w->visited[root][w->used[root]++] = word;
	}
}

static void follow_root(struct leaf_walk *w, unsigned int i)
{
	const struct pymalloc_root *root = &w->roots[i];
	uint32_t object = root->object_at;

	if (!root->typed) {
		follow(w, i, root->bytes, 0, root->end);
		return;
	}
	/* Words before the collector's links: the dict. */
	if (object > GC_HEAD_BYTES)
		follow(w, i, root->bytes, 0, object - GC_HEAD_BYTES);
	follow(w, i, root->bytes, object + OBJECT_HEADER_BYTES, root->end);
}

static void add_leaf(struct pymalloc_leaves *l, uint64_t hash, bool owned)
{
	if (l->cnt == MAX_LEAVES)
		return;
	l->owned |= owned << l->cnt;
	l->hash[l->cnt++] = hash >> 32;
}

/* Where base is in the table, or is to be put. */
static struct leaf_pool *pool_slot(struct leaf_reader *r, uint64_t base)
{
	uint64_t i = base * 0x9E3779B97F4A7C15ull >> 40;

	while (r->pool[i % LEAF_POOLS].base && r->pool[i % LEAF_POOLS].base != base)
		i++;
	return &r->pool[i % LEAF_POOLS];
}

static uint64_t pool_base(const struct leaf_reader *r, uint64_t addr)
{
	return addr & ~(uint64_t)(r->pool_bytes - 1);
}

/* How much of what was read at addr is of one block; all where it is in no pool. */
static uint32_t room_at(struct leaf_reader *r, uint64_t addr)
{
	uint64_t base = pool_base(r, addr), at = addr - base - PYMALLOC_HEADER_BYTES;
	const struct leaf_pool *p = pool_slot(r, base);
	uint32_t left;

	if (!p->block_bytes || addr - base < PYMALLOC_HEADER_BYTES)
		return LEAF_NODE_BYTES;
	left = p->block_bytes - at % p->block_bytes;
	return left < LEAF_NODE_BYTES ? left : LEAF_NODE_BYTES;
}

/* Reads nodes from `from` on, and the headers of their pools where these are not known. */
static int read_nodes(struct leaf_walk *w, size_t from)
{
	size_t n = w->cnt - from, all = n;
	int err;

	if (w->r->pool_cnt + n > LEAF_POOLS / 2) {
		memset(w->r->pool, 0, sizeof(w->r->pool));
		w->r->pool_cnt = 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct node *node = &w->node[from + i];
		uint64_t base = pool_base(w->r, node->addr);
		struct leaf_pool *p = pool_slot(w->r, base);

		w->piece[i] = (struct mem_piece){ .addr = node->addr, .buf = node->bytes, .len = LEAF_NODE_BYTES };
		if (p->base == base)
			continue;
		*p = (struct leaf_pool){ .base = base };
		w->r->pool_cnt++;
		w->piece[all] =
			(struct mem_piece){ .addr = base, .buf = &w->header[all - n], .len = sizeof(w->header[0]) };
		all++;
	}
	err = mem__read_many(w->r->m, w->piece, all);
	for (size_t i = n; !err && i < all; i++) {
		const struct pymalloc_header *h = w->piece[i].buf;

		if (w->piece[i].ok && pymalloc__judge(h, w->piece[i].addr, w->r->pool_bytes) != POOL_NONE)
			pool_slot(w->r, w->piece[i].addr)->block_bytes = pymalloc__block_bytes(h->szidx);
	}
	return err;
}

/* A leaf, or something that leads further. */
static void visit(struct leaf_walk *w, const struct node *n)
{
	uint64_t count = word_at(n->bytes, 0), hash;
	uint32_t room = room_at(w->r, n->addr);
	const struct py_type *type = NULL;

	if (py_type__is_refcount(w->r->layout->version, count))
		type = py_types__look(w->r->types, word_at(n->bytes, OB_TYPE));
	if (!type)
		follow(w, n->root, n->bytes, 0, room);
	else if (pymalloc__hash_immutable(w->r->layout, type, n->bytes, room, &hash))
		add_leaf(&w->roots[n->root].leaves, hash, (uint32_t)count == 1);
	else if ((uint32_t)count == 1 && (type->item_bytes || type->basic_bytes >= room))
		follow(w, n->root, n->bytes, OBJECT_HEADER_BYTES, room);
	else if ((uint32_t)count == 1)
		follow(w, n->root, n->bytes, OBJECT_HEADER_BYTES, type->basic_bytes);
}

int pymalloc__leaves(struct leaf_reader *r, struct pymalloc_root *roots, size_t n)
{
	struct leaf_walk *w;
	size_t from = 0;
	int err = 0;

	if (!r->walk)
		r->walk = malloc(sizeof(*w));
	w = r->walk;
	if (!w)
		return -ENOMEM;
	w->r = r;
	w->roots = roots;
	w->cnt = 0;
	memset(w->used, 0, sizeof(w->used));
	for (size_t i = 0; i < n; i++) {
		roots[i].leaves = (struct pymalloc_leaves){ 0 };
		follow_root(w, i);
	}
	for (int depth = 0; !err && depth < LEAF_DEPTH && from < w->cnt; depth++) {
		size_t end = w->cnt;

		err = read_nodes(w, from);
		for (size_t i = from; !err && i < end; i++) {
			if (w->piece[i - from].ok)
				visit(w, &w->node[i]);
		}
		from = end;
	}
	return err;
}

void leaf_reader__end(struct leaf_reader *r)
{
	free(r->walk);
}
