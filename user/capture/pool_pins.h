/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a live block keeps from going back: a pool goes back to its arena, and an arena to the system, only when nothing in it lives,
 * so the free blocks of a pool are kept by the live ones beside them, by each an equal part. Pure.
 */
#ifndef CAPTURE_POOL_PINS_H
#define CAPTURE_POOL_PINS_H

#include "python/pymalloc.h"

/*
 * ret[i]: bytes of free blocks that the block at addrs[i] keeps; 0 where its pool is full, or none of pools. pool_bytes: a power of two.
 * 0 or -ENOMEM.
 */
int pool_pins__find(const struct pymalloc_pools *pools, uint32_t pool_bytes, const uint64_t *addrs, size_t n, float *ret);

#endif
