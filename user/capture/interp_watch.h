/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Keeps in the profile what the interpreters of traced processes say of themselves: their collectors (python/gc_state.h) and
 * allocators (python/allocators.h), and what the signals see of them (python/coverage.h). It is read from their memory, without
 * a probe: some 20 us a second for a process that runs. What collectors did while nobody watched is told, too. Only the
 * tracker's files include this.
 */
#ifndef CAPTURE_INTERP_WATCH_H
#define CAPTURE_INTERP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/gc_ledger.h"
#include "model/profile.h"
#include "python/coverage.h"
#include "system/proc.h"

/* What is known of an interpreter's file, once for all who run it. */
struct interp_file_facts {
	uint32_t signals; /* bit per enum signal: those with a coverage */
	struct coverage coverage[SIGNAL_MAX];
	bool knows_gc_callers; /* gc.collect() and PyGC_Collect() are probed */
	bool has_allocators;
	struct allocator_file allocators;
};

/* Of one process. All zero: nothing is known. A forked child begins with what its parent knew. */
struct interp_watch {
	const struct interp_file_facts *file; /* outlives the process; NULL: not known */
	uint64_t seen_cpu_ns; /* CPU time it had used at the last look: one that did not run has not changed */
	/* The list of frozen objects as it was when they were counted. */
	uint64_t frozen_first, frozen_last;
	int64_t frozen_plus_1; /* 0: not counted */
	uint64_t count_again_ns;
	struct gc_ledger collections;
	uint64_t off_then_ns, then_ns; /* how long nobody had watched the collector at the last mark, or estimate */
	struct allocator_words words;
	bool knows_words;
};

struct traced;
struct traced_table;

/* Takes up a process whose interpreter is known and whose probes are attached. file may be NULL. */
void interp_watch__begin(struct traced *tr, const struct interp_file_facts *file, const struct proc *proc, struct profile *p);
/* A record told of a collection. */
void interp_watch__collected(struct traced *tr, const struct profile_gc *gc);
/* Its end was told, when all records of it were read: what nobody counted any more is estimated. */
void interp_watch__ended(struct traced *tr, uint64_t time_ns, struct profile *p);
/*
 * To be called every second, after records were read: looks at all processes that ran. Frozen objects are counted when their
 * list has changed, which costs 0.1 us each; for 0.1 s a call (and the list that was begun then), a thousandth of the time for
 * each process. last: looks at all, and counts for 1 s. What was seen until the look before is told.
 */
void interp_watch__refresh(const struct traced_table *table, const struct proc *proc, struct profile *p, bool last);

#endif
