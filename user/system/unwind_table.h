/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where a function's caller is found from one of its instructions, as .eh_frame tells: the tables that C++ exceptions are thrown
 * by. Compilers write them for all code on x86-64, with or without frame pointers. Read bit by bit as needed, never whole:
 * those of large libraries have tens of MiB. The file is not trusted.
 */
#ifndef SYSTEM_UNWIND_TABLE_H
#define SYSTEM_UNWIND_TABLE_H

#include "native.h"
#include "system/elf_file.h"

/*
 * The rule at an ELF address. ret->function: ELF address where the function, or the part of it that was moved away, begins. Of
 * the first function of a thread, which has no caller, it is NATIVE_NO_CALLER and NATIVE_END_OUTERMOST.
 * -ENOENT: no table, or no entry for that address; -ENOTSUP: the caller is found in a way that a rule cannot tell; -EBADMSG.
 */
int unwind_table__rule(const struct elf_file *f, uint64_t addr, struct native_rule *ret);

#endif
