/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A recording: a profile in a SQLite file, written as it grows. The file is in WAL mode and committed at every flush, so
 * that killing the writer loses at most what came after the last one. Users may query it with SQL; the schema is in
 * recording_schema.c and versioned by `PRAGMA user_version` and meta key "format"; `PRAGMA application_id` tells ours.
 */
#ifndef MODEL_RECORDING_H
#define MODEL_RECORDING_H

#include "model/profile.h"

struct recording;

/*
 * Creates the file at path; replaces an empty file or an existing recording of ours, never another file or a link
 * (-EEXIST), nor a recording that somebody has open or writes (-EBUSY). Other errors: -EACCES, -EROFS, -ENOSPC, -ENOENT
 * (its folder), -EISDIR, -EIO.
 */
int recording__create(const char *path, struct recording **ret);

/*
 * Writes what the profile gained since the last flush, as of time_ns (CLOCK_MONOTONIC), in one transaction. On an error
 * (-ENOSPC, -EIO) the transaction is undone, what was flushed before stays, and the same changes are lost for this file:
 * the caller says so and goes on or ends. The first flush is time 0 of the file, so flush once at the start; a reader
 * finds peaks by ending a second at each flush, so call profile__tick right before.
 */
int recording__flush(struct recording *r, struct profile *p, uint64_t time_ns);

/* Folds the WAL into the file and closes it. NULL is fine. */
int recording__close(struct recording *r);

/*
 * Reads a whole recording, needs no write access and no root. -ENOENT; -EACCES; -EMEDIUMTYPE: not a recording of ours;
 * -EPROTONOSUPPORT: made by another version; -EBADMSG: damaged (truncated).
 * from_ns/to_ns: only what was flushed in that span of time, (from, to], since the recording began; 0: no bound. Items,
 * counters and meta are those of the end, usage and limits those at to_ns.
 */
int recording__load(const char *path, uint64_t from_ns, uint64_t to_ns, struct profile **ret);

/* What an error of this module means, for a person: one sentence without a full stop that says what to do. */
const char *recording__strerror(int err);
/* The same for an error of recording__load. */
const char *recording__load_strerror(int err);

#endif
