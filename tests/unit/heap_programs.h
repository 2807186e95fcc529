/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Programs of known truth for the heap signal: every allocation of a minute with its line and its end, on a model of
 * pymalloc's pools (Objects/obmalloc.c: a block comes from the first pool of its class that has room; a full pool that
 * gets room goes to the front; an empty one goes back). They run at a tenth of a real program's speed, on blocks of
 * which few fit a pool, so that a window of 200 allocations opens as many pools as one of 2,000 does.
 */
#ifndef TESTS_HEAP_PROGRAMS_H
#define TESTS_HEAP_PROGRAMS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"

#define SECONDS 60.0
#define LINES 12
#define BIG 31 /* class of 512 bytes */
#define POOL_BYTES 16384
#define POOL_ROOM 16336
#define LIVES UINT32_MAX
#define NONE UINT32_MAX
#define MAX_ALLOCATIONS 2000000
#define MAX_POOLS 400000
#define OLD_BLOCKS 20000

struct allocation {
	double at; /* s */
	uint32_t pool;
	uint32_t freed; /* before the allocation of this number; LIVES */
	uint32_t again; /* once freed: the one that got the block next, or, less than `freed`, the pool's next free block; NONE */
	uint8_t line, class;
};

struct pool {
	uint32_t room, used;
	uint32_t free; /* block that was freed last; NONE */
	uint32_t previous, next; /* of those with room */
	uint8_t class;
};

struct opening {
	double at;
	uint8_t class;
};

struct heap_program {
	double now;
	uint64_t random;
	struct allocation *allocations;
	struct pool *pools;
	struct opening *openings;
	uint32_t *free_pools;
	uint32_t first; /* allocation since tracing began */
	uint32_t n_allocations, n_pools, n_openings, n_free_pools;
	uint32_t with_room[HEAP_CLASSES]; /* first pool, or NONE */
	double truth[LINES][HEAP_CLASSES]; /* blocks that live at the end */
};

/* Evenly from (0, 1): Steele, Lea, Flood: Fast splittable pseudorandom number generators (SplitMix64). */
static double even(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return ((z ^ z >> 31) >> 11) * 0x1p-53 + 0x1p-54;
}

static uint32_t below(struct heap_program *p, uint32_t n)
{
	return even(&p->random) * n;
}

/* Time goes on by about a 1/rate. */
static void wait_for(struct heap_program *p, double rate)
{
	p->now += (0.5 + even(&p->random)) / rate;
}

static void list_pool(struct heap_program *p, uint32_t i)
{
	struct pool *pool = &p->pools[i];
	uint32_t *first = &p->with_room[pool->class];

	pool->previous = NONE;
	pool->next = *first;
	if (*first != NONE)
		p->pools[*first].previous = i;
	*first = i;
}

static void unlist_pool(struct heap_program *p, uint32_t i)
{
	struct pool *pool = &p->pools[i];

	if (pool->previous == NONE)
		p->with_room[pool->class] = pool->next;
	else
		p->pools[pool->previous].next = pool->next;
	if (pool->next != NONE)
		p->pools[pool->next].previous = pool->previous;
}

static void open_pool(struct heap_program *p, uint8_t class)
{
	uint32_t i = p->n_free_pools ? p->free_pools[--p->n_free_pools] : p->n_pools++;
	uint32_t free = NONE;

	if (i >= MAX_POOLS)
		abort();
	if (p->pools[i].room && p->pools[i].class == class)
		free = p->pools[i].free;
	p->pools[i] = (struct pool){ .room = POOL_ROOM / (16 * (class + 1)), .class = class, .free = free };
	list_pool(p, i);
	if (p->now >= 0)
		p->openings[p->n_openings++] = (struct opening){ p->now, class };
}

