/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the processes of a selection have asked of their kernel, in sums (model/address_space.h). */
#ifndef VIEWS_MAPPED_FACTS_H
#define VIEWS_MAPPED_FACTS_H

#include "views/select.h"

/* By calls that were seen: what was there before is in none of them; nor is it, when it is given back. */
struct facts_mapped_kind {
	uint64_t calls, taken_bytes;
	uint64_t given_back_bytes; /* of these, also by the process's end */
};

struct facts_mapped {
	struct facts_mapped_kind arenas, anon, shared, brk;
	uint64_t unseen_bytes; /* that are there, by whom is not known */
	uint64_t advised_calls, advised_bytes; /* of madvise that gives pages back in place: how long ranges are, pages there or not */
};
struct facts_mapped facts__mapped(const struct selection *s);
/* Nothing was watched, or asked for. */
bool facts_mapped__is_empty(const struct facts_mapped *m);

#endif
