/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See heap.h. A window costs the process its allocations' probes, and the writing of some hundred breakpoints into its code
 * before and after; it costs us 10 to 50 ms of waiting for the kernel, most of it in a thread of its own (base/closer.h).
 */
#include "capture/heap.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "capture/heap_samples.h"

#define MS_NS 1000000ull
#define SECOND_NS 1000000000ull
/* A window ends after so many allocations, or so long. */
#define WINDOW_ALLOCATIONS 2000
#define WINDOW_NS (20 * MS_NS)
/* What a window costs the process: each allocation (trap, walk, maps), and the rest (code pages changed, traps after the end). */
#define ALLOCATION_COST_NS 2000
#define WINDOW_COST_NS (2 * MS_NS)
/* Windows before the budget is looked at: a short program is worth knowing, too. */
#define BURST_NS (60 * MS_NS)
/* Share of the budget that windows may have; page faults have the rest. */
#define BUDGET_SHARE 0.5
/* Pools between two windows at first, in mean: 1 MiB of them. */
#define FIRST_POOLS 64
/* Windows a second of CPU time at most, in mean: the kernel needs 50 ms for each. */
#define MAX_RATE 10.0
/* Heaps are read at most once a second, and for at most this share of the time. */
#define READING_SHARE 0.01

struct heap_process {
	struct traced *tr;
	struct heap_sites sites;
	struct heap_samples *samples;
	struct session_links *window; /* NULL: none is open */
	bool wanted; /* a window was asked for and can be afforded, or will be */
	struct heap_moment opened_at;
	uint64_t opened_ns, window_due_ns; /* due: by the clock, however few pools are opened */
	uint64_t spent_ns;
	uint64_t windows;
	double pools_a_second; /* of CPU time, lately */
	struct heap_moment refreshed_at;
	uint64_t read_due_ns;
	struct told *told; /* what the profile was told, by stack */
	UT_hash_handle hh;
	struct heap_process *prev, *next; /* all */
	struct heap_process *prev_busy, *next_busy; /* a window is open or wanted */
};

/* What the profile was told of a stack. */
struct told {
	struct stack_name stack; /* key: node, process, tid */
	uint64_t blocks, bytes;
	bool seen; /* in the estimate at hand */
	UT_hash_handle hh;
};

struct heap {
	const struct tracker_deps *deps;
	struct traced_table *table;
	struct stack_names *names;
	double budget;
	uint64_t ticks_ns;
	struct heap_process *all, *busy;
	struct heap_activity totals;
	struct drand48_data random;
};

int heap__new(const struct tracker_deps *deps, struct traced_table *table, struct stack_names *names, double budget,
	      struct heap **ret)
{
	struct heap *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->deps = deps;
	h->table = table;
	h->names = names;
	h->budget = budget;
	h->ticks_ns = SECOND_NS / sysconf(_SC_CLK_TCK);
	srand48_r(clock_now_ns() ^ getpid(), &h->random);
	*ret = h;
	return 0;
}

static void free_process(struct heap *h, struct heap_process *p)
{
	struct told *t, *next;

	if (p->window || p->wanted)
		DL_DELETE2(h->busy, p, prev_busy, next_busy);
	DL_DELETE(h->all, p);
	session_links__free(p->window);
	heap_samples__free(p->samples);
	HASH_ITER(hh, p->told, t, next) {
		HASH_DEL(p->told, t);
		free(t);
	}
	p->tr->heap = NULL;
	free(p);
}

void heap__free(struct heap *h)
{
	if (!h)
		return;
	while (h->all)
		free_process(h, h->all);
	free(h);
}

/* ---- chance ---- */

static double exponential(struct heap *h, double mean)
{
	double u;

	drand48_r(&h->random, &u);
	return -log1p(-u) * mean;
}

/* What windows may still cost the process. */
static int64_t allowance_ns(const struct heap *h, const struct heap_process *p)
{
	if (!h->budget)
		return INT64_MAX;
	return (int64_t)(BURST_NS + h->budget * BUDGET_SHARE * p->tr->cpu_ns) - (int64_t)p->spent_ns;
}