static uint32_t make_block(struct heap_program *p, uint8_t line, uint8_t class)
{
	uint32_t pool, free;

	if (p->n_allocations == MAX_ALLOCATIONS)
		abort();
	if (p->with_room[class] == NONE)
		open_pool(p, class);
	pool = p->with_room[class];
	if (++p->pools[pool].used == p->pools[pool].room)
		unlist_pool(p, pool);
	free = p->pools[pool].free;
	if (free != NONE) {
		p->pools[pool].free = p->allocations[free].again;
		p->allocations[free].again = p->n_allocations;
	}
	p->allocations[p->n_allocations] = (struct allocation){ p->now, pool, LIVES, NONE, line, class };
	return p->n_allocations++;
}

static void free_block(struct heap_program *p, uint32_t block)
{
	uint32_t i = p->allocations[block].pool;
	struct pool *pool = &p->pools[i];

	p->allocations[block].freed = p->n_allocations;
	p->allocations[block].again = pool->free;
	pool->free = block;
	if (pool->used-- == pool->room)
		list_pool(p, i);
	if (pool->used)
		return;
	unlist_pool(p, i);
	p->free_pools[p->n_free_pools++] = i;
}

/* Two lines allocate the same size in turn, at every size. */
static void run_turns(struct heap_program *p)
{
	for (uint32_t i = 0; p->now < SECONDS; i++) {
		make_block(p, i % 2, i / 2 % HEAP_CLASSES);
		wait_for(p, 10e3);
	}
}

static void run_phases_of(struct heap_program *p, double fast, double slow)
{
	double end = 0;

	for (int line = 1; p->now < SECONDS; wait_for(p, line ? slow : fast)) {
		if (p->now >= end) {
			line = !line;
			end = p->now + (line ? 0.5 : 0.05) * (0.7 + 0.6 * even(&p->random));
		}
		make_block(p, line, BIG);
	}
}

/* One line allocates fast for 50 ms, the other slowly for 500 ms. */
static void run_phases(struct heap_program *p)
{
	run_phases_of(p, 100e3, 4e3);
}

/* And both as much. */
static void run_even_phases(struct heap_program *p)
{
	run_phases_of(p, 40e3, 4e3);
}

/*
 * Bursts (line 2) are freed again, and leak a little (line 0); between them another line leaks as much, into the holes,
 * and line 3 makes blocks that die at once.
 */
static void run_bursts(struct heap_program *p)
{
	static uint32_t burst[10000];

	while (p->now < SECONDS) {
		double end = p->now + 0.08;
		uint32_t n = 0;

		for (; p->now < end && n < 10000; wait_for(p, 100e3)) {
			burst[n++] = make_block(p, 2, BIG);
			if (n % 50 == 0)
				make_block(p, 0, BIG);
		}
		while (n)
			free_block(p, burst[--n]);
		end = p->now + 0.2 + 0.2 * even(&p->random);
		for (; p->now < end; wait_for(p, 500)) {
			make_block(p, 1, BIG);
			for (int i = 0; i < 4; i++)
				free_block(p, make_block(p, 3, BIG));
		}
	}
}

/* What lived before tracing began. */
static void make_old(struct heap_program *p, uint32_t old[OLD_BLOCKS])
{
	p->now = -1;
	for (uint32_t i = 0; i < OLD_BLOCKS; i++)
		old[i] = make_block(p, LINES - 1, BIG);
	p->now = 0;
	p->first = p->n_allocations;
}

/* Frees one of the n that are left. */
static void drop_old(struct heap_program *p, uint32_t old[OLD_BLOCKS], uint32_t *n)
{
	uint32_t i = below(p, *n);

	free_block(p, old[i]);
	old[i] = old[--*n];
}

/* A cache that was full before tracing began; what goes into it shifts over time. */
static void run_cache(struct heap_program *p, bool oldest_goes)
{
	static uint32_t cache[OLD_BLOCKS];

	make_old(p, cache);
	for (uint32_t i = 0; p->now < SECONDS; i++) {
		uint32_t *entry = &cache[oldest_goes ? i % OLD_BLOCKS : below(p, OLD_BLOCKS)];
		double which = even(&p->random);

		free_block(p, *entry);
		*entry = make_block(p, which < 0.4 + 0.2 * sin(p->now / 7) ? 0 : which < 0.8 ? 1 : 2, BIG);
		if (i % 3 == 0)
			free_block(p, make_block(p, 3, BIG));
		wait_for(p, 5e3);
	}
}

