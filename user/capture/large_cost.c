/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/large_cost.h"

/* What each other process adds to a hit: 16 to free, 45 to malloc. */
#define OTHER_LINK_NS 30
/* What a hit and a followed block cost beyond the trap. */
#define FILTER_NS 60
#define BLOCK_NS 1000

uint32_t large_cost__hit_ns(const struct probe_costs *costs, bool emulated)
{
	return (emulated ? costs->emulated_ns : costs->stepped_ns) + FILTER_NS;
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
