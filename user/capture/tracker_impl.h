/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the tracker's own files share. Only tracker*.c include this.
 *
 * tracker.c: life, scope, what is done from time to time. tracker_processes.c: processes, from when they are taken in
 * until they are settled. tracker_events.c: what the session hands out.
 */
#ifndef CAPTURE_TRACKER_IMPL_H
#define CAPTURE_TRACKER_IMPL_H

#include "capture/accounts.h"
#include "capture/arrivals.h"
#include "capture/budget.h"
#include "capture/heap.h"
#include "capture/held_command.h"
#include "capture/interpreters.h"
#include "capture/large_blocks.h"
#include "capture/mapping_watch.h"
#include "capture/move_watch.h"
#include "capture/native_frames.h"
#include "capture/page_sweep.h"
#include "capture/process_items.h"
#include "capture/stack_names.h"
#include "capture/traced.h"
#include "capture/tracker.h"

struct tracker {
	struct scope scope;
	uint32_t signals;
	struct tracker_deps deps;
	struct traced_table table;
	struct interpreters *interpreters;
	struct native_frames *native;
	struct stack_names *names;
	struct accounts *accounts;
	struct page_sweep *sweep;
	struct heap *heap; /* NULL: not asked for, or the exact signal serves it */
	struct malloc_finder *malloc_files;
	struct mapping_finder *mapping_files;
	struct large_blocks *large; /* NULL: not asked for */
	struct move_watch *moves; /* NULL: not asked for */
	struct mapping_watch *mappings; /* likewise */
	struct budget *budget;
	struct held_command held;
	uint32_t next_proc_id;
	struct process_items *items;
	struct arrivals arrivals;
	struct traced *kept; /* Python processes that have ended, the last of their time: what they held is still told */
	uint32_t seconds;
	uint64_t settled_ns; /* when ended processes were settled last */
	uint32_t settled_cnt; /* since code objects were forgotten last */
	uint64_t missed, unattached;
	char why[512];
};

/* How a process came to be traced. */
enum origin {
	FOUND, /* it was there */
	STARTED, /* it has just become this program */
	FORKED,
};

/* Begins to trace a process, of which the kernel side is not told yet. NULL: no memory. */
struct traced *tracker_impl__new_traced(struct tracker *t, pid_t tgid, uint32_t proc_id, enum origin origin,
					uint64_t cgroup_id);
/* No more events come. exec: it goes on as another program. */
void tracker_impl__end(struct tracker *t, struct traced *tr, bool exec);
/* Takes in a process of the scope, which, started, may not have its interpreter yet. 0: taken in, or nothing to do. */
int tracker_impl__take_in(struct tracker *t, pid_t tgid, bool started);
/* Looks again for the interpreter of a program that had not mapped it. */
void tracker_impl__look_again(struct tracker *t, struct traced *tr);
/* The same of all whose time it is, for a while. */
void tracker_impl__retry_interps(struct tracker *t);
/* To those to which nothing was advanced at their start, and that have lived for a while. */
void tracker_impl__attach_waiting(struct tracker *t);
/* Its turn will come (arrivals.h). */
void tracker_impl__arrive(struct tracker *t, const struct arrival *a);
/* Those whose turn it is, for a while: others wait until the next records were read. */
void tracker_impl__take_in_arrivals(struct tracker *t);
/* Takes in what a process has become by its exec. */
void tracker_impl__look_at_program(struct tracker *t, const struct arrival *a);
/*
 * Closes the accounts of processes that have ended, after what they did to their last breath was read. What they held
 * is taken away, but for the last Python process of all: what a program held when it ended, or was killed, is what one
 * wants to see of it, until the next one is there. Does so only every few seconds, but for now.
 */
void tracker_impl__settle_ended(struct tracker *t, bool now);

bool tracker_impl__in_scope(struct tracker *t, pid_t tgid);

#endif
