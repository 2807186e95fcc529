/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "system/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The file of one process's memory, for readers are many and come one after the other. A file opened before exec(2) is of the
 * memory that was left there (after vfork(2): of the parent's): so each reader begins with a new one.
 */
static _Thread_local struct {
	pid_t tgid; /* 0: none */
	int fd;
} opened;

static void close_memory(void)
{
	if (opened.tgid)
		close(opened.fd);
	opened.tgid = 0;
}

static int open_memory(pid_t tgid)
{
	char path[32];
	int fd;

	if (opened.tgid == tgid)
		return opened.fd;
	close_memory();
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : errno == EACCES ? -EPERM : -errno;
	opened.tgid = tgid;
	opened.fd = fd;
	return fd;
}

/* Bytes read; 0: this memory is gone; < 0: -ESRCH, ... */
static ssize_t read_some(pid_t tgid, uint64_t addr, void *buf, size_t len)
{
	int fd = open_memory(tgid);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, buf, len, (off_t)addr);
	return n < 0 ? -EFAULT : n;
}

static int read_process(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	ssize_t n = len ? read_some(m->tgid, addr, buf, len) : 0;

	if (len && !n) { /* it has ended, or begun anew by exec(2) */
		close_memory();
		n = read_some(m->tgid, addr, buf, len);
	}
	if (n < 0)
		return (int)n;
	if ((size_t)n == len)
		return 0;
	return n ? -EFAULT : -ESRCH;
}

int mem__read_many(const struct mem_reader *m, struct mem_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int err = mem__read(m, pieces[i].addr, pieces[i].buf, pieces[i].len);

		pieces[i].ok = !err;
		if (err && err != -EFAULT)
			return err;
	}
	return 0;
}

struct mem_reader mem_reader__of_process(pid_t tgid)
{
	close_memory();
	return (struct mem_reader){ .read = read_process, .tgid = tgid };
}

int mem__read_u64(const struct mem_reader *m, uint64_t addr, uint64_t *ret)
{
	return mem__read(m, addr, ret, sizeof(*ret));
}

int mem__read_u32(const struct mem_reader *m, uint64_t addr, uint32_t *ret)
{
	return mem__read(m, addr, ret, sizeof(*ret));
}
