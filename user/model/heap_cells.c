/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/heap_cells.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uthash.h>

/* So many sampled blocks, and drawn ones, make a cell. */
#define LEAST_MEMBERS 4
#define LEAST_DRAWN 4
/*
 * Where so many sampled blocks should be, it tells something that there are none: of as many that come one by one, all are elsewhere by
 * chance once in 3,000 times. They come by windows, so it is more often.
 */
#define EXPECTED_MEMBERS 8
/* And so many where there are a few, to be told from the rest. */
#define LEAST_EXPECTED 3

/* What was drawn; [0]: in all, then by group. And the sampled blocks. */
struct counts {
	uint32_t drawn[1 + HEAP_REPLICATES];
	uint32_t members;
};

/*
 * A class, a type of it, or a shape of that. Those parts of a class or type that are not told apart are its rest, if a block of them was
 * sampled, else they are bare.
 */
struct tally {
	struct tally_key {
		uint32_t class, depth; /* 0: a class, 1: a type, 2: a shape */
		struct heap_kind kind;
	} key;
	struct tally *parent; /* NULL: a class */
	struct tally *next;   /* in the order in which they were met; each type comes before its shapes */
	struct tally *next_apart; /* of the class */
	struct counts all, rest, bare;
	uint32_t singles; /* parts not told apart of which one block was sampled */
	double weight, heaviest; /* of a class's members: all together, and one */
	bool apart; /* it is told apart */
	bool split; /* a part of it is */
	uint16_t rest_cell; /* or that of all of it, where it is not split */
	UT_hash_handle hh;
};

