/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/gc_turns.h"

#include <math.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

/* So many collections are worth asking what they cost, or fewer, where they may have spent all. */
#define ASK_CNT 64
#define SURE_SPENT 0.9
#define PROGRAM_NS 1000 /* ours, before it was measured */
/* So many processes can have turns of half a second. */
#define TURNS_CNT 4
/*
 * Where links are shared, each switch writes into the code of every process that runs the file: 1,000 of them take us 20 ms to
 * put probes back, and as much to take them away. Turns become so long that this takes no more than a part of our time.
 */
#define SHARED_SWITCHING 0.001
#define SHARED_SWITCH_NS 20000.0 /* of one process, before it was measured */

void gc_turns__begin(struct gc_turns *g, const struct tracker_deps *deps, struct traced_table *table)
{
	*g = (struct gc_turns){ .deps = deps, .table = table };
	hook_turns__begin(&g->shared, clock_now_ns());
}

void gc_turns__add(struct gc_turns *g, struct traced *tr)
{
	tr->gc.ask_cnt = ASK_CNT;
	tr->gc.since_ns = clock_now_ns();
	hook_turns__begin(&tr->gc.turns, tr->gc.since_ns);
	hook_turns__set_share(&tr->gc.turns, tr->governor.gc_share);
	g->turning |= tr->governor.gc_share < 1;
	g->next_ns = 0;
}

void gc_turns__tell(struct traced *tr)
{
	uint64_t now = clock_now_ns(), passed = now - tr->gc.since_ns;

	tr->use.gc_all_ns += passed;
	if (!tr->gc.away)
		tr->gc.watched_ns += passed;
	if (!tr->gc.away || tr->gc.leaving)
		tr->use.gc_on_ns += passed;
	tr->gc.since_ns = now;
}

/* ---- too many, all at once ---- */

bool gc_turns__collected(struct gc_turns *g, struct traced *tr, uint64_t begin_ns, uint64_t end_ns)
{
	g->asking |= ++tr->gc.told_cnt >= tr->gc.ask_cnt;
	/* All that was told until probes are put back was read before. */
	return begin_ns >= tr->gc.from_ns && (!tr->gc.until_ns || end_ns <= tr->gc.until_ns);
}

static struct hook_turns *turns_of(struct gc_turns *g, struct traced *tr)
{
	return session_links__shared(tr->links) ? &g->shared : &tr->gc.turns;
}

static bool has_spent_all(const struct gc_turns *g, const struct traced *tr)
{
	struct target_state s;

	if (tr->governor.gc_limit_ns == UINT64_MAX || session__read_state(g->deps->session, tr->tgid, &s))
		return false;
	return s.cost[COST_GC].ns + s.cost[COST_GC].cnt * tr->trap_ns[COST_GC] >= tr->governor.gc_limit_ns;
}

uint64_t gc_turns__wake_cnt(const struct gc_turns *g, struct traced *tr)
{
	uint64_t limit_ns = tr->governor.gc_limit_ns, gone_ns = tr->use.gc_ns;
	double hit_ns = traced__trap_ns(tr, g->deps->session, COST_GC) + PROGRAM_NS, more;

	if (limit_ns == UINT64_MAX)
		return 0;
	/* A little too late, for if it has not spent all yet, it is woken in vain, and not again. */
	if (tr->gc.hit_cnt >= ASK_CNT)
		hit_ns = SURE_SPENT * gone_ns / tr->gc.hit_cnt;
	more = limit_ns > gone_ns ? (limit_ns - gone_ns) / fmax(hit_ns, 1) : 0;
	/* An entry and a return are a run each; not all that led to it is told since one asked last. */
	tr->gc.ask_cnt = fmin(fmax(more / 4, 1), ASK_CNT);
	return tr->gc.hit_cnt + 1 + more;
}

static void ask(struct gc_turns *g, uint64_t now_ns)
{
	struct traced *tr;

	g->asking = false;
	for (tr = g->table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->gc.told_cnt < tr->gc.ask_cnt || !tr->links)
			continue;
		tr->gc.told_cnt = 0;
		if (!has_spent_all(g, tr))
			continue;
		if (session_links__shared(tr->links))
			hook_turns__cut(&g->shared, now_ns);
		else
			hook_turns__rest(&tr->gc.turns, now_ns);
		g->turning = true;
		g->next_ns = 0;
	}
}

/* ---- turns ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What it took us: the process pays for probes of its own; those that many share nobody asked for more than others. */
static void note_cost(struct gc_turns *g, struct traced *tr, bool on, uint64_t took_ns)
{
	g->activity.switching_ns += took_ns;
	if (!session_links__shared(tr->links))
		tr->gc.switching_ns += took_ns;
	else if (on)
		g->shared_on_ns += took_ns;
}

