/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which processes' large blocks (include/large.h) are followed, and for how long: all that fit, as long as the budget
 * allows.
 *
 * Following costs a process a trap at each malloc and free, however small. One that allocates too hotly is paused
 * when what it paid is more than the budget's share of its CPU time and a burst. From then on it is followed in short windows at
 * random times, and what its lines hold is an estimate with an error (large_sampling.h), blocks of before included. Where its malloc
 * is not glibc's, it goes on when it has earned another while; blocks that lived when it was paused may be freed unseen then: they
 * leave their lines for "[not followed any more]". The share of time in which it was followed is noted. Only the
 * tracker's files include this.
 */
#ifndef CAPTURE_LARGE_BLOCKS_H
#define CAPTURE_LARGE_BLOCKS_H

#include "capture/accounts.h"
#include "capture/traced.h"
#include "capture/tracker.h"

struct large_blocks;
struct malloc_finder;
struct mapping_finder;

/*
 * deps (whose session may be set later), finder, mapping_files, accounts and names outlive *ret. budget 0.01: 1 % of each process's CPU time; 0: no
 * limit.
 */
int large_blocks__new(const struct tracker_deps *deps, struct malloc_finder *finder, struct mapping_finder *mapping_files,
		      struct accounts *accounts, struct stack_names *names, double budget, struct large_blocks **ret);
void large_blocks__free(struct large_blocks *l);

/*
 * Follows a process from now on, whose interpreter is known; a program that has just begun, once its C library is
 * mapped. What stands in the way is noted in the profile.
 */
void large_blocks__follow(struct large_blocks *l, struct traced *tr);
/* Whether its malloc was found. */
bool large_blocks__follows(const struct large_blocks *l, const struct traced *tr);
/* Its libraries are mapped now. */
void large_blocks__look_again(struct large_blocks *l, const struct traced *tr);
/* It has ended: what it paid to its end is charged. */
void large_blocks__forget(struct large_blocks *l, const struct traced *tr);
/*
 * To be called often: charges what was paid (traced.large_ns), pauses who costs too much, looks again where no malloc
 * was found yet.
 */
void large_blocks__upkeep(struct large_blocks *l);
/* How long may pass until then: at most max_ms. */
int large_blocks__patience_ms(const struct large_blocks *l, int max_ms);
/*
 * To be called every second, after counts were read: settles who was paused, goes on where there is room and budget, tells the
 * profile what is estimated; last: at the end.
 */
void large_blocks__refresh(struct large_blocks *l, bool last);

struct large_blocks_sums large_blocks__sums(const struct large_blocks *l);

#endif
