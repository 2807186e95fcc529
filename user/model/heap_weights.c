/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/heap_weights.h"

#include <math.h>
#include <string.h>

#define REPLICATES (1 + HEAP_REPLICATES)
/* How wrong all rates together may be at which windows saw blocks born: their length is measured. */
#define RATE_ERROR 0.25
/* What lives of a class beyond that, and beyond chance, came in bursts that no window met. */
#define RATE_DEVIATIONS 3
/* Of what came in bursts that no window met, so much at least was nobody's of those that windows saw. */
#define UNSEEN_LEAST 0.5

struct heap_weight heap_weights__drawn(uint8_t class, uint64_t live, uint32_t drawn, uint32_t i)
{
	return (struct heap_weight){
		.class = class,
		.group = i % HEAP_REPLICATES,
		.old = true,
		.sure = drawn >= live,
		.blocks = drawn ? (float)live / drawn : 0,
	};
}

struct heap_weight heap_weights__seen(const struct heap_windows *w, uint8_t class, uint32_t taken)
{
	double survived = w->last.survived[class % HEAP_CLASSES];

	return (struct heap_weight){
		.class = class,
		.group = heap_windows__group(w->n - 1),
		.blocks = taken ? survived / taken * w->last.stands_s / heap_windows__own_s(&w->last) : 0,
		.pools_a_second = heap_windows__pools(&w->last),
	};
}

void heap_weights__look(struct heap_weight *weight, struct heap_windows *w, bool lives)
{
	struct heap_class *class = &w->class[weight->class % HEAP_CLASSES];

	if (weight->old || weight->read)
		return;
	weight->read = true;
	class->looked_at++;
	class->died += !lives;
}

static struct heap_weight *weight_at(const struct heap_weight_list *list, size_t i)
{
	return (void *)((char *)list->first + i * list->size);
}

size_t heap_weights__thin(const struct heap_weight_list *list, double (*chance)(void *arg), void *arg)
{
	size_t i, n = 0;

	for (i = 0; i < list->n; i++) {
		struct heap_weight *weight = weight_at(list, i);

		if (!weight->old && chance(arg) < 0.5)
			continue;
		weight->blocks *= weight->old ? 1 : 2;
		memmove(weight_at(list, n++), weight, list->size);
	}
	return n;
}

/* What a block stands for by its chance to be in a replicate. */
static double by_chance(const struct heap_slope *slope, const struct heap_weight *weight, int r)
{
	if (weight->sure)
		return weight->blocks;
	if (r && r - 1 == weight->group)
		return 0;
	if (!weight->old)
		return weight->blocks * slope->all[r];
	return r ? weight->blocks * HEAP_REPLICATES / (HEAP_REPLICATES - 1) : weight->blocks;
}

/* In which replicate blocks of a class that may be another line's by now are fewer. By half: an interval is twice a deviation. */
static int doubting(unsigned int class)
{
	return 1 + (class + 2) % HEAP_REPLICATES;
}

/* And with the pools of its window. */
static double stands(const struct heap_slope *slope, const struct heap_weight *weight, int r)
{
	double blocks = by_chance(slope, weight, r);

	if (r == doubting(weight->class))
		blocks *= 1 - weight->doubt / 2;
	return weight->old ? blocks : blocks * heap_slope__factor(slope, r, weight->pools_a_second);
}

void heap_weights__apply(const struct heap_scales *s, const struct heap_weight *weight, struct heap_blocks *ret)
{
	int class = weight->class % HEAP_CLASSES, r;
	const struct heap_blocks *scale = weight->old ? &s->old[class] : &s->born[class];

	for (r = 0; r < REPLICATES; r++)
		ret->at[r] = stands(&s->slope, weight, r) * scale->at[r];
}

static double variance_of(const struct heap_blocks *b)
{
	double sum = 0;
	int r;

	for (r = 1; r < REPLICATES; r++)
		sum += (b->at[r] - b->at[0]) * (b->at[r] - b->at[0]);
	return sum * (HEAP_REPLICATES - 1) / HEAP_REPLICATES;
}

/* Sums over the sample of a class. */
struct class_sums {
	struct heap_blocks old, born;
	struct heap_blocks plain; /* born, by chance alone */
};

static void add_up(const struct heap_weight_list *list, const struct heap_slope *slope, struct class_sums sums[HEAP_CLASSES])
{
	size_t i;
	int r;

	memset(sums, 0, HEAP_CLASSES * sizeof(*sums));
	for (i = 0; i < list->n; i++) {
		const struct heap_weight *weight = weight_at(list, i);
		struct class_sums *s = &sums[weight->class % HEAP_CLASSES];

		for (r = 0; r < REPLICATES; r++) {
			(weight->old ? &s->old : &s->born)->at[r] += stands(slope, weight, r);
			s->plain.at[r] += weight->old ? 0 : by_chance(slope, weight, r);
		}
	}
}

