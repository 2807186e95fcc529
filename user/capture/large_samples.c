/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See large_samples.h. Size classes: chunks of the main arena by size, four to an octave up to 8 KiB and two from there on; one of
 * those that are mapped by themselves and found, and the last of all blocks elsewhere. Blocks of a class are estimated in number, and their bytes made to add up then.
 */
#include "capture/large_samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "large.h"
#include "system/malloc_heap.h"

#define ELSEWHERE (HEAP_CLASSES - 1)
#define MAPPED (HEAP_CLASSES - 2)
#define MAX_MAPPED 4096
#define FINE_BYTES 8192
#define FINE_CLASSES 16
#define LEAST_CHUNK_BYTES 528 /* of LARGE_MIN_BYTES: 8 more, in whole 16 */
#define MAX_SAMPLES 12288
/* Blocks of each class drawn of those that were there before, and of those that were followed; taken of a window. */
#define BEFORE_SAMPLES 128
#define FOLLOWED_SAMPLES 512
#define WINDOW_SAMPLES 64
#define PRINT_WORDS 6
/* Larger ones are looked for where they may have been moved to. */
#define LEAST_MOVED_BYTES 4096
#define MAX_LOST 256
#define ATTEMPTS 4

struct sample {
	struct heap_weight weight; /* first (struct heap_weight_list) */
	bool before; /* whose it is was never known */
	bool printed;
	uint64_t addr, bytes, chunk_bytes;
	uint64_t print[PRINT_WORDS]; /* behind the first word, which is a reference count where it is an object */
	struct stack_name stack;
};

struct class_sums {
	uint64_t blocks, bytes;
};

/* Blocks mapped by themselves, as found now. */
struct mapped {
	struct mapped_block {
		uint64_t addr, bytes;
		bool known; /* it is a sample */
		uint64_t print[PRINT_WORDS]; /* zero where it could not be read */
	} at[MAX_MAPPED];
	size_t n;
};

struct large_samples {
	const struct proc *proc;
	pid_t tgid;
	struct sample *at;
	size_t n, room;
	struct heap_windows windows;
	struct class_sums live[HEAP_CLASSES];
	struct mapped mapped;
	bool all_known; /* every mapped block is a sample */
	struct sample lost[MAX_LOST]; /* those that were last found gone, and may have grown: the oldest goes */
	size_t n_lost;
	struct drand48_data random;
	struct heap_holdings holdings;
};

static unsigned int class_of(uint64_t chunk_bytes)
{
	double octaves;
	unsigned int class;

	if (chunk_bytes < FINE_BYTES) {
		octaves = log2(fmax(chunk_bytes, 512) / 512.0);
		return octaves * 4;
	}
	octaves = log2(chunk_bytes / (double)FINE_BYTES);
	class = FINE_CLASSES + octaves * 2;
	return MIN(class, MAPPED - 1u);
}

static double chance(void *arg)
{
	struct large_samples *s = arg;
	double u;

	drand48_r(&s->random, &u);
	return u;
}

static int add_sample(struct large_samples *s, const struct sample *sample)
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

/* ---- what became of blocks ---- */

static int look_at_chunks(const struct malloc_heap *heap, struct sample *samples, size_t n)
{
	struct malloc_block *blocks = calloc(n + 1, sizeof(*blocks));
	int err;

	if (!blocks)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		blocks[i] = (struct malloc_block){ .addr = samples[i].addr, .chunk_bytes = samples[i].chunk_bytes };
	err = malloc_heap__look(heap, blocks, n);
	for (size_t i = 0; i < n && !err; i++) {
		samples[i].chunk_bytes = blocks[i].chunk_bytes;
		if (blocks[i].chunk_bytes && (blocks[i].in_heap || samples[i].weight.class != MAPPED))
			samples[i].weight.class = blocks[i].in_heap ? class_of(blocks[i].chunk_bytes) : ELSEWHERE;
	}
	free(blocks);
	return err;
}

/* Everything that could tell it apart is new. */
static bool is_new(const struct sample *sample, const uint64_t now[PRINT_WORDS])
{
	int i, told = 0;

	for (i = 0; i < PRINT_WORDS; i++) {
		if (!sample->print[i])
			continue;
		if (sample->print[i] == now[i])
			return false;
		told++;
	}
	return told > 1;
}

