/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PRESENT (1ull << 63)
#define FRAME ((1ull << 55) - 1)

struct pagemap {
	int fd;
	long page_bytes;
};

int pagemap__open(pid_t tgid, struct pagemap **ret)
{
	struct pagemap *p = calloc(1, sizeof(*p));
	char path[64];
	int err;

	if (!p)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)tgid);
	p->page_bytes = sysconf(_SC_PAGESIZE);
	p->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p->fd < 0) {
		err = errno == ENOENT ? -ESRCH : -errno;
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void pagemap__free(struct pagemap *p)
{
	if (!p)
		return;
	close(p->fd);
	free(p);
}

bool pagemap__present(struct pagemap *p, uint64_t page, uint64_t *ret_frame)
{
	uint64_t word, index = page * 4096 / p->page_bytes;

	if (pread(p->fd, &word, sizeof(word), index * sizeof(word)) != sizeof(word) || !(word & PRESENT))
		return false;
	*ret_frame = word & FRAME;
	return true;
}
