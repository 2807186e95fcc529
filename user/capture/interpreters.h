/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Interpreters of traced processes: finds them, tells the kernel side how to walk their stacks, and attaches the probes of
 * the session's signals; probe sites are found once a file. Only the tracker's files include this.
 */
#ifndef CAPTURE_INTERPRETERS_H
#define CAPTURE_INTERPRETERS_H

#include "capture/heap.h"
#include "capture/traced.h"
#include "capture/tracker.h"

struct interpreters;
struct large_blocks;
struct move_watch;
struct mapping_watch;
struct budget;

/* deps, budget, heap, large, moves and mappings (NULL: no such signal) outlive *ret; the session may be set later. -ENOMEM. */
int interpreters__new(uint32_t signals, const struct tracker_deps *deps, struct budget *budget, struct heap *heap,
		      struct large_blocks *large, struct move_watch *moves, struct mapping_watch *mappings, struct interpreters **ret);
void interpreters__free(struct interpreters *i);

/* As interp_cache__look. */
int interpreters__look(struct interpreters *i, pid_t tgid, struct interp *ret, const char **why);
/*
 * Makes a traced process Python once its interpreter is known. Probes that cannot be attached are a note in the profile;
 * 0, -ENOMEM, -ENOSPC (too many kinds of interpreters), as interpreters__attach, or what the kernel said.
 */
int interpreters__adopt(struct interpreters *i, struct traced_table *table, struct traced *tr, const struct interp *in);
/* A forked child runs its parent's interpreter; the kernel side knows. interpreters__attach comes later. 0, -ENOMEM. */
int interpreters__inherit(struct interpreters *i, struct traced_table *table, struct traced *tr,
			  const struct traced *parent);
/*
 * 0, also where the budget has it wait (tr->waits: to be called again a second later); -ENOENT: it, or the parent it was forked from, has ended, or has its interpreter elsewhere by now,
 * as programs that have just begun do while they are loaded: it is to be looked at and adopted again.
 */
int interpreters__attach(struct interpreters *i, struct traced *tr);

#endif
