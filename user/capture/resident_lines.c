/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/resident_lines.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More standard deviations are no chance. */
#define MOST_DEVIATIONS 3
/* From so many on it may as well be what came in while nobody watched, of a line that was not seen at all. */
#define DOUBTFUL_DEVIATIONS 1.5
/* To each side of what is told, of so many groups (model/heap_weights.c, heap_error). */
#define INTERVAL_DEVIATIONS 3.0

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

/* Bytes squared: of deviations when each group is left out. */
static double squares_of(const double deviation[PAGE_GROUPS])
{
	double squares = 0;
	int g;

	for (g = 0; g < PAGE_GROUPS; g++)
		squares += deviation[g] * deviation[g];
	return squares * (PAGE_GROUPS - 1) / PAGE_GROUPS;
}

/*
 * Pages that were looked at by themselves differ by page; where a turn of the hook brings many or none, by group, which pages
 * know nothing of: the greater counts.
 */
static double variance_of(double between_pages, const double part[PAGE_GROUPS])
{
	double deviation[PAGE_GROUPS];
	int g;

	for (g = 0; g < PAGE_GROUPS; g++)
		deviation[g] = without(part, g);
	return fmax(between_pages, squares_of(deviation));
}

double resident_lines__deviation(const struct resident_lines *l, uint32_t kind)
{
	return sqrt(variance_of(l->variance[kind], l->part[kind]));
}

struct settlement {
	double difference[RESIDENT_KINDS]; /* to be shared out */
	double doubt[RESIDENT_KINDS]; /* bytes squared: by this it is divided */
	bool shared[RESIDENT_KINDS]; /* all of it, so that it takes errors away */
	double doubtful[RESIDENT_KINDS]; /* which part of it may be lines' that were not seen: 0 to 1 */
	double unseen[RESIDENT_KINDS]; /* bytes that lines may have of what is shared, although no look fell on them */
	double left_out[RESIDENT_KINDS]; /* bytes that are no line's */
	double bytes[RESIDENT_KINDS]; /* of all lines */
	double pages_left[RESIDENT_KINDS][PAGE_GROUPS]; /* sums of own_parts */
};

static double doubtful_of(double difference, double deviation)
{
	double deviations = deviation ? fabs(difference) / deviation : 0;

	return fmax(deviations - DOUBTFUL_DEVIATIONS, 0) / (MOST_DEVIATIONS - DOUBTFUL_DEVIATIONS);
}

/*
 * What fits a sum by a line of its own: a_look, of what stays as most bytes have it, or of any fault, for what comes and goes is looked at
 * less. No more than all lines may be off by without the sum.
 */
static double unseen_bytes(double a_look, double variance)
{
	double look = a_look * a_look;

	return variance + look ? sqrt(look * variance / (look + variance)) : 0;
}

/* Lines that one turn brought are wrong together, so all are less sure than their sum tells. */
static struct settlement plan(const struct resident_lines *l, const double *unknown, const double *unsteady)
{
	double sampled[RESIDENT_KINDS] = {}; /* bytes */
	const struct resident_line *line;
	struct settlement s = {};
	int kind;

