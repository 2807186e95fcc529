/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Native frames beneath Python leaves: answers the kernel side's questions about addresses (include/native.h), and names the
 * frames of stacks. A frame whose name is not certain gets none: stacks say where callers are not known. Only the tracker's
 * files include this.
 */
#ifndef CAPTURE_NATIVE_FRAMES_H
#define CAPTURE_NATIVE_FRAMES_H

#include "capture/traced.h"
#include "capture/tracker.h"

struct native_frames;

/* deps outlives *ret. -ENOMEM. */
int native_frames__new(const struct tracker_deps *deps, struct native_frames **ret);
void native_frames__free(struct native_frames *n);
/* tr NULL: it is not known (any more). */
void native_frames__answer(struct native_frames *n, struct traced *tr, const struct rec_native *rec);
/*
 * Adds a stack's native frames to the profile, below node; as many nodes as tr->nodes_left allows. Returns the node of the leaf:
 * node itself where there are none; or -ENOMEM.
 */
int64_t native_frames__add(struct native_frames *n, struct traced *tr, const struct rec_stack *rec, int64_t node);
/* It has ended: the kernel side need not know of it any more. */
void native_frames__forget(struct native_frames *n, struct traced *tr);
/* What is kept of one process. Takes NULL. */
void native_process__free(struct native_process *p);
/* To be called every second or so: gives back what is not needed now. */
void native_frames__rest(struct native_frames *n);

#endif
