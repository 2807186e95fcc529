/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How many pools a process has taken into use, where the probe that counts them may be there for a part of the time only: some
 * programs fill and empty pools tens of thousands of times a second, a trap each. Pure.
 *
 * The probe has turns at random moments (hook_turns.h), for the share of time that costs what may be spent; its share falls at once
 * and rises slowly. How many pools there were in all is estimated from those that were counted, by the process's own time; while
 * the probe never was away that is their number. Where it is there all the time and they become many all at once, it goes when what
 * it may spend until the next step is spent; a turn is never cut short for what was counted in it, or those with many pools would
 * count less.
 */
#ifndef CAPTURE_POOL_WATCH_H
#define CAPTURE_POOL_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/hook_turns.h"

/* What the probe may cost before anything was earned, and in a second in any case. */
#define POOL_WATCH_BURST_S 0.002
#define POOL_WATCH_LEAST_SHARE 0.02

/* Each turn takes us some CPU time and 10 ms of waiting for the kernel: they are so many times as long as of other hooks. */
#define POOL_WATCH_STRETCH 4

struct pool_watch {
	struct hook_turns turns;
	bool away;
	uint64_t passed; /* hits while it was there for others only */
	uint64_t left_at; /* hits when it went */
	double on_s, since_s; /* own time that it was there; since then it is there */
	/* Since the last step. */
	uint64_t step_hits;
	double step_on_s, step_cpu_s;
	double hits_lately, on_lately_s;
	uint64_t limit_hits; /* there it goes until the next step; UINT64_MAX: never */
};

/*
 * It is there from now on. share: of the process's CPU time that it may cost, 0: no limit; hit_s: what one hit costs; burst_s: what
 * it may cost until the first step.
 */
void pool_watch__begin(struct pool_watch *w, uint64_t now_ns, double share, double hit_s, double burst_s);
/* hits: all that the probe had. now_s: the process's own time. */
void pool_watch__goes(struct pool_watch *w, uint64_t hits, double now_s);
void pool_watch__comes(struct pool_watch *w, uint64_t hits, double now_s);
/* How many pools were taken into use in all. */
double pool_watch__all(const struct pool_watch *w, uint64_t hits, double now_s);
/* About once a second. cpu_s: CPU time of the process. */
void pool_watch__step(struct pool_watch *w, uint64_t hits, double now_s, double cpu_s, double share, double hit_s);
/* Whether it may have to go before the next step: not where it has turns. */
bool pool_watch__may_be_spent(const struct pool_watch *w);
bool pool_watch__is_spent(const struct pool_watch *w, uint64_t hits);

#endif
