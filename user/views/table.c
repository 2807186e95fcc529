/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "views/text.h"

#define GAP 2
/* A column is not cut below this, even if the line gets too long. */
#define LEAST 12

void table__column(struct table *t, const char *head, enum table_column_kind kind)
{
	if (t->n_columns == TABLE_MAX_COLUMNS) {
		t->err = -ENOMEM;
		return;
	}
	t->columns[t->n_columns++] = (struct table_column){head, kind};
}

void table__cell(struct table *t, const char *text)
{
	size_t room = t->room ? t->room * 2 : 64;
	char **cells;

	if (t->err)
		return;
	if (t->n_cells == t->room) {
		cells = realloc(t->cells, room * sizeof(*cells));
		if (!cells) {
			t->err = -ENOMEM;
			return;
		}
		t->cells = cells;
		t->room = room;
	}
	t->cells[t->n_cells] = strdup(text);
	if (!t->cells[t->n_cells])
		t->err = -ENOMEM;
	else
		t->n_cells++;
}

/* Whether a cell may run on into the next one: that is empty and text, too. */
static bool spans(const struct table *t, size_t i)
{
	size_t c = i % t->n_columns;

	return c + 1 < t->n_columns && i + 1 < t->n_cells && !t->cells[i + 1][0] &&
	       t->columns[c].kind != COLUMN_NUMBER && t->columns[c + 1].kind != COLUMN_NUMBER;
}

static void natural_widths(const struct table *t, size_t *widths)
{
	for (size_t c = 0; c < t->n_columns; c++)
		widths[c] = text__width(t->columns[c].head);
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t c = i % t->n_columns, width = text__width(t->cells[i]);

		if (width > widths[c] && !spans(t, i))
			widths[c] = width;
	}
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t c = i % t->n_columns, width = text__width(t->cells[i]);

		if (spans(t, i) && width > widths[c] + GAP + widths[c + 1])
			widths[c + 1] = width - GAP - widths[c];
	}
}

static void shrink(const struct table *t, size_t width, size_t *widths)
{
	size_t sum = GAP * (t->n_columns - 1);

	for (size_t c = 0; c < t->n_columns; c++)
		sum += widths[c];
	for (; sum > width; sum--) {
		size_t widest = t->n_columns;

		for (size_t c = 0; c < t->n_columns; c++) {
			if (t->columns[c].kind == COLUMN_NUMBER || widths[c] <= LEAST)
				continue;
			if (widest == t->n_columns || widths[c] > widths[widest])
				widest = c;
		}
		if (widest == t->n_columns)
			return;
		widths[widest]--;
	}
}

/* Prints a cell that ends with column c. */
static int put_cell(const struct table *t, size_t c, size_t width, const char *text, FILE *out)
{
	enum table_column_kind kind = t->columns[c].kind;
	bool is_last = c + 1 == t->n_columns;
	char *cut = kind == COLUMN_PATH && text[0] != '[' ? text__cut_start(text, width)
							  : text__cut_end(text, width);
	int pad;

	if (!cut)
		return -ENOMEM;
	pad = (int)(width - text__width(cut));
	if (kind == COLUMN_NUMBER)
		fprintf(out, "%*s%s", pad, "", cut);
	else
		fprintf(out, "%s%*s", cut, is_last ? 0 : pad, "");
	fputs(is_last ? "\n" : "  ", out);
	free(cut);
	return 0;
}

int table__print(const struct table *t, size_t width, FILE *out)
{
	size_t widths[TABLE_MAX_COLUMNS];
	int err = t->err;

	if (err || !t->n_columns)
		return err;
	natural_widths(t, widths);
	shrink(t, width, widths);
	for (size_t c = 0; c < t->n_columns && !err; c++)
		err = put_cell(t, c, widths[c], t->columns[c].head, out);
	for (size_t i = 0; i < t->n_cells && !err; i++) {
		size_t c = i % t->n_columns;
		const char *text = t->cells[i];

		if (!spans(t, i)) {
			err = put_cell(t, c, widths[c], text, out);
			continue;
		}
		err = put_cell(t, c + 1, widths[c] + GAP + widths[c + 1], text, out);
		i++;
	}
	return err;
}

void table__free(struct table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){0};
}
