/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whole small files: /proc, cgroup files, runtimes' JSON. They are untrusted: only regular files
 * are read, opening never blocks, and a size is given that they may not exceed.
 */
#ifndef CONTAINERS_SMALL_FILE_H
#define CONTAINERS_SMALL_FILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads name relative to dirfd (AT_FDCWD) into a new, zero-terminated buffer that the caller frees.
 * ret_len may be NULL. -EFBIG: longer than max bytes; -EINVAL: not a regular file; -ENOENT and the
 * like; a cgroup file whose cgroup went away while it was read gives -ENOENT too.
 */
int small_file__read(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len);

/* One unsigned number on a line. "max" reads as UINT64_MAX. -EBADMSG: something else. */
int small_file__read_u64(int dirfd, const char *name, uint64_t *ret);

#endif
