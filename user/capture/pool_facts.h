/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a process's pools hold, and what of them is free, as facts in the profile (FACT_POOLS). Whoever wonders why memory does not
 * come back to the system finds it here: a pool, and an arena, is given back only when no block in it lives. Only the tracker's files
 * include this.
 */
#ifndef CAPTURE_POOL_FACTS_H
#define CAPTURE_POOL_FACTS_H

#include "model/profile.h"
#include "python/pymalloc.h"

void pool_facts__tell(struct profile *p, uint32_t process, const struct pymalloc_totals *t);

#endif
