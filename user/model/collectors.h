/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the collectors of a profile's processes said of themselves last, found by process. */
#ifndef MODEL_COLLECTORS_H
#define MODEL_COLLECTORS_H

#include "model/intern.h"
#include "model/profile.h"

/* All zero is an empty one. */
struct collectors {
	struct profile_collector *at;
	uint32_t n, capacity;
	struct index_table index;
};

/* Adds one, or replaces what its process said before. 0 or -ENOMEM. */
int collectors__set(struct collectors *c, const struct profile_collector *collector);
/* NULL: nothing is known. */
const struct profile_collector *collectors__of(const struct collectors *c, uint32_t process);
void collectors__free(struct collectors *c);

#endif
