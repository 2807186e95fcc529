/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Closes file descriptors behind one's back. Closing a probe waits for the kernel (RCU, some 40 ms each on 6.18), but many
 * at once wait together: 40 links take 1.7 s one after the other and 0.08 s with a thread each.
 */
#ifndef BASE_CLOSER_H
#define BASE_CLOSER_H

#include <stdbool.h>
#include <stdint.h>

struct closer;

int closer__new(struct closer **ret);
/* Waits until all is closed. Takes NULL. */
void closer__free(struct closer *c);
/* Takes the descriptor over and returns at once (but for lack of memory or threads: then it closes here and now). */
void closer__close(struct closer *c, int fd);
/* The same on a processor (base/cpu_visit.h), -1: on any, and not before a time (clock.h), 0: at once. */
void closer__close_on(struct closer *c, int fd, int cpu, uint64_t at_ns);
/* Something is not closed yet. */
bool closer__is_busy(struct closer *c);
/* Until all is closed. */
void closer__wait(struct closer *c);

#endif
