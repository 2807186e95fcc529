/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One traced process, and the table of them by the number that the kernel side knows them by. Only the tracker's files
 * include this.
 */
#ifndef CAPTURE_TRACED_H
#define CAPTURE_TRACED_H

#include <stdbool.h>
#include <uthash.h>

#include "capture/code_cache.h"
#include "capture/pagemap.h"
#include "capture/session.h"
#include "python/interp.h"

struct traced {
	uint32_t proc_id; /* key */
	pid_t tgid;
	uint32_t process; /* index in the profile */
	uint64_t cgroup_id;
	bool python;
	bool ended; /* no more events come */
	bool unsettled; /* ended, but what was counted for it is not read yet */
	bool replaced; /* ended by exec */
	struct interp *interp; /* owned; NULL: not Python (yet) */
	uint32_t interp_slot;
	struct code_cache *codes; /* shared by a family of forks */
	struct session_links *links; /* owned */
	struct session_links *entry; /* owned; of a held command */
	bool held; /* was stopped by us: to be let go */
	struct pagemap *pagemap; /* during a sweep */
	uint64_t cpu_ticks_first, cpu_ticks_last;
	/* A new program image may not have mapped its interpreter yet: when to look again, and how often we did. */
	uint64_t retry_at_ns;
	unsigned int retries;
	UT_hash_handle hh;
};

/* What a stack id stands for. */
struct known_stack {
	uint64_t stack_id; /* key */
	uint32_t node;
	uint32_t process; /* index in the profile */
	uint32_t tid;
	UT_hash_handle hh;
};

#endif
