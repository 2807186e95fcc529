/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A new recording is made under a name of its own beside its place and then moved there, so that at
 * any moment the place holds either what was there (an empty file if nothing was) or a complete,
 * empty recording. What is there is replaced only if it is an empty file or a recording of ours that
 * nobody has open; symbolic links, devices and other files are refused. The -wal and -shm files left
 * by a killed writer go with the recording they belong to, as SQLite would replay them into the new
 * one.
 *
 * Two writers: each holds flock(2) on the file at the place, first on the old one while it looks and
 * moves, then on its own, locked before the move, for its life. The kernel drops it when the writer
 * dies, and SQLite's own locks (fcntl) do not know of it, so readers come and go. Where a file
 * system has no flock, SQLite's locks on a file in use are all there is.
 *
 * Facts: header of the file and of the WAL https://www.sqlite.org/fileformat2.html (1.3, 4.1); lock
 * bytes in SQLite's os.h (PENDING_BYTE 0x40000000, SHARED_FIRST two after it, 510 bytes); shm
 * version in wal.c (WALINDEX_MAX_VERSION).
 */
#include "model/recording_create.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/recording_schema.h"

#define APPLICATION_ID_OFFSET 68
#define SHARED_FIRST (0x40000000 + 2)
#define SHARED_SIZE 510
#define WAL_MAGIC 0x377f0682u	  /* or with the lowest bit set, big-endian */
#define SHM_VERSION 3007000u	  /* in the machine's byte order */
#define JOURNAL_MAGIC 0xd9d505f9u /* big-endian */

/* A regular file that may be replaced, locked. */
struct place {
	int fd;
	bool made; /* by us, to have something to lock */
	bool ours; /* it is a recording */
};

static bool is_recording(int fd)
{
	static const char magic[16] = "SQLite format 3";
	char header[APPLICATION_ID_OFFSET + 4];
	uint32_t id;

	if (pread(fd, header, sizeof(header), 0) != sizeof(header))
		return false;
	memcpy(&id, header + APPLICATION_ID_OFFSET, sizeof(id));
	return !memcmp(header, magic, sizeof(magic)) && be32toh(id) == RECORDING_APPLICATION_ID;
}

/* Every connection holds a shared lock on these bytes as long as a file in WAL mode is open. */
static bool in_use(int fd)
{
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = SHARED_FIRST,
			     .l_len = SHARED_SIZE};

	return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

static int lock(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK ? -EBUSY : 0;
}

/* Another writer may have moved its file here after ours was opened and before it was locked. */
static bool is_still_at(int fd, const char *path)
{
	struct stat file, place;

	return !fstat(fd, &file) && !lstat(path, &place) && file.st_dev == place.st_dev &&
	       file.st_ino == place.st_ino;
}

static int look_at_file(int fd, const char *path, bool *ours)
{
	struct stat st;
	char byte;
	int err;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EEXIST;
	/* Of files in /proc the size says nothing. */
	*ours = is_recording(fd);
	if (!*ours && pread(fd, &byte, 1, 0) != 0)
		return -EEXIST;
	err = lock(fd);
	if (err)
		return err;
	return in_use(fd) || !is_still_at(fd, path) ? -EBUSY : 0;
}

static int take_place(const char *path, struct place *ret)
{
	int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct place place = {.made = true};
	int err;

	place.fd = open(path, O_RDWR | O_CREAT | O_EXCL | flags, 0666);
	if (place.fd < 0 && errno == EEXIST) {
		place.made = false;
		place.fd = open(path, O_RDONLY | flags);
	}
	if (place.fd < 0)
		return errno == ELOOP || errno == ENXIO ? -EEXIST : -errno;
	err = look_at_file(place.fd, path, &place.ours);
	if (err) {
		close(place.fd);
		return err;
	}
	*ret = place;
	return 0;
}

static void leave_place(const char *path, struct place *place, bool failed)
{
	if (failed && place->made)
		unlink(path);
	close(place->fd);
}

/* Is the file empty or one that SQLite made beside a database? */
static bool is_sidecar(int fd)
{
	struct stat st;
	uint32_t word;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false;
	if (!st.st_size)
		return true;
	if (pread(fd, &word, sizeof(word), 0) != sizeof(word))
		return false;
	return (be32toh(word) & ~1u) == WAL_MAGIC || word == SHM_VERSION ||
	       be32toh(word) == JOURNAL_MAGIC;
}

static int remove_sidecar(const char *path, const char *suffix, bool ours)
{
	char name[PATH_MAX];
	int fd, err = 0;

	if (snprintf(name, sizeof(name), "%s%s", path, suffix) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno == ELOOP ? -EEXIST : -errno;
	if (!ours && !is_sidecar(fd))
		err = -EEXIST;
	else if (unlink(name))
		err = -errno;
	close(fd);
	return err;
}

static int remove_sidecars(const char *path, bool ours)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	int err = 0;

	for (int i = 0; i < 3 && !err; i++)
		err = remove_sidecar(path, suffixes[i], ours);
	return err;
}

static int open_database(const char *path, const char *pragmas, sqlite3 **ret)
{
	sqlite3 *db = NULL;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int rc, err;

	errno = 0;
	rc = sqlite3_open_v2(path, &db, flags, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
	err = recording_schema__errno(db, rc);
	if (err) {
		sqlite3_close(db);
		return err;
	}
	*ret = db;
	return 0;
}

/* Makes an empty file with a name that nobody has, beside path, and locks it. */
static int make_beside(const char *path, char *name, size_t size, int *ret_fd)
{
	for (int i = 0; i < 100; i++) {
		int fd;

		if (snprintf(name, size, "%s.new%d", path, i) >= (int)size)
			return -ENAMETOOLONG;
		fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (fd >= 0) {
			lock(fd);
			*ret_fd = fd;
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int fill(const char *name)
{
	sqlite3 *db;
	int err = open_database(name, "PRAGMA journal_mode = OFF", &db);

	if (err)
		return err;
	errno = 0;
	err = recording_schema__errno(db, sqlite3_exec(db, "BEGIN", NULL, NULL, NULL));
	if (!err)
		err = recording_schema__errno(db,
					      sqlite3_exec(db, recording_schema, NULL, NULL, NULL));
	if (!err)
		err = recording_schema__errno(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
	sqlite3_close(db);
	return err;
}

/* Makes a recording beside path and moves it there. */
static int replace(const char *path, const struct place *place, int *ret_fd)
{
	char name[PATH_MAX];
	int fd = -1, err;

	err = make_beside(path, name, sizeof(name), &fd);
	if (err)
		return err;
	err = fill(name);
	if (!err)
		err = remove_sidecars(path, place->ours);
	if (!err && rename(name, path))
		err = -errno;
	if (err) {
		unlink(name);
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int recording_create__file(const char *path, sqlite3 **ret, int *ret_lock)
{
	struct place place;
	int fd = -1, err;

	/* Beside an empty path is the current folder. */
	if (!*path)
		return -ENOENT;
	err = take_place(path, &place);
	if (err)
		return err;
	err = replace(path, &place, &fd);
	leave_place(path, &place, err);
	if (err)
		return err;
	/* A checkpoint each 256 pages keeps the WAL near 1 MiB. */
	err = open_database(path,
			    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			    "PRAGMA wal_autocheckpoint = 256; PRAGMA journal_size_limit = 1048576",
			    ret);
	if (err)
		close(fd);
	else
		*ret_lock = fd;
	return err;
}
