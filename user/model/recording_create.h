/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Makes the file of a recording without ever harming another file. */
#ifndef MODEL_RECORDING_CREATE_H
#define MODEL_RECORDING_CREATE_H

#include <sqlite3.h>

/* Errors as recording__create; the caller closes *ret. */
int recording_create__file(const char *path, sqlite3 **ret);

#endif
