/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A site is known by its offset in the file, a hit by its address. What lies between is the same for all of a process's sites, for they
 * are in the text of one file.
 */
#include "capture/window_sites.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/param.h>

/* What a hit counts for the windows after it, and how much makes a site one that is often hit: one in 64 hits, ten windows ago. */
#define LASTS 0.8f
#define OFTEN 0.1f

struct window_sites {
	const struct probe_site *site;
	size_t n;
	float *heat; /* by site: hits lately */
	bool *often;
	bool is_placed;
	uint64_t bias; /* once it is placed: add to an offset for the address in the process */
};

int window_sites__new(const struct probe_site *site, size_t n, struct window_sites **ret)
{
	struct window_sites *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->site = site;
	s->n = n;
	s->heat = calloc(n + 1, sizeof(*s->heat));
	s->often = calloc(n + 1, sizeof(*s->often));
	if (!s->heat || !s->often) {
		window_sites__free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void window_sites__free(struct window_sites *s)
{
	if (!s)
		return;
	free(s->heat);
	free(s->often);
	free(s);
}

struct placing {
	struct window_sites *s;
	uint64_t addr;
};

static int place(const struct proc_map *m, void *arg)
{
	struct placing *p = arg;

	if (p->addr < m->start || p->addr >= m->end)
		return 0;
	p->s->bias = m->start - m->offset;
	p->s->is_placed = true;
	return 1;
}

static void count_hit(struct window_sites *s, uint64_t addr)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (s->site[i].offset + s->bias == addr)
			s->heat[i]++;
	}
}

void window_sites__note(struct window_sites *s, const struct proc *p, pid_t tgid, const struct window_state *w)
{
	size_t i, n = MIN(w->hits, WINDOW_PLACES);
	struct placing placing = { .s = s, .addr = w->at[0] };

	if (n && !s->is_placed)
		proc__for_each_map(p, tgid, place, &placing);
	for (i = 0; i < s->n; i++)
		s->heat[i] *= LASTS;
	for (i = 0; i < n && s->is_placed; i++)
		count_hit(s, w->at[i]);
	for (i = 0; i < s->n; i++)
		s->often[i] = s->heat[i] >= OFTEN;
}

const bool *window_sites__often(const struct window_sites *s)
{
	return s->often;
}
