/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/deviations.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/heap_weights.h"
#include "model/intern.h"

_Static_assert(PROFILE_REPLICATES == HEAP_REPLICATES, "deviations are made of replicates");

static int reach(struct deviations *d, uint32_t cell)
{
	int err = array__reserve((void **)&d->slot, &d->cap_slots, cell, sizeof(*d->slot));

	for (; !err && d->n_slots <= cell; d->n_slots++)
		d->slot[d->n_slots] = 0;
	return err;
}

int deviations__set(struct deviations *d, uint32_t cell, const int64_t bytes[PROFILE_REPLICATES])
{
	if (reach(d, cell))
		return -ENOMEM;
	if (!d->slot[cell]) {
		if (array__reserve((void **)&d->at, &d->cap_at, d->n_at, sizeof(*d->at)))
			return -ENOMEM;
		d->slot[cell] = ++d->n_at;
	}
	memcpy(d->at[d->slot[cell] - 1], bytes, sizeof(*d->at));
	return 0;
}

const int64_t *deviations__get(const struct deviations *d, uint32_t cell)
{
	return cell < d->n_slots && d->slot[cell] ? d->at[d->slot[cell] - 1] : NULL;
}

double deviations__error(uint64_t bytes, const int64_t deviations[PROFILE_REPLICATES])
{
	double d[PROFILE_REPLICATES];

	for (int i = 0; i < PROFILE_REPLICATES; i++)
		d[i] = deviations[i];
	return bytes ? heap_error(bytes, d) : INFINITY;
}

void deviations__free(struct deviations *d)
{
	free(d->slot);
	free(d->at);
	*d = (struct deviations){};
}
