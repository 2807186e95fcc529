/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which file serves malloc in a process (its C library, or jemalloc, tcmalloc and the like that was linked or
 * preloaded), and where to put probes on malloc and its kin there. Reads /proc and ELF files; attaches nothing.
 */
#ifndef PYTHON_MALLOC_SITES_H
#define PYTHON_MALLOC_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "large.h"
#include "python/interp.h"

struct malloc_site {
	enum large_function function;
	uint64_t offset; /* in the file: where both entry and return probe stand */
	uint32_t into; /* bytes from the function's start to there */
	bool emulated; /* the kernel emulates the instruction there */
	const char *symbol; /* static */
	char insn[48]; /* the instruction there, for people; "" where no decoder looked */
};

#define MAX_MALLOC_SITES 32

struct malloc_file {
	char host_path[MAPPED_FILE_PATH_BYTES]; /* system/mapped_file.h */
	char path[256]; /* as the process names it, cut where it is longer */
	const struct malloc_site *site; /* the finder's */
	size_t n;
	bool musl; /* it is musl's C library: system/malloc_heap.h cannot read its heap (mallocng; before 1.2.1 another) */
};

struct malloc_finder;
int malloc_finder__new(struct malloc_finder **ret);
void malloc_finder__free(struct malloc_finder *f);
/*
 * The file whose malloc the interpreter calls. What a file says is kept by build id. 0; -ENOENT: none was found;
 * -ESRCH: the process has ended; -EACCES, -ENOMEM, ...
 */
int malloc_finder__find(struct malloc_finder *f, pid_t tgid, const struct interp *in, struct malloc_file *ret);

#endif
