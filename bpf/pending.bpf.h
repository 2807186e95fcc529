/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Allocations that have begun, and whose address comes later: by thread.
 */
#ifndef BPF_PENDING_H
#define BPF_PENDING_H

#include "core.bpf.h"

/*
 * Between a guard and the end of its allocation the stack pointer may move down by what the inlined body pushes and what
 * it calls, and up a little by what it pops.
 */
#define INLINED_FRAME_SLACK 128
#define MAX_INLINED_FRAME_BYTES 1024

/* Who tells the address of an allocation that waits. */
enum pending_wait {
	WAIT_RETURN = 0, /* the return probe of the function that was entered */
	WAIT_POOL = 1, /* allocate_from_new_pool; the raw allocator if that fails */
	WAIT_RAW = 2, /* the raw allocator */
};

struct pending {
	__u64 stack_id;
	__u64 bytes;
	__u64 old; /* inlined realloc: the block given */
	__u64 sp; /* the stack pointer at the site */
	__u32 wait; /* enum pending_wait */
	__u32 seq; /* target.alloc_seq then: nobody else allocates before the end, for this thread holds the GIL */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, __u64); /* tgid << 32 | tid */
	__type(value, struct pending);
} pending SEC(".maps");

/* One stack pointer is that of a site, the other of what it called. */
static __always_inline bool is_beneath(__u64 sp, __u64 of_site)
{
	return of_site + INLINED_FRAME_SLACK - sp <= MAX_INLINED_FRAME_BYTES;
}

/* A body that ended otherwise leaves its allocation waiting: what comes from another frame, or later, is not its end. */
static __always_inline bool is_end(const struct target *t, const struct pending *p, __u64 sp)
{
	return p->seq == t->alloc_seq && is_beneath(sp, p->sp);
}

#endif
