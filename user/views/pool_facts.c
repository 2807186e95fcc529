/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/pool_facts.h"

#include <stdlib.h>
#include <string.h>

static void add_class(struct facts_pools *to, const struct fact_group *g)
{
	unsigned long bytes = strtoul(g->name + strlen(FACT_POOLS_CLASS), NULL, 10);

	if (!bytes || bytes % 16 || bytes > 16 * FACTS_POOL_CLASSES)
		return;
	to->class[bytes / 16 - 1].live = g->part;
	to->class[bytes / 16 - 1].free = g->whole > g->part ? g->whole - g->part : 0;
}

struct facts_pools facts__pools(const struct fact_group *groups, size_t n)
{
	struct facts_pools ret = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct fact_group *g = &groups[i];

		if (!strncmp(g->name, FACT_POOLS_CLASS, strlen(FACT_POOLS_CLASS)))
			add_class(&ret, g);
		else if (!strcmp(g->name, FACT_POOLS_FREE))
			ret.free = g->part;
		else if (!strcmp(g->name, FACT_POOLS_EMPTY))
			ret.empty = g->part;
		else if (!strcmp(g->name, FACT_POOLS_UNUSED))
			ret.unused = g->part;
		if (strcmp(g->name, FACT_POOLS_LIVE))
			continue;
		ret.live = g->part;
		ret.arenas = g->whole;
		ret.processes = g->processes;
	}
	return ret;
}

size_t facts_pools__most_free(const struct facts_pools *p)
{
	size_t most = 0;

	for (size_t c = 1; c < FACTS_POOL_CLASSES; c++)
		if (p->class[c].free > p->class[most].free)
			most = c;
	return most;
}
