/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See heap_samples.h. Bounded, however long a process is watched: when samples are many, every other one goes, by chance, and
 * what it stood for is shared by the rest of its class.
 */
#include "capture/heap_samples_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "site_spec.h"

#define MAX_SAMPLES 12288
/* Blocks drawn of each size class at the beginning, and taken of each in a window. */
#define OLD_SAMPLES 128
#define WINDOW_SAMPLES 64
/* Blocks drawn at a reading, for their kinds (model/heap_cells.h): so many for each sampled one, within bounds. */
#define DRAWS_A_SAMPLE 4
#define LEAST_DRAWS 512
/* Stacks whose blocks are told apart by how long they live. */
#define MAX_MORTALITIES 8192

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

static double chance(void *arg)
{
	struct heap_samples *s = arg;
	double u;

	drand48_r(&s->random, &u);
	return u;
}

/* ---- whose blocks live briefly ---- */

static struct mortality *mortality_of(struct heap_samples *s, const struct stack_name *stack, bool make)
{
	struct mortality *m;

	HASH_FIND(hh, s->mortalities, stack, sizeof(*stack), m);
	if (m || !make || HASH_COUNT(s->mortalities) >= MAX_MORTALITIES)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->stack = *stack;
	HASH_ADD(hh, s->mortalities, stack, sizeof(m->stack), m);
	return m;
}

static void count_born(struct heap_samples *s, const struct sample *samples, size_t n)
{
	struct mortality *m;

	for (size_t i = 0; i < n; i++) {
		m = mortality_of(s, &samples[i].stack, true);
		if (m)
			m->born++;
	}
}

static void count_survived(struct heap_samples *s, const struct sample *samples, size_t n)
{
	struct mortality *m;

	for (size_t i = 0; i < n; i++) {
		m = mortality_of(s, &samples[i].stack, false);
		if (m)
			m->survived++;
	}
}

/*
 * Until a window is over and its blocks are looked at, one that was freed may have been given out again, and what stands there then is
 * not told from what was. Where most of a line's blocks die at once, whoever of them seems to live may be another line's.
 */
static void set_doubts(struct heap_samples *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct mortality *m = s->at[i].weight.old ? NULL : mortality_of(s, &s->at[i].stack, false);

		s->at[i].weight.doubt = m && m->born ? 1 - (float)m->survived / m->born : 0;
	}
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

/*
 * Tuples that died and tuples that came: those are mostly the same blocks, which CPython's own free list gave out again
 * without asking the allocator (Objects/tupleobject.c: free_list, 2,000 of each length up to 19). From now on it is the new one.
 */
static int follow_tuples(struct heap_samples *s, struct sample *samples, size_t n)
{
	struct sample *again = malloc((n + 1) * sizeof(*again));
	size_t i, cnt = 0;
	int err;

	if (!again)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		if (samples[i].block.fate != FATE_REPLACED || !samples[i].block.print.leads)
			continue;
		again[cnt] = samples[i];
		again[cnt++].block.print = (struct pymalloc_print){};
	}
	err = cnt ? look_at_all(s, again, cnt) : 0;
	for (i = cnt = 0; i < n && !err; i++) {
		struct pymalloc_block *was = &samples[i].block, *is;

		if (was->fate != FATE_REPLACED || !was->print.leads)
			continue;
		is = &again[cnt++].block;
		if (is->fate != FATE_LIVES || is->print.type == was->print.type)
			*was = *is;
	}
	free(again);
	return err;
}

/* A block whose pool made no sense at the last look is taken for what it was before. */
static bool lives(const struct heap_samples *s, struct sample *sample)
{
	if (sample->block.fate == FATE_FREED)
		return false;
	if (sample->block.fate != FATE_REPLACED)
		return true;
	if (heap_windows__was_born(&s->windows, sample->block.szidx))
		return false;
	/* Used again without the allocator being asked, or no window was open: from now on it is what it is. */
	if (s->seen)
		sample->block.print = (struct pymalloc_print){};
	return true;
}

