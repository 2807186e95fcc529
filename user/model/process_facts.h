/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Named facts about a profile's processes, found by process and name. */
#ifndef MODEL_PROCESS_FACTS_H
#define MODEL_PROCESS_FACTS_H

#include "model/intern.h"
#include "model/profile.h"

/* All zero is an empty one. */
struct process_facts {
	struct profile_fact *at;
	uint32_t n, capacity;
	struct index_table index;
};

/* Adds one, or replaces the process's fact of that name. Its strings are interned ones. 0 or -ENOMEM. */
int process_facts__set(struct process_facts *f, const struct profile_fact *fact);
void process_facts__free(struct process_facts *f);

#endif
