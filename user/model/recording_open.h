/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Opens the file of a recording for reading, with SQLite's defences on, and makes sure that it is one. */
#ifndef MODEL_RECORDING_OPEN_H
#define MODEL_RECORDING_OPEN_H

#include <sqlite3.h>

/*
 * Errors as recording__load. Our tables are tables, not views or modules that run code of the file; a transaction is begun,
 * so that a live writer changes nothing of what is read. The caller closes *ret.
 */
int recording_open__file(const char *path, sqlite3 **ret);

#endif
