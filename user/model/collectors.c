/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/collectors.h"

#include <errno.h>
#include <stdlib.h>

#include "python.h"

static bool is_of(const void *owner, uint32_t item, const void *key)
{
	const struct collectors *c = owner;

	return c->at[item].process == *(const uint32_t *)key;
}

static uint32_t find(const struct collectors *c, uint32_t process)
{
	return index_table__find(&c->index, PY_HASH_STEP(0, process), is_of, c, &process);
}

int collectors__set(struct collectors *c, const struct profile_collector *collector)
{
	uint32_t i = find(c, collector->process);

	if (i != INTERN_NONE) {
		c->at[i] = *collector;
		return 0;
	}
	if (array__reserve((void **)&c->at, &c->capacity, c->n, sizeof(*c->at)) || index_table__reserve(&c->index))
		return -ENOMEM;
	c->at[c->n] = *collector;
	index_table__put(&c->index, PY_HASH_STEP(0, collector->process), c->n++);
	return 0;
}

const struct profile_collector *collectors__of(const struct collectors *c, uint32_t process)
{
	uint32_t i = find(c, process);

	return i == INTERN_NONE ? NULL : &c->at[i];
}

void collectors__free(struct collectors *c)
{
	free(c->at);
	index_table__free(&c->index);
	*c = (struct collectors){0};
}
