/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The heap signal: when to look at which process, what was seen, and what it makes of the profile. Only the tracker's files
 * include this.
 *
 * Pools taken into use are counted all the time. Windows, in which every allocation is seen with its stack, are opened at
 * random places of the process's own time (model/heap_plan.h), as often as a budget allows, and measure how long they
 * were. Once in a while the heap is read, and what it holds is put into the profile, by stack (heap_samples.h).
 */
#ifndef CAPTURE_HEAP_H
#define CAPTURE_HEAP_H

#include "capture/stack_names.h"
#include "capture/traced.h"
#include "capture/tracker.h"

struct heap;

/* Sites that see every allocation of small blocks: no frees. Belong to the interpreter's file. */
struct heap_sites {
	const struct probe_site *site;
	size_t n;
};

/* deps, table and names outlive *ret; the session may be set later. budget: share of a process's CPU time; 0: no limit. -ENOMEM. */
int heap__new(const struct tracker_deps *deps, struct traced_table *table, struct stack_names *names, double budget,
	      struct heap **ret);
void heap__free(struct heap *h);

/* A process whose interpreter is known. Pools are counted once its probes are attached: call this before. */
void heap__adopt(struct heap *h, struct traced *tr, const struct heap_sites *sites);
/* It has ended, or runs another program: what it paid until then goes to its windows_ns. To be called before the next. */
void heap__ended(struct heap *h, struct traced *tr);
/* Nothing of it is needed any more. */
void heap__forget(struct heap *h, struct traced *tr);
/* For session_handlers. */
void heap__request(struct heap *h, struct traced *tr, const struct rec_heap *rec);

/* Opens and closes windows; to be called often, and again after heap__patience_ms at the latest. */
void heap__upkeep(struct heap *h);
int heap__patience_ms(const struct heap *h, int max_ms);
/* To be called every second, after CPU times were refreshed: plans windows, and reads heaps whose turn it is; last: all. */
void heap__refresh(struct heap *h, bool last);

void heap__activity(const struct heap *h, struct heap_activity *ret);

#endif