	for (line = l->by_key; line; line = line->hh.next) {
		s.doubt[line->key.kind] += variance_of(line->variance, line->part);
		s.bytes[line->key.kind] += line->bytes;
		sampled[line->key.kind] += line->variance ? line->bytes : 0;
	}
	for (kind = 0; kind < RESIDENT_KINDS; kind++) {
		double all = fmax(s.doubt[kind], variance_of(l->variance[kind], l->part[kind]));
		double beside = unsteady[kind] * unsteady[kind], most = MOST_DEVIATIONS * sqrt(all + beside);

		s.difference[kind] = isnan(unknown[kind]) ? 0 : fmax(fmin(unknown[kind], most), -most);
		s.shared[kind] = s.difference[kind] == unknown[kind];
		if (s.shared[kind] && sampled[kind])
			s.unseen[kind] = unseen_bytes(fmax(l->variance[kind] / sampled[kind], l->a_look), all);
		s.doubtful[kind] = doubtful_of(s.difference[kind], sqrt(all + beside));
		s.left_out[kind] = isnan(unknown[kind]) ? 0 : fmax(unknown[kind] - s.difference[kind], 0);
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

/*
 * By how much it may be off beside what the sample tells: a correction that is doubtful; of what is no line's as much as if that had
 * come in like what is; and, where it was made to fit a sum, what lines have of that on which no look fell.
 */
static double doubt_of(const struct resident_line *line, const struct settlement *s)
{
	uint32_t kind = line->key.kind;
	double of_none = s->bytes[kind] ? s->left_out[kind] * line->bytes / s->bytes[kind] : 0;

	return s->doubtful[kind] * llabs(correction_of(line, s)) + of_none + INTERVAL_DEVIATIONS * s->unseen[kind] * share_of(line, s);
}

/* As groups tell it. */
static void between_groups(const struct resident_lines *l, const struct resident_line *line, const struct settlement *s,
			   double ret[PAGE_GROUPS])
{
	uint32_t kind = line->key.kind;
	int g;

	for (g = 0; g < PAGE_GROUPS; g++) {
		ret[g] = without(line->part, g);
		if (s->shared[kind])
			ret[g] -= without(l->part[kind], g) * share_of(line, s);
	}
}

/*
 * What groups do not tell, as where one turn brought all: which of its pages were looked at was chance, too, and each line's own. As
 * it is before what is known in sum takes its part of it away.
 */
static double between_pages_left(const struct resident_lines *l, const struct resident_line *line, const struct settlement *s)
{
	double rest = s->shared[line->key.kind] ? 1 - share_of(line, s) : 1, d[PAGE_GROUPS], left;

	between_groups(l, line, s, d);
	left = line->variance * rest - squares_of(d);
	return left > 0 && rest > 0 ? sqrt(left / rest) : 0;
}

/* What is a line's own goes to all groups, in parts that others do not have: sums of lines have the root of the sum of squares. */
static void own_parts(const struct resident_line *line, double ret[PAGE_GROUPS])
{
	uint64_t hash = (uint64_t)line->key.tid << 32 | line->key.node;
	double root;
	int g;

	for (g = 0; g < PAGE_GROUPS; g++) {
		hash = (hash + 1) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
		ret[g] = (int32_t)(hash >> 16);
	}
	root = sqrt(squares_of(ret));
	for (g = 0; g < PAGE_GROUPS; g++)
		ret[g] *= line->pages_left / root;
}

static void find_pages_left(struct resident_lines *l, struct settlement *s)
{
	struct resident_line *line;
	double own[PAGE_GROUPS];
	int g;

	for (line = l->by_key; line; line = line->hh.next) {
		line->pages_left = between_pages_left(l, line, s);
		own_parts(line, own);
		for (g = 0; g < PAGE_GROUPS; g++)
			s->pages_left[line->key.kind][g] += own[g];
	}
}

/* All as variance_of counts it. Of doubt all lines have theirs together. */
static void deviations_of(const struct resident_lines *l, const struct resident_line *line, const struct settlement *s,
			  int64_t *ret)
{
	double doubtful = doubt_of(line, s) / INTERVAL_DEVIATIONS / sqrt(PAGE_GROUPS - 1), d[PAGE_GROUPS], own[PAGE_GROUPS];
	uint32_t kind = line->key.kind;
	int g;

	between_groups(l, line, s, d);
	own_parts(line, own);
	for (g = 0; g < PAGE_GROUPS; g++) {
		d[g] += own[g];
		if (s->shared[kind])
			d[g] -= s->pages_left[kind][g] * share_of(line, s);
		ret[g] = llround(g % 2 ? d[g] - doubtful : d[g] + doubtful);
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

	find_pages_left(l, &s);
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
