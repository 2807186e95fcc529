/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "containers/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* kernfs answers a read of a file whose cgroup was removed after open(2) with ENODEV
 * (fs/kernfs/file.c). */
static int error_of(int err)
{
	return err == ENODEV ? -ENOENT : -err;
}

/* Sizes in /proc and cgroup file systems are 0, so the file is read until it ends. */
static int read_all(int fd, size_t max, char **ret, size_t *ret_len)
{
	size_t len = 0, cap = max < 4096 ? max + 1 : 4096;
	char *buf = malloc(cap + 1), *larger;
	int err = buf ? 0 : -ENOMEM;
	ssize_t n;

	while (!err) {
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err = n < 0 ? error_of(errno) : 0;
			break;
		}
		len += (size_t)n;
		if (len > max) {
			err = -EFBIG;
		} else if (len == cap) {
			cap = cap * 2 > max ? max + 1 : cap * 2;
			larger = realloc(buf, cap + 1);
			err = larger ? 0 : -ENOMEM;
			buf = larger ? larger : buf;
		}
	}
	if (err) {
		free(buf);
		return err;
	}
	buf[len] = '\0';
	*ret = buf;
	if (ret_len)
		*ret_len = len;
	return 0;
}

int small_file__read(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len)
{
	struct stat st;
	int fd, err;

	/* O_NONBLOCK: a pipe planted in place of a file must not hang us. */
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return error_of(errno);
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else
		err = read_all(fd, max, ret, ret_len);
	close(fd);
	return err;
}

int small_file__read_u64(int dirfd, const char *name, uint64_t *ret)
{
	unsigned long long value;
	char *text, *end;
	int err;

	err = small_file__read(dirfd, name, 64, &text, NULL);
	if (err)
		return err;
	if (!strncmp(text, "max", 3)) {
		*ret = UINT64_MAX;
	} else {
		errno = 0;
		value = strtoull(text, &end, 10);
		if (text[0] < '0' || text[0] > '9' || errno || (*end != '\n' && *end))
			err = -EBADMSG;
		else
			*ret = value;
	}
	free(text);
	return err;
}