/* The first of those that share links does it for all. */
static void switch_probes(struct gc_turns *g, struct traced *tr, bool on)
{
	uint64_t began = clock_thread_cpu_ns(), begin_ns = clock_now_ns();
	int err;

	if (!on) {
		gc_turns__tell(tr);
		tr->gc.until_ns = tr->gc.since_ns;
	}
	g->activity.switches += session_links__gc_paused(tr->links) == on;
	err = session__pause_gc(g->deps->session, tr->links, tr->tgid, tr->interp->host_path, !on);
	if (err)
		log_debug("probes on the collector of process %d: error %d", (int)tr->tgid, -err);
	if (on)
		gc_turns__tell(tr);
	tr->gc.away = session_links__gc_paused(tr->links);
	tr->gc.leaving = tr->gc.away && session__is_detaching(g->deps->session);
	if (!tr->gc.away) {
		hook_turns__delay(turns_of(g, tr), tr->gc.since_ns - begin_ns);
		tr->gc.from_ns = tr->gc.since_ns;
		tr->gc.until_ns = 0;
	}
	note_cost(g, tr, on, clock_thread_cpu_ns() - began);
}

/* They are away now: what they were there for too long is taken from the next turns. */
static void has_left(struct traced *tr)
{
	gc_turns__tell(tr);
	tr->gc.leaving = false;
	hook_turns__exceed(&tr->gc.turns, tr->gc.since_ns - tr->gc.until_ns);
}

static bool takes_turns(const struct hook_turns *t)
{
	return t->share < 1 || hook_turns__next_ns(t) != UINT64_MAX;
}

static void take_turn(struct gc_turns *g, struct traced *tr, uint64_t now, bool shared_on)
{
	bool shared = session_links__shared(tr->links), on;

	if (tr->gc.leaving && !session__is_detaching(g->deps->session))
		has_left(tr);
	on = shared ? shared_on : hook_turns__update(&tr->gc.turns, now);
	if (on == tr->gc.away && !tr->gc.leaving)
		switch_probes(g, tr, on);
	g->turning |= tr->gc.away || takes_turns(&tr->gc.turns);
	if (!shared)
		g->next_ns = sooner(g->next_ns, hook_turns__next_ns(&tr->gc.turns));
	g->leaving |= tr->gc.leaving;
}

/* on_ns: what it takes to put the probes back. */
static void stretch_shared(struct gc_turns *g, double on_ns)
{
	g->shared.stretch = fmax(2 * on_ns / SHARED_SWITCHING / HOOK_TURN_NS, 1);
}

void gc_turns__upkeep(struct gc_turns *g)
{
	uint64_t now = clock_now_ns();
	struct traced *tr;
	bool shared_on;

	if (g->asking)
		ask(g, now);
	if (!g->turning || (now < g->next_ns && !g->leaving))
		return;
	shared_on = hook_turns__update(&g->shared, now);
	g->turning = takes_turns(&g->shared) || g->shared.resting;
	g->leaving = false;
	g->next_ns = hook_turns__next_ns(&g->shared);
	for (tr = g->table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->links)
			take_turn(g, tr, now, shared_on);
	}
	if (g->shared_on_ns)
		stretch_shared(g, g->shared_on_ns);
	g->measured |= g->shared_on_ns;
	g->shared_on_ns = 0;
}

void gc_turns__step(struct gc_turns *g, bool early)
{
	uint32_t turning = 0, sharing = 0;
	double least = 1;
	struct traced *tr;

	for (tr = g->table->alive; tr; tr = tr->hh_tgid.next)
		turning += tr->governor.gc_share < 1;
	for (tr = g->table->alive; tr; tr = tr->hh_tgid.next) {
		double share = tr->governor.gc_share;
		bool shares = tr->links && session_links__shared(tr->links);

		sharing += shares;
		/* Who was not looked at rests on, if it does: it has no more to spend than before. */
		if (!early || tr->early)
			hook_turns__set_share(&tr->gc.turns, share);
		tr->gc.turns.stretch = turning > TURNS_CNT ? (double)turning / TURNS_CNT : 1;
		if (share >= 1)
			continue;
		g->turning = true;
		if (shares && share < least)
			least = share;
	}
	if (!g->measured)
		stretch_shared(g, sharing * SHARED_SWITCH_NS);
	if (!early || !g->shared.resting)
		hook_turns__set_share(&g->shared, least);
	g->next_ns = 0;
}

uint64_t gc_turns__next_ns(const struct gc_turns *g)
{
	return g->turning ? g->next_ns : UINT64_MAX;
}
