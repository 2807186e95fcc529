/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/pool_turns.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

/* Of the budget. */
#define POOLS_SHARE 0.15
/* Once they are back, how many there were lately is known after so long. */
#define TELLING_NS (2 * POOLS_HALF_NS)
/* What one hit costs beside the trap. */
#define PROGRAM_NS 300
/* How often one looks whether it costs too much, where pools are many; in a crowd, less often. */
#define LOOK_NS 10000000ull
/* In a crowd turns are so many times as long, at most. */
#define MAX_STRETCH 4

void pool_turns__begin(struct pool_turns *t, const struct tracker_deps *deps, double budget)
{
	*t = (struct pool_turns){ .deps = deps, .share = budget * POOLS_SHARE, .least = 1, .crowd = 1 };
	hook_turns__begin(&t->shared, clock_now_ns());
}

static uint64_t hit_ns(const struct pool_turns *t, const struct process_pools *p)
{
	return traced__trap_ns(p->tr, t->deps->session, COST_HEAP) + PROGRAM_NS;
}

void pool_turns__add(const struct pool_turns *t, struct process_pools *p, struct traced *tr, const struct heap_plan *plan,
		     uint64_t began_cpu_ns)
{
	*p = (struct process_pools){
		.tr = tr,
		.plan = plan,
		.began_cpu_ns = began_cpu_ns,
		.look_ns = UINT64_MAX,
		.back_ns = clock_now_ns(),
	};
	pool_watch__begin(&p->watch, p->back_ns, t->share, hit_ns(t, p) / 1e9, POOL_WATCH_BURST_S * traced__advance(tr));
}

uint64_t process_pools__hits(const struct pool_turns *t, const struct process_pools *p)
{
	struct heap_pools pools = {};

	session__read_pools(t->deps->session, p->tr->tgid, &pools);
	return pools.all;
}

static bool tells(const struct process_pools *p, uint64_t at_ns)
{
	return !p->watch.away && at_ns >= p->back_ns + TELLING_NS;
}

static double a_second(double lately)
{
	return lately / POOLS_ONE * M_LN2 / (POOLS_HALF_NS / 1e9);
}

double process_pools__lately(const struct pool_turns *t, const struct process_pools *p, uint64_t now_ns)
{
	struct heap_pools pools;

	if (!tells(p, now_ns) || session__read_pools(t->deps->session, p->tr->tgid, &pools))
		return -1;
	return a_second(pools.lately * exp2(-(double)(int64_t)(now_ns - pools.lately_ns) / POOLS_HALF_NS));
}

double process_pools__lately_asked(const struct process_pools *p, uint64_t at_ns, uint64_t lately)
{
	return tells(p, at_ns) ? a_second(lately) : -1;
}

static bool is_shared(const struct process_pools *p)
{
	return p->tr->links && session_links__shared(p->tr->links);
}

static bool is_away(const struct process_pools *p)
{
	return p->tr->links && session_links__pools_paused(p->tr->links);
}

static const struct hook_turns *turns_of(const struct pool_turns *t, const struct process_pools *p)
{
	return is_shared(p) ? &t->shared : &p->watch.turns;
}

uint64_t process_pools__goal(const struct pool_turns *t, const struct process_pools *p, uint64_t hits, double more)
{
	return hits + (uint64_t)fmax(more * hook_turns__chance(turns_of(t, p)), 1);
}

void process_pools__many(const struct pool_turns *t, struct process_pools *p)
{
	if (t->share > 0 && p->look_ns == UINT64_MAX && pool_watch__may_be_spent(&p->watch))
		p->look_ns = 0;
}

static void pause_probe(struct process_pools *p, bool pause)
{
	int err = session__pause_pools(p->tr->links, p->tr->interp->host_path, pause);

	if (err)
		log_debug("heap: the probe on pools of process %d: %s", (int)p->tr->tgid, strerror(-err));
}

void process_pools__lend(struct process_pools *p, bool there)
{
	if (p->watch.away && p->tr->links && is_away(p) == there)
		pause_probe(p, !there);
}

