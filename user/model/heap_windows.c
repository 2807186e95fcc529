/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/heap_windows.h"

#include <math.h>

#include "model/window_cost.h"

/* No window is shorter: its time is known no better. */
#define LEAST_OWN_S 1e-6
#define LEAST_LIMIT_S 50e-6
/* About one window in four is full then, and a burst now and then does not make all the others short. */
#define LIMIT_SHRINKS 0.7
#define LIMIT_GROWS 1.15
/* Windows after which a class is forgotten of which none has seen any born. */
#define LATELY 16
/* A rate is known from so many blocks and more, and may be wrong by such a factor. */
#define KNOWN_BLOCKS 8
#define KNOWN_POOLS 4
#define RATE_DOUBT 2
/* Of what takes the place of blocks that are gone so much may be another line's. */
#define GONE_COUNTS (1 / 3.0)
/* No window's weight is changed by more for the pools that it saw. */
#define LEAST_FACTOR 0.02
/* With less of chance in them the pools are believed, with more they are not. */
#define NO_CHANCE 0.6
#define MOST_CHANCE 0.8

double heap_window__own_s(const struct window_state *w, double cpu_s)
{
	if (w->left <= 0)
		return w->own_ns / 1e9;
	return fmin(cpu_s - (w->inside_ns + w->hits * w->trap_ns) / 1e9, w->limit_ns / 1e9);
}

double heap_window__limit_s(double limit_s, const struct window_state *w)
{
	bool full = w->left <= 0 && w->own_ns < w->limit_ns;

	return full ? fmax(limit_s * LIMIT_SHRINKS, LEAST_LIMIT_S) : fmin(limit_s * LIMIT_GROWS, HEAP_MOST_LIMIT_S);
}

double heap_windows__own_s(const struct heap_look *look)
{
	return fmax(look->own_s, LEAST_OWN_S);
}

double heap_windows__pools(const struct heap_look *look)
{
	return look->pools / heap_windows__own_s(look);
}

void heap_windows__add(struct heap_windows *w, const struct heap_look *look)
{
	struct heap_window_sums *sums = &w->sums[heap_windows__group(w->n)];
	double pools = heap_windows__pools(look);
	int c;

	sums->s += look->stands_s;
	sums->pools += look->stands_s * pools;
	sums->squares += look->stands_s * pools * pools;
	/* As many pools as were counted is their variance. */
	sums->noise += look->stands_s * pools / heap_windows__own_s(look);
	if (look->pools >= KNOWN_POOLS)
		w->fastest_pools = fmax(w->fastest_pools, pools);
	w->last = *look;
	w->n++;
	for (c = 0; c < HEAP_CLASSES; c++) {
		struct heap_class *class = &w->class[c];
		double rate = look->survived[c] / heap_windows__own_s(look);

		class->born += look->stands_s * rate;
		if (look->born[c])
			class->seen_born = w->n;
		if (look->survived[c] >= KNOWN_BLOCKS)
			class->fastest = fmax(class->fastest, rate);
		if (look->born[c] >= KNOWN_BLOCKS)
			class->fastest_born = fmax(class->fastest_born, look->born[c] / heap_windows__own_s(look));
	}
}

bool heap_windows__was_born(const struct heap_windows *w, unsigned int class)
{
	uint64_t seen_born = w->class[class % HEAP_CLASSES].seen_born;

	return seen_born && w->n - seen_born < LATELY;
}

static void note_growth(struct heap_class *class, double blocks, double s)
{
	int at;

	if (blocks <= 0 || s <= 0)
		return;
	at = ilogb(blocks / s);
	at = at < 0 ? 0 : at >= HEAP_GROWTHS ? HEAP_GROWTHS - 1 : at;
	class->growth[at].blocks += blocks;
	class->growth[at].s += s;
}

void heap_windows__read(struct heap_windows *w, double now_s, const uint64_t live[HEAP_CLASSES])
{
	int c;

	for (c = 0; c < HEAP_CLASSES; c++) {
		note_growth(&w->class[c], (double)live[c] - w->class[c].live, now_s - w->read_s);
		w->class[c].live = live[c];
	}
	w->read_s = now_s;
}

