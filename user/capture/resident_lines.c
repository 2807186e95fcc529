/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/resident_lines.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More standard deviations are no chance. */
#define MOST_DEVIATIONS 3

void resident_lines__begin(struct resident_lines *l)
{
	struct resident_line *line;

	memset(l->variance, 0, sizeof(l->variance));
	memset(l->part, 0, sizeof(l->part));
	for (line = l->by_key; line; line = line->hh.next) {
		line->bytes = line->variance = 0;
		memset(line->part, 0, sizeof(line->part));
	}
}

static struct resident_line *line_of(struct resident_lines *l, const struct resident_line_key *key)
{
	struct resident_line *line;

	HASH_FIND(hh, l->by_key, key, sizeof(*key), line);
	if (line)
		return line;
	line = calloc(1, sizeof(*line));
	if (!line)
		return NULL;
	line->key = *key;
	HASH_ADD(hh, l->by_key, key, sizeof(line->key), line);
	return line;
}

int resident_lines__found(struct resident_lines *l, const struct resident_line_key *key, uint32_t process, double bytes,
			  double factor, unsigned int group)
{
	double chance = 1 - 1 / factor; /* the share of the bytes' square that is variance */
	struct resident_line *line = line_of(l, key);

	if (!line)
		return -ENOMEM;
	line->process = process;
	line->bytes += bytes;
	line->variance += bytes * bytes * chance;
	line->part[group % PAGE_GROUPS] += bytes * sqrt(chance);
	l->variance[key->kind] += bytes * bytes * chance;
	l->part[key->kind][group % PAGE_GROUPS] += bytes * sqrt(chance);
	return 0;
}

static double sum_of(const double part[PAGE_GROUPS])
{
	double sum = 0;
	int g;

	for (g = 0; g < PAGE_GROUPS; g++)
		sum += part[g];
	return sum;
}

/* What a sum changes by when one of its groups is left out and the others stand for it. */
static double without(const double part[PAGE_GROUPS], int group)
{
	return (sum_of(part) - part[group]) * PAGE_GROUPS / (PAGE_GROUPS - 1) - sum_of(part);
}

/*
 * Pages that were looked at by themselves differ by page; where a turn of the hook brings many or none, by group, which pages
 * know nothing of: the greater counts.
 */
static double variance_of(double between_pages, const double part[PAGE_GROUPS])
{
	double between_groups = 0;
	int g;

	for (g = 0; g < PAGE_GROUPS; g++)
		between_groups += without(part, g) * without(part, g);
	return fmax(between_pages, between_groups * (PAGE_GROUPS - 1) / PAGE_GROUPS);
}

double resident_lines__deviation(const struct resident_lines *l, uint32_t kind)
{
	return sqrt(variance_of(l->variance[kind], l->part[kind]));
}

struct settlement {
	double difference[RESIDENT_KINDS]; /* to be shared out */
	double doubt[RESIDENT_KINDS]; /* bytes squared: by this it is divided */
	bool shared[RESIDENT_KINDS]; /* all of it, so that it takes errors away */
};

/* Lines that one turn brought are wrong together, so all are less sure than their sum tells. */
static struct settlement plan(const struct resident_lines *l, const double *unknown, const double *unsteady)
{
	const struct resident_line *line;
	struct settlement s = {};
	int kind;

	for (line = l->by_key; line; line = line->hh.next)
		s.doubt[line->key.kind] += variance_of(line->variance, line->part);
	for (kind = 0; kind < RESIDENT_KINDS; kind++) {
		double all = fmax(s.doubt[kind], variance_of(l->variance[kind], l->part[kind]));
		double beside = unsteady[kind] * unsteady[kind], most = MOST_DEVIATIONS * sqrt(all + beside);

		s.difference[kind] = isnan(unknown[kind]) ? 0 : fmax(fmin(unknown[kind], most), -most);
		s.shared[kind] = s.difference[kind] == unknown[kind];
		if (all)
			s.doubt[kind] *= (all + beside) / all;
	}
	return s;
}

/* Which part of the difference is the line's. */
static double share_of(const struct resident_line *line, const struct settlement *s)
{
	double variance = variance_of(line->variance, line->part);

	return variance ? variance / s->doubt[line->key.kind] : 0;
}

static int64_t correction_of(const struct resident_line *line, const struct settlement *s)
{
	return llround(fmax(s->difference[line->key.kind] * share_of(line, s), -line->bytes));
}

static void deviations_of(const struct resident_lines *l, const struct resident_line *line, const struct settlement *s,
			  int64_t *ret)
{
	uint32_t kind = line->key.kind;
	int g;

	for (g = 0; g < PAGE_GROUPS; g++) {
		double d = without(line->part, g);

		if (s->shared[kind])
			d -= without(l->part[kind], g) * share_of(line, s);
		ret[g] = llround(d);
	}
}

void resident_lines__settle(struct resident_lines *l, const double unknown[RESIDENT_KINDS], const double unsteady[RESIDENT_KINDS],
			    void (*fn)(struct resident_line *line, int64_t correction, const int64_t deviations[PAGE_GROUPS],
				       void *arg),
			    void *arg)
{
	struct settlement s = plan(l, unknown, unsteady);
	struct resident_line *line, *next;
	int64_t deviations[PAGE_GROUPS];

	HASH_ITER(hh, l->by_key, line, next) {
		deviations_of(l, line, &s, deviations);
		fn(line, correction_of(line, &s), deviations, arg);
		if (line->bytes || line->correction)
			continue;
		HASH_DEL(l->by_key, line);
		free(line);
	}
}

void resident_lines__free(struct resident_lines *l)
{
	struct resident_line *line, *next;

	HASH_ITER(hh, l->by_key, line, next) {
		HASH_DEL(l->by_key, line);
		free(line);
	}
}
