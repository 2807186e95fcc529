/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See large_samples.h. Blocks of a class are estimated in number, and their bytes made to add up then.
 */
#include "capture/large_samples_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "capture/heap_holders.h"

#define LEAST_CHUNK_BYTES 528 /* of LARGE_MIN_BYTES: 8 more, in whole 16 */
#define MAX_SAMPLES 12288
/* Blocks of each class drawn of those that were there before, and of those that were followed; taken of a window. */
#define BEFORE_SAMPLES 128
#define FOLLOWED_SAMPLES 512
#define WINDOW_SAMPLES 64
#define ATTEMPTS 4

static double chance(void *arg)
{
	struct large_samples *s = arg;
	double u;

	drand48_r(&s->random, &u);
	return u;
}

/* ---- what the heap holds ---- */

static void count_chunk(uint64_t addr, uint64_t bytes, void *arg)
{
	struct large_class_sums *live = arg;
	unsigned int class = large_samples_impl__class_of(bytes);

	(void)addr;
	live[class].blocks++;
	live[class].bytes += bytes;
}

/* A heap that is torn at a reading may be whole at the next. */
static int walk(struct large_samples *s, void (*fn)(uint64_t, uint64_t, void *), void *arg, void (*restart)(void *))
{
	struct malloc_heap heap;
	int i, err;

	for (i = 0; i < ATTEMPTS; i++) {
		restart(arg);
		err = malloc_heap__find(s->proc, s->tgid, &heap);
		err = err ? err : malloc_heap__walk(&heap, LEAST_CHUNK_BYTES, fn, arg);
		if (err != -EILSEQ && err != -EFAULT)
			return err;
	}
	return err;
}

static void forget_counts(void *arg)
{
	memset(arg, 0, HEAP_CLASSES * sizeof(struct large_class_sums));
}

/* ---- the beginning ---- */

/* What lives and is in no list of ours, drawn as it comes by: each of n has the same chance to be among the last ones kept. */
struct unknown_chunks {
	struct large_samples *s;
	const uint64_t *known; /* ascending */
	size_t n_known;
	uint32_t cnt[HEAP_CLASSES];
	struct large_sample kept[HEAP_CLASSES][BEFORE_SAMPLES];
};

static int by_number(const void *va, const void *vb)
{
	const uint64_t *a = va, *b = vb;

	return *a < *b ? -1 : *a > *b;
}

static void draw_chunk(uint64_t addr, uint64_t bytes, void *arg)
{
	struct unknown_chunks *u = arg;
	unsigned int class = large_samples_impl__class_of(bytes);
	uint32_t place = u->cnt[class];

	if (u->n_known && bsearch(&addr, u->known, u->n_known, sizeof(addr), by_number))
		return;
	u->cnt[class]++;
	if (place >= BEFORE_SAMPLES)
		place = chance(u->s) * u->cnt[class];
	if (place < BEFORE_SAMPLES)
		u->kept[class][place] = (struct large_sample){ .before = true, .addr = addr, .chunk_bytes = bytes };
}

static void forget_chunks(void *arg)
{
	struct unknown_chunks *u = arg;

	memset(u->cnt, 0, sizeof(u->cnt));
}

static int add_before(struct large_samples *s, struct unknown_chunks *u)
{
	int err = 0;

	for (unsigned int c = 0; c < ELSEWHERE; c++) {
		uint32_t n = MIN(u->cnt[c], BEFORE_SAMPLES);

		for (uint32_t i = 0; i < n && !err; i++) {
			u->kept[c][i].weight = heap_weights__drawn(c, u->cnt[c], n, i);
			err = large_samples_impl__add_sample(s, &u->kept[c][i]);
		}
	}
	return err;
}

/* All of them, each for itself. */
static int add_mapped_before(struct large_samples *s)
{
	int err = 0;

	for (size_t i = 0; i < s->mapped.n && !err; i++) {
		struct large_sample sample = { .before = true, .weight = heap_weights__drawn(MAPPED, 1, 1, 0) };

		if (s->mapped.at[i].known)
			continue;
		large_samples_impl__become(&sample, &s->mapped.at[i]);
		err = large_samples_impl__add_sample(s, &sample);
	}
	return err;
}

static int draw_before(struct large_samples *s, const struct large_sample *followed, size_t n)
{
	struct unknown_chunks *u = calloc(1, sizeof(*u));
	uint64_t *known = calloc(n + 1, sizeof(*known));
	int err = u && known ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++)
		known[i] = followed[i].addr;
	if (!err) {
		qsort(known, n, sizeof(*known), by_number);
		*u = (struct unknown_chunks){ .s = s, .known = known, .n_known = n };
		err = walk(s, draw_chunk, u, forget_chunks);
		err = err ? err : add_before(s, u);
	}
	free(known);
	free(u);
	return err;
}

