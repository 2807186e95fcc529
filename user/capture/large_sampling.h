/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One process whose blocks over 512 bytes are too many to follow them all the time: when to follow them for a while
 * (model/large_plan.h), and what the profile is told of them (large_samples.h). Whoever has it (large_blocks.c) attaches and detaches
 * as it says. Only the tracker's files include this.
 */
#ifndef CAPTURE_LARGE_SAMPLING_H
#define CAPTURE_LARGE_SAMPLING_H

#include "capture/large_samples.h"
#include "capture/traced.h"
#include "capture/tracker.h"

struct large_sampling;

struct large_sampling_opts {
	const struct tracker_deps *deps;
	struct stack_names *names;
	const struct traced *tr; /* its cpu_ns, large_ns, windows_ns are kept up to date */
	struct mapping_finder *mapping_files; /* outlives it */
	double share; /* of its CPU time */
	uint64_t begin_ns, begin_cpu_ns; /* since when it is followed; its CPU time then */
	double cost_rate; /* what following has cost lately, of its CPU time */
	uint64_t advance_ns; /* what following, and the first windows, may cost before that is earned */
};

/* followed: what was followed until now, as the profile knows. -ENODATA, -EILSEQ: cannot be done with this heap; -ESRCH, -EPERM, -ENOMEM. */
int large_sampling__new(const struct large_sampling_opts *opts, const struct large_seen *followed, size_t n,
			struct large_sampling **ret);
void large_sampling__free(struct large_sampling *s);

enum large_step {
	LARGE_STEP_NONE,
	LARGE_STEP_OPEN, /* to be followed now: large_sampling__opened, or __missed */
	LARGE_STEP_HALF, /* now frees only */
	LARGE_STEP_CLOSE, /* not any more; large_sampling__add once its blocks are swept */
};
/* What is to be done now; to be called again at s->next_ns at the latest. tr's costs are as of now. */
enum large_step large_sampling__step(struct large_sampling *s, uint64_t now);
uint64_t large_sampling__next_ns(const struct large_sampling *s);
/* From now on blocks are seen. */
void large_sampling__opened(struct large_sampling *s);
/* There was no room for it, or nothing could be attached. */
void large_sampling__missed(struct large_sampling *s);
/* It ends before its time. */
void large_sampling__cut(struct large_sampling *s);
/*
 * A reading is due while a window's blocks are told one by one; it would tell them again. It waits until they are settled.
 * True: for too long (the process sleeps): the window is to be closed, and goes on afterwards.
 */
bool large_sampling__owe(struct large_sampling *s, uint64_t now);
/* What the window left; reads, if that was owed. */
void large_sampling__add(struct large_sampling *s, const struct large_seen *blocks, size_t n);
/*
 * Estimates, and tells the profile; no window's blocks are told one by one. What that took us counts, so that it is not done too
 * often, but for the last time.
 */
void large_sampling__tell(struct large_sampling *s, uint64_t now, bool last);

#endif
