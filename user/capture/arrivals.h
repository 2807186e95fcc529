/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Processes that were forked or have just become another program, until it is their turn to be looked at and attached to,
 * which takes up to some 10 ms each. They wait so that a storm of them does not keep everything else waiting; most that come
 * in storms have ended before their turn. First in, first out. Only the tracker's files include this.
 */
#ifndef CAPTURE_ARRIVALS_H
#define CAPTURE_ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct arrival {
	uint32_t proc_id; /* forked, and traced already; 0: a new program */
	pid_t tgid;
	uint64_t time_ns; /* when it became the program */
	/* Of a new program: what the one before it had used. */
	uint64_t cpu_ns, faults;
};

#define MAX_ARRIVALS 8192

/* All zero is an empty one. */
struct arrivals {
	struct arrival *at; /* a ring */
	uint32_t first, n;
};

void arrivals__free(struct arrivals *a);
/* -ENOSPC: too many wait; -ENOMEM. */
int arrivals__add(struct arrivals *a, const struct arrival *arrival);
/* False: nobody waits. */
bool arrivals__take(struct arrivals *a, struct arrival *ret);

#endif
