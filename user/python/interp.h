/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Recognises a Python interpreter in a running process: which file it is (executable or libpython), which version, where
 * its runtime structure is mapped, and whether we can work with it. Reads /proc and ELF files; attaches nothing.
 */
#ifndef PYTHON_INTERP_H
#define PYTHON_INTERP_H

#include <stdbool.h>
#include <sys/types.h>

#include "python/layout.h"
#include "system/elf_file.h"
#include "system/mapped_file.h"

struct interp {
	char path[4096]; /* as the process names it (inside its own root) */
	char host_path[MAPPED_FILE_PATH_BYTES]; /* system/mapped_file.h */
	char build_id[65]; /* hex, or "" */
	char version_text[32]; /* "3.11.2", as the binary says */
	uint16_t version; /* PY_VERSION(3, 11) */
	bool shared; /* a libpython*.so, not the executable */
	bool stripped; /* has no .symtab */
	uint64_t load_bias; /* add to an ELF address for the address in the process */
	uint64_t runtime; /* address of _PyRuntime in the process */
	uint64_t text_begin, text_bytes; /* where its code is mapped; 0 bytes: not known */
	struct py_layout layout;
};

/*
 * Looks at process tgid. 0 and *ret; -ENOENT: no Python in it (ret untouched), or not yet: a libpython is mapped some
 * milliseconds after the exec; -ESRCH: process gone; -EACCES/-EPERM; -ENOTSUP: Python, but a version or build out of
 * reach, with path, version and version_text filled and the reason in *why (a static string).
 */
int interp__of_process(pid_t tgid, struct interp *ret, const char **why);

/* The same for many processes: what a file says is kept, so that each file is read once. Bounded; about 300 KiB. */
struct interp_cache;
int interp_cache__new(struct interp_cache **ret);
void interp_cache__free(struct interp_cache *c);
int interp_cache__look(struct interp_cache *c, pid_t tgid, struct interp *ret, const char **why);

#endif
