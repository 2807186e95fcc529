/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A table of text as wide as its content, or as the line: then its cuttable columns give way, the
 * widest first. A text before an empty text takes the room of both.
 */
#ifndef VIEWS_TABLE_H
#define VIEWS_TABLE_H

#include <stddef.h>
#include <stdio.h>

enum table_column_kind {
	COLUMN_NUMBER, /* right-aligned, never cut */
	COLUMN_NAME,   /* left-aligned, cut at its end */
	COLUMN_PATH,   /* left-aligned, cut at its start; at its end if it starts with [ */
};

struct table_column {
	const char *head;
	enum table_column_kind kind;
};

#define TABLE_MAX_COLUMNS 12

struct table {
	struct table_column columns[TABLE_MAX_COLUMNS];
	size_t n_columns, n_cells, room;
	char **cells; /* row by row */
	int err;      /* first failure to add; table__print returns it */
};

void table__column(struct table *t, const char *head, enum table_column_kind kind);
/* Adds the next cell, row by row. The text is copied. */
void table__cell(struct table *t, const char *text);
/* 0 or -ENOMEM; what the stream says is left to its owner. */
int table__print(const struct table *t, size_t width, FILE *out);
void table__free(struct table *t);

#endif
