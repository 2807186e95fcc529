/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/strata.h"

#include <math.h>

#include "records.h"

/* What is followed of a stratum may be gone by chance, or it may begin to leak: one page in so many is taken to stay. */
#define STAYS 10000.0
/* log2 by which looks must be off to be changed: they are a power of two of what comes. */
#define SLACK 0.75
/* Each leaves fewer that could be given more than they have. */
#define TURNS 8

static double merit_of(const struct stratum_use *u)
{
	return sqrt(u->hits * (u->live + u->hits / STAYS));
}

static int32_t step_of(const struct stratum_use *u, double wanted)
{
	double off;

	if (u->looks <= 0 || wanted <= 0)
		return 0;
	off = log2(wanted / u->looks);
	/* All are looked at. */
	if (off > 0 && u->looks >= u->hits / 1.5)
		return 0;
	return fabs(off) > SLACK ? lround(off) : 0;
}

/* Looks for a merit of one. What a stratum cannot use, because it has no more hits, is the others'. */
static double share_out(const struct stratum_use *use, size_t n, double looks)
{
	double per_merit = 0, before, merits, left;
	int turn;
	size_t i;

	for (turn = 0; turn < TURNS; turn++) {
		merits = 0;
		left = looks;
		for (i = 0; i < n; i++) {
			if (turn && merit_of(&use[i]) * per_merit >= use[i].hits)
				left -= use[i].hits;
			else
				merits += merit_of(&use[i]);
		}
		if (merits <= 0 || left <= 0)
			break;
		before = per_merit;
		per_merit = left / merits;
		if (per_merit == before)
			break; /* as all turns from here on */
	}
	return per_merit;
}

void strata__share_out(const struct stratum_use *use, int32_t *favour, size_t n)
{
	double looks = 0, per_merit;
	size_t i;

	for (i = 0; i < n; i++)
		looks += use[i].usual_looks;
	per_merit = share_out(use, n, looks);
	for (i = 0; i < n; i++) {
		if (use[i].hits)
			favour[i] += step_of(&use[i], per_merit * merit_of(&use[i]));
		else
			favour[i] -= (favour[i] > 0) - (favour[i] < 0);
		favour[i] = favour[i] < MIN_FAVOUR ? MIN_FAVOUR : favour[i] > MAX_FAVOUR ? MAX_FAVOUR : favour[i];
	}
}
