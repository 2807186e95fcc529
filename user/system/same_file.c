/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A page may be reclaimed and come back, or migrate, between two looks: the page numbers count only when they are the
 * same before and after. Format of pagemap: Documentation/admin-guide/mm/pagemap.rst.
 */
#include "system/same_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_PFN ((1ull << 55) - 1)
#define TRIES 3

struct file_identity {
	dev_t dev;
	ino_t ino;
	off_t bytes;
	volatile const char *page;
};

int file_identity__open(const char *path, struct file_identity **ret)
{
	struct file_identity *f;
	struct stat st;
	void *page;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) ? -errno : st.st_size ? 0 : -ENODATA;
	page = err ? MAP_FAILED : mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, fd, 0);
	if (!err && page == MAP_FAILED)
		err = -errno;
	close(fd);
	if (err)
		return err;
	f = malloc(sizeof(*f));
	if (!f) {
		munmap(page, sysconf(_SC_PAGESIZE));
		return -ENOMEM;
	}
	*f = (struct file_identity){ .dev = st.st_dev, .ino = st.st_ino, .bytes = st.st_size, .page = page };
	*ret = f;
	return 0;
}

void file_identity__free(struct file_identity *f)
{
	if (!f)
		return;
	munmap((void *)f->page, sysconf(_SC_PAGESIZE));
	free(f);
}

/* 0: not known. */
static uint64_t physical_page(int pagemap, const struct file_identity *f)
{
	off_t at = (uintptr_t)f->page / sysconf(_SC_PAGESIZE) * sizeof(uint64_t);
	uint64_t entry;

	(void)f->page[0];
	if (pread(pagemap, &entry, sizeof(entry), at) != sizeof(entry) || !(entry & PAGEMAP_PRESENT))
		return 0;
	return entry & PAGEMAP_PFN;
}

bool file_identity__same(const struct file_identity *a, const struct file_identity *b)
{
	uint64_t before, other, after;
	int fd, i;

	if (a->bytes != b->bytes)
		return false;
	if (a->dev == b->dev && a->ino == b->ino)
		return true;
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	for (i = 0; i < TRIES; i++) {
		before = physical_page(fd, a);
		other = physical_page(fd, b);
		after = physical_page(fd, a);
		if (before == after)
			break;
	}
	close(fd);
	return i < TRIES && before && before == other;
}
