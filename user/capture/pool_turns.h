/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The probes that count pools (bpf/heap.bpf.c), by process: when each is there (pool_watch.h), and what it costs. Processes that
 * share links (attach.h) have the turns of the one that may have the least. Only the tracker's files include this.
 */
#ifndef CAPTURE_POOL_TURNS_H
#define CAPTURE_POOL_TURNS_H

#include "capture/pool_watch.h"
#include "capture/traced.h"
#include "capture/tracker.h"
#include "model/heap_plan.h"

struct pool_turns {
	const struct tracker_deps *deps;
	double share; /* of a process's CPU time; 0: no limit, no turns */
	struct hook_turns shared;
	double least; /* share of those that share links, in this step */
	double crowd; /* of processes that run (traced_table__crowd), as of the last step */
};

/* Of one process. */
struct process_pools {
	struct traced *tr;
	const struct heap_plan *plan; /* of its windows: what they have spent is not its own time */
	uint64_t began_cpu_ns;
	struct pool_watch watch;
	uint64_t paid; /* hits */
	uint64_t look_ns; /* when to look what they cost; UINT64_MAX: at the next step */
	uint64_t back_ns; /* since then they are counted, but for when they are away */
};

/* deps outlive it, its session may be set later. budget: as of the whole. */
void pool_turns__begin(struct pool_turns *t, const struct tracker_deps *deps, double budget);
/* Its pools are counted from now on. tr and plan outlive p. */
void pool_turns__add(const struct pool_turns *t, struct process_pools *p, struct traced *tr, const struct heap_plan *plan,
		     uint64_t began_cpu_ns);

uint64_t process_pools__hits(const struct pool_turns *t, const struct process_pools *p);
/* With how many hits there will have been so many more pools, in mean. */
uint64_t process_pools__goal(const struct pool_turns *t, const struct process_pools *p, uint64_t hits, double more);
/*
 * Pools a second lately; < 0: not known, for they are not counted now, or were not then. With those of a request that was told at_ns:
 * when it was made.
 */
double process_pools__lately(const struct pool_turns *t, const struct process_pools *p, uint64_t now_ns);
double process_pools__lately_asked(const struct process_pools *p, uint64_t at_ns, uint64_t lately);
/* It has told that pools are taken into use: one looks soon what that costs. */
void process_pools__many(const struct pool_turns *t, struct process_pools *p);
/* A window needs the probe: there is one, as long as it is open; what is counted then is no part of its turn. */
void process_pools__lend(struct process_pools *p, bool there);
/* To be called often, and at process_pools__next_ns at the latest, while no window is open. */
void process_pools__upkeep(struct pool_turns *t, struct process_pools *p, uint64_t now_ns);
uint64_t process_pools__next_ns(const struct pool_turns *t, const struct process_pools *p);
/* About once a second, after tr's CPU time was refreshed: what they cost since (also added to tr's windows_ns), ns. */
uint64_t process_pools__step(struct pool_turns *t, struct process_pools *p);
/* What was not paid for yet, likewise: of one that has ended. */
uint64_t process_pools__pay(const struct pool_turns *t, struct process_pools *p);
/* After the steps of all. crowd: as it is now. */
void pool_turns__stepped(struct pool_turns *t, double crowd);

#endif
