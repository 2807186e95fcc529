/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where a process's C library asks the kernel for memory and gives it back (include/mapping.h), and where to put probes on that: behind
 * the system call, where its arguments and what it returned are in their registers. One probe there is a fifth of what an entry and a
 * return cost, and it knows what was granted. Whoever calls mmap in the process passes there, malloc and pymalloc too; not the dynamic
 * linker, nor who makes the system call by itself. Reads /proc and ELF files; attaches nothing. x86-64.
 */
#ifndef SYSTEM_MAPPING_SITES_H
#define SYSTEM_MAPPING_SITES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mapping.h"
#include "system/mapped_file.h"

struct mapping_site {
	uint64_t offset; /* in the file; 0: none was found */
	int32_t caller_at; /* union mapping_cookie */
	bool emulated; /* the kernel emulates the instruction there */
	uint32_t into; /* bytes from the function's start to there */
	const char *symbol; /* of the function; static */
	char insn[48]; /* the instruction there, for people */
};

struct mapping_file {
	char host_path[MAPPED_FILE_PATH_BYTES];
	char path[256]; /* as the process names it, cut where it is longer; "": the program's own file */
	struct mapping_site site[MAP_CALLS];
};

struct mapping_finder;
int mapping_finder__new(struct mapping_finder **ret);
void mapping_finder__free(struct mapping_finder *f);
/*
 * program: a path that opens the program's own file, which is its C library where none is mapped. What a file says is kept by build id.
 * 0; -ENOENT: nothing was found, (yet); -ESRCH: the process has ended; -EACCES, -ENOMEM, ...
 */
int mapping_finder__find(struct mapping_finder *f, pid_t tgid, const char *program, struct mapping_file *ret);

#endif
