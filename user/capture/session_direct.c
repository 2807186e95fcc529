/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Has the kernel side find the kernel's own mapping of all memory, through which it reads user memory faster
 * (bpf/direct.bpf.h). Where that does not work it reads as ever.
 *
 * Where a page of ours is in physical memory: /proc/self/pagemap, Documentation/admin-guide/mm/pagemap.rst.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "capture/session_impl.h"
#include "direct.h"

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FRAME ((1ull << 55) - 1)

static int physical_address(const void *page, uint64_t page_bytes, __u64 *ret)
{
	uint64_t entry;
	ssize_t n;
	int fd;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = pread(fd, &entry, sizeof(entry), (uintptr_t)page / page_bytes * sizeof(entry));
	close(fd);
	/* Frames are told only to who may (CAP_SYS_ADMIN). */
	if (n != sizeof(entry) || !(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_FRAME))
		return -EPERM;
	*ret = (entry & PAGEMAP_FRAME) * page_bytes;
	return 0;
}

static int run_search(int prog_fd, void *page, uint64_t page_bytes)
{
	struct direct_page told = { .user = (uintptr_t)page };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &told, .ctx_size_in = sizeof(told));
	int err;

	if (getrandom(told.word, sizeof(told.word), 0) != sizeof(told.word))
		return -EAGAIN;
	memcpy(page, told.word, sizeof(told.word));
	err = physical_address(page, page_bytes, &told.physical);
	if (err)
		return err;
	err = bpf_prog_test_run_opts(prog_fd, &opts) ? -errno : 0;
	return err ? err : opts.retval ? -ENOTSUP : 0;
}

void session_impl__find_direct_map(struct session *s)
{
	uint64_t page_bytes = sysconf(_SC_PAGESIZE);
	int err = -ENOTSUP, fd = bpf_program__fd(s->bpf->progs.find_direct_map);
	void *page;

	if (fd < 0)
		return;
	page = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (page != MAP_FAILED) {
		err = run_search(fd, page, page_bytes);
		munmap(page, page_bytes);
	}
	if (err)
		log_debug("user memory is not read through the kernel's mapping: %s", strerror(-err));
}
