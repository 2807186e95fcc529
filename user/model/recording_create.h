/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Makes the file of a recording without ever harming another file. */
#ifndef MODEL_RECORDING_CREATE_H
#define MODEL_RECORDING_CREATE_H

#include <sqlite3.h>

/*
 * Errors as recording__create. The caller closes *ret, then *ret_lock: it keeps other writers away, and closing any
 * descriptor of the file drops SQLite's own locks on it.
 */
int recording_create__file(const char *path, sqlite3 **ret, int *ret_lock);

#endif
