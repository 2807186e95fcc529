/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which item of the profile a process gets. As a rule a new one; but a service that forks a worker for each request must not
 * grow the profile, nor the recording, for ever: where enough processes of the same container and command have ended, the
 * one that ended first gives its item to the next. Its sums stay in it (profile__reuse_process). Beyond a number of items in
 * all, any ended one of the same container gives its place. Only the tracker's files include this.
 */
#ifndef CAPTURE_PROCESS_ITEMS_H
#define CAPTURE_PROCESS_ITEMS_H

#include <stdbool.h>

#include "capture/limits.h"
#include "model/profile.h"

struct process_items;

/* Both outlive *ret. -ENOMEM. */
int process_items__new(struct profile *profile, const struct capture_limits *limits, struct process_items **ret);
void process_items__free(struct process_items *i);

/* The item for a process; *ret_shared: another had it before. -ENOMEM, -EINVAL (as profile__add_process). */
int64_t process_items__take(struct process_items *i, const struct profile_process *p, bool *ret_shared);
/* Whoever had it has ended, and nothing more is counted for it. */
void process_items__give_back(struct process_items *i, uint32_t item);
/* How many processes have got another one's item. */
uint64_t process_items__shared(const struct process_items *i);

#endif
