/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a report says beside its table: notes, costs, losses, growth. Of collectors: gc_facts.h, collector_facts.h. */
#ifndef VIEWS_FACTS_H
#define VIEWS_FACTS_H

#include "views/rows.h"
#include "views/select.h"

struct facts_note {
	const char *text; /* of the profile */
	uint32_t processes;
};
/* Notes of the selection's processes, each once, the most frequent first. The caller frees *ret. 0
 * or -ENOMEM. */
int facts__notes(const struct selection *s, struct facts_note **ret, size_t *ret_cnt);

struct facts_nobody {
	uint64_t before_bytes; /* there before tracing began, in the view */
	uint64_t given_back_bytes; /* taken away from no line */
	uint64_t not_watched_bytes; /* gained, of one process more than given back, while no line was watched */
	uint64_t not_followed_bytes; /* lived when they were followed last */
};
struct facts_nobody facts__nobody(const struct selection *s);

/* What tracing cost the selection's processes. */
struct facts_cost {
	struct profile_cost sum;
	uint32_t n_processes; /* that used CPU time */
	double budget; /* 0.01: 1 %; 0: none was set; < 0: not known */
	uint64_t advance_ns; /* what a process may cost before it has earned it (capture/advance.h) */
	double hook_share; /* of the time page faults were watched */
	uint32_t dearest; /* the process that tracing took the greatest share of its CPU time of; PROFILE_NONE: cannot be told */
};
struct facts_cost facts__cost(const struct selection *s);
/* Of less CPU time no share is told. */
#define FACTS_LEAST_CPU_NS 20000000ull
/* "1.06 %"; "-" where there was too little CPU time. Returns buf. */
const char *facts__cost_share(const struct profile_cost *c, char *buf, size_t len);

/* What a counter of losses counts, for a person: "... stacks without their frames: ..."; unknown ones as they are. */
const char *facts__loss(const char *counter);
/* What a counter of things merged to bound memory counts; NULL: it is none. */
const char *facts__merge(const char *counter);
/* Whether a counter tells of something lost. */
bool facts__is_loss(const char *counter, uint64_t value);

/* How long the recording is; 0: not known. */
uint64_t facts__duration_ns(const struct profile *p);
/*
 * When a container that goes on as in the second half of the recording reaches its limit. 0: not known, or never: less
 * than 3 s of history, no growth, an OOM kill in the recording, or most of its memory gone (its processes have ended).
 */
uint64_t facts__time_to_limit_ns(const struct profile *p, uint32_t container);

/* "201.0 MiB of 256.0 MiB (78.5 %)", "201.0 MiB, no limit". Returns buf. */
#define FACTS_USAGE_LEN 96
const char *facts__usage(const struct profile_container *c, char *buf, size_t len);

#endif