/* Windows a second of its CPU time that it can afford. */
static double rate(const struct heap *h, const struct heap_process *p)
{
	double cost = WINDOW_COST_NS + ALLOCATION_COST_NS * WINDOW_ALLOCATIONS;
	double lasting = h->budget ? h->budget * BUDGET_SHARE * SECOND_NS / cost : MAX_RATE;

	/* What is left of the burst goes within a second or two. */
	if (h->budget && allowance_ns(h, p) > 0)
		lasting += allowance_ns(h, p) / cost / 2;
	return lasting < MAX_RATE ? lasting : MAX_RATE;
}

/* Chooses the next window's place: by pools, and by the clock in case too few are opened. */
static void plan(struct heap *h, struct heap_process *p, uint64_t pools_now)
{
	double r = rate(h, p), mean = p->pools_a_second / r;

	if (!p->pools_a_second || mean < 1)
		mean = p->windows ? 1 : FIRST_POOLS;
	p->window_due_ns = clock_now_ns() + (uint64_t)(exponential(h, 2 / r) * SECOND_NS) + MS_NS;
	session__ask_for_window(h->deps->session, p->tr->tgid, pools_now + 1 + (uint64_t)exponential(h, mean));
}

/* ---- windows ---- */

static void want(struct heap *h, struct heap_process *p)
{
	if (!p->window && !p->wanted)
		DL_APPEND2(h->busy, p, prev_busy, next_busy);
	p->wanted = true;
}

static void rest(struct heap *h, struct heap_process *p)
{
	if (p->wanted || p->window)
		DL_DELETE2(h->busy, p, prev_busy, next_busy);
	p->wanted = false;
	p->window = NULL;
}

static int look_at(const struct heap *h, const struct heap_process *p, struct heap_moment *ret)
{
	struct proc_stat stat;
	int err = session__read_pools(h->deps->session, p->tr->tgid, &ret->pools);

	err = err ? err : proc__stat(h->deps->proc, p->tr->tgid, &stat);
	if (!err)
		ret->cpu_ns = stat.cpu_ticks * h->ticks_ns;
	return err;
}

static void open_window(struct heap *h, struct heap_process *p)
{
	int err = look_at(h, p, &p->opened_at);

	p->wanted = false;
	/* What was seen after the last window was closed is no part of this one. */
	err = err ? err : session__take_blocks(h->deps->session, p->tr->proc_id, NULL, NULL);
	err = err ? err : session__open_window(h->deps->session, p->tr->tgid, p->tr->interp->host_path, p->sites.site,
					       p->sites.n, WINDOW_ALLOCATIONS, &p->window);
	p->opened_ns = clock_now_ns();
	if (!err) {
		h->totals.windows++;
		p->windows++;
		return;
	}
	h->totals.failed++;
	p->window = NULL;
	DL_DELETE2(h->busy, p, prev_busy, next_busy);
	log_debug("heap: no window for process %d: %s", (int)p->tr->tgid, strerror(-err));
	plan(h, p, p->opened_at.pools.all);
}

struct taken {
	struct heap *h;
	struct traced *tr;
	struct heap_block *blocks;
	size_t n, max;
};

static void take_block(const struct block_key *key, const struct block_value *v, void *arg)
{
	struct taken *t = arg;

	if (t->n < t->max)
		t->blocks[t->n++] = (struct heap_block){
			.addr = key->addr,
			.bytes = v->bytes,
			.stack = stack_names__look_up(t->h->names, t->tr, v->stack_id),
		};
}

