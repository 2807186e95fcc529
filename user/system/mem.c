/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "system/mem.h"

#include <errno.h>
#include <sys/uio.h>

static int read_process(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
	ssize_t n = process_vm_readv(m->tgid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

struct mem_reader mem_reader__of_process(pid_t tgid)
{
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
