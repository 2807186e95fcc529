/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* See large_samples_impl.h. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/param.h>

#include "capture/large_samples_impl.h"

#define MAPPED_HEADER_BYTES 16
#define FINE_BYTES 8192
#define FINE_CLASSES 16
/* Larger ones are looked for where they may have been moved to. */
#define LEAST_MOVED_BYTES 4096

unsigned int large_samples_impl__class_of(uint64_t chunk_bytes)
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

int large_samples_impl__add_sample(struct large_samples *s, const struct large_sample *sample)
{
	size_t room = s->room ? 2 * s->room : 1024;
	struct large_sample *more;

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

static int look_at_chunks(const struct malloc_heap *heap, struct large_sample *samples, size_t n)
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
			samples[i].weight.class = blocks[i].in_heap ? large_samples_impl__class_of(blocks[i].chunk_bytes) : ELSEWHERE;
	}
	free(blocks);
	return err;
}

/* Everything that could tell it apart is new. */
static bool is_new(const struct large_sample *sample, const uint64_t now[PRINT_WORDS])
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

static int look_at_contents(const struct malloc_heap *heap, struct large_sample *samples, size_t n)
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
			struct large_sample *sample = &samples[i + k];

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
int large_samples_impl__look_at(struct large_samples *s, struct large_sample *samples, size_t n)
{
	struct malloc_heap heap;
	int err = malloc_heap__find(s->proc, s->tgid, &heap);

	err = err ? err : look_at_chunks(&heap, samples, n);
	return err ? err : look_at_contents(&heap, samples, n);
}

/* ---- blocks mapped by themselves ---- */

static void keep_mapped(uint64_t addr, uint64_t bytes, void *arg)
{
	struct large_mapped *m = arg;

	if (m->n < MAX_MAPPED)
		m->at[m->n++] = (struct large_mapped_block){ .addr = addr, .bytes = bytes };
}

/* A block that grew is where it was, or was moved, with what is in it (realloc: mremap, or copied). */
static bool goes_on_in(const struct large_sample *sample, const struct large_mapped_block *b)
{
	return !b->known && b->bytes > sample->bytes && !memcmp(b->print, sample->print, sizeof(b->print));
}

/* Whose first words are telling: items of a list, say. */
static bool can_be_found_again(const struct large_sample *sample)
{
	if (!sample->printed || sample->bytes < LEAST_MOVED_BYTES)
		return false;
	for (int i = 0; i < PRINT_WORDS; i++)
		if (!sample->print[i] || (i && sample->print[i] == sample->print[i - 1]))
			return false;
	return true;
}

void large_samples_impl__lose(struct large_samples *s, const struct large_sample *sample)
{
	if (can_be_found_again(sample))
		s->lost[s->n_lost++ % MAX_LOST] = *sample;
}

void large_samples_impl__become(struct large_sample *sample, struct large_mapped_block *b)
{
	if (sample->chunk_bytes != b->bytes)
		sample->bytes = b->bytes - MAPPED_HEADER_BYTES;
	sample->addr = b->addr;
	sample->chunk_bytes = b->bytes;
	sample->weight.class = MAPPED;
	b->known = true;
}

/* Whether it is one that was lost, or that is just being found gone. */
static int find_again(struct large_samples *s, const struct malloc_heap *heap, struct large_mapped_block *b)
{
	struct large_sample found;
	size_t i;

	if (mem__read(&heap->m, b->addr + 8, b->print, sizeof(b->print)))
		return 0;
	for (i = 0; i < s->n; i++) {
		struct large_sample *sample = &s->at[i];
		struct malloc_block now = { .addr = sample->addr, .chunk_bytes = sample->chunk_bytes };

		if (sample->weight.class == MAPPED || !can_be_found_again(sample) || !goes_on_in(sample, b) ||
		    malloc_heap__look(heap, &now, 1) || now.chunk_bytes)
			continue;
		large_samples_impl__become(sample, b);
		return 0;
	}
	for (i = 0; i < MIN(s->n_lost, MAX_LOST); i++) {
		if (!goes_on_in(&s->lost[i], b))
			continue;
		found = s->lost[i];
		large_samples_impl__become(&found, b);
		return large_samples_impl__add_sample(s, &found);
	}
	return 0;
}

/* Who made blocks as large as they are now holds them, whoever had them before. Those of nobody become a sample's. */
static int ask_for_movers(struct large_samples *s)
{
	struct stack_name mover;
	int err = 0;

	for (size_t i = 0; i < s->n && s->mover_of; i++) {
		if (s->at[i].weight.class != MAPPED || !s->mover_of(s->mover_arg, s->at[i].chunk_bytes, &mover))
			continue;
		s->at[i].stack = mover;
		s->at[i].before = false;
		s->at[i].bytes = s->at[i].bytes ? s->at[i].bytes : s->at[i].chunk_bytes - MAPPED_HEADER_BYTES;
	}
	for (size_t k = 0; k < s->mapped.n && s->mover_of && !err; k++) {
		struct large_sample sample = { .weight = heap_weights__drawn(MAPPED, 1, 1, 0) };

		if (s->mapped.at[k].known || !s->mover_of(s->mover_arg, s->mapped.at[k].bytes, &sample.stack))
			continue;
		large_samples_impl__become(&sample, &s->mapped.at[k]);
		err = large_samples_impl__add_sample(s, &sample);
	}
	return err;
}

/* Finds those of the sample that are such blocks now; most are not. */
int large_samples_impl__find_mapped(struct large_samples *s)
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
				large_samples_impl__become(&s->at[i], &s->mapped.at[k]);
	for (k = 0; k < s->mapped.n && !err; k++)
		err = s->mapped.at[k].known ? 0 : find_again(s, &heap, &s->mapped.at[k]);
	err = err ? err : ask_for_movers(s);
	for (k = 0; k < s->mapped.n; k++)
		known += s->mapped.at[k].known;
	s->all_known = known == s->mapped.n;
	return err;
}

void large_samples_impl__count_mapped(struct large_samples *s)
{
	s->live[MAPPED] = (struct large_class_sums){ .blocks = s->mapped.n };
	for (size_t i = 0; i < s->mapped.n; i++)
		s->live[MAPPED].bytes += s->mapped.at[i].bytes;
}
