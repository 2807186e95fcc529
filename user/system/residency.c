/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "system/residency.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PRESENT (1ull << 63)
#define SWAPPED (1ull << 62)
#define WORDS_A_READ 4096

struct residency {
	int fd;
	size_t page_bytes; /* of the kernel; a multiple of ours */
	uint64_t words[WORDS_A_READ];
};

static int make_path(char *path, size_t len, const struct proc *p, pid_t tgid, const char *name)
{
	return snprintf(path, len, "%s/%d/%s", proc__root(p), (int)tgid, name) < (int)len ? 0 : -ENAMETOOLONG;
}

int residency__open(const struct proc *p, pid_t tgid, struct residency **ret)
{
	struct residency *r;
	char path[4096];
	int err = make_path(path, sizeof(path), p, tgid, "pagemap");

	if (err)
		return err;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->page_bytes = sysconf(_SC_PAGESIZE);
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0) {
		err = errno == ENOENT ? -ESRCH : -errno;
		free(r);
		return err;
	}
	*ret = r;
	return 0;
}

void residency__free(struct residency *r)
{
	if (!r)
		return;
	close(r->fd);
	free(r);
}

static enum page_place place(uint64_t word)
{
	if (word & PRESENT)
		return PAGE_PRESENT;
	return word & SWAPPED ? PAGE_SWAPPED : PAGE_NOWHERE;
}

int residency__look(struct residency *r, uint64_t addr, uint8_t *ret, size_t n)
{
	uint64_t end = addr + n * RESIDENCY_PAGE_BYTES;

	while (addr < end) {
		uint64_t first = addr / r->page_bytes, last = (end - 1) / r->page_bytes;
		size_t cnt = last - first + 1;
		ssize_t bytes;

		if (cnt > WORDS_A_READ)
			cnt = WORDS_A_READ;
		bytes = pread(r->fd, r->words, cnt * sizeof(r->words[0]), first * sizeof(r->words[0]));
		if (bytes < 0)
			return -errno;
		/* Nothing: beyond the end of the address space, or the process is gone. */
		cnt = bytes / sizeof(r->words[0]);
		if (!cnt)
			return -ESRCH;
		for (; addr < end && addr / r->page_bytes - first < cnt; addr += RESIDENCY_PAGE_BYTES)
			*ret++ = place(r->words[addr / r->page_bytes - first]);
	}
	return 0;
}

int residency__swapped_bytes(const struct proc *p, pid_t tgid, uint64_t *ret)
{
	char path[4096], line[256];
	unsigned long long kib;
	int err = make_path(path, sizeof(path), p, tgid, "status");
	FILE *f;

	if (err)
		return err;
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	err = -EBADMSG;
	while (err && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmSwap: %llu kB", &kib) == 1)
			err = 0;
	}
	fclose(f);
	if (!err)
		*ret = kib * 1024;
	return err;
}
