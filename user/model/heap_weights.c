/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/heap_weights.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REPLICATES (1 + HEAP_REPLICATES)
/* How wrong all rates together may be at which windows saw blocks born: their length is measured. */
#define RATE_ERROR 0.25
/* What lives of a class beyond that, and beyond chance, came in bursts that no window met. */
#define RATE_DEVIATIONS 3
/* What is off by no more deviations may be so by chance. */
#define BY_CHANCE 3
/* Not to divide by nothing. */
#define LEAST_VARIANCE 1e-9
/* Of what came in bursts that no window met, so much at least was nobody's of those that windows saw. */
#define UNSEEN_LEAST 0.5
/*
 * Replicates are made to add up to what lives and to the pools, as the whole is: that makes them more alike than samples of programs
 * are. By as much in the programs of tests/unit/test_heap_weights.c that drift or have phases.
 */
#define ALIKE 1.3

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
	const struct heap_cell_scale *cell = &s->cell[weight->cell];
	const struct heap_blocks *scale = weight->old ? &cell->old : &cell->born;

	for (int r = 0; r < REPLICATES; r++)
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

/* Sums over the sample of a class, or of a cell of it. */
struct sums {
	struct heap_blocks old, born;
	struct heap_blocks plain; /* born, by chance alone */
};

static void add_to(struct heap_blocks *sum, const struct heap_blocks *b)
{
	for (int r = 0; r < REPLICATES; r++)
		sum->at[r] += b->at[r];
}