/* Of the pools of a class that were filled, the share that was before the fastest window could have. */
static double too_fast(const struct heap_windows *w, unsigned int class)
{
	double pool_blocks = w->pool_bytes / (16.0 * (class + 1)), all = 0, fast = 0;
	const struct heap_class *c = &w->class[class];
	int i;

	for (i = 0; i < POOL_PACES; i++) {
		double longest_s = ldexp(POOL_PACE_NS, i) / 1e9;

		/* Nobody fills one so fast: a pool that a single block was put into and taken from, again and again. */
		if (pool_blocks * WINDOW_BLOCK_S > longest_s)
			continue;
		all += w->pace[class].cnt[i];
		/* The slowest has no end. Pools that are emptied again were seen to be taken by whoever saw as many. */
		if (i < POOL_PACES - 1 && pool_blocks > RATE_DOUBT * c->fastest_born * longest_s &&
		    1 > RATE_DOUBT * w->fastest_pools * longest_s)
			fast += w->pace[class].cnt[i];
	}
	return all ? fast / all : 0;
}

double heap_windows__unseen(const struct heap_windows *w, unsigned int class)
{
	const struct heap_class *c = &w->class[class % HEAP_CLASSES];
	double unseen = 0, grown = 0;
	int i;

	for (i = 0; i < HEAP_GROWTHS && c->fastest > 0; i++) {
		unseen += fmax(c->growth[i].blocks - RATE_DOUBT * c->fastest * c->growth[i].s, 0);
		grown += c->growth[i].blocks;
	}
	return c->fastest_born > 0 ? fmax(unseen, too_fast(w, class % HEAP_CLASSES) * grown) : unseen;
}

double heap_windows__young(const struct heap_windows *w, unsigned int class, double alive)
{
	const struct heap_class *c = &w->class[class % HEAP_CLASSES];
	double s = 0, gone;
	int g;

	for (g = 0; g < HEAP_REPLICATES; g++)
		s += w->sums[g].s;
	if (!c->looked_at || s <= 0)
		return 0;
	gone = c->born > 0 ? fmax(1 - alive / c->born, 0) : 0;
	return c->born / s * fmax(w->read_s - w->last.at_s, 0) * fmax((double)c->died / c->looked_at, GONE_COUNTS * gone);
}

/*
 * Whether the pools that windows saw tell them apart, by the share of chance in how much they differ: where windows are so short that
 * most see one pool or none, whoever saw none by chance would weigh next to nothing.
 */
static double tells(double chance)
{
	return fmin(fmax((MOST_CHANCE - chance) / (MOST_CHANCE - NO_CHANCE), 0), 1);
}

void heap_windows__slope(const struct heap_windows *w, double now_s, double pools, struct heap_slope *ret)
{
	struct heap_window_sums all = {}, sum;
	double variance;
	int r;

	for (r = 0; r < HEAP_REPLICATES; r++) {
		all.s += w->sums[r].s;
		all.pools += w->sums[r].pools;
		all.squares += w->sums[r].squares;
		all.noise += w->sums[r].noise;
	}
	*ret = (struct heap_slope){ .time = all.s > 0 ? now_s / all.s : 0 };
	for (r = 0; r <= HEAP_REPLICATES; r++) {
		sum = all;
		if (r) {
			sum.s -= w->sums[r - 1].s;
			sum.pools -= w->sums[r - 1].pools;
			sum.squares -= w->sums[r - 1].squares;
			sum.noise -= w->sums[r - 1].noise;
		}
		if (sum.s <= 0 || now_s <= 0)
			continue;
		ret->all[r] = all.s / sum.s;
		ret->mean[r] = sum.pools / sum.s;
		variance = sum.squares / sum.s - ret->mean[r] * ret->mean[r];
		if (variance > 1e-6 * ret->mean[r] * ret->mean[r])
			ret->by[r] = (pools / now_s - ret->mean[r]) / variance * tells(sum.noise / sum.s / variance);
	}
}

double heap_slope__factor(const struct heap_slope *s, unsigned int replicate, double pools_a_second)
{
	return fmax(1 + s->by[replicate] * (pools_a_second - s->mean[replicate]), LEAST_FACTOR);
}
