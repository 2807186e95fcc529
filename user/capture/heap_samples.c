/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See heap_samples.h. Bounded, however long a process is watched: when samples are many, every other one goes, by chance, and
 * what it stood for is shared by the rest of its class.
 */
#include "capture/heap_samples.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "python/pymalloc_look.h"
#include "site_spec.h"

/* Windows between two readings; more are not taken. */
#define MAX_WINDOWS 256
#define MAX_SAMPLES 12288
/* Blocks drawn of each size class at the beginning, and taken of each in a window. */
#define OLD_SAMPLES 128
#define WINDOW_SAMPLES 64

struct sample {
	struct pymalloc_block block;
	struct heap_weight weight;
	struct stack_name stack; /* not of old ones */
	uint32_t window; /* while it waits: index */
	uint16_t bytes; /* as requested */
	bool old; /* drawn from what lived before */
};

struct window {
	struct heap_moment at;
	uint64_t events;
	uint32_t survived[HEAP_CLASSES];
};

struct heap_samples {
	struct pymalloc *heap;
	uint32_t pool_bytes;
	struct sample *at;
	size_t n, room;
	struct heap_moment read_at;
	struct window windows[MAX_WINDOWS]; /* since then */
	size_t n_windows;
	uint64_t windows_ever;
	struct drand48_data random;
	struct heap_holdings holdings;
	size_t max_holders;
};

static int add_sample(struct heap_samples *s, const struct sample *sample)
{
	size_t room = s->room ? 2 * s->room : 1024;
	struct sample *more;

	if (s->n == s->room) {
		more = realloc(s->at, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->at = more;
		s->room = room;
	}
	s->at[s->n++] = *sample;
	return 0;
}

static double chance(struct heap_samples *s)
{
	double u;

	drand48_r(&s->random, &u);
	return u;
}

/* ---- what became of the sample ---- */

static int by_address(const void *va, const void *vb)
{
	const struct sample *a = va, *b = vb;

	return a->block.addr < b->block.addr ? -1 : a->block.addr > b->block.addr;
}

/* Finds each sample's fate; what has not been looked at before has its print taken. */
static int look_at_all(struct heap_samples *s, struct sample *samples, size_t n)
{
	struct pymalloc_block *blocks = malloc((n + 1) * sizeof(*blocks));
	size_t i;
	int err;

	if (!blocks)
		return -ENOMEM;
	if (n)
		qsort(samples, n, sizeof(*samples), by_address);
	for (i = 0; i < n; i++)
		blocks[i] = samples[i].block;
	err = pymalloc__look(s->heap, blocks, n);
	for (i = 0; i < n && !err; i++)
		samples[i].block = blocks[i];
	free(blocks);
	return err;
}

/* Whether windows since the last reading have seen anything of the class born. */
static bool was_born(const struct heap_samples *s, int class)
{
	size_t i;

	for (i = 0; i < s->n_windows; i++)
		if (s->windows[i].survived[class])
			return true;
	return false;
}

/* A block whose pool made no sense at the last look is taken for what it was before. */
static bool lives(const struct heap_samples *s, struct sample *sample)
{
	if (sample->block.fate == FATE_FREED)
		return false;
	if (sample->block.fate != FATE_REPLACED)
		return true;
	if (was_born(s, sample->block.szidx))
		return false;
	/* Used again without the allocator being asked, or no window was open: from now on it is what it is. */
	if (s->n_windows)
		sample->block.print = (struct pymalloc_print){};
	return true;
}

static void drop_dead(struct heap_samples *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->n; i++) {
		if (lives(s, &s->at[i]))
			s->at[n++] = s->at[i];
	}
	s->n = n;
}

/* ---- the beginning ---- */

