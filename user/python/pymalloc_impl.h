/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the files of python/pymalloc share with each other and nobody else. */
#ifndef PYTHON_PYMALLOC_IMPL_H
#define PYTHON_PYMALLOC_IMPL_H

#include "python/pymalloc.h"
#include "system/residency.h"

/* Sub-interpreters with an allocator of their own (3.12+); further ones are left out. */
#define MAX_ALLOCATORS 64
/* How often something that the process is changing is looked at again. */
#define LOOKS 4

struct pymalloc_ranges {
	struct pymalloc_range *range;
	size_t cnt, room;
};

/* Where one allocator keeps its books. */
struct pymalloc_books {
	uint64_t used_at;      /* usedpools: 64 words */
	uint64_t arenas_at;    /* the pointer to the array of arena_object */
	uint64_t arena_cnt_at; /* maxarenas, the length of that array; 0: not known */
};

struct pymalloc {
	struct mem_reader m;
	struct py_layout layout;
	uint64_t runtime;		  /* 0: made-up memory */
	uint32_t pool_bytes, arena_bytes; /* largest arena of this version */
	const struct proc *proc;	  /* NULL: made-up memory */
	pid_t tgid;
	char *path;		     /* of the interpreter's file */
	struct pymalloc_ranges data; /* the interpreter's variables */
	struct pymalloc_ranges anon; /* private anonymous memory, in order */
	struct pymalloc_books books[MAX_ALLOCATORS];
	size_t book_cnt;
	struct residency *residency; /* during a scan; NULL: everything counts as resident */
};

/* The next of a row of random numbers; any state will do. */
uint64_t pymalloc__random(uint64_t *state);

int pymalloc_ranges__add(struct pymalloc_ranges *r, uint64_t start, uint64_t end);

#define USER_SPACE_END (1ull << 47)
#define MAX_POOLS_IN_ARENA 128

struct arena_object {
	uint64_t address;      /* 0: not associated */
	uint64_t pool_address; /* next pool to be carved off */
	uint32_t nfreepools, ntotalpools;
	uint64_t freepools;
	uint64_t nextarena, prevarena;
};
_Static_assert(sizeof(struct arena_object) == 48, "struct arena_object");

/* Whether an array of arena_objects can have this length. */
bool arena_objects__length_fits(uint32_t cnt);

/* An associated arena, checked. */
struct pymalloc_arena {
	uint64_t first;	 /* pool */
	uint32_t carved; /* pools from there on that were touched once */
	uint32_t virgin;
	uint32_t bytes;
};

/* Are a->books still right? Those of sub-interpreters are found anew. */
bool pymalloc__know_books(struct pymalloc *a);
/* Fills a->books, from the data. NULL, or why the books are not found: a static string. */
const char *pymalloc__find_books(struct pymalloc *a);

/* The arenas of one allocator; *ret is for the caller to free. Entries that make no sense are counted in *odd. */
int pymalloc__read_arenas(const struct pymalloc *a, const struct pymalloc_books *b, struct pymalloc_arena **ret,
			  size_t *cnt, uint64_t *odd);

/* Pools to read, one after the other; pymalloc_gather.c. */
struct pymalloc_gather;
int pymalloc_gather__new(const struct pymalloc *a, bool search, struct pymalloc_pools *pools,
			 struct pymalloc_totals *totals, struct pymalloc_gather **ret);
int pymalloc_gather__add(struct pymalloc_gather *g, uint64_t base);
/* Reads what is left and completes the totals. */
int pymalloc_gather__finish(struct pymalloc_gather *g);
void pymalloc_gather__free(struct pymalloc_gather *g);

#endif
