/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Names of functions that the C library chooses by the processor it runs on: memset is one of many, which a stripped library has
 * no name for. But who calls it has its address, and its name, for the dynamic linker's sake.
 */
#ifndef SYSTEM_IMPORT_NAMES_H
#define SYSTEM_IMPORT_NAMES_H

#include "system/elf_file.h"
#include "system/mem.h"

#define MAX_IMPORT_NAMES 32

struct import_names {
	size_t n;
	struct {
		uint64_t addr; /* in the process */
		const char *name; /* static */
	} at[MAX_IMPORT_NAMES];
};

/* Adds what f, mapped in the process with that load bias, was linked to. */
void import_names__add(struct import_names *names, const struct elf_file *f, uint64_t bias, const struct mem_reader *m);
/* The function that begins at addr, or NULL. One that has several names, as memmove and memcpy, has the one that promises more. */
const char *import_names__find(const struct import_names *names, uint64_t addr);

#endif