static int draw(struct heap_samples *s)
{
	struct pymalloc_pools pools = {};
	struct pymalloc_block *drawn = NULL;
	struct pymalloc_totals totals;
	uint32_t cnt[HEAP_CLASSES] = {}, at[HEAP_CLASSES] = {};
	size_t i, n = 0;
	long seed;
	int err;

	lrand48_r(&s->random, &seed);
	err = pymalloc__scan(s->heap, NULL, &pools, &totals);
	err = err ? err : pymalloc__sample(s->heap, &pools, OLD_SAMPLES, seed, &drawn, &n);
	for (i = 0; i < n && !err; i++)
		cnt[drawn[i].szidx]++;
	for (i = 0; i < n && !err; i++) {
		uint8_t class = drawn[i].szidx;
		struct sample sample = {
			.block = drawn[i],
			.weight = heap_weights__drawn(class, totals.class[class].live, cnt[class], at[class]++),
			.old = true,
		};

		err = add_sample(s, &sample);
	}
	free(drawn);
	pymalloc_pools__free(&pools);
	return err;
}

int heap_samples__new(const struct proc *p, pid_t tgid, const struct interp *in, struct heap_samples **ret)
{
	struct heap_samples *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	srand48_r(tgid, &s->random);
	err = pymalloc__open(p, tgid, in, &s->heap);
	err = err ? err : draw(s);
	if (err) {
		heap_samples__free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void heap_samples__free(struct heap_samples *s)
{
	if (!s)
		return;
	pymalloc__free(s->heap);
	free(s->at);
	free(s->holdings.holders);
	free(s);
}

/* ---- windows ---- */

static size_t make_samples(const struct heap_samples *s, const struct heap_block *blocks, size_t n, struct sample *ret)
{
	size_t i, made = 0;

	for (i = 0; i < n; i++) {
		uint32_t bytes = blocks[i].bytes ? blocks[i].bytes : 1;

		if (bytes > PYMALLOC_MAX_BYTES)
			continue;
		ret[made++] = (struct sample){
			.block = { .addr = blocks[i].addr, .weight = 1, .szidx = (bytes - 1) >> PYMALLOC_CLASS_SHIFT },
			.stack = blocks[i].stack,
			.window = s->n_windows,
			.bytes = bytes,
		};
	}
	return made;
}

/* Takes those born in the window, of each class at most WINDOW_SAMPLES. */
static int take_born(struct heap_samples *s, struct window *w, struct sample *born, size_t n)
{
	uint32_t left[HEAP_CLASSES], wanted[HEAP_CLASSES];
	size_t i;
	int c, err = 0;

	for (i = 0; i < n; i++)
		w->survived[born[i].block.szidx] += born[i].block.fate == FATE_LIVES;
	for (c = 0; c < HEAP_CLASSES; c++) {
		left[c] = w->survived[c];
		wanted[c] = left[c] < WINDOW_SAMPLES ? left[c] : WINDOW_SAMPLES;
	}
	for (i = 0; i < n && !err; i++) {
		c = born[i].block.szidx;
		if (born[i].block.fate != FATE_LIVES || chance(s) * left[c]-- >= wanted[c])
			continue;
		wanted[c]--;
		/* Its part of the window; the window's part is known at the next reading. */
		born[i].weight = heap_weights__seen(
			c, s->windows_ever, 1.0f / (w->survived[c] < WINDOW_SAMPLES ? w->survived[c] : WINDOW_SAMPLES));
		err = add_sample(s, &born[i]);
	}
	return err;
}

int heap_samples__add_window(struct heap_samples *s, const struct heap_moment *at, uint64_t events,
			     const struct heap_block *blocks, size_t n)
{
	struct window *w = &s->windows[s->n_windows];
	struct sample *born;
	size_t made;
	int err;

	if (s->n_windows == MAX_WINDOWS)
		return -ENOSPC;
	born = calloc(n + 1, sizeof(*born));
	if (!born)
		return -ENOMEM;
	made = make_samples(s, blocks, n, born);
	err = look_at_all(s, born, made);
	if (!err) {
		*w = (struct window){ .at = *at, .events = events };
		err = take_born(s, w, born, made);
		s->n_windows++;
		s->windows_ever++;
	}
	free(born);
	return err;
}

/* ---- readings ---- */

/*
 * What a window's blocks of a class stand for, among those of the other windows since the last reading: the pools that were
 * taken into use from the middle between it and the one before to the middle between it and the next; where none were, time.
 */
static double part_of(const struct heap_samples *s, size_t i, int class, const struct heap_moment *now)
{
	const struct heap_moment *at = &s->windows[i].at;
	const struct heap_moment *before = i ? &s->windows[i - 1].at : &s->read_at;
	const struct heap_moment *after = i + 1 < s->n_windows ? &s->windows[i + 1].at : now;
	double back = i ? 0.5 : 1, forth = i + 1 < s->n_windows ? 0.5 : 1;
	double opened = back * (at->pools.opened[class] - before->pools.opened[class]) +
			forth * (after->pools.opened[class] - at->pools.opened[class]);
	double cpu_s = (back * (at->cpu_ns - before->cpu_ns) + forth * (after->cpu_ns - at->cpu_ns)) / 1e9;

	if (now->pools.opened[class] == s->read_at.pools.opened[class])
		return (cpu_s + 0.001) * s->windows[i].survived[class] / (s->windows[i].events + 1);
	return opened + 0.01;
}

static struct heap_weight *weight_at(size_t i, void *arg)
{
	struct heap_samples *s = arg;

	return &s->at[i].weight;
}

static void weigh(struct heap_samples *s, const struct heap_moment *now, const struct pymalloc_totals *totals,
		  struct heap_unknown *unknown)
{
	uint64_t live[HEAP_CLASSES];
	size_t i;
	int c;

	for (i = 0; i < s->n; i++) {
		struct sample *sample = &s->at[i];

		if (sample->weight.waits && sample->window < s->n_windows)
			sample->weight.raw *= part_of(s, sample->window, sample->block.szidx, now);
		sample->window = UINT32_MAX;
	}
	for (c = 0; c < HEAP_CLASSES; c++)
		live[c] = totals->class[c].live;
	heap_weights__calibrate(weight_at, s, s->n, live, unknown);
	s->n_windows = 0;
	s->read_at = *now;
}

static void scale(struct heap_weight *w, const double by[1 + HEAP_REPLICATES])
{
	w->blocks *= by[0];
	for (int r = 0; r < HEAP_REPLICATES; r++)
		w->replicate[r] *= by[1 + r];
}

static void add_up(const struct heap_weight *w, double sums[1 + HEAP_REPLICATES])
{
	sums[0] += w->blocks;
	for (int r = 0; r < HEAP_REPLICATES; r++)
		sums[1 + r] += w->replicate[r];
}

/* Forgets half of what windows have seen; each class's weights add up to what they did. */
static void thin_out(struct heap_samples *s)
{
	double before[HEAP_CLASSES][1 + HEAP_REPLICATES] = {}, after[HEAP_CLASSES][1 + HEAP_REPLICATES] = {};
	size_t i, n = 0;
	int c, r;

	for (i = 0; i < s->n; i++) {
		const struct sample sample = s->at[i];

		if (sample.old) {
			s->at[n++] = sample;
			continue;
		}
		add_up(&sample.weight, before[sample.block.szidx]);
		if (chance(s) < 0.5)
			continue;
		add_up(&sample.weight, after[sample.block.szidx]);
		s->at[n++] = sample;
	}
	s->n = n;
	for (c = 0; c < HEAP_CLASSES; c++)
		for (r = 0; r <= HEAP_REPLICATES; r++)
			after[c][r] = after[c][r] > 0 ? before[c][r] / after[c][r] : 1;
	for (i = 0; i < n; i++)
		if (!s->at[i].old)
			scale(&s->at[i].weight, after[s->at[i].block.szidx]);
}

static void add_weight(struct heap_sum *sum, const struct heap_weight *w, double bytes)
{
	sum->blocks += w->blocks;
	sum->bytes += w->blocks * bytes;
	for (int r = 0; r < HEAP_REPLICATES; r++)
		sum->deviation[r] += (w->replicate[r] - w->blocks) * bytes;
}

/* What is unknown is shared out like the rest of its class where it is at most such a part of it. */
#define MAX_SHARED_OUT 0.2

/*
 * What was born since the last window belongs to whoever the next one sees. Until then it is shown as the lines' that the
 * windows before have seen: by what each class's weights are to be multiplied, and each replicate's.
 */
static void share_unknown(struct heap_samples *s, struct heap_unknown *unknown, double by[HEAP_CLASSES][1 + HEAP_REPLICATES])
{
	double seen[HEAP_CLASSES][1 + HEAP_REPLICATES] = {};
	size_t i;
	int c, r;

	for (i = 0; i < s->n; i++)
		if (!s->at[i].old && !s->at[i].weight.waits)
			add_up(&s->at[i].weight, seen[s->at[i].block.szidx]);
	for (c = 0; c < HEAP_CLASSES; c++) {
		bool few = unknown->blocks[c] <= MAX_SHARED_OUT * seen[c][0];

		for (r = 0; r <= HEAP_REPLICATES; r++) {
			double *blocks = r ? &unknown->replicate[c][r - 1] : &unknown->blocks[c];

			by[c][r] = few && seen[c][r] > 0 ? 1 + *blocks / seen[c][r] : 1;
			*blocks = by[c][r] > 1 ? 0 : *blocks;
		}
	}
}

static void add_unknown(const struct heap_unknown *unknown, struct heap_sum *sum)
{
	for (int c = 0; c < HEAP_CLASSES; c++) {
		double bytes = pymalloc__block_bytes(c);

		sum->blocks += unknown->blocks[c];
		sum->bytes += unknown->blocks[c] * bytes;
		for (int r = 0; r < HEAP_REPLICATES; r++)
			sum->deviation[r] += (unknown->replicate[c][r] - unknown->blocks[c]) * bytes;
	}
}

/* A holder's place in the list, by stack. */
struct place {
	struct stack_name stack; /* key */
	size_t at;
	UT_hash_handle hh;
};

static int add_up_holders(struct heap_samples *s, const double by[HEAP_CLASSES][1 + HEAP_REPLICATES])
{
	struct heap_holdings *all = &s->holdings;
	struct place *places = calloc(s->n + 1, sizeof(*places)), *head = NULL, *found;
	size_t i;

	free(all->holders);
	all->holders = calloc(s->n + 1, sizeof(*all->holders));
	all->n = 0;
	if (!places || !all->holders) {
		free(places);
		return -ENOMEM;
	}
	for (i = 0; i < s->n; i++) {
		const struct sample *sample = &s->at[i];
		double block_bytes = pymalloc__block_bytes(sample->block.szidx);
		struct heap_weight weight = sample->weight;

		if (sample->old) {
			add_weight(&all->before, &sample->weight, block_bytes);
			continue;
		}
		HASH_FIND(hh, head, &sample->stack, sizeof(sample->stack), found);
		if (!found) {
			found = &places[all->n];
			*found = (struct place){ .stack = sample->stack, .at = all->n };
			HASH_ADD(hh, head, stack, sizeof(found->stack), found);
			all->holders[all->n++].stack = sample->stack;
		}
		scale(&weight, by[sample->block.szidx]);
		add_weight(&all->holders[found->at].sum, &weight, sample->bytes);
		all->rounded_bytes += weight.blocks * (block_bytes - sample->bytes);
	}
	HASH_CLEAR(hh, head);
	free(places);
	return 0;
}

int heap_samples__read(struct heap_samples *s, const struct heap_moment *now, const struct heap_holdings **ret)
{
	struct heap_holdings *all = &s->holdings;
	struct pymalloc_totals totals;
	double by[HEAP_CLASSES][1 + HEAP_REPLICATES];
	struct heap_unknown unknown;
	int c, err;

	err = look_at_all(s, s->at, s->n);
	err = err ? err : pymalloc__scan(s->heap, NULL, NULL, &totals);
	if (err)
		return err;
	drop_dead(s);
	weigh(s, now, &totals, &unknown);
	*all = (struct heap_holdings){ .holders = all->holders };
	for (c = 0; c < HEAP_CLASSES; c++)
		all->block_bytes += totals.class[c].live * pymalloc__block_bytes(c);
	share_unknown(s, &unknown, by);
	add_unknown(&unknown, &all->unknown);
	err = add_up_holders(s, by);
	if (s->n > MAX_SAMPLES)
		thin_out(s);
	*ret = all;
	return err;
}
