/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/heap_weights.h"

#include <math.h>
#include <string.h>

struct heap_weight heap_weights__drawn(uint8_t class, uint64_t live, uint32_t drawn, uint32_t i)
{
	struct heap_weight w = { .class = class, .group = i % HEAP_REPLICATES, .blocks = (float)live / drawn };
	uint32_t of_group, r;

	for (r = 0; r < HEAP_REPLICATES; r++) {
		/* A class of which all were drawn has no error. */
		of_group = drawn < live ? drawn / HEAP_REPLICATES + (r < drawn % HEAP_REPLICATES) : 0;
		if (!of_group || of_group == drawn)
			w.replicate[r] = w.blocks;
		else
			w.replicate[r] = r == w.group ? 0 : (float)live / (drawn - of_group);
	}
	return w;
}

struct heap_weight heap_weights__seen(uint8_t class, uint64_t window, float raw)
{
	return (struct heap_weight){ .class = class, .group = window % HEAP_REPLICATES, .waits = true, .raw = raw };
}

/* Sums over a class: [0] of all, [1 + g] without group g. */
struct sums {
	double stands[1 + HEAP_REPLICATES]; /* what those stand for that do not wait */
	double raw[1 + HEAP_REPLICATES]; /* of those that wait */
};

static void add_up(const struct heap_weight *w, struct sums *s)
{
	unsigned int r;

	if (!w->waits) {
		s->stands[0] += w->blocks;
		for (r = 0; r < HEAP_REPLICATES; r++)
			s->stands[1 + r] += w->replicate[r];
		return;
	}
	s->raw[0] += w->raw;
	for (r = 0; r < HEAP_REPLICATES; r++)
		s->raw[1 + r] += r == w->group ? 0 : w->raw;
}

/* What was born, by replicate; 0 where the sample stands for more than lives. */
static double born(const struct sums *s, uint64_t live, unsigned int replicate)
{
	double n = (double)live - s->stands[replicate];

	return n > 0 ? n : 0;
}

static void give(struct heap_weight *w, const struct sums *s, uint64_t live)
{
	double all = born(s, live, 0);
	unsigned int r;

	if (!w->waits || all <= 0)
		return;
	w->blocks = all * w->raw / s->raw[0];
	for (r = 0; r < HEAP_REPLICATES; r++)
		w->replicate[r] = r == w->group || s->raw[1 + r] <= 0 ? 0 : born(s, live, 1 + r) * w->raw / s->raw[1 + r];
	w->waits = false;
}

static void tell_unknown(const struct sums *s, uint64_t live, double *blocks, double replicate[HEAP_REPLICATES])
{
	unsigned int r;

	*blocks = s->raw[0] > 0 ? 0 : born(s, live, 0);
	for (r = 0; r < HEAP_REPLICATES; r++)
		replicate[r] = s->raw[1 + r] > 0 ? 0 : born(s, live, 1 + r);
}

void heap_weights__calibrate(struct heap_weight *(*weight_at)(size_t i, void *arg), void *arg, size_t n,
			     const uint64_t live[HEAP_CLASSES], struct heap_unknown *unknown)
{
	struct sums s[HEAP_CLASSES];
	size_t i;
	int c;

	memset(s, 0, sizeof(s));
	for (i = 0; i < n; i++)
		add_up(weight_at(i, arg), &s[weight_at(i, arg)->class % HEAP_CLASSES]);
	for (i = 0; i < n; i++) {
		c = weight_at(i, arg)->class % HEAP_CLASSES;
		give(weight_at(i, arg), &s[c], live[c]);
	}
	for (c = 0; c < HEAP_CLASSES; c++)
		tell_unknown(&s[c], live[c], &unknown->blocks[c], unknown->replicate[c]);
}

double heap_error(const double deviation[HEAP_REPLICATES])
{
	/* Student's t, 97.5 %, by degrees of freedom. */
	static const double t[HEAP_REPLICATES] = { INFINITY, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36,
						   2.31,     2.26,  2.23, 2.20, 2.18, 2.16, 2.14, 2.13 };
	double sum = 0;
	int r, groups = 0;

	for (r = 0; r < HEAP_REPLICATES; r++) {
		sum += deviation[r] * deviation[r];
		groups += deviation[r] != 0;
	}
	return groups ? t[groups - 1] * sqrt(sum * (groups - 1) / groups) : 0;
}
