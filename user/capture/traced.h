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

/* KIND_RESIDENT_ANON, _FILE, _SHMEM are 0, 1, 2. */
#define RESIDENT_KINDS 3

struct traced {
	uint32_t proc_id; /* key */
	pid_t tgid;
	uint32_t process; /* index in the profile */
	uint64_t cgroup_id;
	bool python;
	bool ended; /* no more events come */
	bool unsettled; /* ended, but what was counted for it is not read yet */
	bool settling; /* what was counted for it is being read */
	bool replaced; /* ended by exec */
	struct interp *interp; /* owned; NULL: not Python (yet) */
	uint32_t interp_slot;
	struct session_links *links; /* owned */
	struct session_links *entry; /* owned; of a held command */
	bool held; /* was stopped by us: to be let go */
	struct pagemap *pagemap; /* during a sweep */
	/* Resident set by kind: what was counted, gains less losses, and how much of the losses is no line's yet; bytes. */
	int64_t resident[RESIDENT_KINDS];
	int64_t given_back[RESIDENT_KINDS];
	bool forked; /* begins with what it inherited, which is not counted */
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
