/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Keeps what the collectors of traced processes say of themselves (python/gc_state.h) in the profile. It is read from their
 * memory, without a probe: some 10 us a process that ran since the last look. Only the tracker's files include this.
 */
#ifndef CAPTURE_INTERP_WATCH_H
#define CAPTURE_INTERP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

/* Of one process. All zero: nothing is known. A forked child begins with what its parent knew. */
struct interp_watch {
	uint64_t seen_cpu_ns; /* CPU time it had used at the last look: one that did not run has not changed */
	/* The list of frozen objects as it was when they were counted. */
	uint64_t frozen_first, frozen_last;
	int64_t frozen_plus_1; /* 0: not counted */
	uint64_t count_again_ns;
};

struct traced;
struct traced_table;

/* Looks at a process whose interpreter is known; its frozen objects are counted later. */
void interp_watch__begin(struct traced *tr, struct profile *p);
/*
 * To be called every second: looks at all processes that ran. Frozen objects are counted when their list has changed, which
 * costs 0.1 us each; for 0.1 s a call (and the list that was begun then), a thousandth of the time for each process. last:
 * looks at all, and counts for 1 s.
 */
void interp_watch__refresh(const struct traced_table *table, struct profile *p, bool last);

#endif
