/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which of the sites of a process's windows (heap.h) are often hit: a few of some hundred. Breakpoints there cost the process
 * most while a window is being opened and closed, so they are the last to come and the first to go (attach.h).
 */
#ifndef CAPTURE_WINDOW_SITES_H
#define CAPTURE_WINDOW_SITES_H

#include <stdbool.h>
#include <stddef.h>

#include "python/sites.h"
#include "records.h"
#include "system/proc.h"

struct window_sites;

/* site outlives *ret. -ENOMEM. */
int window_sites__new(const struct probe_site *site, size_t n, struct window_sites **ret);
void window_sites__free(struct window_sites *s);
/* What a window of the process saw. */
void window_sites__note(struct window_sites *s, const struct proc *p, pid_t tgid, const struct window_state *w);
/* By site. */
const bool *window_sites__often(const struct window_sites *s);

#endif
