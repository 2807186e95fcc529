/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What pymalloc's arenas of a selection hold, and what in them is free. */
#ifndef VIEWS_POOL_FACTS_H
#define VIEWS_POOL_FACTS_H

#include "views/fact_groups.h"

#define FACTS_POOL_CLASSES 32 /* of 16, 32, ... 512 bytes */

/* Bytes, as of each process's last reading. */
struct facts_pools {
	uint32_t processes; /* that were read; 0: nothing is known */
	uint64_t arenas;
	uint64_t live, free; /* blocks, in pools where some live */
	uint64_t empty; /* pools without a live block */
	uint64_t unused; /* pools that were never used */
	struct facts_pool_class {
		uint64_t live, free;
	} class[FACTS_POOL_CLASSES];
};
struct facts_pools facts__pools(const struct fact_group *groups, size_t n);
/* The class with the most free bytes. */
size_t facts_pools__most_free(const struct facts_pools *p);

#endif
