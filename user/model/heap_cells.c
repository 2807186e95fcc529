/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/heap_cells.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uthash.h>

/* So many sampled blocks, and drawn ones, make a cell. */
#define LEAST_MEMBERS 4
#define LEAST_DRAWN 4
/* Where so many sampled blocks should be, it tells something that there are none. */
#define EXPECTED_MEMBERS 8

/* What was drawn; [0]: in all, then by group. And the sampled blocks. */
struct counts {
	uint32_t drawn[1 + HEAP_REPLICATES];
	uint32_t members;
};

/* A class, a type of it, or a shape of that. */
struct tally {
	struct tally_key {
		uint32_t class, depth; /* 0: a class, 1: a type, 2: a shape */
		struct heap_kind kind;
	} key;
	struct tally *parent; /* NULL: a class */
	struct tally *next;   /* in the order in which they were met; each type comes before its shapes */
	struct tally *next_alone; /* of the class */
	struct counts all, rest; /* rest: of those below that have no cell */
	bool alone; /* it has a cell, or those below it have */
	bool split; /* one below is alone */
	uint16_t cell; /* of its rest */
	UT_hash_handle hh;
};

struct tallies {
	struct tally class[HEAP_CLASSES]; /* each begins its list of those that are alone */
	struct tally *table, *first, **last;
	struct tally **of; /* the members' shapes */
};

static struct tally *tally_of(struct tallies *t, struct tally *parent, const struct tally_key *key)
{
	struct tally *found;

	HASH_FIND(hh, t->table, key, sizeof(*key), found);
	if (found)
		return found;
	found = calloc(1, sizeof(*found));
	if (!found)
		return NULL;
	found->key = *key;
	found->parent = parent;
	HASH_ADD(hh, t->table, key, sizeof(found->key), found);
	*t->last = found;
	t->last = &found->next;
	return found;
}

static struct tally *shape_of(struct tallies *t, unsigned int class, struct heap_kind kind)
{
	struct tally_key key = { .class = class % HEAP_CLASSES, .depth = 1, .kind = { .type = kind.type } };
	struct tally *type = tally_of(t, &t->class[key.class], &key);

	key.depth = 2;
	key.kind.shape = kind.shape;
	return type ? tally_of(t, type, &key) : NULL;
}

static int count(struct tallies *t, const struct heap_draw *draws, size_t n_draws, const struct heap_member *members, size_t n_members)
{
	struct tally *at;
	size_t i;

	for (i = 0; i < n_members; i++) {
		t->of[i] = at = shape_of(t, members[i].class, members[i].kind);
		if (!at)
			return -ENOMEM;
		for (; at; at = at->parent)
			at->all.members++;
	}
	for (i = 0; i < n_draws; i++) {
		at = shape_of(t, draws[i].class, draws[i].kind);
		if (!at)
			return -ENOMEM;
		for (; at; at = at->parent) {
			at->all.drawn[0]++;
			at->all.drawn[1 + draws[i].group % HEAP_REPLICATES]++;
		}
	}
	return 0;
}

/* Whether what was drawn and sampled of a part is enough to tell it from the rest of the whole. */
static bool stands_alone(const struct counts *part, const struct counts *whole)
{
	bool known = part->members >= LEAST_MEMBERS && part->drawn[0] >= LEAST_DRAWN;
	double expected = whole->drawn[0] ? (double)part->drawn[0] / whole->drawn[0] * whole->members : 0;

	return known || expected >= EXPECTED_MEMBERS;
}

static void add_counts(struct counts *sum, const struct counts *c)
{
	sum->members += c->members;
	for (int r = 0; r <= HEAP_REPLICATES; r++)
		sum->drawn[r] += c->drawn[r];
}

