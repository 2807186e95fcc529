/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Watches processes ask their kernel for memory of their own, and give it back (bpf/mapping.bpf.c), so that each arena and mapping has
 * a line (model/address_space.h): probes behind six system calls in the C library of one process. What is there is read from
 * /proc/PID/maps when watching begins, after each time that it was away, and at the end; what no probe saw being mapped (by the dynamic
 * linker, or by a system call that somebody makes by himself) is told apart. So rows add up to what the kernel counts. Only the
 * tracker's files include this.
 */
#ifndef CAPTURE_MAP_WATCH_H
#define CAPTURE_MAP_WATCH_H

#include "capture/stack_names.h"
#include "capture/traced.h"
#include "capture/tracker.h"

struct map_watch;
struct map_finder;

/* Processes watched at a time: each takes a link, which is slow to attach. */
#define MAX_MAP_WATCHES 64

/* All outlive *ret; the session of deps may be set later. budget: share of CPU time, as in governor.h. -ENOMEM. */
int map_watch__new(const struct tracker_deps *deps, struct map_finder *finder, struct stack_names *names, double budget,
		   struct map_watch **ret);
void map_watch__free(struct map_watch *w);
/* Its interpreter is known. Nothing, where it is watched already, or cannot be (yet: its C library is not mapped). */
void map_watch__begin(struct map_watch *w, struct traced *tr);
void map_watch__event(struct map_watch *w, struct traced *tr, const struct rec_mapping *rec);
/*
 * Every second or so, after budget__step: takes in those that could not be before, and workers that have worked for a while; takes
 * the probes away from who maps so often that this alone takes more than its part of the budget, and puts them back.
 */
void map_watch__refresh(struct map_watch *w, struct traced_table *table);
/* At the end of a recording. */
void map_watch__settle(struct map_watch *w, struct traced_table *table);
/* It has ended. */
void map_watch__end(struct map_watch *w, struct traced *tr);
/* Calls that were seen, but could not be kept (address_space.h). */
uint64_t map_watch__lost(const struct map_watch *w);

#endif
