/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/arrivals.h"

#include <errno.h>
#include <stdlib.h>

void arrivals__free(struct arrivals *a)
{
	free(a->at);
	*a = (struct arrivals){};
}

int arrivals__add(struct arrivals *a, const struct arrival *arrival)
{
	if (a->n == MAX_ARRIVALS)
		return -ENOSPC;
	if (!a->at)
		a->at = calloc(MAX_ARRIVALS, sizeof(*a->at));
	if (!a->at)
		return -ENOMEM;
	a->at[(a->first + a->n++) % MAX_ARRIVALS] = *arrival;
	return 0;
}

bool arrivals__take(struct arrivals *a, struct arrival *ret)
{
	if (!a->n)
		return false;
	*ret = a->at[a->first];
	a->first = (a->first + 1) % MAX_ARRIVALS;
	a->n--;
	return true;
}