static void run_cache_of_any(struct heap_program *p)
{
	run_cache(p, false);
}

static void run_cache_of_oldest(struct heap_program *p)
{
	run_cache(p, true);
}

/* Ten lines in eight classes, each in its favourite part of the time, and blocks that live for a while. */
static void run_ten(struct heap_program *p)
{
	static const double share[10] = { 40, 20, 12, 8, 6, 5, 4, 2, 2, 1 };
	static uint32_t young[2000];
	double end = 0;
	uint32_t favourite = 0, n = 0;

	for (; p->now < SECONDS; wait_for(p, 8e3)) {
		double left = 100 * even(&p->random);
		uint32_t line = 0;

		if (p->now >= end) {
			favourite = below(p, 10);
			end = p->now - 0.3 * log(even(&p->random));
		}
		while (line < 9 && left >= share[line])
			left -= share[line++];
		if (below(p, 10) < (line == favourite ? 10u : 5u))
			make_block(p, line, 3 + 4 * (line % 8));
		if (below(p, 2))
			continue;
		if (n >= 2000)
			free_block(p, young[n % 2000]);
		young[n++ % 2000] = make_block(p, 10, 3 + 4 * below(p, 8));
	}
}

/* Two lines allocate steadily, a third once, for 5 ms: a third of all that lives at the end. */
static void run_one_off(struct heap_program *p)
{
	double at = 20 + 20 * even(&p->random);
	bool done = false;

	for (; p->now < SECONDS; wait_for(p, 3e3)) {
		if (!done && p->now >= at)
			for (done = true; p->now < at + 0.005; wait_for(p, 18e6))
				make_block(p, 2, BIG);
		make_block(p, below(p, 10) < 7 ? 0 : 1, BIG);
	}
}

/* What lived before tracing dies slowly, and new blocks take its place and more. */
static void run_old(struct heap_program *p)
{
	static uint32_t old[OLD_BLOCKS];
	uint32_t n = OLD_BLOCKS;

	make_old(p, old);
	for (; p->now < SECONDS; wait_for(p, 3e3)) {
		double which = even(&p->random);

		make_block(p, which < 0.6 + 0.3 * sin(p->now / 9) ? 0 : which < 0.95 ? 1 : 2, BIG);
		if (n && below(p, 25) == 0)
			drop_old(p, old, &n);
	}
}

/* What lived before goes and is hardly replaced; what lives but briefly takes the holes. */
static void run_shrink(struct heap_program *p)
{
	static uint32_t old[OLD_BLOCKS];
	uint32_t n = OLD_BLOCKS;

	make_old(p, old);
	for (; p->now < SECONDS; wait_for(p, 500)) {
		if (below(p, 10) < 3)
			make_block(p, below(p, 10) < 7 ? 0 : 1, BIG);
		free_block(p, make_block(p, 2, BIG));
		if (n && below(p, 2) == 0)
			drop_old(p, old, &n);
	}
}

static void heap_program__free(struct heap_program *p)
{
	free(p->allocations);
	free(p->pools);
	free(p->openings);
	free(p->free_pools);
}

static void heap_program__run(struct heap_program *p, void (*run)(struct heap_program *p), uint64_t seed)
{
	*p = (struct heap_program){
		.random = seed,
		.allocations = malloc(MAX_ALLOCATIONS * sizeof(*p->allocations)),
		.pools = calloc(MAX_POOLS, sizeof(*p->pools)),
		.openings = malloc(MAX_ALLOCATIONS * sizeof(*p->openings)),
		.free_pools = malloc(MAX_POOLS * sizeof(*p->free_pools)),
	};
	if (!p->allocations || !p->pools || !p->openings || !p->free_pools)
		abort();
	memset(p->with_room, 0xff, sizeof(p->with_room));
	run(p);
	for (uint32_t i = 0; i < p->n_allocations; i++) {
		const struct allocation *a = &p->allocations[i];

		if (a->freed != LIVES)
			continue;
		p->truth[a->line][a->class]++;
	}
}

#endif
