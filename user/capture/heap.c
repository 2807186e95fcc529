/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See heap.h. A window costs the process its allocations' probes, and the writing of some hundred breakpoints into its code
 * before and after; it costs us 10 to 50 ms of waiting for the kernel, most of it in a thread of its own (base/closer.h).
 *
 * What is called a process's own time is its CPU time less what windows cost it (model/heap_windows.h).
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
#include "capture/large_pace.h"
#include "capture/pool_facts.h"
#include "capture/pool_turns.h"
#include "capture/told.h"
#include "capture/window_sites.h"
#include "model/heap_plan.h"
#include "model/window_cost.h"

#define MS_NS 1000000ull
#define SECOND_NS 1000000000ull
/* A window ends after so long if the process sleeps. */
#define WINDOW_NS (60 * MS_NS)
/*
 * Share of the budget that windows and large blocks may have together. Large blocks take half of it at most, and what they may
 * spend beforehand (capture/large_pace.h); windows have the rest, and page faults what is left of the budget.
 */
#define BUDGET_SHARE 0.6
/* Of CPU time, what windows may have where there is no budget, or a large one: five times what they have by default tells enough. */
#define MOST_WINDOWS_SHARE 0.03
/* How much of what one costs is expected of the next. */
#define WINDOW_COST_LATELY 0.2
/*
 * How long a process's clock is left alone while it nears a window's place; and if it sleeps, with each so many processes; in a
 * crowd, longer.
 */
#define LEAST_WAIT_NS (5 * MS_NS)
#define MOST_WAIT_NS (50 * MS_NS)
#define WAIT_PROCESSES 32
/*
 * How much of a processor it used lately is known from looks that are no closer (the kernel counts another process's time at its
 * ticks), and tells nothing of a moment if they are farther apart, unless it runs all the time.
 */
#define LEAST_SEEN_NS (8 * MS_NS)
#define MOST_SEEN_NS (4ull * POOLS_HALF_NS)
#define ALL_THE_TIME 0.8
#define MOST_PROCESSORS 2 /* one thread runs Python, others wait for it or are in C */
/* Each heap is read at most once a second, and all together for at most this share of the time; in a crowd, less. */
#define READING_SHARE 0.01
/* Opening and closing windows takes us at most as much, or what the budget is, if it is more. One takes us so long at first. */
#define OPENING_SHARE 0.01
#define OPENING_S 0.003
/* Where there is no budget. */
#define OPENING_SHARE_UNBOUND 0.1
/* Blocks that are asked what they are at a reading; at the last one of all processes together. */
#define DRAWS 4096
#define LAST_DRAWS 16384
/* How often the profile is told what pools hold, 36 facts, and what is pinned: with each quarter more of the time, within these bounds. */
#define LEAST_TOLD_NS (SECOND_NS / 2)
#define MOST_TOLD_NS (10 * SECOND_NS)
/* The heaps of so many processes are read when they are taken in; of more, once they do something. */
#define READ_AT_ONCE 8
#define FIRST_CPU_NS (20 * MS_NS)

struct heap_process {
	struct traced *tr;
	struct heap_sites sites;
	struct window_sites *window_sites;
	uint64_t strays; /* that were charged */
	struct heap_samples *samples; /* NULL: its heap was not read yet */
	uint64_t adopted_cpu_ns, began_cpu_ns, refreshed_cpu_ns;
	/* The next window, or the open one. */
	struct heap_plan plan;
	double due_s; /* own time */
	uint64_t pools_goal; /* the other window is due with as many pools */
	bool asked; /* it is */
	/* Pools a second, of all time, before it was asked; of its own time, before it became due; < 0: not known. */
	double asked_pools, due_pools;
	double used; /* processors, lately; 0: not known */
	struct process_pools pools;
	uint64_t next_ns; /* when there is something to do: to look at its clock, or to close the window */
	uint64_t seen_ns, seen_cpu_ns; /* its clock when last looked at */
	struct session_links *window; /* NULL: none is open */
	uint32_t window_id;
	bool settles; /* the last window */
	double opened_s, limit_s; /* own time; its length */
	uint64_t opened_cpu_ns;
	uint64_t read_due_ns, read_cpu_ns, pools_due_ns;
	struct told_table told, pinned;
	UT_hash_handle hh;
	struct heap_process *prev, *next, *prev_watched, *next_watched;
};

