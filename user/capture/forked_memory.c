/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/forked_memory.h"

#include <math.h>

/* Until so many were looked at, most of what is believed of faults is that each brings a page. */
#define PRIOR_LOOKS 2

/* Which part of a page a fault brings that it has alone: others are of files, or come again where memory was given back. */
static double pages_a_fault(const struct forked_memory *m, double lines_bytes)
{
	const struct forked_faults *f = &m->faults;
	double prior = f->looks ? PRIOR_LOOKS * f->stood_for / f->looks : 0;

	return f->stood_for > 0 ? fmin((lines_bytes / m->page_bytes + prior) / (f->stood_for + prior), 1) : 1;
}

/* Bytes that page faults brought in for which none that was looked at stands; < 0: that those stand for too much. */
static double not_stood_for(const struct forked_memory *m, double lines_bytes)
{
	return (m->faults.all - m->faults.stood_for) * m->page_bytes * pages_a_fault(m, lines_bytes);
}

double forked_memory__unknown(const struct forked_memory *m, double unknown, double lines_bytes, double most, double *unsure)
{
	double room = (m->own_bytes == FORKED_UNKNOWN ? most : m->own_bytes) - lines_bytes, more;

	*unsure = 0;
	if (room < 0)
		return unknown >= 0 ? unknown : fmax(unknown, room);
	if (m->own_bytes == FORKED_UNKNOWN || m->faults.stood_for <= 0)
		return unknown >= 0 ? unknown : NAN;
	more = not_stood_for(m, lines_bytes);
	if (unknown >= fmin(more, room))
		return unknown;
	*unsure = more > room ? fmin(more - room, room) : room - more;
	return fmin(more, room);
}

struct forked_rest forked_memory__rest(const struct forked_memory *m, double lines_bytes, double told_bytes)
{
	struct forked_rest ret = {};
	double rest = (double)m->own_bytes - told_bytes;

	if (m->own_bytes == FORKED_UNKNOWN || rest < m->page_bytes)
		return ret;
	ret.not_looked_at = fmin(not_stood_for(m, lines_bytes) - (told_bytes - lines_bytes), rest);
	if (ret.not_looked_at < m->page_bytes)
		ret.not_looked_at = 0;
	ret.inherited = rest - ret.not_looked_at;
	if (ret.inherited < m->page_bytes)
		ret.inherited = 0;
	return ret;
}
