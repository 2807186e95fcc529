/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Watches processes move memory (mremap, with which realloc grows large blocks), so that pages that are followed go along
 * (bpf/fault.bpf.c): two probes on a function that is seldom called, in the C library of one process. Where that can't be,
 * moved pages are found by their page frames, or not (moved_pages.h). Only the tracker's files include this.
 */
#ifndef CAPTURE_MOVE_WATCH_H
#define CAPTURE_MOVE_WATCH_H

#include "capture/traced.h"
#include "capture/tracker.h"

struct move_watch;
struct mapping_finder;

/* Processes watched at a time: each takes a link, which is slow to attach. */
#define MAX_MOVE_WATCHES 64

/* deps and finder outlive *ret. budget: share of CPU time, as in governor.h. -ENOMEM. */
int move_watch__new(const struct tracker_deps *deps, struct mapping_finder *finder, double budget, struct move_watch **ret);
void move_watch__free(struct move_watch *w);
/* Its interpreter is known. Nothing, where it is watched already, or cannot be. */
void move_watch__begin(struct move_watch *w, struct traced *tr);
/*
 * Every second or so, after budget__step: takes in forked workers, which are not watched from their begin, once they have worked for a
 * while; and leaves for good who moves memory so often that this alone takes the budget and more.
 */
void move_watch__refresh(struct move_watch *w, struct traced_table *table);
/* It has ended. */
void move_watch__end(struct move_watch *w, struct traced *tr);

#endif
