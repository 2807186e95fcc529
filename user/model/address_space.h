/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What memory of its own a process has asked its kernel for, and who asked: private memory that may be written, which is what the
 * kernel counts as VmData (Linux, mm/internal.h, is_data_mapping; VM_STACK apart), by the place in the program that mapped it,
 * made it writable, or made it larger; beside that, shared mappings. Pure: told of each system call, it tells what that changes.
 *
 * Private memory that may not be written (what glibc reserves for arenas of threads, guard pages, libraries) counts for nobody until it
 * is made writable.
 *
 * A target can tell any numbers: calls that name addresses that no process has are passed over. Where pieces become more than are told
 * apart, neighbours become one that is nobody's (`rest`), small ones first.
 *
 * mmap(2), mremap(2), mprotect(2), madvise(2), brk(2).
 */
#ifndef MODEL_ADDRESS_SPACE_H
#define MODEL_ADDRESS_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping.h"
#include "model/profile.h"

struct address_space;

/* A cell of the profile, but for its kind. */
struct map_owner {
	uint32_t process, tid, node;
};

/* Told of what was taken, or given back, by whom; kind: KIND_MAPPED_*, KIND_ADVISED. */
typedef void (*address_space_fn)(const struct map_owner *owner, uint32_t kind, const struct profile_sums *delta, void *arg);

/* One call that the kernel has granted. Fields as in enum map_call; what a call does not have is passed over. */
struct map_event {
	enum map_call call;
	uint64_t addr, bytes;
	uint64_t third; /* protection, new bytes, advice */
	uint64_t flags;
	uint64_t result;
	bool arena; /* mmap: pymalloc asks, for an arena */
};

/* What is there, as /proc/PID/maps tells: whole pages, in order. */
struct map_range {
	uint64_t begin, end;
	bool shared, writable;
	bool heap; /* the C library's, that brk makes larger */
};

/* Pieces of one process's memory that are told apart. */
#define ADDRESS_SPACE_MAX 8192

/* rest: whose memory is that cannot be told. -ENOMEM. */
int address_space__new(const struct map_owner *rest, address_space_fn fn, void *arg, struct address_space **ret);
void address_space__free(struct address_space *a);
/*
 * who: whose call it was. 0; -EINVAL: no such call; -ENOMEM; -ENOSPC: there are too many pieces, which are no neighbours: what it takes is
 * passed over; what it gives back is not.
 */
int address_space__apply(struct address_space *a, const struct map_event *e, const struct map_owner *who);
/*
 * Brings it up to what is there: memory that is no more was given back; what is there and was seen by nobody is `unseen`'s. -EINVAL: ranges
 * are out of order, all stays as it was; -ENOMEM, -ENOSPC as above.
 */
int address_space__settle(struct address_space *a, const struct map_range *ranges, size_t n, const struct map_owner *unseen);

#endif