static void add_up(const struct heap_weight_list *list, const struct heap_slope *slope, struct sums *cells)
{
	size_t i;
	int r;

	for (i = 0; i < list->n; i++) {
		const struct heap_weight *weight = weight_at(list, i);
		struct sums *s = &cells[weight->cell];

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
static void fit(const struct sums *s, const struct heap_blocks *lives, double time, double unseen, int doubted,
		struct heap_cell_scale *ret)
{
	double missing = lives->at[0] - s->old.at[0] - s->born.at[0], of_old = variance_of(&s->old), of_born, part;
	int r;

	of_born = s->born.at[0] > 0 ? variance_of(&s->born) + pow(RATE_ERROR * s->born.at[0], 2) :
				      fmax(missing * missing / (BY_CHANCE * BY_CHANCE) - of_old, 0);
	part = of_old > 0 ? of_old / (of_old + of_born) : 0;
	for (r = 0; r < REPLICATES; r++) {
		double x = s->old.at[r], y = s->born.at[r], live = lives->at[r], left, fit_x, fit_y;

		left = live - fmin(unseen, fmax(live - x - time * fmin(s->plain.at[r], y), 0)) * (r == doubted ? UNSEEN_LEAST : 1);
		fit_x = x > 0 ? fmin(fmax(x + part * (left - x - y), 0), left) : 0;
		fit_y = y > 0 ? left - fit_x : 0;
		ret->unknown.at[r] = live - fit_x - fit_y;
		ret->old.at[r] = x > 0 ? fit_x / x : 0;
		ret->born.at[r] = y > 0 ? fit_y / y : 0;
	}
}

/* By their chance alone. */
static void leave_as_is(struct heap_cell_scale *ret)
{
	for (int r = 0; r < REPLICATES; r++) {
		ret->old.at[r] = ret->born.at[r] = 1;
		ret->unknown.at[r] = 0;
	}
}

/*
 * Blocks of a class that live, but neither lived before nor can be what windows saw born, however wrong their rate: bursts that none
 * of them met.
 */
static double excess_of(const struct sums *s, uint64_t live)
{
	double most = s->born.at[0] * (1 + 2 * RATE_ERROR) + RATE_DEVIATIONS * sqrt(variance_of(&s->born));

	return fmax(live - s->old.at[0] - RATE_DEVIATIONS * sqrt(variance_of(&s->old)) - most, 0);
}

/* In one replicate, those that may have been born since the last window and live but briefly are nobody's. */
static void doubt(double young, double seen_born, int r, struct heap_cell_scale *ret)
{
	double all = seen_born * ret->born.at[r], part = all > 0 ? fmin(young / all, 1) : 0;

	ret->unknown.at[r] += part * all;
	ret->born.at[r] *= 1 - part;
}

/* ---- cells ---- */

/* The cells of one class, and what is known of all of it. */
struct class_fit {
	const struct heap_windows *windows;
	unsigned int class;
	const struct heap_cell *cell;
	size_t n;
	const struct sums *sums; /* by cell */
	struct sums all;
	double live, time, unseen;
};

/* What lives of a cell as windows have it. */
static void by_windows(const struct sums *s, const struct heap_cell_scale *scale, struct heap_blocks *ret)
{
	for (int r = 0; r < REPLICATES; r++)
		ret->at[r] = s->old.at[r] * scale->old.at[r] + s->born.at[r] * scale->born.at[r];
}

/*
 * What lives of a cell of a class of which some was drawn: *ret as windows have it, made better by that. Each counts by how sure it is. Windows do not know how
 * wrong they are where they saw nothing: then what was drawn counts, and where it shows, they are taken for as wrong as that.
 */
static void combine(const struct heap_cell *cell, double live, struct heap_blocks *ret)
{
	struct heap_blocks drawn;
	double of_drawn, of_windows, off, part, one;
	int r;

	for (r = 0; r < REPLICATES; r++)
		drawn.at[r] = cell->share[r] * live;
	off = drawn.at[0] - ret->at[0];
	/* No better than one of all those drawn; what is drawn completely is known. */
	one = live / cell->drawn_of_class;
	of_drawn = cell->drawn_of_class < live ? fmax(variance_of(&drawn), one * one) : 0;
	of_windows = fmax(ALIKE * ALIKE * variance_of(ret), off * off / (BY_CHANCE * BY_CHANCE) - of_drawn);
	part = ret->at[0] > 0 ? of_windows / (of_windows + of_drawn + LEAST_VARIANCE) : 1;
	for (r = 0; r < REPLICATES; r++)
		ret->at[r] += part * (drawn.at[r] - ret->at[r]);
}

static bool was_sampled(const struct sums *s)
{
	return s->old.at[0] + s->born.at[0] > 0;
}

/*
 * Makes them add up to what lives of the class, in each replicate; what nothing tells there is as in all of them. What was drawn of those
 * that no block was sampled of stays: windows, which have nothing of it, have too much of the others.
 */
static void match(const struct class_fit *f, struct heap_blocks *lives)
{
	struct heap_blocks sum = {}, fixed = {};
	size_t i;
	int r;

	for (i = 0; i < f->n; i++)
		add_to(was_sampled(&f->sums[i]) ? &sum : &fixed, &lives[i]);
	for (i = 0; i < f->n && sum.at[0] > 0; i++) {
		if (!was_sampled(&f->sums[i]))
			continue;
		for (r = 0; r < REPLICATES; r++)
			lives[i].at[r] = fmax(f->live - fixed.at[r], 0) *
					 (sum.at[r] > 0 ? lives[i].at[r] / sum.at[r] : lives[i].at[0] / sum.at[0]);
	}
	/* Nothing was, and nothing drawn. */
	for (r = 0; r < REPLICATES && f->n && sum.at[0] + fixed.at[0] <= 0; r++)
		lives[0].at[r] = f->live;
}

/* What lives of each cell; in sum, what lives of the class. */
static void tell_cells(const struct class_fit *f, const struct heap_cell_scale *whole, struct heap_blocks *lives)
{
	for (size_t i = 0; i < f->n; i++) {
		by_windows(&f->sums[i], whole, &lives[i]);
		if (f->cell[i].drawn_of_class)
			combine(&f->cell[i], f->live, &lives[i]);
	}
	match(f, lives);
}

/*
 * Where a class has cells, bursts that no window met are those that nobody was seen to make. That pools came faster than windows saw
 * blocks born tells less: so it is with bursts of a hundred microseconds, of which windows see a part, and which are not another line's
 * (15 % of what a parser made was told as unknown). Where all is of one kind, it is all that there is to go by.
 */
static double unseen_of(const struct class_fit *f)
{
	return f->n > 1 ? 0 : f->unseen;
}

static void fit_cells(const struct class_fit *f, const struct heap_blocks *lives, struct heap_cell_scale *ret)
{
	int one = 1 + f->class % HEAP_REPLICATES, other = 1 + (f->class + 1) % HEAP_REPLICATES;
	double young = heap_windows__young(f->windows, f->class, f->all.plain.at[0]);

	for (size_t i = 0; i < f->n; i++) {
		double part = f->all.plain.at[0] > 0 ? f->sums[i].plain.at[0] / f->all.plain.at[0] : 0;

		fit(&f->sums[i], &lives[i], f->time, unseen_of(f), other, &ret[i]);
		doubt(young * part, f->sums[i].born.at[one], one, &ret[i]);
	}
}

/* lives: room for as many as there are cells. */
static void fit_class(const struct class_fit *f, struct heap_blocks *lives, struct heap_cell_scale *ret, struct heap_blocks *unknown)
{
	struct heap_blocks all;
	struct heap_cell_scale whole;
	size_t i;
	int r;

	for (r = 0; r < REPLICATES; r++)
		all.at[r] = f->live;
	fit(&f->all, &all, f->time, unseen_of(f), 1 + (f->class + 1) % HEAP_REPLICATES, &whole);
	tell_cells(f, &whole, lives);
	fit_cells(f, lives, ret);
	for (i = 0; i < f->n; i++)
		add_to(unknown, &ret[i].unknown);
	for (r = 0; r < REPLICATES && !f->n; r++)
		unknown->at[r] = f->live;
}

/* Everything but the slope. lives: as for fit_class. */
static void fit_all(const struct heap_cells *cells, const struct heap_windows *w, const struct sums *sums, struct heap_blocks *lives,
		    struct heap_scales *ret)
{
	for (unsigned int c = 0; c < HEAP_CLASSES; c++) {
		struct class_fit f = { .windows = w, .class = c, .time = ret->slope.time, .live = w->class[c].live };
		size_t first = 0, i;

		for (i = 0; i < cells->n; i++)
			first += cells->cell[i].class < c;
		f.cell = &cells->cell[first];
		f.sums = &sums[first];
		for (; first + f.n < cells->n && f.cell[f.n].class == c; f.n++) {
			add_to(&f.all.old, &f.sums[f.n].old);
			add_to(&f.all.born, &f.sums[f.n].born);
			add_to(&f.all.plain, &f.sums[f.n].plain);
			leave_as_is(&ret->cell[first + f.n]);
		}
		if (w->class[c].uncounted)
			continue;
		f.unseen = fmax(heap_windows__unseen(w, c), excess_of(&f.all, w->class[c].live));
		fit_class(&f, &lives[first], &ret->cell[first], &ret->unknown[c]);
	}
}

static int put_into_cells(const struct heap_weight_list *list, const struct heap_draw *draws, size_t n_draws, struct heap_cells *ret)
{
	struct heap_member *members = calloc(list->n + 1, sizeof(*members));
	size_t i;
	int err;

	if (!members)
		return -ENOMEM;
	for (i = 0; i < list->n; i++)
		members[i] = (struct heap_member){
			.kind = weight_at(list, i)->kind,
			.weight = weight_at(list, i)->blocks,
			.class = weight_at(list, i)->class % HEAP_CLASSES,
		};
	err = heap_cells__make(draws, n_draws, members, list->n, ret);
	for (i = 0; i < list->n && !err; i++)
		weight_at(list, i)->cell = members[i].cell;
	free(members);
	return err;
}

int heap_weights__calibrate(const struct heap_weight_list *list, const struct heap_draw *draws, size_t n_draws,
			    const struct heap_windows *w, double pools, struct heap_scales *ret)
{
	struct heap_cells cells;
	struct heap_blocks *lives;
	struct sums *sums;
	int err;

	*ret = (struct heap_scales){};
	err = put_into_cells(list, draws, n_draws, &cells);
	if (err)
		return err;
	sums = calloc(cells.n + 1, sizeof(*sums));
	lives = calloc(cells.n + 1, sizeof(*lives));
	ret->cell = calloc(cells.n + 1, sizeof(*ret->cell));
	err = sums && lives && ret->cell ? 0 : -ENOMEM;
	if (!err) {
		heap_windows__slope(w, w->read_s, pools, &ret->slope);
		add_up(list, &ret->slope, sums);
		fit_all(&cells, w, sums, lives, ret);
	}
	free(sums);
	free(lives);
	heap_cells__free(&cells);
	return err;
}

void heap_scales__free(struct heap_scales *s)
{
	free(s->cell);
	s->cell = NULL;
}

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
