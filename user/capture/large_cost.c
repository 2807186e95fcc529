/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/large_cost.h"

#include <string.h>

/* What each other process adds to a hit: 16 to free, 45 to malloc. */
#define OTHER_LINK_NS 30
/* What a hit and a followed block cost beyond the trap; the block with its stack, native frames included. */
#define FILTER_NS 60
#define BLOCK_NS 1500

uint32_t large_cost__hit_ns(const struct probe_costs *costs, bool emulated)
{
	return (emulated ? costs->emulated_ns : costs->stepped_ns) + FILTER_NS;
}

static bool is_emulated(const struct malloc_file *file)
{
	static const char *const often[] = { "malloc", "calloc", "realloc", "free" };
	size_t i, k;

	for (i = 0; i < file->n; i++) {
		for (k = 0; k < sizeof(often) / sizeof(often[0]); k++) {
			if (!file->site[i].emulated && !strcmp(file->site[i].symbol, often[k]))
				return false;
		}
	}
	return true;
}

struct large_hit large_cost__hit_of_file(const struct probe_costs *costs, const struct malloc_file *file)
{
	return (struct large_hit){
		.ns = large_cost__hit_ns(costs, is_emulated(file)),
		.return_ns = costs->return_ns,
		.block_ns = large_cost__block_ns(costs),
	};
}

uint32_t large_cost__block_ns(const struct probe_costs *costs)
{
	return costs->return_ns + BLOCK_NS;
}

void large_cost__add(struct large_cost *c, const struct large_watch *sums, const struct large_hit *hit, uint32_t others,
		     bool returns)
{
	/* About as many hits free as allocate. */
	uint64_t each_ns = hit->ns + others * OTHER_LINK_NS + (returns ? hit->return_ns / 2 : 0);

	if (sums->hits < c->paid.hits || sums->blocks < c->paid.blocks)
		return;
	c->ns += (sums->hits - c->paid.hits) * each_ns + (sums->blocks - c->paid.blocks) * hit->block_ns;
	c->paid = *sums;
}