static void close_window(struct heap *h, struct heap_process *p)
{
	struct taken t = { .h = h, .tr = p->tr, .max = 2 * WINDOW_ALLOCATIONS };
	int seen = session__close_window(h->deps->session, p->tr->tgid, WINDOW_ALLOCATIONS, p->window);
	int err = seen < 0 ? seen : 0;

	rest(h, p);
	t.blocks = malloc(t.max * sizeof(*t.blocks));
	err = t.blocks ? err : -ENOMEM;
	err = err ? err : session__take_blocks(h->deps->session, p->tr->proc_id, take_block, &t);
	err = err ? err : heap_samples__add_window(p->samples, &p->opened_at, seen, t.blocks, t.n);
	free(t.blocks);
	if (err)
		h->totals.failed++;
	if (seen > 0) {
		h->totals.allocations += seen;
		h->totals.spent_ns += (uint64_t)seen * ALLOCATION_COST_NS;
		p->spent_ns += (uint64_t)seen * ALLOCATION_COST_NS;
	}
	h->totals.spent_ns += WINDOW_COST_NS;
	p->spent_ns += WINDOW_COST_NS;
	plan(h, p, p->opened_at.pools.all);
}

void heap__request(struct heap *h, struct traced *tr, const struct rec_heap *rec)
{
	struct heap_process *p = tr->heap;

	if (!p)
		return;
	if (rec->request == HEAP_OPEN_WINDOW && !p->window)
		want(h, p);
	else if (rec->request == HEAP_CLOSE_WINDOW && p->window)
		p->opened_ns = 0; /* its time is up */
}

void heap__upkeep(struct heap *h)
{
	struct heap_process *p, *next;

	DL_FOREACH_SAFE2(h->busy, p, next, next_busy) {
		if (p->window && clock_now_ns() - p->opened_ns >= WINDOW_NS)
			close_window(h, p);
		else if (!p->window && allowance_ns(h, p) > 0)
			open_window(h, p);
	}
}

int heap__patience_ms(const struct heap *h, int max_ms)
{
	const struct heap_process *p;
	uint64_t now, age;
	int64_t ms;

	if (!h->busy)
		return max_ms;
	now = clock_now_ns();
	for (p = h->busy; p; p = p->next_busy) {
		age = now - p->opened_ns;
		ms = !p->window ? (allowance_ns(h, p) > 0 ? 0 : max_ms) :
		     age >= WINDOW_NS ? 0 : (int64_t)((WINDOW_NS - age) / MS_NS + 1);
		max_ms = ms < max_ms ? (int)ms : max_ms;
	}
	return max_ms;
}

/* ---- processes ---- */

void heap__adopt(struct heap *h, struct traced *tr, const struct heap_sites *sites)
{
	struct heap_process *p;
	int err;

	if (tr->heap)
		heap__forget(h, tr);
	p = calloc(1, sizeof(*p));
	if (!p)
		return;
	p->tr = tr;
	p->sites = *sites;
	err = heap_samples__new(h->deps->proc, tr->tgid, tr->interp, &p->samples);
	err = err ? err : session__watch_pools(h->deps->session, tr->tgid);
	if (err) {
		h->totals.failed++;
		heap_samples__free(p->samples);
		free(p);
		return;
	}
	tr->heap = p;
	h->totals.watched++;
	DL_APPEND(h->all, p);
	p->refreshed_at.cpu_ns = tr->cpu_ns;
	if (sites->n)
		plan(h, p, 0);
}

void heap__forget(struct heap *h, struct traced *tr)
{
	if (!tr->heap)
		return;
	session__unwatch_pools(h->deps->session, tr->tgid);
	free_process(h, tr->heap);
}

/* ---- what the heap holds ---- */

static struct told *told_of(struct heap_process *p, const struct stack_name *stack)
{
	struct told *t;

	HASH_FIND(hh, p->told, stack, sizeof(*stack), t);
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->stack = *stack;
	HASH_ADD(hh, p->told, stack, sizeof(t->stack), t);
	return t;
}

