/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Blocks of a running process: what became of those that are known, and a random sample of those that live.
 */
#ifndef PYTHON_PYMALLOC_LOOK_H
#define PYTHON_PYMALLOC_LOOK_H

#include "python/pymalloc_block.h"

enum pymalloc_fate {
	FATE_UNKNOWN,  /* not looked at yet, or its pool made no sense at any look */
	FATE_FREED,    /* on its pool's free list, or the pool was given up or taken by another class */
	FATE_REPLACED, /* live, but something else */
	FATE_UNSURE,
	FATE_LIVES,
	FATES,
};

struct pymalloc_block {
	uint64_t addr; /* where the allocator's block begins; the object may begin later */
	double weight; /* live blocks of its class that it stands for; 1 where it was not drawn */
	uint8_t szidx;
	uint8_t fate;		     /* enum pymalloc_fate, as of the last look */
	struct pymalloc_print print; /* {0}: none was taken yet */
};

/*
 * Where are they now: fills the fate of each of n blocks, and takes the print of those that live and have none, which
 * FATE_LIVES then. In ascending order of addr, or pools are read several times: about 1 us for a block in a full pool,
 * 5 us for each other pool. -ESRCH, -EPERM; -ENOMEM.
 */
int pymalloc__look(struct pymalloc *a, struct pymalloc_block *blocks, size_t n);

/*
 * Draws up to per_class live blocks of each class from the pools of a scan, each with the same chance, spread evenly
 * over the class's pools, and takes their prints. *ret is for the caller to free, in no order of addr. What was freed
 * since the scan is not in it, and what was allocated since stands no chance. The same seed draws the same of the same.
 */
int pymalloc__sample(struct pymalloc *a, const struct pymalloc_pools *pools, unsigned int per_class, uint64_t seed,
		     struct pymalloc_block **ret, size_t *cnt);
/*
 * The same of about `most` blocks in all, of each class by the bytes that live of it, for what they hold alone (pymalloc__kind): their
 * prints are without leaves, which is quicker.
 */
int pymalloc__sample_kinds(struct pymalloc *a, const struct pymalloc_pools *pools, unsigned int most, uint64_t seed,
			   struct pymalloc_block **ret, size_t *cnt);

#endif
