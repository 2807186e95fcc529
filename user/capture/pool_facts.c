/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/pool_facts.h"

#include <stdio.h>

#define KNOWN_FROM "read from the process"

static void tell(struct profile *p, uint32_t process, const char *name, uint64_t part, uint64_t whole)
{
	const struct profile_fact f = { .process = process, .name = name, .text = KNOWN_FROM, .part = part, .whole = whole };

	profile__set_fact(p, &f);
}

void pool_facts__tell(struct profile *p, uint32_t process, const struct pymalloc_totals *t)
{
	uint64_t live = 0, free = 0, arenas = t->by_arenas ? t->arena_bytes : t->pools_carved * t->pool_bytes;
	char name[sizeof(FACT_POOLS_CLASS) + 8];

	for (unsigned int c = 0; c < PYMALLOC_CLASSES; c++) {
		const struct pymalloc_class *class = &t->class[c];
		uint64_t block_bytes = pymalloc__block_bytes(c);

		live += class->live * block_bytes;
		free += class->free * block_bytes;
		snprintf(name, sizeof(name), FACT_POOLS_CLASS "%u", (unsigned int)block_bytes);
		tell(p, process, name, class->live * block_bytes, (class->live + class->free) * block_bytes);
	}
	tell(p, process, FACT_POOLS_LIVE, live, arenas);
	tell(p, process, FACT_POOLS_FREE, free, arenas);
	tell(p, process, FACT_POOLS_EMPTY, t->free_pools * t->pool_bytes, arenas);
	tell(p, process, FACT_POOLS_UNUSED, t->virgin_pools * t->pool_bytes, arenas);
}
