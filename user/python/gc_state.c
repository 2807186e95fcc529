/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "python/gc_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* struct _gc_runtime_state has 176 to 264 bytes; of 3.15's rings, 1112. */
#define MAX_STATE_BYTES 512
#define MAX_ITEM_BYTES 128

/* The main interpreter: struct pyinterpreters {mutex, head, main, next_id}, Include/internal/pycore_runtime.h. */
#define MAIN_BEHIND_HEAD 8

/* collections, collected, uncollectable: a row of words in struct gc_generation_stats. */
#define STATS_WORDS 3

/* What was read of the struct; a field is only taken where it fits in. */
struct image {
	uint8_t bytes[MAX_STATE_BYTES];
	size_t len;
	bool bad;
};

static uint64_t image__u64(struct image *i, uint32_t at)
{
	uint64_t v = 0;

	if (i->len < sizeof(v) || at > i->len - sizeof(v))
		i->bad = true;
	else
		memcpy(&v, i->bytes + at, sizeof(v));
	return v;
}

static int32_t image__i32(struct image *i, uint32_t at)
{
	int32_t v = 0;

	if (i->len < sizeof(v) || at > i->len - sizeof(v))
		i->bad = true;
	else
		memcpy(&v, i->bytes + at, sizeof(v));
	return v;
}

static int find_state(const struct mem_reader *m, uint64_t runtime, const struct py_layout *l, uint64_t *ret)
{
	uint64_t interp;
	int err;

	if (l->gc.enabled == PY_NO_FIELD || l->gc.permanent == PY_NO_FIELD || l->gc.size > MAX_STATE_BYTES)
		return -ENOTSUP;
	err = mem__read_u64(m, runtime + l->runtime.interpreters_head + MAIN_BEHIND_HEAD, &interp);
	if (err)
		return err;
	if (!interp)
		return -EAGAIN;
	*ret = l->runtime.gc == PY_NO_FIELD ? interp + l->interp.gc : runtime + l->runtime.gc;
	return 0;
}

/* state: address of the struct. */
static void take_generations(struct image *i, uint64_t state, const struct py_layout *l, struct gc_state *s)
{
	uint64_t youngest;
	uint32_t g, at;

	s->has_counts = l->gc.generation0 != PY_NO_FIELD;
	if (!s->has_counts)
		return;
	youngest = image__u64(i, l->gc.generation0);
	i->bad |= youngest < state || youngest - state > MAX_STATE_BYTES;
	at = (uint32_t)(youngest - state);
	for (g = 0; g < GC_GENERATIONS && !i->bad; g++, at += l->gc.generation_size) {
		s->threshold[g] = image__i32(i, at + l->gc.generation_threshold);
		s->count[g] = image__i32(i, at + l->gc.generation_count);
		i->bad |= s->count[g] < 0;
	}
}

static int take_stats(const uint64_t words[STATS_WORDS], struct gc_state *s, uint32_t generation)
{
	for (int i = 0; i < STATS_WORDS; i++)
		if (words[i] > INT64_MAX)
			return -EBADMSG;
	s->collections[generation] = (int64_t)words[0];
	s->collected[generation] = (int64_t)words[1];
	s->uncollectable[generation] = (int64_t)words[2];
	return 0;
}

static int take_stats_array(struct image *i, const struct py_layout *l, struct gc_state *s)
{
	uint64_t words[STATS_WORDS];
	int err = 0;

	for (uint32_t g = 0; g < GC_GENERATIONS && !err; g++) {
		for (uint32_t w = 0; w < STATS_WORDS; w++)
			words[w] = image__u64(i, l->gc.stats + g * l->gc.stats_size + l->gc.stats_collections + 8 * w);
		err = take_stats(words, s, g);
	}
	return err;
}

/* 3.15: the latest item of each ring has the sums. */
static int read_stats_rings(const struct mem_reader *m, uint64_t rings, const struct py_layout *l, struct gc_state *s)
{
	uint64_t words[STATS_WORDS];
	uint8_t index;
	int err;

	for (uint32_t g = 0; g < GC_GENERATIONS; g++) {
		err = mem__read(m, rings + l->gc.ring[g].index, &index, sizeof(index));
		if (err)
			return err;
		if (index >= l->gc.ring[g].cnt)
			return -EBADMSG;
		err = mem__read(m, rings + l->gc.ring[g].items + index * l->gc.stats_size + l->gc.stats_collections, words,
				sizeof(words));
		err = err ? err : take_stats(words, s, g);
		if (err)
			return err;
	}
	return 0;
}

