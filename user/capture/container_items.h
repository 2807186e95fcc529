/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The profile's item of a container, found or made from a cgroup, and kept up to what the cgroup says of its memory.
 * The profile owns the items; nothing is kept here. Only the tracker's files include this.
 */
#ifndef CAPTURE_CONTAINER_ITEMS_H
#define CAPTURE_CONTAINER_ITEMS_H

#include "capture/tracker.h"

/* Index of the container a process is in; cgroup_id: as the kernel side told, 0 where it did not. PROFILE_NONE: gone. */
uint32_t container_items__of_process(const struct tracker_deps *deps, pid_t tgid, uint64_t cgroup_id);
/* Limit, usage, peak and OOM kills as they are now. A cgroup that is gone keeps what it had. */
void container_items__refresh(const struct tracker_deps *deps, uint32_t container);
/* Usage alone, which is cheap; where most of it is gone, as after an OOM kill, all. */
void container_items__refresh_usage(const struct tracker_deps *deps, uint32_t container);

#endif