static int look_at_contents(const struct malloc_heap *heap, struct sample *samples, size_t n)
{
	struct mem_piece piece[MALLOC_BLOCKS_AT_ONCE];
	uint64_t now[MALLOC_BLOCKS_AT_ONCE][PRINT_WORDS];
	size_t i, k, some;
	int err = 0;

	for (i = 0; i < n && !err; i += some) {
		some = MIN(n - i, MALLOC_BLOCKS_AT_ONCE);
		for (k = 0; k < some; k++)
			piece[k] = (struct mem_piece){ .addr = samples[i + k].addr + 8, .buf = now[k], .len = sizeof(now[k]) };
		err = mem__read_many(&heap->m, piece, some);
		for (k = 0; k < some && !err; k++) {
			struct sample *sample = &samples[i + k];

			if (!piece[k].ok || (sample->printed && is_new(sample, now[k])))
				sample->chunk_bytes = 0;
			if (!sample->printed && piece[k].ok)
				memcpy(sample->print, now[k], sizeof(now[k]));
			sample->printed = true;
		}
	}
	return err;
}

/* Whoever lives no more has no chunk then. */
static int look_at(struct large_samples *s, struct sample *samples, size_t n)
{
	struct malloc_heap heap;
	int err = malloc_heap__find(s->proc, s->tgid, &heap);

	err = err ? err : look_at_chunks(&heap, samples, n);
	return err ? err : look_at_contents(&heap, samples, n);
}

/* ---- blocks mapped by themselves ---- */

static void keep_mapped(uint64_t addr, uint64_t bytes, void *arg)
{
	struct mapped *m = arg;

	if (m->n < MAX_MAPPED)
		m->at[m->n++] = (struct mapped_block){ .addr = addr, .bytes = bytes };
}

/* A block that grew is where it was, or was moved, with what is in it (realloc: mremap, or copied). */
static bool goes_on_in(const struct sample *sample, const struct mapped_block *b)
{
	return !b->known && b->bytes > sample->bytes && !memcmp(b->print, sample->print, sizeof(b->print));
}

/* Whose first words are telling: items of a list, say. */
static bool can_be_found_again(const struct sample *sample)
{
	if (!sample->printed || sample->bytes < LEAST_MOVED_BYTES)
		return false;
	for (int i = 0; i < PRINT_WORDS; i++)
		if (!sample->print[i] || (i && sample->print[i] == sample->print[i - 1]))
			return false;
	return true;
}

static void lose(struct large_samples *s, const struct sample *sample)
{
	if (can_be_found_again(sample))
		s->lost[s->n_lost++ % MAX_LOST] = *sample;
}

static void become(struct sample *sample, struct mapped_block *b)
{
	if (sample->chunk_bytes != b->bytes)
		sample->bytes = b->bytes - 16;
	sample->addr = b->addr;
	sample->chunk_bytes = b->bytes;
	sample->weight.class = MAPPED;
	b->known = true;
}

/* Whether it is one that was lost, or that is just being found gone. */
static int find_again(struct large_samples *s, const struct malloc_heap *heap, struct mapped_block *b)
{
	struct sample found;
	size_t i;

	if (mem__read(&heap->m, b->addr + 8, b->print, sizeof(b->print)))
		return 0;
	for (i = 0; i < s->n; i++) {
		struct sample *sample = &s->at[i];
		struct malloc_block now = { .addr = sample->addr, .chunk_bytes = sample->chunk_bytes };

		if (sample->weight.class == MAPPED || !can_be_found_again(sample) || !goes_on_in(sample, b) ||
		    malloc_heap__look(heap, &now, 1) || now.chunk_bytes)
			continue;
		become(sample, b);
		return 0;
	}
	for (i = 0; i < MIN(s->n_lost, MAX_LOST); i++) {
		if (!goes_on_in(&s->lost[i], b))
			continue;
		found = s->lost[i];
		become(&found, b);
		return add_sample(s, &found);
	}
	return 0;
}

