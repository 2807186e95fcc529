/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/moved_pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "capture/pagemap.h"

#define MOST_SIGHTINGS (1u << 20)
#define PAGES_A_READ 4096
/* Of address space, resident or not: 32 GiB. */
#define MOST_PAGES (1u << 23)
#define NONE UINT32_MAX

struct distance {
	int64_t pages; /* key */
	uint32_t cnt;
	uint64_t first, last; /* pages, where they were */
	bool together;
	UT_hash_handle hh;
};

struct sighting {
	uint32_t of; /* index into pages */
	uint64_t page;
};

struct moved_search {
	struct moved_page *pages;
	size_t n;
	uint32_t first[1 << PAGEMAP_HASH_BITS], *next; /* those of one frame hash */
	struct sighting *sightings;
	size_t n_sightings, max_sightings;
	struct distance *distances;
};

int moved_search__new(struct moved_page *pages, size_t n, struct moved_search **ret)
{
	struct moved_search *s = calloc(1, sizeof(*s));
	size_t i;

	if (!s || n >= NONE) {
		free(s);
		return -ENOMEM;
	}
	s->next = calloc(n ? n : 1, sizeof(*s->next));
	if (!s->next) {
		free(s);
		return -ENOMEM;
	}
	s->pages = pages;
	s->n = n;
	memset(s->first, 0xff, sizeof(s->first));
	for (i = 0; i < n; i++) {
		uint32_t *first = &s->first[pages[i].frame % (1 << PAGEMAP_HASH_BITS)];

		pages[i].now = 0;
		s->next[i] = *first;
		*first = i;
	}
	*ret = s;
	return 0;
}

static struct distance *distance_of(struct moved_search *s, int64_t pages)
{
	struct distance *d;

	HASH_FIND(hh, s->distances, &pages, sizeof(pages), d);
	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->pages = pages;
	d->first = UINT64_MAX;
	HASH_ADD(hh, s->distances, pages, sizeof(d->pages), d);
	return d;
}

static int see(struct moved_search *s, uint32_t of, uint64_t page)
{
	size_t max = s->max_sightings ? 2 * s->max_sightings : 1024;
	struct distance *d;
	struct sighting *more;

	if (s->n_sightings == s->max_sightings) {
		more = max > MOST_SIGHTINGS ? NULL : realloc(s->sightings, max * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->sightings = more;
		s->max_sightings = max;
	}
	d = distance_of(s, (int64_t)(page - s->pages[of].page));
	if (!d)
		return -ENOMEM;
	d->cnt++;
	if (s->pages[of].page < d->first)
		d->first = s->pages[of].page;
	if (s->pages[of].page > d->last)
		d->last = s->pages[of].page;
	s->sightings[s->n_sightings++] = (struct sighting){ of, page };
	return 0;
}

int moved_search__found(struct moved_search *s, uint64_t page, uint32_t frame)
{
	uint32_t i;
	int err = 0;

	for (i = s->first[frame % (1 << PAGEMAP_HASH_BITS)]; i != NONE && !err; i = s->next[i]) {
		if (s->pages[i].page != page)
			err = see(s, i, page);
	}
	return err;
}

static int compare_pages(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return (a > b) - (a < b);
}

/* How many of n are below. */
static size_t rank_of(const uint64_t *pages, size_t n, uint64_t below)
{
	size_t from = 0, to = n, middle;

	while (from < to) {
		middle = from + (to - from) / 2;
		if (pages[middle] < below)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static void judge_distances(struct moved_search *s)
{
	uint64_t *was = calloc(s->n ? s->n : 1, sizeof(*was));
	struct distance *d;
	size_t i;

	if (!was)
		return;
	for (i = 0; i < s->n; i++)
		was[i] = s->pages[i].page;
	qsort(was, s->n, sizeof(*was), compare_pages);
	for (d = s->distances; d; d = d->hh.next)
		d->together = d->cnt >= MOVED_TOGETHER &&
			      2 * d->cnt >= rank_of(was, s->n, d->last + 1) - rank_of(was, s->n, d->first);
	free(was);
}

void moved_search__end(struct moved_search *s)
{
	struct distance *d, *next;
	size_t i;

	judge_distances(s);
	for (i = 0; i < s->n_sightings; i++) {
		struct moved_page *p = &s->pages[s->sightings[i].of];
		uint64_t page = s->sightings[i].page;

		if (distance_of(s, (int64_t)(page - p->page))->together)
			p->now = page;
	}
	HASH_ITER(hh, s->distances, d, next) {
		HASH_DEL(s->distances, d);
		free(d);
	}
	free(s->sightings);
	free(s->next);
	free(s);
}

struct walk {
	struct moved_search *search;
	struct pagemap *pagemap;
	size_t left; /* pages that may still be looked at */
	uint32_t frames[PAGES_A_READ];
};

static int look_through(const struct proc_map *m, void *arg)
{
	uint64_t page = m->start / 4096, end = m->end / 4096;
	struct walk *w = arg;
	size_t i, cnt;
	int err;

	if (m->inode || !m->writable)
		return 0;
	for (; page < end && w->left; page += cnt, w->left -= cnt) {
		cnt = end - page < PAGES_A_READ ? end - page : PAGES_A_READ;
		cnt = cnt < w->left ? cnt : w->left;
		cnt = pagemap__frames(w->pagemap, page, w->frames, cnt);
		if (!cnt)
			return 0;
		for (i = 0; i < cnt; i++) {
			err = w->frames[i] ? moved_search__found(w->search, page + i, w->frames[i]) : 0;
			if (err)
				return err;
		}
	}
	return 0;
}

int moved_pages__find(const struct proc *p, pid_t tgid, struct moved_page *pages, size_t n)
{
	struct walk *w = calloc(1, sizeof(*w));
	int err = w ? pagemap__open(tgid, &w->pagemap) : -ENOMEM;

	if (w)
		w->left = MOST_PAGES;
	if (!err)
		err = moved_search__new(pages, n, &w->search);
	if (!err) {
		err = proc__for_each_map(p, tgid, look_through, w);
		moved_search__end(w->search);
	}
	if (w)
		pagemap__free(w->pagemap);
	free(w);
	return err;
}
