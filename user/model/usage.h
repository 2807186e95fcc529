/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a container used over time: the points where it changed, thinned out when they are many. */
#ifndef MODEL_USAGE_H
#define MODEL_USAGE_H

#include "model/profile.h"

#define USAGE_MAX_POINTS 256

/* All zero is an empty one. */
struct usage_history {
	struct profile_usage *at;
	uint32_t n, capacity;
};

/* Adds a point, later than those before it; one that says nothing new is left out. 0 or -ENOMEM. */
int usage_history__add(struct usage_history *h, const struct profile_usage *u);
void usage_history__free(struct usage_history *h);

#endif
