/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/usage.h"

#include <stdlib.h>

#include "model/intern.h"

/* Every second point goes, the first and the last stay. */
static void thin_out(struct usage_history *h)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->n; i++)
		if (i % 2 == 0 || i == h->n - 1)
			h->at[n++] = h->at[i];
	h->n = n;
}

int usage_history__add(struct usage_history *h, const struct profile_usage *u)
{
	const struct profile_usage *last = h->n ? &h->at[h->n - 1] : NULL;
	int err;

	if (last && last->usage_bytes == u->usage_bytes && last->oom_kills == u->oom_kills)
		return 0;
	if (h->n == USAGE_MAX_POINTS)
		thin_out(h);
	err = array__reserve((void **)&h->at, &h->capacity, h->n, sizeof(*h->at));
	if (err)
		return err;
	h->at[h->n++] = *u;
	return 0;
}

void usage_history__free(struct usage_history *h)
{
	free(h->at);
	*h = (struct usage_history){0};
}
