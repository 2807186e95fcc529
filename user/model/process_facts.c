/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/process_facts.h"

#include <errno.h>
#include <stdlib.h>

#include "python.h"

static bool same_name(const void *owner, uint32_t item, const void *key)
{
	const struct profile_fact *a = &((const struct process_facts *)owner)->at[item], *b = key;

	return a->process == b->process && a->name == b->name;
}

int process_facts__set(struct process_facts *f, const struct profile_fact *fact)
{
	uint64_t hash = PY_HASH_STEP(PY_HASH_STEP(0, fact->process), (uintptr_t)fact->name);
	uint32_t i = index_table__find(&f->index, hash, same_name, f, fact);

	if (i != INTERN_NONE) {
		f->at[i] = *fact;
		return 0;
	}
	if (array__reserve((void **)&f->at, &f->capacity, f->n, sizeof(*f->at)) || index_table__reserve(&f->index))
		return -ENOMEM;
	f->at[f->n] = *fact;
	index_table__put(&f->index, hash, f->n++);
	return 0;
}

void process_facts__free(struct process_facts *f)
{
	free(f->at);
	index_table__free(&f->index);
	*f = (struct process_facts){0};
}