/* The profile has sums of what came and went: it is told what changed. */
static void tell(struct heap *h, struct heap_process *p, const struct stack_name *stack, double blocks, double bytes)
{
	uint64_t now_blocks = blocks > 0 ? blocks + 0.5 : 0, now_bytes = bytes > 0 ? bytes + 0.5 : 0;
	struct told *t = told_of(p, stack);
	struct profile_sums sums = {};

	if (!t)
		return;
	t->seen = true;
	sums.alloc_cnt = now_blocks > t->blocks ? now_blocks - t->blocks : 0;
	sums.free_cnt = now_blocks < t->blocks ? t->blocks - now_blocks : 0;
	sums.alloc_bytes = now_bytes > t->bytes ? now_bytes - t->bytes : 0;
	sums.free_bytes = now_bytes < t->bytes ? t->bytes - now_bytes : 0;
	t->blocks = now_blocks;
	t->bytes = now_bytes;
	profile__add(h->deps->profile, stack->process, stack->tid, stack->node, KIND_HEAP_POOL, &sums);
}

static void tell_sum(struct heap *h, struct heap_process *p, const struct stack_name *stack, const struct heap_sum *sum)
{
	int64_t deviations[PROFILE_REPLICATES];

	for (int i = 0; i < PROFILE_REPLICATES; i++)
		deviations[i] = (int64_t)sum->deviation[i];
	tell(h, p, stack, sum->blocks, sum->bytes);
	profile__set_deviations(h->deps->profile, stack->process, stack->tid, stack->node, KIND_HEAP_POOL, deviations);
}

static void tell_all(struct heap *h, struct heap_process *p, const struct heap_holdings *all)
{
	struct stack_name before = stack_names__look_up(h->names, p->tr, STACK_BEFORE_ATTACH);
	struct stack_name unsampled = stack_names__look_up(h->names, p->tr, STACK_NOT_SAMPLED);
	struct stack_name rounded = stack_names__look_up(h->names, p->tr, STACK_ROUNDED_UP);
	struct told *t, *next;

	HASH_ITER(hh, p->told, t, next)
		t->seen = false;
	for (size_t i = 0; i < all->n; i++)
		tell_sum(h, p, &all->holders[i].stack, &all->holders[i].sum);
	tell_sum(h, p, &before, &all->before);
	tell_sum(h, p, &unsampled, &all->unknown);
	tell(h, p, &rounded, 0, all->rounded_bytes);
	HASH_ITER(hh, p->told, t, next) {
		if (!t->seen)
			tell(h, p, &t->stack, 0, 0);
	}
}

static uint64_t own_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

static void read_heap(struct heap *h, struct heap_process *p)
{
	const struct heap_holdings *all;
	uint64_t before = own_cpu_ns(), took;
	struct heap_moment now;
	int err = look_at(h, p, &now);

	err = err ? err : heap_samples__read(p->samples, &now, &all);
	if (err)
		h->totals.failed++;
	else
		tell_all(h, p, all);
	took = own_cpu_ns() - before;
	h->totals.reading_ns += took;
	p->read_due_ns = clock_now_ns() + (uint64_t)(took / READING_SHARE);
}

static void refresh(struct heap *h, struct heap_process *p, uint64_t now_ns)
{
	struct heap_moment now = {};
	double seconds, lately;

	if (session__read_pools(h->deps->session, p->tr->tgid, &now.pools))
		return;
	now.cpu_ns = p->tr->cpu_ns;
	seconds = (double)(now.cpu_ns - p->refreshed_at.cpu_ns) / SECOND_NS;
	if (seconds < 0.05)
		return;
	lately = (now.pools.all - p->refreshed_at.pools.all) / seconds;
	p->pools_a_second = p->pools_a_second ? (p->pools_a_second + lately) / 2 : lately;
	p->refreshed_at = now;
	if (p->sites.n && !p->window && now_ns >= p->window_due_ns)
		want(h, p);
}

void heap__refresh(struct heap *h, bool last)
{
	uint64_t now_ns = clock_now_ns();
	struct heap_process *p;

	DL_FOREACH(h->all, p) {
		if (p->tr->ended)
			continue;
		refresh(h, p, now_ns);
		if (last && p->window)
			close_window(h, p);
		if (last || now_ns >= p->read_due_ns)
			read_heap(h, p);
	}
}

void heap__activity(const struct heap *h, struct heap_activity *ret)
{
	*ret = h->totals;
}