/* Of each class FOLLOWED_SAMPLES at most, by chance. */
static int draw_followed(struct large_samples *s, const struct large_sample *followed, size_t n)
{
	uint32_t cnt[HEAP_CLASSES] = {}, left[HEAP_CLASSES], wanted[HEAP_CLASSES], drawn[HEAP_CLASSES];
	int err = 0;

	for (size_t i = 0; i < n; i++)
		cnt[followed[i].weight.class] += followed[i].chunk_bytes != 0;
	for (int c = 0; c < HEAP_CLASSES; c++) {
		left[c] = cnt[c];
		wanted[c] = drawn[c] = MIN(cnt[c], FOLLOWED_SAMPLES);
	}
	for (size_t i = 0; i < n && !err; i++) {
		struct large_sample sample = followed[i];
		unsigned int c = sample.weight.class;

		if (!sample.chunk_bytes || chance(s) * left[c]-- >= wanted[c])
			continue;
		wanted[c]--;
		sample.weight = heap_weights__drawn(c, cnt[c], drawn[c], wanted[c]);
		err = large_samples_impl__add_sample(s, &sample);
	}
	return err;
}

static struct large_sample *make_samples(const struct large_seen *blocks, size_t n)
{
	struct large_sample *samples = calloc(n + 1, sizeof(*samples));

	for (size_t i = 0; i < n && samples; i++)
		samples[i] = (struct large_sample){ .addr = blocks[i].addr, .bytes = blocks[i].bytes, .stack = blocks[i].stack };
	return samples;
}

static int begin(struct large_samples *s, const struct large_seen *followed, size_t n)
{
	struct large_sample *samples = make_samples(followed, n);
	int err = samples ? 0 : -ENOMEM;

	err = err ? err : large_samples_impl__look_at(s, samples, n);
	err = err ? err : draw_followed(s, samples, n);
	err = err ? err : draw_before(s, samples, n);
	free(samples);
	err = err ? err : large_samples_impl__find_mapped(s);
	err = err ? err : add_mapped_before(s);
	err = err ? err : walk(s, count_chunk, s->live, forget_counts);
	large_samples_impl__count_mapped(s);
	s->windows.class[ELSEWHERE].uncounted = true;
	for (int c = 0; c < HEAP_CLASSES; c++)
		s->windows.class[c].live = s->live[c].blocks;
	return err;
}

