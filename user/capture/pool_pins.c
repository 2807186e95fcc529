/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/pool_pins.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

/* A pool that one of the blocks is in. */
struct place {
	uint64_t base; /* key */
	float pin;
	UT_hash_handle hh;
};

static float pin_of(const struct pymalloc_pool *pool, uint32_t pool_bytes)
{
	unsigned int cnt = pymalloc__pool_block_cnt(pool_bytes, pool->szidx);

	return pool->live && pool->live < cnt ? (float)(cnt - pool->live) / pool->live * pymalloc__block_bytes(pool->szidx) : 0;
}

int pool_pins__find(const struct pymalloc_pools *pools, uint32_t pool_bytes, const uint64_t *addrs, size_t n, float *ret)
{
	struct place *places = calloc(n + 1, sizeof(*places)), *head = NULL, *found;
	size_t i, made = 0;

	if (!places)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		uint64_t base = addrs[i] & ~(uint64_t)(pool_bytes - 1);

		HASH_FIND(hh, head, &base, sizeof(base), found);
		if (found)
			continue;
		found = &places[made++];
		found->base = base;
		HASH_ADD(hh, head, base, sizeof(base), found);
	}
	for (i = 0; i < pools->cnt; i++) {
		HASH_FIND(hh, head, &pools->pool[i].base, sizeof(pools->pool[i].base), found);
		if (found)
			found->pin = pin_of(&pools->pool[i], pool_bytes);
	}
	for (i = 0; i < n; i++) {
		uint64_t base = addrs[i] & ~(uint64_t)(pool_bytes - 1);

		HASH_FIND(hh, head, &base, sizeof(base), found);
		ret[i] = found ? found->pin : 0;
	}
	HASH_CLEAR(hh, head);
	free(places);
	return 0;
}
