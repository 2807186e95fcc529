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

/* As many as one call takes with few pages of stack; more do not make a piece cheaper (measured with 16 to 1,024). */
#define PIECES_A_CALL 256

/* Marks the pieces that the first n bytes filled; returns how many. */
static size_t mark_read(struct mem_piece *pieces, size_t cnt, size_t n)
{
	size_t i = 0;

	while (i < cnt && n >= pieces[i].len) {
		n -= pieces[i].len;
		pieces[i++].ok = true;
	}
	return i;
}

static int read_many_of_process(const struct mem_reader *m, struct mem_piece *pieces, size_t n)
{
	struct iovec local[PIECES_A_CALL], remote[PIECES_A_CALL];

	while (n) {
		size_t cnt = n < PIECES_A_CALL ? n : PIECES_A_CALL, done;
		ssize_t bytes;

		for (size_t i = 0; i < cnt; i++) {
			local[i] = (struct iovec){ .iov_base = pieces[i].buf, .iov_len = pieces[i].len };
			remote[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)pieces[i].addr,
						    .iov_len = pieces[i].len };
			pieces[i].ok = false;
		}
		bytes = process_vm_readv(m->tgid, local, cnt, remote, cnt, 0);
		if (bytes < 0 && errno != EFAULT)
			return -errno;
		/* It stops at the first piece that it cannot read: go on behind that one. */
		done = mark_read(pieces, cnt, bytes < 0 ? 0 : bytes);
		done += done < cnt;
		pieces += done;
		n -= done;
	}
	return 0;
}

int mem__read_many(const struct mem_reader *m, struct mem_piece *pieces, size_t n)
{
	if (m->read_many)
		return m->read_many(m, pieces, n);
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
	return (struct mem_reader){ .read = read_process, .read_many = read_many_of_process, .tgid = tgid };
}

int mem__read_u64(const struct mem_reader *m, uint64_t addr, uint64_t *ret)
{
	return mem__read(m, addr, ret, sizeof(*ret));
}

int mem__read_u32(const struct mem_reader *m, uint64_t addr, uint32_t *ret)
{
	return mem__read(m, addr, ret, sizeof(*ret));
}
