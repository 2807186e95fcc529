/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Cells of the heap: blocks of a size class that hold the same kind of thing (post-strata, in survey terms). Pure.
 *
 * How many blocks of a size class live is read from its pools. What they hold is drawn: a few thousand live blocks, at each reading,
 * looked at once and forgotten (python/pymalloc_look.h). A line mostly makes one kind of thing, and few lines make each kind, so how
 * many lists and how many strings there are says more of who holds the heap than two dozen windows can that met the one by chance
 * more often than the other (model/heap_weights.h).
 *
 * A kind is the type of the object, and its shape, where that never changes (the length of a str). The finer the cells, the fewer
 * sampled blocks in each tell whose its blocks are. So what has too few of them for that is put together: shapes with the rest of their
 * type, types with the rest of their class. Types that should have many sampled blocks by how much is drawn of them, and have none, are a
 * cell of their own: nobody was seen to make such things.
 */
#ifndef MODEL_HEAP_CELLS_H
#define MODEL_HEAP_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "model/heap_windows.h"

/* What a block holds. Hashes. */
struct heap_kind {
	uint32_t type; /* 0: not known */
	uint32_t shape; /* 0: it may change */
};

/* A live block that was drawn at a reading, all blocks of its class with the same chance. */
struct heap_draw {
	struct heap_kind kind;
	uint8_t class;
	uint8_t group; /* < HEAP_REPLICATES */
};

struct heap_cell {
	uint8_t class;
	uint32_t drawn_of_class; /* blocks */
	/* Of what was drawn of its class; in each replicate ([0]: of all) the group's draws left out. They add up to 1, or are all 0. */
	double share[1 + HEAP_REPLICATES];
};

/* A sampled block, to be put into a cell. */
struct heap_member {
	struct heap_kind kind;
	float weight; /* blocks that it stands for */
	uint8_t class;
	uint16_t cell; /* result */
};

struct heap_cells {
	struct heap_cell *cell; /* by class */
	size_t n;
};
/* More kinds are not told apart. */
#define HEAP_MOST_CELLS 2048

/*
 * The cells of a sample; without draws one for each class that has members. *ret is for the caller to end with heap_cells__free.
 * -ENOMEM.
 */
int heap_cells__make(const struct heap_draw *draws, size_t n_draws, struct heap_member *members, size_t n_members,
		     struct heap_cells *ret);
void heap_cells__free(struct heap_cells *c);

#endif
