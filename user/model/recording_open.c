/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How the file of a recording is opened depends on what is beside it:
 *   no -wal and no -journal  nobody writes it: immutable, leaves nothing behind, works in a read-only folder
 *   a -wal, usual            as SQLite does; a live writer goes on meanwhile
 *   a -wal, no -shm to use   the writer was killed and the folder is not ours to write: without locks and with the index of
 *                            the WAL in our own memory (exclusive mode keeps it there, wal.c). No writer can be alive, as a
 *                            live one has its -shm.
 */
#include "model/recording_open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/recording_schema.h"

#define MAX_TEXT_BYTES (16 << 20)
#define BUSY_MS 1000

static int query_int(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(statement, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(statement);
	return rc;
}

/* Is it ours, of a version we know, with tables that are tables (not views or modules that run code
 * of the file)? */
static int check_schema(sqlite3 *db)
{
	int64_t id = 0, format = 0, is_table = 0;
	int rc = query_int(db, "PRAGMA application_id", &id);

	if (rc == SQLITE_OK)
		rc = query_int(db, "PRAGMA user_version", &format);
	if (rc != SQLITE_OK)
		return recording_schema__errno(db, rc);
	if (id != RECORDING_APPLICATION_ID)
		return -EMEDIUMTYPE;
	if (format < 1)
		return -EBADMSG;
	if (format < RECORDING_OLDEST_FORMAT || format > RECORDING_FORMAT)
		return -EPROTONOSUPPORT;
	for (int i = 0; recording_tables[i]; i++) {
		char sql[160];

		snprintf(sql, sizeof(sql),
			 "SELECT count(*) FROM sqlite_schema WHERE name = '%s' AND type = 'table'"
			 " AND rootpage > 0",
			 recording_tables[i]);
		rc = query_int(db, sql, &is_table);
		if (rc != SQLITE_OK)
			return recording_schema__errno(db, rc);
		if (is_table != 1)
			return -EBADMSG;
	}
	return 0;
}

/* file:... with all but plain characters escaped. */
static int make_uri(const char *path, const char *options, char *uri, size_t size)
{
	size_t n = (size_t)snprintf(uri, size, "file:");

	for (const char *s = path; *s; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			     (*s >= '0' && *s <= '9') || strchr("/._-", *s);

		if (n + 4 > size)
			return -ENAMETOOLONG;
		n += (size_t)snprintf(uri + n, size - n, plain ? "%c" : "%%%02X",
				      (unsigned char)*s);
	}
	if (n + strlen(options) + 1 > size)
		return -ENAMETOOLONG;
	strcpy(uri + n, options);
	return 0;
}

/* Opens the file and reads its first page, so that what SQLite cannot do shows here. Returns a code
 * of SQLite. */
static int try_open(const char *path, const char *options, const char *vfs, sqlite3 **ret)
{
	char uri[3 * PATH_MAX + 32];
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_EXRESCODE;
	sqlite3 *db = NULL;
	int64_t unused;
	int rc;

	if (make_uri(path, options, uri, sizeof(uri)))
		return SQLITE_TOOBIG;
	rc = sqlite3_open_v2(uri, &db, flags, vfs);
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(db, BUSY_MS);
		sqlite3_limit(db, SQLITE_LIMIT_LENGTH, MAX_TEXT_BYTES);
		sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		if (vfs)
			sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
		sqlite3_exec(db, "PRAGMA cell_size_check = ON", NULL, NULL, NULL);
		rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	}
	if (rc == SQLITE_OK)
		rc = query_int(db, "SELECT count(*) FROM sqlite_schema", &unused);
	if (rc != SQLITE_OK) {
		sqlite3_close(db);
		return rc;
	}
	*ret = db;
	return SQLITE_OK;
}

static bool exists_beside(const char *path, const char *suffix, bool filled)
{
	char name[PATH_MAX + 16];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return !stat(name, &st) && (!filled || st.st_size > 0);
}

/* SQLite takes a last page that is cut short for one that ends in zeros. */
static int check_size(const char *path, sqlite3 *db)
{
	struct stat st;
	int64_t bytes = 0;
	int rc = query_int(db,
			   "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
			   &bytes);

	if (rc != SQLITE_OK)
		return recording_schema__errno(db, rc);
	return stat(path, &st) || st.st_size < bytes ? -EBADMSG : 0;
}

static int open_finished(const char *path, sqlite3 **ret)
{
	sqlite3 *db;
	int err = recording_schema__errno(NULL, try_open(path, "?immutable=1", NULL, &db));

	if (err)
		return err;
	err = check_size(path, db);
	if (err) {
		sqlite3_close(db);
		return err;
	}
	*ret = db;
	return 0;
}

static int open_for_reading(const char *path, sqlite3 **ret)
{
	int rc;

	if (!exists_beside(path, "-wal", false) && !exists_beside(path, "-journal", true))
		return open_finished(path, ret);
	rc = try_open(path, "", NULL, ret);
	if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY ||
	    (rc & 0xff) == SQLITE_PERM) {
		if (exists_beside(path, "-wal", true))
			rc = try_open(path, "", "unix-none", ret);
		else
			rc = try_open(path, "?immutable=1", NULL, ret);
	}
	/* The file itself may be read, as was checked: what is missing is beside it. */
	return (rc & 0xff) == SQLITE_CANTOPEN ? -EACCES : recording_schema__errno(NULL, rc);
}

static int check_path(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EMEDIUMTYPE;
	if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))
		return -errno;
	return 0;
}

int recording_open__file(const char *path, sqlite3 **ret)
{
	char real[PATH_MAX];
	sqlite3 *db;
	int err;

	/* The -wal is beside the file itself, not beside a link to it. */
	if (!realpath(path, real))
		return -errno;
	err = check_path(real);
	if (!err)
		err = open_for_reading(real, &db);
	if (err)
		return err;
	err = check_schema(db);
	if (err) {
		sqlite3_close(db);
		return err;
	}
	*ret = db;
	return 0;
}
