/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The heap signal's rules (model/heap_plan, heap_windows, heap_weights) applied to a program of known truth, as
 * capture/heap.c and heap_samples.c apply them: windows that open 10 to 30 ms late, of 20 ms or less, in which each allocation
 * takes 40 us more; readings every second; fates of samples as they can be told.
 */
#ifndef TESTS_HEAP_WATCHER_H
#define TESTS_HEAP_WATCHER_H

#include <stddef.h>

#include "heap_programs.h"
#include "model/heap_plan.h"
#include "model/heap_weights.h"

#define READINGS 60
#define MOST_SAMPLES 40000
#define OLD_SAMPLES 128
#define WINDOW_SAMPLES 64
#define WINDOW_EVENTS 200
#define SETTLE_S 0.030
#define MOST_DRAWS 4096
#define PROBE_S 40e-6 /* an event's, at a tenth of the speed */
#define UNKNOWN LINES

/* What every watch of a program shares. */
struct watched {
	struct heap_program p;
	uint32_t read_at[READINGS + 1]; /* allocation */
	uint64_t live[READINGS + 1][HEAP_CLASSES];
};

/* How it is watched; zero is the best. */
struct watch_opts {
	double same, other; /* chance that a block is not recognised as replaced by one of the same or of another line */
	double wrong; /* so much of the time that probes take is counted as the program's */
	uint32_t max_samples; /* 0: no limit */
	int read_every; /* s; 0: 1 */
	double share; /* budget of windows; 0: 0.005 */
	double late_s; /* so much later windows open that are asked for by pools */
	int draws; /* at the end, of blocks with their kinds; 0: none */
	int kinds; /* how many lines make each kind of thing; 0: all the same */
	int old_kinds; /* of the blocks that lived before, one of them line 0's; 0: one */
};

struct member {
	struct heap_weight weight;
	uint32_t block, was; /* allocation; as of the last look */
};

struct watcher {
	const struct watched *watched;
	const struct watch_opts *opts;
	uint64_t random;
	struct member at[MOST_SAMPLES];
	size_t n;
	struct heap_plan plan;
	struct heap_windows windows;
	double limit; /* of the next window's time */
	bool seen; /* a window since the last reading */
};

static double chance(void *arg)
{
	struct watcher *w = arg;

	return even(&w->random);
}

