/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What an address of native code is, while its process lives: the file that is mapped there, the function, and how the caller is
 * found (include/native.h). Files are opened as the process has them mapped, whatever root it lives in or became of their
 * names. What a file says of an address is kept, for all processes.
 */
#ifndef SYSTEM_MAPPED_CODE_H
#define SYSTEM_MAPPED_CODE_H

#include <sys/types.h>

#include "native.h"
#include "system/proc.h"

struct code_files; /* what is known of files */
struct mapped_code; /* executable mappings of one process */

/* A name of libfoo.so+0x1234, where no symbol tells, is function "+0x1234" and the file. */
#define MAPPED_CODE_NAME_BYTES 128
struct native_code {
	char function[MAPPED_CODE_NAME_BYTES]; /* cut where it is longer; "" where the file says all: "[anonymous]" */
	const char *file; /* as the process names it; "... (deleted)", "[vdso]", "[anonymous]"; valid until the next call */
	struct native_rule rule; /* with addresses of the process; NATIVE_NO_CALLER and a reason where there is none */
};

int code_files__new(struct code_files **ret);
void code_files__free(struct code_files *files);
/* Closes files that nobody has asked about since the last call: to be called every second or so. */
void code_files__rest(struct code_files *files);

/* p and files outlive *ret. 0, or what proc__for_each_map returns, -ENOMEM. */
int mapped_code__new(const struct proc *p, pid_t tgid, struct code_files *files, struct mapped_code **ret);
void mapped_code__free(struct mapped_code *m);
/*
 * at: as in struct native_key. A return address is one only where a call stands before it. -ENOENT: no code is mapped there;
 * -EILSEQ: no call; -ENOMEM.
 */
int mapped_code__look(struct mapped_code *m, uint64_t at, struct native_code *ret);
/*
 * Looks at the mappings again. *ret_stale: one of before is gone, and what was said of addresses in it with it. 0, or as
 * mapped_code__new; then nothing is changed.
 */
int mapped_code__refresh(struct mapped_code *m, bool *ret_stale);

#endif