static double own_s(const struct process_pools *p, uint64_t cpu_ns)
{
	return (double)(cpu_ns - p->began_cpu_ns) / 1e9 - p->plan->spent_s;
}

/* Where others share it, they may have put it back or taken it away. */
static void switch_probe(const struct pool_turns *t, struct process_pools *p, bool on)
{
	uint64_t cpu_ns = p->began_cpu_ns;

	if (is_away(p) == on)
		pause_probe(p, !on);
	if (is_away(p) == p->watch.away)
		return;
	proc__cpu_ns(t->deps->proc, p->tr->tgid, &cpu_ns);
	if (is_away(p)) {
		pool_watch__goes(&p->watch, process_pools__hits(t, p), own_s(p, cpu_ns));
	} else {
		pool_watch__comes(&p->watch, process_pools__hits(t, p), own_s(p, cpu_ns));
		p->back_ns = clock_now_ns();
	}
}

/* Whether it has turns, or may have to have them soon. */
static bool is_watched(const struct pool_turns *t, const struct process_pools *p)
{
	const struct hook_turns *turns = turns_of(t, p);

	return t->share > 0 && p->tr->links &&
	       (p->look_ns != UINT64_MAX || turns->share < 1 || turns->resting || hook_turns__next_ns(turns) != UINT64_MAX ||
		p->watch.away || is_away(p));
}

void process_pools__upkeep(struct pool_turns *t, struct process_pools *p, uint64_t now_ns)
{
	struct hook_turns *turns = is_shared(p) ? &t->shared : &p->watch.turns;
	bool on;

	if (!is_watched(t, p))
		return;
	if (now_ns >= p->look_ns) {
		p->look_ns = now_ns + (uint64_t)(LOOK_NS * t->crowd);
		if (pool_watch__is_spent(&p->watch, process_pools__hits(t, p))) {
			hook_turns__rest(turns, now_ns);
			p->look_ns = UINT64_MAX;
		}
	}
	on = hook_turns__update(turns, now_ns);
	if (on == p->watch.away || on == is_away(p))
		switch_probe(t, p, on);
}

uint64_t process_pools__next_ns(const struct pool_turns *t, const struct process_pools *p)
{
	uint64_t turn_ns, look_ns = p->watch.away ? UINT64_MAX : p->look_ns;

	if (!is_watched(t, p))
		return UINT64_MAX;
	turn_ns = hook_turns__next_ns(turns_of(t, p));
	return turn_ns < look_ns ? turn_ns : look_ns;
}

uint64_t process_pools__pay(const struct pool_turns *t, struct process_pools *p)
{
	uint64_t hits = process_pools__hits(t, p), ns = hits > p->paid ? (hits - p->paid) * hit_ns(t, p) : 0;

	p->paid += hits > p->paid ? hits - p->paid : 0;
	p->tr->windows_ns += ns;
	return ns;
}

static double stretch(const struct pool_turns *t)
{
	return POOL_WATCH_STRETCH * fmin(t->crowd, MAX_STRETCH);
}

uint64_t process_pools__step(struct pool_turns *t, struct process_pools *p)
{
	uint64_t ns = process_pools__pay(t, p), hits = p->paid;
	double cpu_s = (double)(p->tr->cpu_ns - p->began_cpu_ns) / 1e9;

	pool_watch__step(&p->watch, hits, own_s(p, p->tr->cpu_ns), cpu_s, t->share, hit_ns(t, p) / 1e9);
	p->watch.turns.stretch = stretch(t);
	p->look_ns = UINT64_MAX;
	if (is_shared(p) && p->watch.turns.share < t->least)
		t->least = p->watch.turns.share;
	return ns;
}

void pool_turns__stepped(struct pool_turns *t, double crowd)
{
	t->crowd = crowd;
	t->shared.stretch = stretch(t);
	hook_turns__set_share(&t->shared, t->least);
	t->least = 1;
}
