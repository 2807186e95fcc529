/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * /proc/TGID/map_files leads to the file itself, whether it was deleted, replaced, lies in another mount namespace or
 * below a chroot, and the kernel takes that path for a uprobe (checked on 6.18, overlay and deleted files too). It
 * needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE in the first user namespace; without them /proc/TGID/exe and
 * /proc/TGID/root/PATH serve, the latter only if the inode is right: in it a symbolic link that the container made
 * could lead elsewhere.
 */
#include "system/mapped_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int mapped_file__path(pid_t tgid, const struct proc_map *m, bool exe, char path[MAPPED_FILE_PATH_BYTES],
		      struct stat *st)
{
	int err;

	snprintf(path, MAPPED_FILE_PATH_BYTES, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, tgid, m->start, m->end);
	if (!stat(path, st))
		return 0;
	err = -errno;
	if (err != -EPERM && err != -EACCES && err != -ENOENT)
		return err;
	if (exe) {
		snprintf(path, MAPPED_FILE_PATH_BYTES, "/proc/%d/exe", tgid);
		return stat(path, st) ? -errno : 0;
	}
	if (m->deleted ||
	    snprintf(path, MAPPED_FILE_PATH_BYTES, "/proc/%d/root%s", tgid, m->path) >= MAPPED_FILE_PATH_BYTES)
		return err;
	if (stat(path, st))
		return -errno;
	return st->st_ino == m->inode ? 0 : err;
}

bool mapped_file__is_c_library(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return !strncmp(name, "libc.so", 7) || !strncmp(name, "libc-2", 6) || !strncmp(name, "ld-musl", 7) || !strncmp(name, "libc.musl", 9);
}