struct tallies {
	struct tally class[HEAP_CLASSES]; /* each begins the list of its parts that are told apart */
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

static void add_member(struct tallies *t, struct tally *shape, const struct heap_member *member)
{
	struct tally *class = &t->class[member->class % HEAP_CLASSES], *at;

	for (at = shape; at; at = at->parent)
		at->all.members++;
	class->weight += member->weight;
	if (member->weight > class->heaviest)
		class->heaviest = member->weight;
}

static void add_draw(struct tally *shape, const struct heap_draw *draw)
{
	for (struct tally *at = shape; at; at = at->parent) {
		at->all.drawn[0]++;
		at->all.drawn[1 + draw->group % HEAP_REPLICATES]++;
	}
}

static int count(struct tallies *t, const struct heap_draw *draws, size_t n_draws, const struct heap_member *members, size_t n_members)
{
	struct tally *at;
	size_t i;

	for (i = 0; i < n_members; i++) {
		t->of[i] = at = shape_of(t, members[i].class, members[i].kind);
		if (!at)
			return -ENOMEM;
		add_member(t, at, &members[i]);
	}
	for (i = 0; i < n_draws; i++) {
		at = shape_of(t, draws[i].class, draws[i].kind);
		if (!at)
			return -ENOMEM;
		add_draw(at, &draws[i]);
	}
	return 0;
}

/*
 * How many sampled blocks should be of a part of a whole by what was drawn of it. Where some stand for much more than others (of a heap
 * that was large before tracing began, a hundred are sampled), no more count than if all stood for as much: by Kish's effective size,
 * old kinds of which there is no block by chance were taken for new ones.
 */
static double expected(const struct tallies *t, const struct counts *part, const struct tally *whole)
{
	const struct tally *class = &t->class[whole->key.class];
	double members = class->heaviest > 0 ? class->weight / class->heaviest : 0;

	members *= class->all.members ? (double)whole->all.members / class->all.members : 0;
	return whole->all.drawn[0] ? part->drawn[0] * members / whole->all.drawn[0] : 0;
}

/*
 * Whether what was drawn and sampled of a part is enough to tell it from the rest of the whole. Of a shape a block must have been sampled:
 * what a line makes gets longer as numbers in it grow, so shapes that no window met are mostly those of lines that they did.
 */
static bool is_known(const struct tallies *t, const struct tally *part)
{
	double members = expected(t, &part->all, part->parent);

	return (members >= EXPECTED_MEMBERS && (part->key.depth == 1 || part->all.members)) ||
	       (members >= LEAST_EXPECTED && part->all.members >= LEAST_MEMBERS && part->all.drawn[0] >= LEAST_DRAWN);
}

static void add_counts(struct counts *sum, const struct counts *c)
{
	sum->members += c->members;
	for (int r = 0; r <= HEAP_REPLICATES; r++)
		sum->drawn[r] += c->drawn[r];
}

static void tell_apart(struct tallies *t, struct tally *at)
{
	at->apart = true;
	at->parent->split = true;
	at->next_apart = t->class[at->key.class].next_apart;
	t->class[at->key.class].next_apart = at;
}

static void leave_together(struct tally *at)
{
	struct tally *whole = at->parent;

	add_counts(at->all.members ? &whole->rest : &whole->bare, &at->all);
	whole->singles += at->all.members == 1;
}

/*
 * Where many parts have one sampled block, as many others have none by chance (the missing mass of Good and Turing): those are like the
 * rest. Types beyond that were made by nobody that was seen; or, where few blocks were sampled, they tell nothing, as shapes do (is_known).
 */
static double by_chance(const struct tally *whole)
{
	return 2.0 * whole->singles;
}

static bool tells_nothing(const struct tallies *t, const struct tally *whole)
{
	return whole->parent || expected(t, &whole->bare, whole) < EXPECTED_MEMBERS + by_chance(whole);
}

static void settle_bare(const struct tallies *t, struct tally *whole)
{
	if (!whole->rest.members || expected(t, &whole->bare, whole) > by_chance(whole))
		return;
	add_counts(&whole->rest, &whole->bare);
	whole->bare = (struct counts){};
}

/* The shapes of a type that is not told apart are not, either; nor is its only one. */
static bool may_be_apart(const struct tally *at)
{
	const struct counts *type = &at->parent->all;

	return at->key.depth == 1 ||
	       (at->parent->apart && (at->all.members != type->members || at->all.drawn[0] != type->drawn[0]));
}

static void tell_all_apart(struct tallies *t)
{
	/* Of each class there may be two cells more, of its rest and of what is bare. */
	size_t left = HEAP_MOST_CELLS - 2 * HEAP_CLASSES;
	struct tally *at;

	for (at = t->first; at; at = at->next) {
		if (!may_be_apart(at))
			continue;
		if (left && is_known(t, at)) {
			tell_apart(t, at);
			left--;
		} else {
			leave_together(at);
		}
	}
	for (at = t->first; at; at = at->next)
		settle_bare(t, at);
	for (int c = 0; c < HEAP_CLASSES; c++)
		settle_bare(t, &t->class[c]);
}

/* ---- cells ---- */

/* A part's share of the whole, from which is left out what is bare and tells nothing. */
static double share_in(const struct tallies *t, const struct counts *part, const struct tally *whole, int r)
{
	static const struct counts none;
	const struct counts *out = tells_nothing(t, whole) ? &whole->bare : &none;
	double n = part->drawn[0], of = (double)whole->all.drawn[0] - out->drawn[0];

	if (r) {
		n -= part->drawn[r];
		of -= (double)whole->all.drawn[r] - out->drawn[r];
	}
	if (of > 0)
		return n / of;
	/* Nothing is left of it without that group. */
	return r ? share_in(t, part, whole, 0) : 0;
}

/* Of what was drawn of the class. */
static double share_of(const struct tallies *t, const struct tally *at, int r)
{
	if (!at->parent)
		return at->all.drawn[0] ? 1 : 0;
	return share_in(t, &at->all, at->parent, r) * share_of(t, at->parent, r);
}

/* part: NULL: all of it. */
static uint16_t add_cell(const struct tallies *t, struct heap_cells *c, const struct tally *at, const struct counts *part)
{
	struct heap_cell *cell = &c->cell[c->n];

	cell->class = at->key.class;
	cell->drawn_of_class = t->class[at->key.class].all.drawn[0];
	for (int r = 0; r <= HEAP_REPLICATES; r++)
		cell->share[r] = share_of(t, at, r) * (part ? share_in(t, part, at, r) : 1);
	return c->n++;
}

static void add_cells(const struct tallies *t, struct heap_cells *c, struct tally *at)
{
	bool has_unseen = !tells_nothing(t, at);

	if (!at->all.members && !at->all.drawn[0])
		return;
	if (!at->split && !has_unseen) {
		at->rest_cell = add_cell(t, c, at, NULL);
		return;
	}
	if (at->rest.members)
		at->rest_cell = add_cell(t, c, at, &at->rest);
	if (has_unseen)
		add_cell(t, c, at, &at->bare);
}

static void make_cells(struct tallies *t, struct heap_member *members, size_t n_members, struct heap_cells *ret)
{
	struct tally *at;
	size_t i;

	for (i = 0; i < HEAP_CLASSES; i++)
		for (at = &t->class[i]; at; at = at->next_apart)
			add_cells(t, ret, at);
	for (i = 0; i < n_members; i++) {
		for (at = t->of[i]; at->parent && !at->apart;)
			at = at->parent;
		members[i].cell = at->rest_cell;
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
		tell_all_apart(t);
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
