/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/forked_memory.h"

#include <math.h>

/* The share of its page faults for which none that was looked at stands. */
static double share_not_seen(const struct forked_memory *m)
{
	return m->faults ? fmax(1 - m->told / m->faults, 0) : 0;
}

double forked_memory__unknown(const struct forked_memory *m, double unknown, double lines_bytes, double most, double *unsure)
{
	double own = m->own_bytes == FORKED_UNKNOWN ? most : m->own_bytes, by_faults;

	*unsure = 0;
	if (unknown >= 0)
		return unknown;
	if (lines_bytes > own)
		return fmax(unknown, own - lines_bytes);
	if (m->own_bytes == FORKED_UNKNOWN || m->told <= 0 || m->faults <= m->told)
		return NAN;
	/* Its faults may have been of several kinds; the nearer both are, the surer. */
	by_faults = fmin(lines_bytes * (m->faults / m->told - 1), own - lines_bytes);
	*unsure = own - lines_bytes - by_faults;
	return by_faults;
}

struct forked_rest forked_memory__rest(const struct forked_memory *m, double lines_bytes, uint64_t page_bytes)
{
	struct forked_rest ret = {};
	double rest;

	if (m->own_bytes == FORKED_UNKNOWN)
		return ret;
	rest = m->own_bytes - lines_bytes;
	if (rest < page_bytes)
		return ret;
	ret.not_seen = fmin(rest, (double)m->faults * page_bytes) * share_not_seen(m);
	if (ret.not_seen < page_bytes)
		ret.not_seen = 0;
	ret.inherited = rest - ret.not_seen;
	if (ret.inherited < page_bytes)
		ret.inherited = 0;
	return ret;
}