/*
 * By what the old ones' weights and those of the blocks seen born are to be multiplied. Who is less sure gives way more; where
 * none was seen born, what is missing may be unknown, or the old ones' error. unseen: blocks that no window met; of as many of them as
 * there is room for a part may be those of lines that windows saw, as the replicate `doubted` has it. time: heap_slope.
 */
static void fit(const struct class_sums *s, uint64_t live, double time, double unseen, int doubted, struct heap_blocks *old,
		struct heap_blocks *born, struct heap_blocks *unknown)
{
	double missing = live - s->old.at[0] - s->born.at[0], of_old = variance_of(&s->old), of_born, part;
	int r;

	of_born = s->born.at[0] > 0 ? variance_of(&s->born) + pow(RATE_ERROR * s->born.at[0], 2) : missing * missing;
	part = of_old > 0 ? of_old / (of_old + of_born) : 0;
	for (r = 0; r < REPLICATES; r++) {
		double x = s->old.at[r], y = s->born.at[r], left, fit_x, fit_y;

		left = live - fmin(unseen, fmax(live - x - time * fmin(s->plain.at[r], y), 0)) * (r == doubted ? UNSEEN_LEAST : 1);
		fit_x = x > 0 ? fmin(fmax(x + part * (left - x - y), 0), left) : 0;
		fit_y = y > 0 ? left - fit_x : 0;
		unknown->at[r] = live - fit_x - fit_y;
		old->at[r] = x > 0 ? fit_x / x : 0;
		born->at[r] = y > 0 ? fit_y / y : 0;
	}
}

/* By their chance alone. */
static void leave_as_is(struct heap_blocks *old, struct heap_blocks *born, struct heap_blocks *unknown)
{
	for (int r = 0; r < REPLICATES; r++) {
		old->at[r] = born->at[r] = 1;
		unknown->at[r] = 0;
	}
}

/*
 * Blocks of a class that live, but neither lived before nor can be what windows saw born, however wrong their rate: bursts that none
 * of them met.
 */
static double excess_of(const struct class_sums *s, uint64_t live)
{
	double most = s->born.at[0] * (1 + 2 * RATE_ERROR) + RATE_DEVIATIONS * sqrt(variance_of(&s->born));

	return fmax(live - s->old.at[0] - RATE_DEVIATIONS * sqrt(variance_of(&s->old)) - most, 0);
}

/* In one replicate, those that may have been born since the last window and live but briefly are nobody's. */
static void doubt(double young, double seen_born, int r, struct heap_blocks *born, struct heap_blocks *unknown)
{
	double all = seen_born * born->at[r], part = all > 0 ? fmin(young / all, 1) : 0;

	unknown->at[r] += part * all;
	born->at[r] *= 1 - part;
}

void heap_weights__calibrate(const struct heap_weight_list *list, const struct heap_windows *w, double pools,
			     struct heap_scales *ret)
{
	struct class_sums sums[HEAP_CLASSES];
	int c;

	heap_windows__slope(w, w->read_s, pools, &ret->slope);
	add_up(list, &ret->slope, sums);
	for (c = 0; c < HEAP_CLASSES; c++) {
		int one = 1 + c % HEAP_REPLICATES, other = 1 + (c + 1) % HEAP_REPLICATES;

		double unseen = fmax(heap_windows__unseen(w, c), excess_of(&sums[c], w->class[c].live));

		if (w->class[c].uncounted) {
			leave_as_is(&ret->old[c], &ret->born[c], &ret->unknown[c]);
			continue;
		}
		fit(&sums[c], w->class[c].live, ret->slope.time, unseen, other, &ret->old[c], &ret->born[c], &ret->unknown[c]);
		doubt(heap_windows__young(w, c, sums[c].plain.at[0]), sums[c].born.at[one], one, &ret->born[c], &ret->unknown[c]);
	}
}

/*
 * Replicates are made to add up to what lives and to the pools, as the whole is: that makes them more alike than samples of programs
 * are. By as much in the programs of tests/unit/test_heap_weights.c that drift or have phases.
 */
#define ALIKE 1.3
/* Without one group nothing is left of it: whatever doubts do to other replicates, they know nothing of it. */
#define ALL_OF_IT 0.99

double heap_error(double sum, const double deviation[HEAP_REPLICATES])
{
	/* Student's t, 97.5 %, by degrees of freedom. */
	static const double t[HEAP_REPLICATES / 2] = { 12.71, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36 };
	double squares = 0, least = 0;
	int r, groups = 0;

	for (r = 0; r < HEAP_REPLICATES; r++) {
		squares += deviation[r] * deviation[r];
		groups += deviation[r] != 0;
		least = fmin(least, deviation[r]);
	}
	if (groups == 1 || (groups && least <= -ALL_OF_IT * sum))
		return INFINITY;
	/* Half of the degrees that they would have if windows were alike: of some programs few windows tell most. */
	return groups ? ALIKE * t[(groups - 1) / 2] * sqrt(squares * (groups - 1) / groups) : 0;
}
