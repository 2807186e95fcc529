/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A path that opens the very file that a process has mapped, whatever mount namespace or root it lives in. Reads /proc.
 */
#ifndef SYSTEM_MAPPED_FILE_H
#define SYSTEM_MAPPED_FILE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "system/proc.h"

#define MAPPED_FILE_PATH_BYTES 256

/*
 * Fills path, and st with what it leads to. exe: the mapping is one of the executable's. 0; -ENOENT, -EACCES, -EPERM:
 * none was found; -ESRCH. Valid while the process lives and has the mapping.
 */
int mapped_file__path(pid_t tgid, const struct proc_map *m, bool exe, char path[MAPPED_FILE_PATH_BYTES],
		      struct stat *st);

/* By its name: glibc, or musl. */
bool mapped_file__is_c_library(const char *path);

#endif
