/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The three line-table formats of CPython, as pure functions over bytes: no memory of a process, no allocation.
 * Sources: 3.8, 3.9 Objects/lnotab_notes.txt (co_lnotab); 3.10 the same file (PEP 626, co_linetable); 3.11+
 * Objects/locations.md (location table). All stop at the end of the table; a table that ends early gives what it had.
 * `offset` is a byte offset into the bytecode. Each returns the line, or -1 where the table assigns none.
 */
#ifndef PYTHON_LINETABLE_H
#define PYTHON_LINETABLE_H

#include <stddef.h>
#include <stdint.h>

int linetable__line_38(const uint8_t *table, size_t len, int first_line, uint32_t offset);
int linetable__line_310(const uint8_t *table, size_t len, int first_line, uint32_t offset);
int linetable__line_311(const uint8_t *table, size_t len, int first_line, uint32_t offset);

#endif
