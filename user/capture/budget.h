/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What tracing costs each process, and what it may cost: reads what the kernel side counted, asks each process's governor,
 * sets what the kernel side may spend, and takes the hook on page faults and the probes on collectors (gc_turns.h) away for a
 * part of the time where they must be.
 *
 * Processes are governed apart. What programs may spend before they have earned it, those that start in one container share
 * (advance.h): where it is spent, their probes wait until they have lived for a second, and they begin without.
 *
 * What has just begun is not known yet: of one container all such processes are taken as one
 * (its nursery), and what they cost until they were looked at once, or ended, decides what the next ones begin with. So a
 * service that forks a worker for each request pays what its budget says, although no worker lives for a second. Page faults of those
 * may have half of it; what they leave is for the probes of some of them. Where few start, each is looked at early, and governed by itself
 * from then on (early_steps.h).
 *
 * The hook on page faults is one for the host. Where a process has so many faults that the hook alone is more than it may
 * cost, it is off for a part of the time, for all. Those times are short and begin at random. Only the tracker's files
 * include this.
 */
#ifndef CAPTURE_BUDGET_H
#define CAPTURE_BUDGET_H

#include "capture/traced.h"
#include "capture/tracker.h"

struct budget;

/* share: 0.01 for 1 %; 0: no limit. deps, whose session may be set later, and table outlive *ret. -ENOMEM. */
int budget__new(const struct tracker_deps *deps, struct traced_table *table, double share, struct budget **ret);
void budget__free(struct budget *b);

/* What a process begins with; before the kernel side is told of it. newborn: it has just been started. */
void budget__begin(struct budget *b, struct traced *tr, bool newborn);
/* It was begun by an exec: it goes on from what the program before it had used. */
void budget__go_on(struct traced *tr, uint64_t cpu_ns, uint64_t faults);
/* Whether its probes may be attached by now. If not, ask again in a second. */
bool budget__may_attach(struct budget *b, struct traced *tr);
/* Its sums as they stand at its end. */
void budget__ended(struct budget *b, struct traced *tr, const struct rec_proc *rec);
/* Nothing more is told of it: brings back what is left of its advance. Further calls do nothing. */
void budget__settle(struct budget *b, struct traced *tr);

/* What the exact signal cost since it was asked last, to the processes that had its events. Each step does it, too. */
void budget__share_out_exact(struct budget *b);
/*
 * Takes the hook away for good: what the kernel side knows of the last fault of each process stays as it is. Whether the hook
 * was on until now.
 */
bool budget__end(struct budget *b);

/* Once a second: what each process was doing, and what it may cost until the next time. */
void budget__step(struct budget *b);
/* As gc_turns__collected. */
bool budget__collected(struct budget *b, struct traced *tr, uint64_t begin_ns, uint64_t end_ns);
/*
 * Takes the hook, and probes on collectors, away or puts them back when it is time to; also after each step. True: the hook was
 * taken away just now.
 */
bool budget__upkeep(struct budget *b);
/* CLOCK_MONOTONIC of the next time; UINT64_MAX: none. */
uint64_t budget__next_ns(const struct budget *b);
/* Over all processes. */
struct profile_cost budget__sums(const struct budget *b);
struct gc_activity budget__gc_activity(const struct budget *b);
/* Share of the time that the hook on page faults was on since the begin; 1 where there is none. */
double budget__hook_share(const struct budget *b);

#endif
