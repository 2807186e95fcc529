/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See heap_samples.h. Bounded, however long a process is watched: of many windows neighbours are made one, of many samples
 * every other one is forgotten, by chance, and of later ones only such a part is taken.
 */
#include "capture/heap_samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "python/pymalloc.h"
#include "python/pymalloc_block.h"
#include "site_spec.h"

#define MAX_WINDOWS 512
#define MAX_SAMPLES 16384
/* Blocks sampled of each size class of what lived before. */
#define OLD_SAMPLES 256

struct sample {
	uint64_t addr;
	struct stack_name stack;
	uint32_t window;
	uint16_t bytes; /* as requested */
	uint8_t class;
	bool dead;
	struct pymalloc_block print;
};

/* What lived before tracing began: of `sampled` blocks a class those that still live are in `old`. */
struct population {
	uint64_t live[HEAP_CLASSES];
	uint32_t sampled[HEAP_CLASSES];
};

struct samples {
	struct sample *at;
	size_t n, room;
};

struct window {
	struct heap_moment at;
	uint64_t events;
	uint32_t survived[HEAP_CLASSES];
};

struct stack_index {
	struct stack_name stack; /* key */
	uint32_t index;
	UT_hash_handle hh;
};

struct heap_samples {
	struct pymalloc *heap;
	uint32_t pool_bytes;
	struct population population;
	struct samples old, fresh;
	struct window *windows;
	size_t n_windows;
	unsigned int thinned; /* one sample in 1 << thinned is kept */
	struct drand48_data random;
	struct heap_holdings holdings;
	size_t max_holders;
};

static int add_sample(struct samples *s, const struct sample *sample)
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

static bool by_chance(struct heap_samples *s, unsigned int one_in)
{
	double u;

	drand48_r(&s->random, &u);
	return u * one_in < 1;
}

/* ---- which blocks live ---- */

static int by_address(const void *va, const void *vb)
{
	const struct sample *a = va, *b = vb;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/* A pool that was read for the samples in it. */
struct pool_view {
	uint64_t base;
	enum pymalloc_doubt doubt;
	struct pymalloc_live live;
	_Alignas(16) unsigned char copy[PYMALLOC_MAX_POOL_BYTES];
};

/* Where the block starts in the view's copy; NULL: it is not a live one of its class. */
static const void *live_block(const struct pool_view *v, const struct sample *sample)
{
	const struct pymalloc_header *h = (const void *)v->copy;
	uint64_t offset = sample->addr - v->base - PYMALLOC_HEADER_BYTES;
	uint32_t bytes = pymalloc__block_bytes(sample->class);

	if (h->szidx != sample->class || offset % bytes || !pymalloc__is_live(&v->live, offset / bytes))
		return NULL;
	return v->copy + PYMALLOC_HEADER_BYTES + offset;
}

/*
 * Looks at each sample in its pool as it is now. A pool that cannot be believed (the process works in it right now) says
 * nothing of its samples, unless it is no pool any more.
 */
static int look_at_all(struct heap_samples *s, struct samples *samples,
		       void (*fn)(struct sample *sample, const void *block))
{
	struct pool_view *v = malloc(sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->base = 1;
	qsort(samples->at, samples->n, sizeof(*samples->at), by_address);
	for (size_t i = 0; i < samples->n; i++) {
		struct sample *sample = &samples->at[i];
		uint64_t base = sample->addr & ~(uint64_t)(s->pool_bytes - 1);

		if (base != v->base) {
			v->doubt = pymalloc__read_pool(s->heap, base, v->copy, &v->live);
			v->base = base;
		}
		if (v->doubt == POOL_SOUND)
			fn(sample, live_block(v, sample));
		else if (v->doubt == POOL_BAD_HEADER)
			sample->dead = true;
	}
	free(v);
	return 0;
}

static void check(struct sample *sample, const void *block)
{
	sample->dead = !block || !pymalloc__same_block(&sample->print, block);
}

static void remember(struct sample *sample, const void *block)
{
	sample->dead = !block;
	if (block)
		sample->print = pymalloc__block(block, pymalloc__block_bytes(sample->class));
}

static void drop_dead(struct samples *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (!s->at[i].dead)
			s->at[n++] = s->at[i];
	}
	s->n = n;
}

/* ---- what lived before ---- */

static int sample_population(struct heap_samples *s)
{
	struct pymalloc_pools pools = {};
	struct pymalloc_totals totals;
	struct pymalloc_sample *found = NULL;
	size_t n = 0;
	int err;

	err = pymalloc__scan(s->heap, NULL, &pools, &totals);
	if (err)
		return err;
	s->pool_bytes = totals.pool_bytes;
	for (int c = 0; c < HEAP_CLASSES; c++)
		s->population.live[c] = totals.class[c].live;
	err = pymalloc__sample(s->heap, &pools, OLD_SAMPLES, &s->random, &found, &n);
	for (size_t i = 0; i < n && !err; i++) {
		struct sample sample = { .addr = found[i].addr, .class = found[i].szidx, .print = found[i].block };

		s->population.sampled[sample.class]++;
		err = add_sample(&s->old, &sample);
	}
	free(found);
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
	s->windows = malloc(MAX_WINDOWS * sizeof(*s->windows));
	err = s->windows ? pymalloc__open(p, tgid, in, &s->heap) : -ENOMEM;
	err = err ? err : sample_population(s);
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
	free(s->old.at);
	free(s->fresh.at);
	free(s->windows);
	free(s->holdings.holders);
	free(s);
}

/* ---- windows ---- */

static void merge_windows(struct heap_samples *s)
{
	for (size_t i = 0; i < s->n_windows / 2; i++) {
		struct window *to = &s->windows[i];
		const struct window a = s->windows[2 * i], b = s->windows[2 * i + 1];

		*to = a;
		to->at.cpu_ns = (a.at.cpu_ns + b.at.cpu_ns) / 2;
		to->at.pools.all = (a.at.pools.all + b.at.pools.all) / 2;
		to->events = a.events + b.events;
		for (int c = 0; c < HEAP_CLASSES; c++) {
			to->at.pools.opened[c] = (a.at.pools.opened[c] + b.at.pools.opened[c]) / 2;
			to->survived[c] = a.survived[c] + b.survived[c];
		}
	}
	s->n_windows /= 2;
	for (size_t i = 0; i < s->fresh.n; i++)
		s->fresh.at[i].window /= 2;
}

static void thin_out(struct heap_samples *s)
{
	for (size_t i = 0; i < s->fresh.n; i++)
		s->fresh.at[i].dead |= !by_chance(s, 2);
	drop_dead(&s->fresh);
	s->thinned++;
}

static int sample_blocks(const struct heap_block *blocks, size_t n, uint32_t window, struct samples *ret)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		uint32_t bytes = blocks[i].bytes ? blocks[i].bytes : 1;
		struct sample sample = {
			.addr = blocks[i].addr,
			.stack = blocks[i].stack,
			.window = window,
			.bytes = bytes,
			.class = (bytes - 1) >> PYMALLOC_CLASS_SHIFT,
		};

		if (bytes <= PYMALLOC_MAX_BYTES)
			err = add_sample(ret, &sample);
	}
	return err;
}