/* Finds those of the sample that are such blocks now; most are not. */
static int find_mapped(struct large_samples *s)
{
	struct malloc_heap heap;
	size_t i, k, known = 0;
	int err = malloc_heap__find(s->proc, s->tgid, &heap);

	s->mapped.n = 0;
	for (i = 0; i < s->n; i++)
		s->at[i].weight.class = s->at[i].weight.class == MAPPED ? ELSEWHERE : s->at[i].weight.class;
	err = err ? err : malloc_heap__mapped(s->proc, s->tgid, keep_mapped, &s->mapped);
	for (i = 0; i < s->n && !err; i++)
		for (k = 0; k < s->mapped.n && s->at[i].weight.class == ELSEWHERE; k++)
			if (s->mapped.at[k].addr == s->at[i].addr && s->mapped.at[k].bytes == s->at[i].chunk_bytes)
				become(&s->at[i], &s->mapped.at[k]);
	for (k = 0; k < s->mapped.n && !err; k++)
		err = s->mapped.at[k].known ? 0 : find_again(s, &heap, &s->mapped.at[k]);
	for (k = 0; k < s->mapped.n; k++)
		known += s->mapped.at[k].known;
	s->all_known = known == s->mapped.n;
	return err;
}

static void count_mapped(struct large_samples *s)
{
	s->live[MAPPED] = (struct class_sums){ .blocks = s->mapped.n };
	for (size_t i = 0; i < s->mapped.n; i++)
		s->live[MAPPED].bytes += s->mapped.at[i].bytes;
}

/* ---- what the heap holds ---- */

static void count_chunk(uint64_t addr, uint64_t bytes, void *arg)
{
	struct class_sums *live = arg;
	unsigned int class = class_of(bytes);

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
	memset(arg, 0, HEAP_CLASSES * sizeof(struct class_sums));
}

/* ---- the beginning ---- */

/* What lives and is in no list of ours, drawn as it comes by: each of n has the same chance to be among the last ones kept. */
struct unknown_chunks {
	struct large_samples *s;
	const uint64_t *known; /* ascending */
	size_t n_known;
	uint32_t cnt[HEAP_CLASSES];
	struct sample kept[HEAP_CLASSES][BEFORE_SAMPLES];
};

static int by_number(const void *va, const void *vb)
{
	const uint64_t *a = va, *b = vb;

	return *a < *b ? -1 : *a > *b;
}

static void draw_chunk(uint64_t addr, uint64_t bytes, void *arg)
{
	struct unknown_chunks *u = arg;
	unsigned int class = class_of(bytes);
	uint32_t place = u->cnt[class];

	if (u->n_known && bsearch(&addr, u->known, u->n_known, sizeof(addr), by_number))
		return;
	u->cnt[class]++;
	if (place >= BEFORE_SAMPLES)
		place = chance(u->s) * u->cnt[class];
	if (place < BEFORE_SAMPLES)
		u->kept[class][place] = (struct sample){ .before = true, .addr = addr, .chunk_bytes = bytes };
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
			err = add_sample(s, &u->kept[c][i]);
		}
	}
	return err;
}

/* All of them, each for itself. */
static int add_mapped_before(struct large_samples *s)
{
	int err = 0;

	for (size_t i = 0; i < s->mapped.n && !err; i++) {
		struct sample sample = { .before = true, .weight = heap_weights__drawn(MAPPED, 1, 1, 0) };

		if (s->mapped.at[i].known)
			continue;
		become(&sample, &s->mapped.at[i]);
		err = add_sample(s, &sample);
	}
	return err;
}

static int draw_before(struct large_samples *s, const struct sample *followed, size_t n)
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
static int draw_followed(struct large_samples *s, const struct sample *followed, size_t n)
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
		struct sample sample = followed[i];
		unsigned int c = sample.weight.class;

		if (!sample.chunk_bytes || chance(s) * left[c]-- >= wanted[c])
			continue;
		wanted[c]--;
		sample.weight = heap_weights__drawn(c, cnt[c], drawn[c], wanted[c]);
		err = add_sample(s, &sample);
	}
	return err;
}

static struct sample *make_samples(const struct large_seen *blocks, size_t n)
{
	struct sample *samples = calloc(n + 1, sizeof(*samples));

	for (size_t i = 0; i < n && samples; i++)
		samples[i] = (struct sample){ .addr = blocks[i].addr, .bytes = blocks[i].bytes, .stack = blocks[i].stack };
	return samples;
}

