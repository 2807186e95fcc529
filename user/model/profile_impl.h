/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What profile.c and profile_cells.c share: the profile's arrays. */
#ifndef MODEL_PROFILE_IMPL_H
#define MODEL_PROFILE_IMPL_H

#include "model/collectors.h"
#include "model/intern.h"
#include "model/process_facts.h"
#include "model/profile.h"
#include "model/usage.h"
#include "python.h"

/* Indexes must stay below PROFILE_NONE and NO_CELL, and one more item than the limit may exist. */
#define MAX_ITEMS (INT32_MAX - 16)

struct cell {
	struct profile_cell pub;
	uint32_t pending; /* index into pending, or PROFILE_NONE */
	uint32_t touched : 1; /* in the list for the next tick */
	uint32_t next_of_process : 31; /* NO_CELL: the last */
};
_Static_assert(sizeof(struct cell) == 64, "a cell is a cache line");
#define NO_CELL 0x7fffffffu

/* By process. */
struct process_cells {
	uint32_t first; /* NO_CELL: none */
	uint32_t n;
};

struct pending {
	uint32_t cell;
	struct profile_sums sums;
};

struct named_value {
	const char *name;
	uint64_t value;
};

struct meta {
	const char *key;
	char *value; /* not interned: "duration_ns" changes every second */
};

#define ARRAY(type, name)                                                                          \
	type *name;                                                                                \
	uint32_t n_##name, cap_##name

struct profile {
	struct profile_limits limits;
	struct strings strings;
	ARRAY(struct profile_container, containers);
	ARRAY(struct usage_history, usage); /* by container */
	ARRAY(struct profile_process, processes); /* command and note are each item's own, not interned */
	ARRAY(struct process_cells, process_cells);
	struct collectors collectors;
	struct process_facts facts;
	ARRAY(struct profile_frame, frames);
	ARRAY(struct profile_node, nodes);
	ARRAY(struct cell, cells);
	ARRAY(uint32_t, touched);
	ARRAY(struct pending, pending);
	ARRAY(struct named_value, counters);
	ARRAY(struct meta, meta);
	ARRAY(struct profile_gc, gc); /* a ring once n_gc is max_gc */
	struct deviations deviations; /* by cell */
	uint32_t gc_oldest;
	uint32_t gc_second[2]; /* entries made since the last tick: of short pauses, of long ones */
	uint64_t gc_dropped;
	uint64_t merged;
	struct index_table container_index, frame_index, node_index, cell_index;
	struct index_table gc_index; /* of entries that others are summed into, until the tick */
};

#define RESERVE(p, name)                                                                           \
	array__reserve((void **)&(p)->name, &(p)->cap_##name, (p)->n_##name, sizeof(*(p)->name))

static inline uint64_t hash_words(const uint64_t *words, size_t n)
{
	uint64_t h = 0;

	for (size_t i = 0; i < n; i++)
		h = PY_HASH_STEP(h, words[i]);
	return h;
}

/* Never beyond the greatest number. */
static inline void sum(uint64_t *to, uint64_t added)
{
	if (__builtin_add_overflow(*to, added, to))
		*to = UINT64_MAX;
}

#endif
