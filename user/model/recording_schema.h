/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What writer and reader of recordings share: the schema, its version, and how SQLite's errors become ours. */
#ifndef MODEL_RECORDING_SCHEMA_H
#define MODEL_RECORDING_SCHEMA_H

#include <sqlite3.h>

#define RECORDING_APPLICATION_ID 0x504d5331 /* "PMS1"; a big-endian word at byte 68 of the file */
/*
 * 2: texts in a table of their own, collections summed where they are many. 3: what tracing cost each process, what collectors
 * say of themselves, facts about processes, errors of estimates. 4: kinds from mapped_arena on, and the collector as a frame, which
 * who reads 3 takes for damage; who reads 4 reads 3. Earlier ones were never released and are not read.
 */
#define RECORDING_FORMAT 4
#define RECORDING_OLDEST_FORMAT 3

/* Rows of table meta that belong to the file and not to the profile. */
#define RECORDING_META_FORMAT "format"
#define RECORDING_META_BEGIN "begin_ns" /* CLOCK_MONOTONIC of the first flush: time 0 of the file */
#define RECORDING_META_MERGED "merged" /* profile__merged */

extern const char recording_schema[];
/* Names of the tables, NULL last. */
extern const char *const recording_tables[];

/*
 * 0 or -errno for a result code of SQLite, right after it came; db, if not NULL, tells the system's error behind it. For
 * failed writes it does not (sqlite3_step, 3.40), so errno is looked at: zero it before.
 */
int recording_schema__errno(sqlite3 *db, int rc);

#endif
