/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a file says of the Python interpreter in it: the same for every process that maps the file, so it can be kept.
 * Pure: reads the file, no process.
 */
#ifndef PYTHON_PYTHON_FILE_H
#define PYTHON_PYTHON_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "python/decode.h"
#include "system/elf_file.h"

struct python_file {
	const char *unsupported; /* why no process that runs it can be traced (a static string), or NULL */
	uint64_t runtime; /* ELF address of _PyRuntime, or 0 */
	uint16_t version; /* PY_VERSION(3, 11), or 0 where it does not tell */
	char version_text[32]; /* "3.11.2" */
	char build_id[65];
	bool stripped; /* has no .symtab */
	struct thread_variable thread_state; /* 3.15+: the variable that holds it */
	uint32_t musl_specific; /* it has musl linked in statically: decode__musl_specific; else 0 */
};

/*
 * name: the file's name without directories, for versions that tell themselves nowhere else.
 * 0, or -ENOENT: no interpreter in it; -ENOMEM.
 */
int python_file__examine(const struct elf_file *f, const char *name, struct python_file *ret);

/*
 * decode__musl_specific of a file that defines pthread_getspecific: musl's libc.so, or a program that it is linked into. 0: it
 * does not, or is another C library.
 */
uint32_t python_file__musl_specific(const struct elf_file *f);

/* PY_VERSION(3, 9) for "libpython3.9.so.1.0", "python3.9d", "pypy3.9", "3.9.18"; 0 where there is none. */
uint16_t python_file__version_of_name(const char *name);

#endif