/* Of items in the order of their times, which they begin with, the first from `low` on that is not before a time; `high`: none. */
static uint32_t first_at(const void *items, size_t bytes, uint32_t low, uint32_t high, double at)
{
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		double time;

		memcpy(&time, (const char *)items + middle * bytes, sizeof(time));
		if (time < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
_Static_assert(!offsetof(struct allocation, at) && !offsetof(struct opening, at), "begins with its time");

/* Number of the first allocation (opening) not before a time. */
static uint32_t allocation_at(const struct heap_program *p, double at)
{
	return first_at(p->allocations, sizeof(*p->allocations), p->first, p->n_allocations, at);
}

static uint32_t opening_at(const struct heap_program *p, double at)
{
	return first_at(p->openings, sizeof(*p->openings), 0, p->n_openings, at);
}

/* The first reading at which so many allocations have been made. */
static int reading_after(const struct watched *watched, uint32_t n)
{
	int k = 0;

	while (k <= READINGS && watched->read_at[k] < n)
		k++;
	return k;
}

static void watched__new(struct watched *watched, void (*run)(struct heap_program *p), uint64_t seed)
{
	static int64_t change[READINGS + 2][HEAP_CLASSES];
	const struct heap_program *p = &watched->p;

	heap_program__run(&watched->p, run, seed);
	memset(change, 0, sizeof(change));
	for (int k = 0; k <= READINGS; k++)
		watched->read_at[k] = k < READINGS ? allocation_at(p, k * SECONDS / READINGS) : p->n_allocations;
	for (uint32_t i = 0, k = 0; i < p->n_allocations; i++) {
		const struct allocation *a = &p->allocations[i];

		while (watched->read_at[k] <= i)
			k++;
		change[k][a->class]++;
		if (a->freed != LIVES)
			change[reading_after(watched, a->freed)][a->class]--;
	}
	for (int c = 0; c < HEAP_CLASSES; c++) {
		int64_t live = 0;

		for (int k = 0; k <= READINGS; k++)
			watched->live[k][c] = live += change[k][c];
	}
}

/* Of the blocks that lived before, all of one class. */
static void draw_old(struct watcher *w)
{
	const struct heap_program *p = &w->watched->p;

	for (uint32_t i = 0; p->first && i < OLD_SAMPLES; i++) {
		uint32_t block = (i + even(&w->random)) * p->first / OLD_SAMPLES;
		uint8_t class = p->allocations[block].class;

		w->at[w->n++] = (struct member){ heap_weights__drawn(class, p->first, OLD_SAMPLES, i), block, block };
	}
	for (int c = 0; c < HEAP_CLASSES; c++)
		w->windows.class[c].live = w->watched->live[0][c];
}

static bool is_dead(const struct heap_program *p, uint32_t block, uint32_t now)
{
	return p->allocations[block].freed <= now;
}

/* What holds the memory of a block; NONE: nothing. */
static uint32_t holder_of(const struct heap_program *p, uint32_t block, uint32_t now)
{
	while (is_dead(p, block, now)) {
		const struct allocation *a = &p->allocations[block];

		if (a->again == NONE || a->again < a->freed || a->again >= now)
			return NONE;
		block = a->again;
	}
	return block;
}

/* Whether the sample lives, as far as can be told (lives() in heap_samples.c). */
static bool seems_to_live(struct watcher *w, struct member *m, uint32_t now)
{
	const struct heap_program *p = &w->watched->p;
	uint32_t holder = holder_of(p, m->was, now);
	uint64_t random = (uint64_t)m->was << 32 ^ holder;

	if (holder == NONE)
		return false;
	if (holder == m->was)
		return true;
	if (even(&random) < (p->allocations[holder].line == p->allocations[m->block].line ? w->opts->same : w->opts->other)) {
		m->was = holder;
		return true;
	}
	if (heap_windows__was_born(&w->windows, m->weight.class))
		return false;
	if (w->seen)
		m->was = holder;
	return true;
}

/* Past the last allocation that a window sees; *ret: how it ended. */
static uint32_t window_end(const struct heap_program *p, double at, uint32_t first, double limit, struct window_state *ret)
{
	uint32_t i = first;

	while (i < p->n_allocations && i - first < WINDOW_EVENTS && p->allocations[i].at < at + limit)
		i++;
	*ret = (struct window_state){ .limit_ns = limit * 1e9, .own_ns = limit * 1e9 };
	if (i - first == WINDOW_EVENTS)
		ret->own_ns = (p->allocations[i - 1].at - at) * 1e9;
	return i;
}

static void take_born(struct watcher *w, uint32_t first, uint32_t end, uint32_t settled)
{
	const struct heap_program *p = &w->watched->p;
	uint32_t left[HEAP_CLASSES], taken[HEAP_CLASSES], wanted[HEAP_CLASSES];

	for (int c = 0; c < HEAP_CLASSES; c++) {
		left[c] = w->windows.last.survived[c];
		wanted[c] = taken[c] = left[c] < WINDOW_SAMPLES ? left[c] : WINDOW_SAMPLES;
	}
	for (uint32_t i = first; i < end; i++) {
		uint8_t class = p->allocations[i].class;

		if (is_dead(p, i, settled) || even(&w->random) * left[class]-- >= wanted[class])
			continue;
		wanted[class]--;
		if (w->n == MOST_SAMPLES)
			abort();
		w->at[w->n++] = (struct member){ heap_weights__seen(&w->windows, class, taken[class]), i, i };
	}
}

/* Pools a second before a time, as bpf/heap.bpf.c counts them. */
static double lately(const struct heap_program *p, double at)
{
	const double half_s = POOLS_HALF_NS / 1e9;
	double sum = 0;

	for (uint32_t i = opening_at(p, at); i-- > 0 && p->openings[i].at > at - 20 * half_s;)
		sum += exp2((p->openings[i].at - at) / half_s);
	return sum * M_LN2 / half_s;
}

/* Opened at a time, for what was at `due`. Returns when the window closed. */
static double look(struct watcher *w, double due, double at)
{
	const struct heap_program *p = &w->watched->p;
	struct heap_look l = { .at_s = at };
	uint32_t first = allocation_at(p, at), end, settled;
	struct window_state state;
	double until;

	end = window_end(p, at, first, w->limit, &state);
	until = at + state.own_ns / 1e9;
	l.own_s = state.own_ns / 1e9 + w->opts->wrong * (end - first) * PROBE_S;
	w->limit = heap_window__limit_s(w->limit, &state);
	l.pools = opening_at(p, until) - opening_at(p, at);
	l.stands_s = heap_plan__stands_s(&w->plan, lately(p, due));
	settled = allocation_at(p, until + SETTLE_S);
	for (uint32_t i = first; i < end; i++) {
		l.born[p->allocations[i].class] += !is_dead(p, i, end);
		l.survived[p->allocations[i].class] += !is_dead(p, i, settled);
	}
	heap_windows__add(&w->windows, &l);
	take_born(w, first, end, settled);
	w->seen = true;
	w->plan.spent_s += 0.002 + (end - first) * 10 * 2e-6;
	return until;
}

static void read_heap(struct watcher *w, int k)
{
	struct heap_weight_list list = { w->at, 0, sizeof(w->at[0]) };
	size_t i, n = 0;

	for (i = 0; i < w->n; i++) {
		bool alive = seems_to_live(w, &w->at[i], w->watched->read_at[k]);

		heap_weights__look(&w->at[i].weight, &w->windows, alive);
		if (alive)
			w->at[n++] = w->at[i];
	}
	list.n = n;
	if (w->opts->max_samples && n > w->opts->max_samples)
		n = heap_weights__thin(&list, chance, w);
	w->n = n;
	heap_windows__read(&w->windows, k * SECONDS / READINGS, w->watched->live[k]);
	w->seen = false;
}

static struct heap_kind kind_of(const struct watcher *w, uint32_t block)
{
	uint32_t line = w->watched->p.allocations[block].line;

	if (w->opts->old_kinds && line == LINES - 1)
		return (struct heap_kind){ .type = block % w->opts->old_kinds ? 100 + block % w->opts->old_kinds : 1 };
	return (struct heap_kind){ .type = 1 + (w->opts->kinds ? line / w->opts->kinds : 0) };
}

/* Of what lives at the end, evenly in order, as pymalloc__sample does. Returns how many. */
static size_t draw_kinds(struct watcher *w, struct heap_draw draws[MOST_DRAWS])
{
	const struct heap_program *p = &w->watched->p;
	uint32_t live = 0, passed = 0, at[HEAP_CLASSES] = {};
	double step, next;
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_allocations; i++)
		live += p->allocations[i].freed == LIVES;
	step = (double)live / w->opts->draws;
	next = step * even(&w->random);
	for (uint32_t i = 0; i < p->n_allocations && n < (size_t)w->opts->draws; i++) {
		uint8_t class = p->allocations[i].class;

		if (p->allocations[i].freed != LIVES || passed++ < (uint32_t)next)
			continue;
		draws[n++] = (struct heap_draw){ kind_of(w, i), class, at[class]++ % HEAP_REPLICATES };
		next = step * (n + even(&w->random));
	}
	return n;
}

/* In bytes, by line; what is unknown is line UNKNOWN. */
static void add_up_lines(struct watcher *w, struct heap_blocks lines[LINES + 1])
{
	const struct heap_weight_list list = { w->at, w->n, sizeof(w->at[0]) };
	const struct heap_program *p = &w->watched->p;
	struct heap_blocks blocks;
	struct heap_scales scales;
	static struct heap_draw draws[MOST_DRAWS];

	for (size_t i = 0; i < w->n; i++)
		w->at[i].weight.kind = kind_of(w, w->at[i].was);
	if (heap_weights__calibrate(&list, draws, draw_kinds(w, draws), &w->windows, p->n_openings, &scales))
		abort();
	memset(lines, 0, (LINES + 1) * sizeof(*lines));
	for (size_t i = 0; i < w->n; i++) {
		struct heap_blocks *line = &lines[p->allocations[w->at[i].block].line];

		heap_weights__apply(&scales, &w->at[i].weight, &blocks);
		for (int r = 0; r <= HEAP_REPLICATES; r++)
			line->at[r] += blocks.at[r] * 16 * (w->at[i].weight.class + 1);
	}
	for (int c = 0; c < HEAP_CLASSES; c++)
		for (int r = 0; r <= HEAP_REPLICATES; r++)
			lines[UNKNOWN].at[r] += scales.unknown[c].at[r] * 16 * (c + 1);
	heap_scales__free(&scales);
}

/* Pools from the opening of that number on that were taken before a time, as bpf/heap.bpf.c counts them. Returns the first one after `to`. */
static uint32_t count_pace(struct watcher *w, uint32_t from, double until, double to)
{
	const struct heap_program *p = &w->watched->p;
	uint32_t i = from;

	for (; i < p->n_openings && p->openings[i].at < until; i++) {
		struct pool_pace *pace = &w->windows.pace[p->openings[i].class];
		uint64_t now_ns = p->openings[i].at * 1e9 + 1, at = 0;

		while (at < POOL_PACES - 1 && now_ns - pace->last_ns >= (uint64_t)POOL_PACE_NS << at)
			at++;
		pace->cnt[at] += pace->last_ns != 0;
		pace->last_ns = now_ns;
	}
	for (int c = 0; c < HEAP_CLASSES && to < SECONDS; c++)
		w->windows.pace[c].last_ns = 0;
	return opening_at(p, to);
}

/* When a window is asked for by pools; not before the last one closed. */
static double asked_at(const struct heap_program *p, uint32_t goal, double closed)
{
	return goal < p->n_openings ? fmax(p->openings[goal].at, closed) : INFINITY;
}

/* Watches the program from beginning to end: what each line holds then, in bytes. Returns how many windows it took. */
static uint64_t watch(const struct watched *watched, const struct watch_opts *opts, uint64_t seed,
		      struct heap_blocks lines[LINES + 1])
{
	static struct watcher watcher;
	struct watcher *w = &watcher;
	int every = opts->read_every ? opts->read_every : 1, k = every;
	double due, asked, open, closed;
	uint32_t goal, skipped_to = 0;

	w->watched = watched;
	w->opts = opts;
	w->random = seed;
	w->n = 0;
	w->plan = (struct heap_plan){ .share = opts->share ? opts->share : 0.005, .burst_s = HEAP_BURST_S, .window_s = 0.006 };
	w->windows = (struct heap_windows){ .pool_bytes = POOL_BYTES };
	w->seen = false;
	w->limit = HEAP_MOST_LIMIT_S;
	draw_old(w);
	due = heap_plan__next(&w->plan, 0, 0, 0, even(&w->random));
	goal = heap_plan__pools(&w->plan, 0, 0, even(&w->random));
	asked = asked_at(&watched->p, goal, 0);
	while (k <= READINGS) {
		open = fmin(due, asked + opts->late_s) + 0.010 + 0.020 * even(&w->random);
		if (open >= k * SECONDS / READINGS) {
			read_heap(w, k);
			k += every;
		} else if (heap_plan__allowance_s(&w->plan, fmin(due, asked)) <= 0) {
			due = fmax(due, open);
			asked = fmax(asked, open);
		} else {
			closed = look(w, fmin(due, asked), open);
			skipped_to = count_pace(w, skipped_to, open, closed);
			if (asked < due)
				goal = heap_plan__pools(&w->plan, closed, opening_at(&watched->p, closed),
						       even(&w->random));
			else
				due = heap_plan__next(&w->plan, closed, closed, 0, even(&w->random));
			asked = asked_at(&watched->p, goal, closed);
		}
	}
	count_pace(w, skipped_to, SECONDS, SECONDS);
	add_up_lines(w, lines);
	return w->windows.n;
}

#endif
