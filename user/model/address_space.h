/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What memory of its own a process has asked its kernel for, and who asked: private memory that may be written, which is what the
 * kernel counts as VmData (Linux, mm/internal.h, is_data_mapping; VM_STACK apart), by the place in the program that mapped it,
 * made it writable, or made it larger; beside that, shared mappings. Pure: told of each system call, it tells what that changes.
 *
 * Memory that is only reserved (private, anonymous, not writable: glibc's arenas of threads, guard pages) counts for nobody until it is
 * made writable. Files mapped privately, that are not to be written, count never.
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
	bool shared, writable, anonymous;
	bool heap; /* the C library's, that brk makes larger */
};

/* Pieces of one process's memory that are told apart; further ones are of nobody. */
#define ADDRESS_SPACE_MAX 8192

/* -ENOMEM. */
int address_space__new(address_space_fn fn, void *arg, struct address_space **ret);
void address_space__free(struct address_space *a);
/* 0; -ENOMEM, -ENOSPC: it was passed over. who: whose call it was. */
int address_space__apply(struct address_space *a, const struct map_event *e, const struct map_owner *who);
/*
 * Brings it up to what is there: memory that is no more was given back; what is there and was seen by nobody is `unseen`'s. All stays
 * as it was where ranges are out of order (-EINVAL), or there are too many (as above).
 */
int address_space__settle(struct address_space *a, const struct map_range *ranges, size_t n, const struct map_owner *unseen);

#endif