/* Which have cells; what has none is in the rest of what it is a part of. */
static void tell_apart(struct tallies *t)
{
	size_t left = HEAP_MOST_CELLS - HEAP_CLASSES;
	struct tally *at, *whole;

	for (at = t->first; at; at = at->next) {
		whole = at->parent->alone || !at->parent->parent ? at->parent : at->parent->parent;
		at->alone = left && whole == at->parent && stands_alone(&at->all, &whole->all);
		if (at->alone) {
			at->next_alone = t->class[at->key.class].next_alone;
			t->class[at->key.class].next_alone = at;
			whole->split = true;
			left--;
		} else if (at->key.depth == 2) {
			add_counts(&whole->rest, &at->all);
		}
	}
}

/*
 * A rest of which no block was sampled is shared by the shapes of its type that are told apart: with few sampled, some shapes are
 * missing. Types are different: what is of none of those sampled is none of theirs.
 */
static bool has_cell(const struct tally *t)
{
	switch (t->key.depth) {
	case 0:
		return t->rest.members || t->rest.drawn[0] >= LEAST_DRAWN || (!t->split && t->all.drawn[0]);
	case 1:
		return t->alone && (t->rest.members || !t->split);
	default:
		return t->alone;
	}
}

static double part_of(const struct counts *part, const struct counts *whole, const struct counts *left_out, int r)
{
	double n = part->drawn[0], of = whole->drawn[0] - left_out->drawn[0];

	if (r) {
		n -= part->drawn[r];
		of -= whole->drawn[r] - left_out->drawn[r];
	}
	if (of > 0)
		return n / of;
	/* Nothing is left of it without that group. */
	return r ? part_of(part, whole, left_out, 0) : 0;
}

/* Share of what was drawn of the class: of what is told apart as at->key says, or of its rest. */
static double share_of(const struct tally *at, bool rest, int r)
{
	static const struct counts none;
	const struct tally *whole = at->parent;
	double share = rest ? part_of(&at->rest, &at->all, has_cell(at) ? &none : &at->rest, r) : 1;

	if (whole)
		share *= part_of(&at->all, &whole->all, has_cell(whole) ? &none : &whole->rest, r) * share_of(whole, false, r);
	return share;
}

static void make_cell(struct heap_cells *c, struct tally *t)
{
	struct heap_cell *cell = &c->cell[c->n];

	if (!has_cell(t))
		return;
	t->cell = c->n++;
	cell->class = t->key.class;
	for (int r = 0; r <= HEAP_REPLICATES; r++)
		cell->share[r] = share_of(t, t->key.depth < 2, r);
}

static void make_cells(struct tallies *t, struct heap_member *members, size_t n_members, struct heap_cells *ret)
{
	struct tally *at;
	size_t i;

	for (i = 0; i < HEAP_CLASSES; i++)
		for (at = &t->class[i]; at; at = at->next_alone)
			make_cell(ret, at);
	for (i = 0; i < n_members; i++) {
		for (at = t->of[i]; at->parent && !at->alone;)
			at = at->parent;
		members[i].cell = at->cell;
	}
}

static void free_tallies(struct tallies *t)
{
	struct tally *at, *next;

	HASH_CLEAR(hh, t->table);
	for (at = t->first; at; at = next) {
		next = at->next;
		free(at);
	}
	free(t->of);
	free(t);
}

int heap_cells__make(const struct heap_draw *draws, size_t n_draws, struct heap_member *members, size_t n_members,
		     struct heap_cells *ret)
{
	struct tallies *t = calloc(1, sizeof(*t));
	int err = -ENOMEM;

	*ret = (struct heap_cells){ .cell = calloc(HEAP_MOST_CELLS, sizeof(*ret->cell)) };
	if (t) {
		t->last = &t->first;
		t->of = calloc(n_members + 1, sizeof(*t->of));
		for (uint32_t i = 0; i < HEAP_CLASSES; i++)
			t->class[i].key.class = i;
	}
	if (t && t->of && ret->cell)
		err = count(t, draws, n_draws, members, n_members);
	if (!err) {
		tell_apart(t);
		make_cells(t, members, n_members, ret);
	} else {
		heap_cells__free(ret);
	}
	if (t)
		free_tallies(t);
	return err;
}

void heap_cells__free(struct heap_cells *c)
{
	free(c->cell);
	*c = (struct heap_cells){};
}
