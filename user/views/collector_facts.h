/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a report says of collectors by themselves: how they are set, and what they leave alone. */
#ifndef VIEWS_COLLECTOR_FACTS_H
#define VIEWS_COLLECTOR_FACTS_H

#include "views/select.h"

/* Processes of the selection whose collectors are set alike. */
struct facts_collector {
	const struct profile_collector *like; /* one of them */
	uint32_t processes;
	uint64_t frozen; /* objects, of all of them */
	uint32_t frozen_unknown; /* processes where they were not counted */
	uint64_t uncollectable; /* objects, since the interpreters began */
};

/* The most frequent first. The caller frees *ret. 0 or -ENOMEM. */
int facts__collectors(const struct selection *s, struct facts_collector **ret, size_t *ret_cnt);

/* "enabled, thresholds 700, 10, 10", "disabled (gc.disable)". Returns buf. */
#define COLLECTOR_SETTING_LEN 96
const char *collector__setting(const struct profile_collector *c, char *buf, size_t len);

#endif
