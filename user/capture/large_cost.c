/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/large_cost.h"

#include "python/sites.h"

/* What each other process adds to a hit: 16 to free, 45 to malloc. */
#define OTHER_LINK_NS 30
/* What a hit and a followed block cost beyond the trap; the block with its stack, native frames included. */
#define FILTER_NS 60
#define BLOCK_NS 1500
/* About as many hits free as allocate. */
#define RETURN_OF_A_HIT_NS (PROBE_COST_RETURN_NS / 2)

uint32_t large_cost__hit_ns(bool emulated)
{
	return (emulated ? PROBE_COST_EMULATED_NS : PROBE_COST_STEPPED_NS) + FILTER_NS;
}

uint32_t large_cost__block_ns(void)
{
	return PROBE_COST_RETURN_NS + BLOCK_NS;
}

void large_cost__add(struct large_cost *c, const struct large_watch *sums, uint32_t hit_ns, uint32_t others,
		     bool returns)
{
	uint64_t each_ns = hit_ns + others * OTHER_LINK_NS + (returns ? RETURN_OF_A_HIT_NS : 0);

	if (sums->hits < c->paid.hits || sums->blocks < c->paid.blocks)
		return;
	c->ns += (sums->hits - c->paid.hits) * each_ns + (sums->blocks - c->paid.blocks) * large_cost__block_ns();
	c->paid = *sums;
}
