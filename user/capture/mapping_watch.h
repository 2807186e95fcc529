/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Watches processes ask their kernel for memory of their own, and give it back (bpf/mapping.bpf.c), so that each arena and mapping has
 * a line (model/address_space.h): probes behind six system calls in the C library of one process. What is there is read from
 * /proc/PID/maps when watching begins, now and then, after each time that the probes were away, and when recording ends; what no probe saw being
 * mapped (by the dynamic linker, by a system call that somebody makes by himself, while the probes were away) is told apart, and so is what
 * two threads did at once, where the one that was first came last to its probe. So rows add up to what the kernel counts (VmData), of a
 * forked process without what it has at the same place as its parent. A process that shares its parent's memory (vfork) is not seen.
 * Only the tracker's files include this.
 */
#ifndef CAPTURE_MAPPING_WATCH_H
#define CAPTURE_MAPPING_WATCH_H

#include "capture/stack_names.h"
#include "capture/traced.h"
#include "capture/tracker.h"

struct mapping_watch;
struct mapping_finder;

/* Processes watched at a time: each takes a link, which is slow to attach. Those that run go before those that are there. */
#define MAX_MAPPING_WATCHES 64

/* All outlive *ret; the session of deps may be set later. budget: share of CPU time, as in governor.h. -ENOMEM. */
int mapping_watch__new(const struct tracker_deps *deps, struct mapping_finder *finder, struct stack_names *names, double budget,
		   struct mapping_watch **ret);
void mapping_watch__free(struct mapping_watch *w);
/* Its interpreter is known. Nothing, where it is watched already, or cannot be (yet: its C library is not mapped). */
void mapping_watch__begin(struct mapping_watch *w, struct traced *tr);
void mapping_watch__event(struct mapping_watch *w, struct traced *tr, const struct rec_mapping *rec);
/*
 * Every second or so, after budget__step: takes in those that could not be before, and workers that have worked for a while; takes
 * the probes away from who maps so often that this alone takes more than its part of the budget, and puts them back.
 */
void mapping_watch__refresh(struct mapping_watch *w, struct traced_table *table);
/* At the end of a recording. */
void mapping_watch__settle(struct mapping_watch *w, struct traced_table *table);
/* It has ended. */
void mapping_watch__end(struct mapping_watch *w, struct traced *tr);
/* Calls that were seen, but not kept (address_space__apply). */
uint64_t mapping_watch__lost(const struct mapping_watch *w);

#endif
