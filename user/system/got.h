/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The global offset table of an ELF file: the words through which position-independent code reaches what another file
 * could define in its stead, such as CPython's _PyRuntime. Only what the dynamic linker fills in from this file itself:
 * which other file defines a name is not known here. Relocations: System V ABI, AMD64, 4.4.1. x86-64 only.
 */
#ifndef SYSTEM_GOT_H
#define SYSTEM_GOT_H

#include <stdint.h>

#include "system/elf_file.h"

struct got;

/* 0, also for a file that has none; -ENOMEM, -E2BIG. Keeps no pointer to f. */
int got__open(const struct elf_file *f, struct got **ret);
void got__free(struct got *g);

/* The ELF address that the word at that address points to, or 0. */
uint64_t got__pointer(const struct got *g, uint64_t at);

#endif
