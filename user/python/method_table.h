/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Functions of a module that is part of the interpreter's file, found by their Python names: the table of methods
 * (PyMethodDef, Include/methodobject.h) has both, also where symbols are stripped. Pure: reads the file.
 */
#ifndef PYTHON_METHOD_TABLE_H
#define PYTHON_METHOD_TABLE_H

#include <stdint.h>

#include "system/elf_file.h"

/*
 * ELF address of the C function behind method `name`, which stands in its table right behind `before` and takes its
 * arguments as METH_FASTCALL | METH_KEYWORDS. -ENOENT: not found, or more than one; -ENOMEM.
 */
int method_table__function(const struct elf_file *f, const char *before, const char *name, uint64_t *ret);

#endif
