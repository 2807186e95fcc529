/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * When the probes on the collector are there. A process whose governor lets them be there for a part of the time only has turns
 * of its own (hook_turns.h), and nobody else has less for it; those that share links (attach.h: many processes of one file, or
 * the whole host) have the turns of the one that may have the least. Where collections become many all at once, their probes
 * go when what they may spend is spent, until the next step. What is not watched is counted nevertheless (gc_ledger.h).
 *
 * Switching costs the process hardly anything (a page with code is copied, its address space locked for some us), and us
 * some CPU time, which is measured and counted as if the process paid for it, and 10 ms of waiting for the kernel. So turns are the
 * longer the more processes have them. Switching what many share is our own cost, and turns are as long as keeps it small.
 *
 * Only the tracker's files include this.
 */
#ifndef CAPTURE_GC_TURNS_H
#define CAPTURE_GC_TURNS_H

#include "capture/traced.h"
#include "capture/tracker.h"

struct gc_turns {
	const struct tracker_deps *deps;
	struct traced_table *table;
	struct hook_turns shared; /* of those that share links */
	bool turning; /* some are not there all the time */
	bool asking; /* some had so many collections that one must ask what they spent */
	bool leaving; /* some wait for their probes to be away */
	uint64_t next_ns; /* when somebody's turn begins or ends; 0: not known */
	uint64_t shared_on_ns; /* what it took us to put shared probes back just now */
	bool measured; /* that it ever did */
	struct gc_activity activity;
};

void gc_turns__begin(struct gc_turns *g, const struct tracker_deps *deps, struct traced_table *table);
/* A process that is to be traced; its governor tells its share. */
void gc_turns__add(struct gc_turns *g, struct traced *tr);
/*
 * A collection of the process was told. False: not all probes were there while it ran, so what was told of it may be wrong; it
 * counts as not watched.
 */
bool gc_turns__collected(struct gc_turns *g, struct traced *tr, uint64_t begin_ns, uint64_t end_ns);
/* Brings its watched_ns, and gc_on_ns and gc_all_ns of its use, up to now: to be called before its governor steps. */
void gc_turns__tell(struct traced *tr);
/* After all governors stepped, early: those of young programs alone; from now on probes are there for as long as they say. */
void gc_turns__step(struct gc_turns *g, bool early);
/*
 * At how many runs of our programs for its collector user space must be woken (struct target_state); 0: not at all. Also sets how
 * many of its collections must be told before one asks what they have cost.
 */
uint64_t gc_turns__wake_cnt(const struct gc_turns *g, struct traced *tr);
/* Takes probes away or puts them back, where it is time to. */
void gc_turns__upkeep(struct gc_turns *g);
uint64_t gc_turns__next_ns(const struct gc_turns *g);

#endif
