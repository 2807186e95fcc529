/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a process pays for its large blocks being followed, from the counts of its probes. Pure. What is beyond the
 * traps as measured by tools/bench --only large.
 */
#ifndef CAPTURE_LARGE_COST_H
#define CAPTURE_LARGE_COST_H

#include <stdbool.h>
#include <stdint.h>

#include "large.h"
#include "python/malloc_sites.h"
#include "system/probe_cost.h"

struct large_cost {
	struct large_watch paid; /* counts that are in ns */
	uint64_t ns;
};

/* Of a hit that no block follows from: the trap, and the program that turns it away. */
uint32_t large_cost__hit_ns(const struct probe_costs *costs, bool emulated);

/* Of a block that is followed, beyond its hit: its stack and its return. */
uint32_t large_cost__block_ns(const struct probe_costs *costs);

/* What the sites of one file cost. */
struct large_hit {
	uint32_t ns; /* each */
	uint32_t return_ns; /* more, where its return is probed */
	uint32_t block_ns; /* more, where a block is followed */
};
/* By the functions that are called most. */
struct large_hit large_cost__hit_of_file(const struct probe_costs *costs, const struct malloc_file *file);

/*
 * sums: all hits and blocks so far; others: how many more processes of the same C library are followed now, for what
 * was counted meanwhile; returns: each allocation has its return probed, not only one that is followed. The cost never
 * falls: neither when others go, nor where counts cannot be read and are less.
 */
void large_cost__add(struct large_cost *c, const struct large_watch *sums, const struct large_hit *hit, uint32_t others,
		     bool returns);

#endif