struct heap {
	const struct tracker_deps *deps;
	struct traced_table *table;
	struct stack_names *names;
	double budget;
	struct heap_process *all, *watched;
	unsigned int read_cnt; /* processes whose heap is being watched */
	uint64_t next_ns; /* when there is something to do for one of them */
	uint64_t may_read_ns; /* not before then */
	uint64_t refreshed_ns;
	double busy; /* processors that those whose windows we open use, 1 at least */
	struct pool_turns pool_turns;
	struct window_cost cost;
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
	h->busy = 1;
	h->refreshed_ns = clock_now_ns();
	pool_turns__begin(&h->pool_turns, deps, budget);
	srand48_r(clock_now_ns() ^ getpid(), &h->random);
	*ret = h;
	return 0;
}

static void free_process(struct heap *h, struct heap_process *p)
{
	DL_DELETE(h->all, p);
	if (p->samples)
		DL_DELETE2(h->watched, p, prev_watched, next_watched);
	session_links__free(p->window);
	window_sites__free(p->window_sites);
	heap_samples__free(p->samples);
	told__free(&p->told);
	told__free(&p->pinned);
	h->read_cnt -= p->samples != NULL;
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

/* ---- when ---- */

static double own_s(const struct heap_process *p, uint64_t cpu_ns)
{
	return (double)(cpu_ns - p->began_cpu_ns) / SECOND_NS - p->plan.spent_s;
}

/* No period is shorter, so that we do not take too long for all processes together. */
static double least_period_s(const struct heap *h)
{
	double share = (h->budget ? fmax(h->budget, OPENING_SHARE) : OPENING_SHARE_UNBOUND) / traced_table__crowd(h->table);
	double took_s = (double)h->totals.opening_ns / SECOND_NS + OPENING_S;

	return took_s / (h->totals.windows + 1) / share * h->busy;
}

/* Chooses the next window's place. */
static void plan(struct heap *h, struct heap_process *p, uint64_t cpu_ns)
{
	double u;

	drand48_r(&h->random, &u);
	p->due_s = heap_plan__next(&p->plan, own_s(p, cpu_ns), (double)(cpu_ns - p->began_cpu_ns) / SECOND_NS,
				   least_period_s(h), u);
}

/* And that of the one that is asked for by the pools that are taken into use. */
static void plan_by_pools(struct heap *h, struct heap_process *p, uint64_t cpu_ns)
{
	uint64_t hits = process_pools__hits(&h->pool_turns, &p->pools);
	double now_s = own_s(p, cpu_ns), all = pool_watch__all(&p->pools.watch, hits, now_s), u;

	drand48_r(&h->random, &u);
	p->pools_goal = process_pools__goal(&h->pool_turns, &p->pools, hits,
					    heap_plan__pools(&p->plan, now_s, all, u) - all);
	p->asked = false;
}

/* Whichever is due now was opened, or could not be. */
static void plan_again(struct heap *h, struct heap_process *p, uint64_t cpu_ns)
{
	if (p->asked)
		plan_by_pools(h, p, cpu_ns);
	else
		plan(h, p, cpu_ns);
	session__ask_for_window(h->deps->session, p->tr->tgid, p->pools_goal);
	p->next_ns = clock_now_ns() + LEAST_WAIT_NS;
}

static void note_others(const struct heap *h, struct heap_process *p)
{
	if (!h->budget)
		return;
	p->plan.others_s = fmax((double)p->tr->large_ns - LARGE_PACE_BURST_NS * traced__advance(p->tr), 0) / SECOND_NS;
}

/* Own pools a second before the window that is due now became due; < 0: not known. */
static double pools_before(const struct heap *h, const struct heap_process *p, uint64_t now)
{
	double pools = p->asked ? p->asked_pools : process_pools__lately(&h->pool_turns, &p->pools, now);

	return p->used > 0 ? pools / p->used : -1;
}

/* Whether its next window's place has come; else looks again when it may have. */
static bool is_due(const struct heap *h, struct heap_process *p, uint64_t cpu_ns)
{
	double left_s = p->due_s - own_s(p, cpu_ns);
	double most_ns = MOST_WAIT_NS * fmax(1 + h->read_cnt / WAIT_PROCESSES, traced_table__crowd(h->table));
	uint64_t now = clock_now_ns();
	double lacks_s, used = fmax((double)(cpu_ns - p->seen_cpu_ns) / (now - p->seen_ns + 1), 0.01);

	if (now - p->seen_ns >= LEAST_SEEN_NS)
		p->used = now - p->seen_ns <= MOST_SEEN_NS || used >= ALL_THE_TIME ? used : 0;
	note_others(h, p);
	lacks_s = heap_plan__lacks_s(&p->plan, (double)(cpu_ns - p->began_cpu_ns) / SECOND_NS);
	if ((left_s <= 0 || p->asked) && lacks_s < 0) {
		p->due_pools = pools_before(h, p, now);
		return true;
	}
	if (lacks_s >= 0)
		left_s = fmax(left_s, lacks_s / p->plan.share);
	/* It is not there before as many processors as it may use have run for so long. */
	most_ns = fmax(most_ns, left_s * SECOND_NS / MOST_PROCESSORS);
	p->next_ns = now + (uint64_t)fmin(fmax(left_s * SECOND_NS / used, LEAST_WAIT_NS), most_ns);
	if (now - p->seen_ns < LEAST_SEEN_NS)
		return false;
	p->seen_ns = now;
	p->seen_cpu_ns = cpu_ns;
	return false;
}

/* ---- windows ---- */

static int begin_window(struct heap *h, struct heap_process *p)
{
	struct window_state w = {
		.attach_id = p->window_id,
		.tid = p->tr->tgid,
		.trap_ns = window_cost__trap_ns(&h->cost),
		.limit_ns = p->limit_s * SECOND_NS,
		.left = window_cost__allocations(&h->cost),
	};
	uint64_t waited_ns = 0, slept = UINT64_MAX;
	int err;

	/* Where the kernel does not tell, what comes before the first hit is taken for sleep. */
	proc__waits(h->deps->proc, p->tr->tgid, &waited_ns, &slept);
	w.waited_ns = waited_ns;
	w.slept = slept;
	err = session__begin_window(h->deps->session, p->tr->tgid, &w);
	return err ? err : proc__cpu_ns(h->deps->proc, p->tr->tgid, &p->opened_cpu_ns);
}

static void open_window(struct heap *h, struct heap_process *p, uint64_t cpu_ns)
{
	int err;

	process_pools__lend(&p->pools, true);
	/* What was seen after the last window was closed is no part of this one. */
	err = session__take_blocks(h->deps->session, p->tr->proc_id, NULL, NULL);
	err = err ? err : session__attach_window(h->deps->session, p->tr->tgid, p->tr->interp->host_path, p->sites.site,
						 p->sites.n, window_sites__often(p->window_sites), &p->window, &p->window_id);
	err = err ? err : begin_window(h, p);
	p->opened_s = own_s(p, cpu_ns);
	if (!err) {
		h->totals.windows++;
		p->next_ns = clock_now_ns() + WINDOW_NS;
		return;
	}
	h->totals.failed++;
	session_links__free(p->window);
	p->window = NULL;
	process_pools__lend(&p->pools, false);
	log_debug("heap: no window for process %d: %s", (int)p->tr->tgid, strerror(-err));
	plan_again(h, p, cpu_ns);
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

/* With the strays since the last one: some are still to come. */
static void charge(struct heap *h, struct heap_process *p, const struct window_state *w)
{
	struct heap_pools pools = { .strays = p->strays };
	double s;

	session__read_pools(h->deps->session, p->tr->tgid, &pools);
	s = window_cost__paid_s(&h->cost, w, pools.strays - p->strays);
	p->strays = pools.strays;
	p->plan.window_s += WINDOW_COST_LATELY * (s - p->plan.window_s);
	h->totals.spent_ns += s * SECOND_NS;
	p->plan.spent_s += s;
	p->tr->windows_ns += s * SECOND_NS;
}

/* How long it was; no less than a part of what was thought while it was open, and than its allocations take. */
static double own_time(const struct heap *h, const struct window_state *w, double cpu_s)
{
	double s = heap_window__own_s(w, cpu_s);

	return fmax(fmax(s - window_cost__excess_s(&h->cost, w), s / 10), w->hits * WINDOW_BLOCK_S);
}

static void close_window(struct heap *h, struct heap_process *p)
{
	struct taken t = { .h = h, .tr = p->tr, .max = 2 * WINDOW_MOST_ALLOCATIONS };
	struct heap_look look = { .at_s = p->opened_s };
	struct window_state w = {};
	uint64_t cpu_ns = p->opened_cpu_ns;
	int err;

	proc__cpu_ns(h->deps->proc, p->tr->tgid, &cpu_ns);
	err = session__close_window(h->deps->session, p->tr->tgid, p->window, &w);
	p->window = NULL;
	process_pools__lend(&p->pools, false);
	window_cost__note(&h->cost, &w);
	window_sites__note(p->window_sites, h->deps->proc, p->tr->tgid, &w);
	look.own_s = own_time(h, &w, (double)(cpu_ns - p->opened_cpu_ns) / SECOND_NS);
	p->limit_s = heap_window__limit_s(p->limit_s, &w);
	look.pools = w.pools;
	look.stands_s = heap_plan__stands_s(&p->plan, p->due_pools >= 0 ? p->due_pools : heap_windows__pools(&look));
	t.blocks = malloc(t.max * sizeof(*t.blocks));
	err = t.blocks ? err : -ENOMEM;
	err = err ? err : session__take_blocks(h->deps->session, p->tr->proc_id, take_block, &t);
	err = err ? err : heap_samples__add_window(p->samples, &look, t.blocks, t.n);
	free(t.blocks);
	h->totals.failed += err != 0;
	h->totals.allocations += w.hits;
	charge(h, p, &w);
	plan_again(h, p, cpu_ns);
	p->settles = true;
	p->next_ns = clock_now_ns() + HEAP_SETTLE_MS * MS_NS;
}

void heap__request(struct heap *h, struct traced *tr, const struct rec_heap *rec)
{
	struct heap_process *p = tr->heap;

	if (!p)
		return;
	process_pools__many(&h->pool_turns, &p->pools);
	h->next_ns = 0;
	if (p->window && p->window_id == rec->attach_id)
		p->next_ns = 0; /* it is full */
	if (p->window || rec->attach_id || p->asked)
		return;
	p->asked = true;
	p->asked_pools = process_pools__lately_asked(&p->pools, rec->hdr.time_ns, rec->lately);
	p->next_ns = p->settles ? p->next_ns : 0;
}

static void go_on(struct heap *h, struct heap_process *p)
{
	uint64_t began = clock_thread_cpu_ns(), cpu_ns;

	if (p->window) {
		close_window(h, p);
	} else if (p->settles) {
		h->totals.failed += heap_samples__settle(p->samples) != 0;
		p->settles = false;
		p->next_ns = 0;
	} else if (proc__cpu_ns(h->deps->proc, p->tr->tgid, &cpu_ns)) {
		p->next_ns = UINT64_MAX; /* it has ended */
		return;
	} else if (is_due(h, p, cpu_ns)) {
		open_window(h, p, cpu_ns);
	} else {
		return;
	}
	h->totals.opening_ns += clock_thread_cpu_ns() - began;
}

/* When there is something to do for it. */
static uint64_t next_ns(const struct heap *h, const struct heap_process *p)
{
	uint64_t pools_ns = p->window ? UINT64_MAX : process_pools__next_ns(&h->pool_turns, &p->pools);

	return p->sites.n && p->next_ns < pools_ns ? p->next_ns : pools_ns;
}

void heap__upkeep(struct heap *h)
{
	struct heap_process *p;
	uint64_t next;

	if (clock_now_ns() < h->next_ns)
		return;
	h->next_ns = UINT64_MAX;
	DL_FOREACH2(h->watched, p, next_watched) {
		if (p->sites.n && clock_now_ns() >= p->next_ns)
			go_on(h, p);
		if (!p->window)
			process_pools__upkeep(&h->pool_turns, &p->pools, clock_now_ns());
		next = next_ns(h, p);
		if (next < h->next_ns)
			h->next_ns = next;
	}
}

int heap__patience_ms(const struct heap *h, int max_ms)
{
	uint64_t now = clock_now_ns(), until = now + max_ms * MS_NS;

	until = h->next_ns < until ? h->next_ns : until;
	return until <= now ? 0 : (int)((until - now + MS_NS - 1) / MS_NS);
}

/* ---- processes ---- */

/* What lives now is the population of before; from now on pools are counted and windows opened. */
static int begin(struct heap *h, struct heap_process *p)
{
	int err;

	err = p->window_sites ? 0 : window_sites__new(p->sites.site, p->sites.n, &p->window_sites);
	err = err ? err : heap_samples__new(h->deps->proc, p->tr->tgid, p->tr->interp, &p->samples);
	err = err ? err : session__watch_pools(h->deps->session, p->tr->tgid);
	if (err) {
		h->totals.failed++;
		heap_samples__free(p->samples);
		p->samples = NULL;
		return err;
	}
	h->read_cnt++;
	DL_APPEND2(h->watched, p, prev_watched, next_watched);
	h->next_ns = 0;
	h->totals.watched++;
	proc__cpu_ns(h->deps->proc, p->tr->tgid, &p->began_cpu_ns);
	p->seen_cpu_ns = p->began_cpu_ns;
	p->seen_ns = clock_now_ns();
	p->limit_s = HEAP_MOST_LIMIT_S;
	pool_turns__add(&h->pool_turns, &p->pools, p->tr, &p->plan, p->began_cpu_ns);
	p->plan.share = h->budget ? fmin(h->budget * BUDGET_SHARE, MOST_WINDOWS_SHARE) : MOST_WINDOWS_SHARE;
	p->plan.burst_s = HEAP_BURST_S * traced__advance(p->tr);
	h->cost.expected_ns = session__probe_costs(h->deps->session)->emulated_ns;
	p->plan.window_s = window_cost__expected_s(&h->cost);
	plan(h, p, p->began_cpu_ns);
	p->asked = true;
	plan_again(h, p, p->began_cpu_ns);
	return 0;
}

void heap__adopt(struct heap *h, struct traced *tr, const struct heap_sites *sites)
{
	struct heap_process *p;

	if (tr->heap)
		heap__forget(h, tr);
	p = calloc(1, sizeof(*p));
	if (!p)
		return;
	p->tr = tr;
	p->told = (struct told_table){ .profile = h->deps->profile, .kind = KIND_HEAP_POOL };
	p->pinned = (struct told_table){ .profile = h->deps->profile, .kind = KIND_HEAP_PINNED };
	p->sites = *sites;
	p->adopted_cpu_ns = p->refreshed_cpu_ns = tr->cpu_ns;
	tr->heap = p;
	DL_APPEND(h->all, p);
	if (h->read_cnt < READ_AT_ONCE)
		begin(h, p);
}

void heap__ended(struct heap *h, struct traced *tr)
{
	struct heap_process *p = tr->heap;
	struct window_state w;

	if (!p || !p->samples)
		return;
	if (p->window && !session__close_window(h->deps->session, tr->tgid, p->window, &w))
		charge(h, p, &w);
	p->window = NULL;
	h->totals.spent_ns += process_pools__pay(&h->pool_turns, &p->pools);
}

void heap__forget(struct heap *h, struct traced *tr)
{
	if (!tr->heap)
		return;
	session__unwatch_pools(h->deps->session, tr->tgid);
	free_process(h, tr->heap);
}

/* ---- what the heap holds ---- */

static void tell_all(struct heap *h, struct heap_process *p, const struct heap_holdings *all)
{
	struct stack_name before = stack_names__look_up(h->names, p->tr, STACK_BEFORE_ATTACH);
	struct stack_name unsampled = stack_names__look_up(h->names, p->tr, STACK_NOT_SAMPLED);
	struct stack_name rounded = stack_names__look_up(h->names, p->tr, STACK_ROUNDED_UP);

	told__begin(&p->told);
	for (size_t i = 0; i < all->n; i++)
		told__tell(&p->told, &all->holders[i].stack, &all->holders[i].sum);
	told__tell(&p->told, &before, &all->before);
	told__tell(&p->told, &unsampled, &all->unknown);
	told__tell_sure(&p->told, &rounded, 0, all->rounded_bytes);
	told__end(&p->told);
}

/* By whose live blocks. */
static void tell_pinned(struct heap *h, struct heap_process *p, const struct heap_holdings *all)
{
	struct stack_name before = stack_names__look_up(h->names, p->tr, STACK_BEFORE_ATTACH);
	struct stack_name unsampled = stack_names__look_up(h->names, p->tr, STACK_NOT_SAMPLED);

	told__begin(&p->pinned);
	for (size_t i = 0; i < all->n; i++)
		told__tell(&p->pinned, &all->holders[i].stack, &all->holders[i].pinned);
	told__tell(&p->pinned, &before, &all->before_pinned);
	told__tell(&p->pinned, &unsampled, &all->unknown_pinned);
	told__end(&p->pinned);
}

/* What changes with each request, and is seldom asked for, is told less often. */
static void tell_pools(struct heap *h, struct heap_process *p, const struct heap_holdings *all)
{
	uint64_t now = clock_now_ns(), wait = (now - p->tr->began_ns) / 4;

	wait = wait < LEAST_TOLD_NS ? LEAST_TOLD_NS : wait;
	p->pools_due_ns = now + (wait < MOST_TOLD_NS ? wait : MOST_TOLD_NS);
	pool_facts__tell(h->deps->profile, p->tr->process, all->totals);
	tell_pinned(h, p, all);
}

/* The last reading is what is told: it may take longer, but all processes' together not too long. */
static size_t most_draws(const struct heap *h, bool last)
{
	size_t draws = LAST_DRAWS / (h->read_cnt ? h->read_cnt : 1);

	return last && draws > DRAWS ? draws : DRAWS;
}

static void read_heap(struct heap *h, struct heap_process *p, bool last)
{
	const struct heap_holdings *all;
	bool tells = last || clock_now_ns() >= p->pools_due_ns;
	uint64_t before = clock_thread_cpu_ns(), took;
	struct heap_pools pools;
	uint64_t cpu_ns;
	int err = session__read_pools(h->deps->session, p->tr->tgid, &pools);
	double now_s;

	err = err ? err : proc__cpu_ns(h->deps->proc, p->tr->tgid, &cpu_ns);
	now_s = err ? 0 : own_s(p, cpu_ns);
	err = err ? err : heap_samples__read(p->samples, now_s, pool_watch__all(&p->pools.watch, pools.all, now_s), pools.pace,
					       most_draws(h, last), tells, &all);
	if (err) {
		h->totals.failed++;
	} else {
		tell_all(h, p, all);
		if (tells)
			tell_pools(h, p, all);
	}
	took = clock_thread_cpu_ns() - before;
	h->totals.reading_ns += took;
	p->read_cpu_ns = p->tr->cpu_ns;
	p->read_due_ns = clock_now_ns() + SECOND_NS / 2;
	h->may_read_ns = clock_now_ns() + (uint64_t)(took * traced_table__crowd(h->table) / READING_SHARE);
}

/* One that did not run since it was read holds what it held. */
static bool is_to_be_read(const struct heap *h, const struct heap_process *p)
{
	uint64_t now = clock_now_ns();

	return now >= p->read_due_ns && now >= h->may_read_ns && (!p->read_due_ns || p->read_cpu_ns != p->tr->cpu_ns);
}

/* Whether its heap is being watched; one that begins to do something is from now on. */
static bool has_begun(struct heap *h, struct heap_process *p)
{
	if (p->samples)
		return true;
	if (p->tr->cpu_ns < p->adopted_cpu_ns + FIRST_CPU_NS || clock_now_ns() < h->may_read_ns)
		return false;
	p->adopted_cpu_ns = p->tr->cpu_ns; /* where it cannot be read, not again before it has done as much */
	return !begin(h, p);
}

void heap__refresh(struct heap *h, bool last)
{
	struct heap_process *p, *next;
	uint64_t now = clock_now_ns();
	double busy = 0;

	DL_FOREACH_SAFE(h->all, p, next) {
		if (p->tr->ended || !has_begun(h, p))
			continue;
		busy += (double)(p->tr->cpu_ns - p->refreshed_cpu_ns) / (now - h->refreshed_ns);
		p->refreshed_cpu_ns = p->tr->cpu_ns;
		h->totals.spent_ns += process_pools__step(&h->pool_turns, &p->pools);
		if (last && p->window)
			close_window(h, p);
		if (last) {
			read_heap(h, p, true);
		} else if (is_to_be_read(h, p)) {
			read_heap(h, p, false);
			/* Whoever had no turn is next. */
			DL_DELETE(h->all, p);
			DL_APPEND(h->all, p);
		}
	}
	pool_turns__stepped(&h->pool_turns, traced_table__crowd(h->table));
	h->next_ns = 0;
	h->busy = fmax(busy, 1);
	h->refreshed_ns = now;
}

void heap__activity(const struct heap *h, struct heap_activity *ret)
{
	*ret = h->totals;
}