int heap_samples__add_window(struct heap_samples *s, const struct heap_moment *at, uint64_t events,
			     const struct heap_block *blocks, size_t n)
{
	struct samples seen = {};
	struct window *w;
	int err;

	if (s->n_windows == MAX_WINDOWS)
		merge_windows(s);
	err = sample_blocks(blocks, n, s->n_windows, &seen);
	err = err ? err : look_at_all(s, &seen, remember);
	w = &s->windows[s->n_windows];
	*w = (struct window){ .at = *at, .events = events };
	for (size_t i = 0; i < seen.n && !err; i++) {
		if (seen.at[i].dead || !seen.at[i].print.known)
			continue;
		w->survived[seen.at[i].class]++;
		if (by_chance(s, 1u << s->thinned))
			err = add_sample(&s->fresh, &seen.at[i]);
	}
	free(seen.at);
	s->n_windows++;
	if (s->fresh.n > MAX_SAMPLES)
		thin_out(s);
	return err;
}

/* ---- the estimate ---- */

/* From the midpoint before each window to the midpoint after it. */
static void make_strata(const struct heap_samples *s, const struct heap_moment *now, struct heap_window *ret)
{
	static const struct heap_moment begin;

	for (size_t i = 0; i < s->n_windows; i++) {
		const struct window *w = &s->windows[i];
		const struct heap_moment *at = &w->at;
		const struct heap_moment *before = i ? &s->windows[i - 1].at : &begin;
		const struct heap_moment *after = i + 1 < s->n_windows ? &s->windows[i + 1].at : now;
		/* The first one reaches back to the beginning, the last one to now. */
		double back = i ? 0.5 : 1, forth = i + 1 < s->n_windows ? 0.5 : 1;
		uint64_t blocks;

		ret[i] = (struct heap_window){
			.cpu_ns = back * (at->cpu_ns - before->cpu_ns) + forth * (after->cpu_ns - at->cpu_ns),
			.events = w->events,
		};
		memcpy(ret[i].survived, w->survived, sizeof(ret[i].survived));
		for (int c = 0; c < HEAP_CLASSES; c++) {
			blocks = pymalloc__pool_block_cnt(s->pool_bytes, c);
			ret[i].opened[c] = blocks * (back * (at->pools.opened[c] - before->pools.opened[c]) +
						     forth * (after->pools.opened[c] - at->pools.opened[c]));
		}
	}
}