int gc_state__read(const struct mem_reader *m, uint64_t runtime, const struct py_layout *l, struct gc_state *ret)
{
	struct gc_state s = {};
	struct image i;
	uint64_t at;
	int enabled, collecting, err;

	err = find_state(m, runtime, l, &at);
	if (err)
		return err;
	i = (struct image){ .len = l->gc.size };
	err = mem__read(m, at, i.bytes, i.len);
	if (err)
		return err;
	enabled = image__i32(&i, l->gc.enabled);
	collecting = image__i32(&i, l->gc.collecting);
	/* PyGC_Head {_gc_next, _gc_prev}, whose low bits are flags (Include/internal/pycore_gc.h) */
	s.frozen_head = at + l->gc.permanent;
	s.frozen_first = image__u64(&i, l->gc.permanent) & ~3ull;
	s.frozen_last = image__u64(&i, l->gc.permanent + 8) & ~3ull;
	err = l->gc.rings == PY_NO_FIELD ? take_stats_array(&i, l, &s)
					 : read_stats_rings(m, image__u64(&i, l->gc.rings), l, &s);
	/* Before _PyGC_InitState has made the lists all is 0. */
	if (!s.frozen_first && !i.bad)
		return -EAGAIN;
	if (err)
		return err;
	take_generations(&i, at, l, &s);
	if (i.bad || enabled >> 1 || collecting >> 1)
		return -EBADMSG;
	s.enabled = enabled;
	s.collecting = collecting;
	*ret = s;
	return 0;
}

/* ---- frozen objects ---- */

/* Objects that follow each other on the list lie near each other, but not beside: pages are kept a while. */
#define PAGE 4096u
#define CACHE_PAGES 512
/* What may be read for a list: its objects in a tenth of the memory around them. */
#define MIN_PAGES 4096
#define OBJECTS_PER_PAGE 4

struct page_cache {
	const struct mem_reader *m;
	uint64_t reads;
	struct {
		uint64_t page; /* 0: none */
		uint8_t bytes[PAGE];
	} at[CACHE_PAGES];
};

static int page_cache__u64(struct page_cache *c, uint64_t addr, uint64_t *ret)
{
	uint64_t page = addr / PAGE;
	size_t slot = page % CACHE_PAGES, into = addr % PAGE;
	int err;

	if (into > PAGE - sizeof(*ret))
		return -EFAULT;
	if (c->at[slot].page != page) {
		c->at[slot].page = 0;
		c->reads++;
		err = mem__read(c->m, page * PAGE, c->at[slot].bytes, PAGE);
		if (err)
			return err;
		c->at[slot].page = page;
	}
	memcpy(ret, c->at[slot].bytes + into, sizeof(*ret));
	return 0;
}

static int follow(struct page_cache *c, const struct gc_state *s, uint64_t *cnt)
{
	uint64_t node = s->frozen_first, next;
	int err;

	for (*cnt = 0; node != s->frozen_head; node = next & ~3ull) {
		/* Out of the list: it was changed. */
		if (!node || node % sizeof(node))
			return -EAGAIN;
		if (*cnt == GC_MAX_FROZEN || c->reads > MIN_PAGES + *cnt / OBJECTS_PER_PAGE)
			return -E2BIG;
		err = page_cache__u64(c, node, &next);
		if (err)
			return err == -EFAULT ? -EAGAIN : err;
		++*cnt;
	}
	return 0;
}

int gc_state__count_frozen(const struct mem_reader *m, const struct gc_state *s, uint64_t *ret)
{
	struct page_cache *c;
	uint64_t ends[2];
	int err;

	if (s->frozen_first == s->frozen_head) {
		*ret = 0;
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->m = m;
	err = follow(c, s, ret);
	free(c);
	if (err)
		return err;
	err = mem__read(m, s->frozen_head, ends, sizeof(ends));
	if (err)
		return err;
	return (ends[0] & ~3ull) == s->frozen_first && (ends[1] & ~3ull) == s->frozen_last ? 0 : -EAGAIN;
}