static int begin(struct large_samples *s, const struct large_seen *followed, size_t n)
{
	struct sample *samples = make_samples(followed, n);
	int err = samples ? 0 : -ENOMEM;

	err = err ? err : look_at(s, samples, n);
	err = err ? err : draw_followed(s, samples, n);
	err = err ? err : draw_before(s, samples, n);
	free(samples);
	err = err ? err : find_mapped(s);
	err = err ? err : add_mapped_before(s);
	err = err ? err : walk(s, count_chunk, s->live, forget_counts);
	count_mapped(s);
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

/* ---- windows ---- */

int large_samples__add_window(struct large_samples *s, const struct heap_look *look, const struct large_seen *blocks, size_t n)
{
	uint32_t left[HEAP_CLASSES], taken[HEAP_CLASSES], wanted[HEAP_CLASSES];
	struct sample *samples = make_samples(blocks, n);
	struct heap_look seen = *look;
	int c, err = samples ? look_at(s, samples, n) : -ENOMEM;

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
		err = add_sample(s, &samples[i]);
	}
	free(samples);
	return err;
}

/* ---- readings ---- */

static int drop_dead(struct large_samples *s)
{
	struct heap_weight_list list = { .first = s->at, .size = sizeof(*s->at) };
	int err = find_mapped(s);

	err = err ? err : look_at(s, s->at, s->n);

	for (size_t i = 0; i < s->n && !err; i++) {
		bool alive = s->at[i].chunk_bytes;

		heap_weights__look(&s->at[i].weight, &s->windows, alive);
		if (alive)
			s->at[list.n++] = s->at[i];
		else
			lose(s, &s->at[i]);
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

static void add_blocks(struct heap_sum *sum, const struct heap_blocks *blocks, double bytes)
{
	sum->blocks += blocks->at[0];
	sum->bytes += blocks->at[0] * bytes;
	for (int r = 0; r < HEAP_REPLICATES; r++)
		sum->deviation[r] += (blocks->at[1 + r] - blocks->at[0]) * bytes;
}

/* A holder's place in the list, by stack. */
struct place {
	struct stack_name stack; /* key */
	size_t at;
	UT_hash_handle hh;
};

static int add_up(struct large_samples *s, const struct heap_scales *scales)
{
	struct heap_holdings *all = &s->holdings;
	struct place *places = calloc(s->n + 1, sizeof(*places)), *head = NULL, *found;
	double match[HEAP_CLASSES];

	free(all->holders);
	*all = (struct heap_holdings){ .holders = calloc(s->n + 1, sizeof(*all->holders)) };
	if (!places || !all->holders) {
		free(places);
		return -ENOMEM;
	}
	match_bytes(s, scales, match);
	for (size_t i = 0; i < s->n; i++) {
		const struct sample *sample = &s->at[i];
		double factor = match[sample->weight.class];
		struct heap_blocks blocks;

		apply(s, scales, &sample->weight, &blocks);
		if (sample->before) {
			add_blocks(&all->before, &blocks, factor * sample->chunk_bytes);
			continue;
		}
		HASH_FIND(hh, head, &sample->stack, sizeof(sample->stack), found);
		if (!found) {
			found = &places[all->n];
			*found = (struct place){ .stack = sample->stack, .at = all->n };
			HASH_ADD(hh, head, stack, sizeof(found->stack), found);
			all->holders[all->n++].stack = sample->stack;
		}
		add_blocks(&all->holders[found->at].sum, &blocks, factor * sample->bytes);
	}
	HASH_CLEAR(hh, head);
	free(places);
	return 0;
}

static int estimate(struct large_samples *s)
{
	const struct heap_weight_list list = { .first = s->at, .n = s->n, .size = sizeof(*s->at) };
	struct heap_scales *scales = malloc(sizeof(*scales));
	int err;

	if (!scales)
		return -ENOMEM;
	heap_weights__calibrate(&list, &s->windows, 0, scales);
	err = add_up(s, scales);
	for (int c = 0; c < ELSEWHERE && !err; c++) {
		double mean = s->live[c].blocks ? (double)s->live[c].bytes / s->live[c].blocks : 0;

		s->holdings.block_bytes += s->live[c].bytes;
		if (c == MAPPED && s->all_known)
			continue;
		add_blocks(&s->holdings.unknown, &scales->unknown[c], mean);
	}
	free(scales);
	return err;
}

int large_samples__read(struct large_samples *s, double own_s, const struct heap_holdings **ret)
{
	uint64_t live[HEAP_CLASSES];
	int err = drop_dead(s);

	err = err ? err : walk(s, count_chunk, s->live, forget_counts);
	if (err)
		return err;
	count_mapped(s);
	for (int c = 0; c < HEAP_CLASSES; c++)
		live[c] = s->live[c].blocks;
	heap_windows__read(&s->windows, own_s, live);
	err = estimate(s);
	*ret = &s->holdings;
	return err;
}