int large_samples__new(const struct proc *p, pid_t tgid, const struct large_seen *followed, size_t n,
		       struct large_samples **ret)
{
	struct large_samples *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->proc = p;
	s->tgid = tgid;
	srand48_r(tgid, &s->random);
	err = begin(s, followed, n);
	if (err) {
		large_samples__free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void large_samples__free(struct large_samples *s)
{
	if (!s)
		return;
	free(s->at);
	free(s->holdings.holders);
	free(s);
}

void large_samples__ask(struct large_samples *s, bool (*of)(void *arg, uint64_t bytes, struct stack_name *ret), void *arg)
{
	s->mover_of = of;
	s->mover_arg = arg;
}

/* ---- windows ---- */

static int by_address(const void *va, const void *vb)
{
	const struct large_sample *a = va, *b = vb;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/*
 * Where a block that a window saw allocated lives, what was sampled there before is gone, however alike it looks; or a reading,
 * since then, took the block for one that was moved there, and the window knows better. Sorts seen.
 */
static void forget_replaced(struct large_samples *s, struct large_sample *seen, size_t n)
{
	const struct large_sample *by;
	size_t i, kept = 0;

	qsort(seen, n, sizeof(*seen), by_address);
	for (i = 0; i < s->n; i++) {
		by = n ? bsearch(&s->at[i], seen, n, sizeof(*seen), by_address) : NULL;
		if (by && by->chunk_bytes)
			heap_weights__look(&s->at[i].weight, &s->windows, false);
		else
			s->at[kept++] = s->at[i];
	}
	s->n = kept;
}

int large_samples__add_window(struct large_samples *s, const struct heap_look *look, const struct large_seen *blocks, size_t n)
{
	uint32_t left[HEAP_CLASSES], taken[HEAP_CLASSES], wanted[HEAP_CLASSES];
	struct large_sample *samples = make_samples(blocks, n);
	struct heap_look seen = *look;
	int c, err = samples ? large_samples_impl__look_at(s, samples, n) : -ENOMEM;

	if (!err)
		forget_replaced(s, samples, n);
	memset(seen.survived, 0, sizeof(seen.survived));
	for (size_t i = 0; i < n && !err; i++)
		seen.survived[samples[i].weight.class] += samples[i].chunk_bytes != 0;
	memcpy(seen.born, seen.survived, sizeof(seen.born));
	if (!err)
		heap_windows__add(&s->windows, &seen);
	for (c = 0; c < HEAP_CLASSES; c++) {
		left[c] = seen.survived[c];
		wanted[c] = taken[c] = MIN(left[c], WINDOW_SAMPLES);
	}
	for (size_t i = 0; i < n && !err; i++) {
		c = samples[i].weight.class;
		if (!samples[i].chunk_bytes || chance(s) * left[c]-- >= wanted[c])
			continue;
		wanted[c]--;
		samples[i].weight = heap_weights__seen(&s->windows, c, taken[c]);
		err = large_samples_impl__add_sample(s, &samples[i]);
	}
	free(samples);
	return err;
}

/* ---- readings ---- */

static int drop_dead(struct large_samples *s)
{
	struct heap_weight_list list = { .first = s->at, .size = sizeof(*s->at) };
	int err = large_samples_impl__find_mapped(s);

	err = err ? err : large_samples_impl__look_at(s, s->at, s->n);

	for (size_t i = 0; i < s->n && !err; i++) {
		bool alive = s->at[i].chunk_bytes;

		heap_weights__look(&s->at[i].weight, &s->windows, alive);
		if (alive)
			s->at[list.n++] = s->at[i];
		else
			large_samples_impl__lose(s, &s->at[i]);
	}
	if (err)
		return err;
	s->n = list.n;
	if (s->n > MAX_SAMPLES)
		s->n = heap_weights__thin(&list, chance, s);
	return 0;
}

/* Where every mapped block is known none of them has to stand for another. */
static void apply(const struct large_samples *s, const struct heap_scales *scales, const struct heap_weight *weight,
		  struct heap_blocks *ret)
{
	heap_weights__apply(scales, weight, ret);
	for (int r = 0; r <= HEAP_REPLICATES && weight->class == MAPPED && s->all_known; r++)
		ret->at[r] = 1;
}

/* What each of a class's bytes is to be multiplied by, so that those that somebody stands for add up. */
static void match_bytes(const struct large_samples *s, const struct heap_scales *scales, double match[HEAP_CLASSES])
{
	double bytes[HEAP_CLASSES] = {};
	struct heap_blocks blocks;

	for (size_t i = 0; i < s->n; i++) {
		apply(s, scales, &s->at[i].weight, &blocks);
		bytes[s->at[i].weight.class] += blocks.at[0] * s->at[i].chunk_bytes;
	}
	for (int c = 0; c < HEAP_CLASSES; c++) {
		double known = s->live[c].blocks && !(c == MAPPED && s->all_known) ? 1 - scales->unknown[c].at[0] / s->live[c].blocks : 1;

		match[c] = c != ELSEWHERE && bytes[c] > 0 ? known * s->live[c].bytes / bytes[c] : 1;
	}
}

static int add_up(struct large_samples *s, const struct heap_scales *scales)
{
	struct heap_holdings *all = &s->holdings;
	struct heap_holders holders;
	double match[HEAP_CLASSES];
	int err;

	*all = (struct heap_holdings){ .holders = all->holders };
	err = heap_holders__begin(&holders, all, s->n);
	if (err)
		return err;
	match_bytes(s, scales, match);
	for (size_t i = 0; i < s->n; i++) {
		const struct large_sample *sample = &s->at[i];
		double factor = match[sample->weight.class];
		struct heap_blocks blocks;

		apply(s, scales, &sample->weight, &blocks);
		if (sample->before)
			heap_sum__add(&all->before, &blocks, factor * sample->chunk_bytes);
		else
			heap_sum__add(&heap_holders__of(&holders, &sample->stack)->sum, &blocks, factor * sample->bytes);
	}
	heap_holders__end(&holders);
	return 0;
}

static int estimate(struct large_samples *s)
{
	const struct heap_weight_list list = { .first = s->at, .n = s->n, .size = sizeof(*s->at) };
	struct heap_scales scales;
	int err = heap_weights__calibrate(&list, NULL, 0, &s->windows, 0, &scales);

	err = err ? err : add_up(s, &scales);
	for (int c = 0; c < ELSEWHERE && !err; c++) {
		double mean = s->live[c].blocks ? (double)s->live[c].bytes / s->live[c].blocks : 0;

		s->holdings.block_bytes += s->live[c].bytes;
		if (c == MAPPED && s->all_known)
			continue;
		heap_sum__add(&s->holdings.unknown, &scales.unknown[c], mean);
	}
	heap_scales__free(&scales);
	return err;
}

int large_samples__read(struct large_samples *s, double own_s, const struct heap_holdings **ret)
{
	uint64_t live[HEAP_CLASSES];
	int err = drop_dead(s);

	err = err ? err : walk(s, count_chunk, s->live, forget_counts);
	if (err)
		return err;
	large_samples_impl__count_mapped(s);
	for (int c = 0; c < HEAP_CLASSES; c++)
		live[c] = s->live[c].blocks;
	heap_windows__read(&s->windows, own_s, live);
	err = estimate(s);
	*ret = &s->holdings;
	return err;
}
