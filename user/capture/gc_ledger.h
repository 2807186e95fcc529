/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Counts the collections of one process that nobody watched: those that the interpreter counted (python/gc_state.h) less
 * those that records told of. Their number and what they collected is exact, by generation; how long they took is
 * estimated: as long as those of their generation that were watched at the same time. Pure.
 *
 * A mark is what the interpreter had counted at a moment. Records come later than that: a mark is settled once all of those
 * that ended before it were read. What is behind the last mark, when a process ends, and all of a process whose
 * interpreter cannot be asked, is estimated too, from how many there were in as much time.
 */
#ifndef CAPTURE_GC_LEDGER_H
#define CAPTURE_GC_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

struct gc_sums {
	int64_t cnt, collected, uncollectable;
	uint64_t pause_ns; /* of those that records told of */
};

struct gc_ledger {
	struct gc_sums first[PROFILE_GENERATIONS], last[PROFILE_GENERATIONS]; /* as the interpreter counted at the marks */
	struct gc_sums seen[PROFILE_GENERATIONS], later[PROFILE_GENERATIONS]; /* told by records, until the last mark and after it */
	struct gc_sums told[PROFILE_GENERATIONS]; /* not watched, as handed out */
	struct gc_sums settled[PROFILE_GENERATIONS]; /* seen, as of the last settlement */
	double per_ns[PROFILE_GENERATIONS]; /* collections, in the time that was settled last */
	uint64_t first_ns, mark_ns, settled_ns; /* times of marks, of the last settled one; 0: none */
};

/* A collection that was watched. */
void gc_ledger__saw(struct gc_ledger *l, const struct profile_gc *gc);
/* What the interpreter has counted; of it, records tell what ended until now_ns. The mark before is settled. */
void gc_ledger__mark(struct gc_ledger *l, uint64_t now_ns, const struct gc_sums counted[PROFILE_GENERATIONS]);
/*
 * To be called when all records until the mark were read, once or more: fills in generation, cnt, collected, uncollectable
 * and pause_ns of collections that were not watched; returns of how many generations.
 */
int gc_ledger__settle(struct gc_ledger *l, struct profile_gc ret[PROFILE_GENERATIONS]);
/*
 * After the last mark was settled and all records were read: estimates what happened since, in off_ns in which nobody watched, of
 * passed_ns in all; by what was counted in the time settled last, or by what records told. collected and uncollectable are -1.
 */
int gc_ledger__estimate(struct gc_ledger *l, uint64_t off_ns, uint64_t passed_ns, struct profile_gc ret[PROFILE_GENERATIONS]);

/* Collections since the first mark until the last: watched, and all. 0 and 0: not known. */
void gc_ledger__watched(const struct gc_ledger *l, uint64_t *ret_watched, uint64_t *ret_all);

#endif
