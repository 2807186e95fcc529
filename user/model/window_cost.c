/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "model/window_cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

/* A hit outside of our program, before it is measured. */
#define TRAP_NS 700
/* A window of fewer hits does not tell. */
#define TELLING_HITS 100
/* Of windows' least times the one that counts. */
#define LOW(n) ((n) / 4)
/* What takes more than the quickest trap by such a factor is no trap alone. */
#define MOST_USUAL 1.15
/* A hit inside of our programs: before it is measured, and of one that is turned away. */
#define INSIDE_NS 1300
#define TURNED_AWAY_NS 150
#define LATELY 0.2
/* Breakpoints written to code pages and taken away again, and the page faults of that. */
#define WRITING_S 0.0005
/* What a window's hits are to cost; fewer do not tell how many pools are taken into use meanwhile. */
#define HITS_S 0.004
#define LEAST_ALLOCATIONS 600
/* Hits while a window is being opened and closed, before they are counted: as many as it sees itself would be too many. */
#define STRAYS 300

void window_cost__note(struct window_cost *c, const struct window_state *w)
{
	double inside_ns = w->hits ? (double)w->inside_ns / w->hits : 0;

	if (w->hits < TELLING_HITS || !w->least_ns)
		return;
	c->inside_ns += (c->n ? LATELY : 1) * (inside_ns - c->inside_ns);
	c->usual_ns[c->n % WINDOW_COST_MEMORY] = MIN(w->usual_ns, UINT32_MAX);
	c->least_ns[c->n++ % WINDOW_COST_MEMORY] = MIN(w->least_ns, UINT32_MAX);
}

static int by_size(const void *va, const void *vb)
{
	const uint32_t *a = va, *b = vb;

	return (*a > *b) - (*a < *b);
}

static uint32_t low(const uint32_t *of, size_t n, size_t at)
{
	uint32_t sorted[WINDOW_COST_MEMORY];

	memcpy(sorted, of, n * sizeof(*of));
	qsort(sorted, n, sizeof(sorted[0]), by_size);
	return sorted[at];
}

uint32_t window_cost__trap_ns(const struct window_cost *c)
{
	size_t n = MIN(c->n, WINDOW_COST_MEMORY);
	uint32_t least, usual;

	if (!n)
		return c->expected_ns ? c->expected_ns : TRAP_NS;
	least = low(c->least_ns, n, LOW(n));
	usual = low(c->usual_ns, n, 0);
	usual -= fmin(usual, WINDOW_BLOCK_S * 1e9);
	return usual > least && usual < least * MOST_USUAL ? usual : least;
}

static double hit_s(const struct window_cost *c)
{
	return (window_cost__trap_ns(c) + (c->n ? c->inside_ns : INSIDE_NS)) / 1e9;
}

uint32_t window_cost__allocations(const struct window_cost *c)
{
	return c->n || c->expected_ns ? fmin(fmax(HITS_S / hit_s(c), LEAST_ALLOCATIONS), WINDOW_MOST_ALLOCATIONS) : LEAST_ALLOCATIONS;
}

double window_cost__paid_s(const struct window_cost *c, const struct window_state *w, uint64_t strays)
{
	double trap_s = window_cost__trap_ns(c) / 1e9;

	return WRITING_S + w->inside_ns / 1e9 + w->hits * trap_s + strays * (trap_s + TURNED_AWAY_NS / 1e9);
}

double window_cost__expected_s(const struct window_cost *c)
{
	uint32_t hits = window_cost__allocations(c);
	const struct window_state w = { .hits = hits, .inside_ns = (uint64_t)hits * INSIDE_NS };

	return window_cost__paid_s(c, &w, STRAYS);
}

double window_cost__excess_s(const struct window_cost *c, const struct window_state *w)
{
	uint32_t trap_ns = window_cost__trap_ns(c);

	return trap_ns > w->trap_ns ? (double)w->hits * (trap_ns - w->trap_ns) / 1e9 : 0;
}