/* Each stack's index among the holders. */
static int index_stacks(struct heap_samples *s, struct heap_sample *ret)
{
	struct stack_index *all = calloc(s->fresh.n + 1, sizeof(*all)), *head = NULL, *found;
	uint32_t n = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < s->fresh.n; i++) {
		const struct sample *sample = &s->fresh.at[i];

		HASH_FIND(hh, head, &sample->stack, sizeof(sample->stack), found);
		if (!found) {
			found = &all[n];
			found->stack = sample->stack;
			found->index = n++;
			HASH_ADD(hh, head, stack, sizeof(found->stack), found);
		}
		ret[i] = (struct heap_sample){
			.window = sample->window,
			.stack = found->index,
			.class = sample->class,
			.alive = 1u << s->thinned,
			.bytes = (uint64_t)sample->bytes << s->thinned,
		};
	}
	if (n > s->max_holders) {
		free(s->holdings.holders);
		s->max_holders = 0;
		s->holdings.holders = malloc(2 * n * sizeof(*s->holdings.holders));
		s->max_holders = s->holdings.holders ? 2 * n : 0;
	}
	s->holdings.n = n <= s->max_holders ? n : 0;
	for (uint32_t i = 0; i < s->holdings.n; i++)
		s->holdings.holders[i].stack = all[i].stack;
	HASH_CLEAR(hh, head);
	free(all);
	return s->holdings.n == n ? 0 : -ENOMEM;
}

/* Replicates that say this standard error. */
static void set_error(struct heap_line *l, double stderr_bytes)
{
	for (int i = 0; i < HEAP_REPLICATES; i++)
		l->replicate_bytes[i] = l->bytes + (i % 2 ? 1 : -1) * stderr_bytes / sqrt(HEAP_REPLICATES - 1);
}

/* What lived before and lives still, and what is new. */
static void tell_fresh(const struct heap_samples *s, const struct pymalloc_totals *totals, struct heap_fresh *fresh,
		       struct heap_line *before)
{
	uint32_t alive[HEAP_CLASSES] = {};
	double variance = 0;

	*before = (struct heap_line){};
	for (size_t i = 0; i < s->old.n; i++)
		alive[s->old.at[i].class]++;
	for (int c = 0; c < HEAP_CLASSES; c++) {
		double was = s->population.live[c], n = s->population.sampled[c], now = totals->class[c].live;
		double part = n ? alive[c] / n : 1, likely = (alive[c] + 1) / (n + 2);
		double error = n < was ? was * sqrt(likely * (1 - likely) / (n + 2) * (1 - n / was)) : 0;
		double still = was * part < now ? was * part : now, bytes = pymalloc__block_bytes(c);

		fresh->blocks[c] = now - still;
		fresh->stderr_blocks[c] = error;
		before->blocks += still;
		before->bytes += still * bytes;
		variance += error * bytes * error * bytes;
	}
	set_error(before, sqrt(variance));
}

/* Who holds the fresh blocks. */
static int share_out(struct heap_samples *s, const struct heap_moment *now, const struct heap_fresh *fresh)
{
	struct heap_window *strata = calloc(s->n_windows + 1, sizeof(*strata));
	struct heap_sample *samples = calloc(s->fresh.n + 1, sizeof(*samples));
	struct heap_line *lines = NULL;
	int err = strata && samples ? index_stacks(s, samples) : -ENOMEM;

	if (!err) {
		make_strata(s, now, strata);
		lines = calloc(s->holdings.n + 1, sizeof(*lines));
		err = lines ? heap_estimate(strata, s->n_windows, samples, s->fresh.n, fresh, lines, s->holdings.n,
					    &s->holdings.unsampled) : -ENOMEM;
	}
	for (size_t i = 0; i < s->holdings.n && !err; i++)
		s->holdings.holders[i].line = lines[i];
	free(lines);
	free(samples);
	free(strata);
	return err;
}

int heap_samples__estimate(struct heap_samples *s, const struct heap_moment *now, const struct heap_holdings **ret)
{
	struct heap_holdings *all = &s->holdings;
	struct pymalloc_totals totals;
	struct heap_fresh fresh;
	double bytes = 0;
	int err;

	err = pymalloc__scan(s->heap, NULL, NULL, &totals);
	if (!err && totals.pool_bytes)
		s->pool_bytes = totals.pool_bytes;
	err = err ? err : look_at_all(s, &s->old, check);
	err = err ? err : look_at_all(s, &s->fresh, check);
	if (err)
		return err;
	drop_dead(&s->old);
	drop_dead(&s->fresh);
	tell_fresh(s, &totals, &fresh, &all->before);
	err = share_out(s, now, &fresh);
	if (err)
		return err;
	all->block_bytes = all->pools = 0;
	for (int c = 0; c < HEAP_CLASSES; c++) {
		all->block_bytes += totals.class[c].live * pymalloc__block_bytes(c);
		all->pools += totals.class[c].pools;
	}
	all->pool_bytes = all->pools * totals.pool_bytes;
	all->windows = s->n_windows;
	for (size_t i = 0; i < all->n; i++)
		bytes += all->holders[i].line.bytes;
	all->rounded_bytes = all->block_bytes - bytes - all->before.bytes - all->unsampled.bytes;
	*ret = all;
	return 0;
}
