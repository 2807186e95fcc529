/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Facts about processes, those that say the same together: allocators, and what signals see. */
#ifndef VIEWS_FACT_GROUPS_H
#define VIEWS_FACT_GROUPS_H

#include "views/select.h"

struct fact_group {
	const char *name, *text; /* of the profile */
	uint32_t processes;
	uint64_t part, whole; /* sums; whole 0: no share, or not known */
};

/* By name, then the most frequent first. The caller frees *ret. 0 or -ENOMEM. */
int fact_groups__new(const struct selection *s, struct fact_group **ret, size_t *ret_cnt);

/* "exact" of "coverage.exact"; NULL: the fact is no coverage. */
const char *fact_group__signal(const struct fact_group *g);

/* How much a signal sees, in all processes together. */
struct coverage_sum {
	uint64_t part, whole; /* whole 0: not known of any */
	uint32_t unknown; /* processes of which it is not known */
};
struct coverage_sum fact_groups__coverage(const struct fact_group *groups, size_t cnt, const char *signal);

#endif