static void drop_dead(struct heap_samples *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->n; i++) {
		bool alive = lives(s, &s->at[i]);

		heap_weights__look(&s->at[i].weight, &s->windows, alive);
		if (alive)
			s->at[n++] = s->at[i];
	}
	s->n = n;
}

/* ---- what the heap holds, by kind ---- */

static struct heap_kind kind_of(const struct pymalloc_print *print)
{
	struct pymalloc_kind kind = pymalloc__kind(print);

	return (struct heap_kind){ .type = kind.type, .shape = kind.shape };
}

/* What holds something else by now keeps its kind until its print is taken again. */
static void set_kinds(struct heap_samples *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->at[i].block.print.block_bytes)
			s->at[i].weight.kind = kind_of(&s->at[i].block.print);
}

/* With the same seed each time: where little has changed, the same blocks are drawn, and lines do not move for nothing. */
static int draw_kinds(struct heap_samples *s, const struct pymalloc_pools *pools, size_t most)
{
	uint32_t at[HEAP_CLASSES] = {};
	struct pymalloc_block *drawn = NULL;
	size_t i, n = 0, wanted = DRAWS_A_SAMPLE * s->n;
	int err;

	wanted = wanted < LEAST_DRAWS ? LEAST_DRAWS : wanted;
	err = pymalloc__sample_kinds(s->heap, pools, wanted < most ? wanted : most, s->seed, &drawn, &n);
	free(s->draws);
	s->n_draws = 0;
	s->draws = calloc(n + 1, sizeof(*s->draws));
	err = err || s->draws ? err : -ENOMEM;
	for (i = 0; i < n && !err; i++)
		s->draws[s->n_draws++] = (struct heap_draw){
			.kind = kind_of(&drawn[i].print),
			.class = drawn[i].szidx,
			.group = at[drawn[i].szidx]++ % HEAP_REPLICATES,
		};
	free(drawn);
	return err;
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
	for (i = 0; i < HEAP_CLASSES && !err; i++)
		s->windows.class[i].live = totals.class[i].live;
	for (i = 0; i < n && !err; i++)
		cnt[drawn[i].szidx]++;
	for (i = 0; i < n && !err; i++) {
		uint8_t class = drawn[i].szidx;
		struct sample sample = {
			.block = drawn[i],
			.weight = heap_weights__drawn(class, totals.class[class].live, cnt[class], at[class]++),
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
	s->seed = tgid;
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
	struct mortality *m, *next;

	if (!s)
		return;
	pymalloc__free(s->heap);
	HASH_ITER(hh, s->mortalities, m, next) {
		HASH_DEL(s->mortalities, m);
		free(m);
	}
	free(s->at);
	free(s->born);
	free(s->draws);
	free(s->holdings.holders);
	free(s);
}

/* ---- windows ---- */

static size_t make_samples(const struct heap_block *blocks, size_t n, struct sample *ret)
{
	size_t i, made = 0;

	for (i = 0; i < n; i++) {
		uint32_t bytes = blocks[i].bytes ? blocks[i].bytes : 1;

		if (bytes > PYMALLOC_MAX_BYTES)
			continue;
		ret[made++] = (struct sample){
			.block = { .addr = blocks[i].addr, .weight = 1, .szidx = (bytes - 1) >> PYMALLOC_CLASS_SHIFT },
			.stack = blocks[i].stack,
			.bytes = bytes,
		};
	}
	return made;
}

/* Leaves out those that live no more; whoever cannot be told lives. */
static size_t keep_alive(struct sample *born, size_t n, uint32_t cnt[HEAP_CLASSES])
{
	size_t i, alive = 0;

	memset(cnt, 0, HEAP_CLASSES * sizeof(*cnt));
	for (i = 0; i < n; i++) {
		if (born[i].block.fate == FATE_FREED || born[i].block.fate == FATE_REPLACED)
			continue;
		cnt[born[i].block.szidx]++;
		born[alive++] = born[i];
	}
	return alive;
}

/* Of each class at most WINDOW_SAMPLES. */
static int take_born(struct heap_samples *s)
{
	uint32_t left[HEAP_CLASSES], taken[HEAP_CLASSES], wanted[HEAP_CLASSES];
	size_t i;
	int c, err = 0;

	for (c = 0; c < HEAP_CLASSES; c++) {
		left[c] = s->windows.last.survived[c];
		wanted[c] = taken[c] = left[c] < WINDOW_SAMPLES ? left[c] : WINDOW_SAMPLES;
	}
	for (i = 0; i < s->n_born && !err; i++) {
		c = s->born[i].block.szidx;
		if (chance(s) * left[c]-- >= wanted[c])
			continue;
		wanted[c]--;
		s->born[i].weight = heap_weights__seen(&s->windows, c, taken[c]);
		err = add_sample(s, &s->born[i]);
	}
	return err;
}

int heap_samples__settle(struct heap_samples *s)
{
	int err;

	if (!s->born)
		return 0;
	err = look_at_all(s, s->born, s->n_born);
	err = err ? err : follow_tuples(s, s->born, s->n_born);
	if (!err) {
		s->n_born = keep_alive(s->born, s->n_born, s->look.survived);
		count_survived(s, s->born, s->n_born);
		heap_windows__add(&s->windows, &s->look);
		err = take_born(s);
		s->seen = true;
	}
	free(s->born);
	s->born = NULL;
	return err;
}

int heap_samples__add_window(struct heap_samples *s, const struct heap_look *look, const struct heap_block *blocks, size_t n)
{
	int err = heap_samples__settle(s);

	if (err)
		return err;
	s->born = calloc(n + 1, sizeof(*s->born));
	if (!s->born)
		return -ENOMEM;
	s->look = *look;
	s->n_born = make_samples(blocks, n, s->born);
	count_born(s, s->born, s->n_born);
	err = look_at_all(s, s->born, s->n_born);
	if (!err) {
		s->n_born = keep_alive(s->born, s->n_born, s->look.born);
		return 0;
	}
	free(s->born);
	s->born = NULL;
	return err;
}

/* ---- readings ---- */

/* Counts what lives, and draws from it. Of a process that ends meanwhile nothing is drawn: it is told without. */
static int scan(struct heap_samples *s, size_t most_draws, bool pin, struct pymalloc_totals *totals)
{
	struct pymalloc_pools pools = {};
	int err = pymalloc__scan(s->heap, NULL, &pools, totals);

	if (!err && pin)
		err = heap_samples_impl__pin(s, &pools, totals->pool_bytes);
	if (!err && draw_kinds(s, &pools, most_draws))
		s->n_draws = 0;
	pymalloc_pools__free(&pools);
	return err;
}

int heap_samples__read(struct heap_samples *s, double own_s, double pools, const struct pool_pace pace[HEAP_CLASSES],
		       size_t most_draws, bool pin, const struct heap_holdings **ret)
{
	uint64_t live[HEAP_CLASSES];
	struct heap_weight_list list;
	int c, err;

	err = heap_samples__settle(s);
	err = err ? err : look_at_all(s, s->at, s->n);
	err = err ? err : follow_tuples(s, s->at, s->n);
	err = err ? err : scan(s, most_draws, pin, &s->totals);
	if (err)
		return err;
	drop_dead(s);
	list = heap_samples_impl__weights(s);
	if (s->n > MAX_SAMPLES)
		s->n = heap_weights__thin(&list, chance, s);
	for (c = 0; c < HEAP_CLASSES; c++)
		live[c] = s->totals.class[c].live;
	s->windows.pool_bytes = s->totals.pool_bytes;
	memcpy(s->windows.pace, pace, sizeof(s->windows.pace));
	heap_windows__read(&s->windows, own_s, live);
	s->seen = false;
	set_doubts(s);
	set_kinds(s);
	err = heap_samples_impl__estimate(s, pools, pin);
	s->holdings.totals = &s->totals;
	*ret = &s->holdings;
	return err;
}
