/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One row of a recording: its values are bound one after the other, then it is written, if it says anything new. Texts
 * and blobs must stay until then. 0 or -errno (recording_schema.h).
 */
#ifndef MODEL_RECORDING_ROW_H
#define MODEL_RECORDING_ROW_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* By index: digest of the row last written. */
struct row_digests {
	uint64_t *items;
	uint32_t n, capacity;
};

/* A row being bound; its digest grows with each value. */
struct recording_row {
	sqlite3_stmt *statement;
	int column;
	uint64_t digest;
};

void recording_row__int(struct recording_row *row, uint64_t value);
/* For what is added up: SQL must never see it negative. */
void recording_row__sum(struct recording_row *row, uint64_t value);
void recording_row__text(struct recording_row *row, const char *s);
/* Bytes as they stand in memory. */
void recording_row__blob(struct recording_row *row, const void *bytes, size_t len);
void recording_row__null(struct recording_row *row);
/* Not known: NULL. */
void recording_row__known(struct recording_row *row, bool known, int64_t value);

int recording_row__write(struct recording_row *row);
/* Writes the row if item i of the digests is not the same already. */
int recording_row__write_changed(struct recording_row *row, struct row_digests *digests, uint32_t i);
/*
 * Whether item i, n bytes of the profile as they stand in memory, is other than when it was asked about last: where not, its row
 * need not be bound. What it points to must not change. Without memory for the answer it is.
 */
bool recording_row__is_new(struct row_digests *digests, uint32_t i, const void *item, size_t n);
/* Runs a statement to its end. */
int recording_row__step(sqlite3_stmt *statement);

#endif
