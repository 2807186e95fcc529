/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What an object owns, as evidence of which object it is. The allocator hands out blocks in the reverse order of their
 * being freed, so a structure that is freed and one of the same shape that is made next get the same addresses in the
 * same places: pointers look equal then, and only what they lead to differs. Leaves are the immutable values (str,
 * bytes, int, float) that are reached from a block through memory and objects that nobody else refers to; a few of
 * them, at most LEAF_DEPTH steps away.
 */
#ifndef PYTHON_PYMALLOC_LEAVES_H
#define PYTHON_PYMALLOC_LEAVES_H

#include <stddef.h>

#include "python/pymalloc_pool.h"
#include "python/type.h"

#define LEAF_ROOTS 64
#define LEAF_DEPTH 4
#define LEAF_NODES 16
#define LEAF_NODE_BYTES 96
#define LEAF_POOLS 4096
#define MAX_LEAVES 12

struct pymalloc_leaves {
	uint32_t hash[MAX_LEAVES];
	uint16_t owned; /* bit i: nobody but the block's owner refers to it */
	uint8_t cnt;
};

/* A block, with an object that starts at object_at or without one. */
struct pymalloc_root {
	const uint8_t *bytes;
	uint32_t end; /* of what is in the block */
	uint32_t object_at;
	bool typed;
	struct pymalloc_leaves leaves; /* result */
};

/* A part of an address space. */
struct pymalloc_range {
	uint64_t start, end;
};

/* How large the blocks of a pool are, so that what is read does not end in the block of somebody else. */
struct leaf_pool {
	uint64_t base;	      /* 0: none */
	uint32_t block_bytes; /* 0: no pool begins there */
};

struct leaf_walk;

/* Start with {0}, end with leaf_reader__end. */
struct leaf_reader {
	const struct mem_reader *m;
	const struct py_layout *layout;
	struct py_types *types;
	uint32_t pool_bytes;
	/* Where things live that many objects point to. */
	const struct pymalloc_range *shared;
	size_t shared_cnt;
	struct leaf_pool pool[LEAF_POOLS]; /* those seen; a hash table */
	size_t pool_cnt;
	struct leaf_walk *walk; /* memory of ours, kept from one call to the next */
};
void leaf_reader__end(struct leaf_reader *r);

bool leaf_reader__is_shared(const struct leaf_reader *r, uint64_t word);

/*
 * Finds the leaves of up to LEAF_ROOTS blocks. At most LEAF_NODES reads of LEAF_NODE_BYTES for each block, of all
 * blocks together. -ESRCH, -EPERM, -ENOMEM.
 */
int pymalloc__leaves(struct leaf_reader *r, struct pymalloc_root *roots, size_t n);

#endif
