/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See recording_row.h.
 */
#include "model/recording_row.h"

#include <errno.h>
#include <string.h>

#include "model/intern.h"
#include "model/recording_schema.h"
#include "python.h"

void recording_row__int(struct recording_row *row, uint64_t value)
{
	row->digest = PY_HASH_STEP(row->digest, value);
	sqlite3_bind_int64(row->statement, ++row->column, (int64_t)value);
}

void recording_row__sum(struct recording_row *row, uint64_t value)
{
	recording_row__int(row, value > INT64_MAX ? INT64_MAX : value);
}

void recording_row__text(struct recording_row *row, const char *s)
{
	for (size_t i = 0; i == 0 || s[i - 1]; i++)
		row->digest = PY_HASH_STEP(row->digest, (unsigned char)s[i]);
	sqlite3_bind_text(row->statement, ++row->column, s, -1, SQLITE_STATIC);
}

void recording_row__blob(struct recording_row *row, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		row->digest = PY_HASH_STEP(row->digest, ((const unsigned char *)bytes)[i]);
	sqlite3_bind_blob(row->statement, ++row->column, bytes, (int)len, SQLITE_STATIC);
}

void recording_row__null(struct recording_row *row)
{
	row->digest = PY_HASH_STEP(row->digest, UINT64_MAX);
	sqlite3_bind_null(row->statement, ++row->column);
}

void recording_row__known(struct recording_row *row, bool known, int64_t value)
{
	if (known)
		recording_row__int(row, (uint64_t)value);
	else
		recording_row__null(row);
}

int recording_row__step(sqlite3_stmt *statement)
{
	int err;

	errno = 0;
	err = recording_schema__errno(sqlite3_db_handle(statement), sqlite3_step(statement));

	sqlite3_reset(statement);
	return err;
}

int recording_row__write(struct recording_row *row)
{
	return recording_row__step(row->statement);
}

static int reserve(struct row_digests *digests, uint32_t i)
{
	int err = array__reserve((void **)&digests->items, &digests->capacity, i, sizeof(*digests->items));

	for (; !err && digests->n <= i; digests->n++)
		digests->items[digests->n] = 0;
	return err;
}

bool recording_row__is_new(struct row_digests *digests, uint32_t i, const void *item, size_t n)
{
	const char *bytes = item;
	uint64_t digest = 1, word;

	for (; n >= sizeof(word); n -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		digest = PY_HASH_STEP(digest, word);
	}
	for (; n; n--, bytes++)
		digest = PY_HASH_STEP(digest, (unsigned char)*bytes);
	if (i < digests->n && digests->items[i] == digest)
		return false;
	if (!reserve(digests, i))
		digests->items[i] = digest;
	return true;
}

int recording_row__write_changed(struct recording_row *row, struct row_digests *digests, uint32_t i)
{
	int err;

	if (i < digests->n && digests->items[i] == row->digest)
		return 0;
	err = reserve(digests, i);
	err = err ? err : recording_row__write(row);
	if (err)
		return err;
	digests->items[i] = row->digest;
	return 0;
}
