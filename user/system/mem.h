/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reading another process's memory. The reader is an interface, so that everything above it (Python's structures) can be
 * tested on made-up and corrupted memory without a process.
 */
#ifndef SYSTEM_MEM_H
#define SYSTEM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One of many reads. */
struct mem_piece {
	uint64_t addr;
	void *buf;
	uint32_t len;
	bool ok; /* result: all of it was read; else the contents of buf are undefined */
};

struct mem_reader {
	/*
	 * Copies len bytes at addr to buf, all or nothing. 0, or -EFAULT (not mapped), -ESRCH (process gone), -EPERM; what open(2) has:
	 * -EMFILE, -ENOMEM, ...
	 */
	int (*read)(const struct mem_reader *m, uint64_t addr, void *buf, size_t len);
	union {
		pid_t tgid;
		const void *ctx;
	};
};

/*
 * A reader of a live process, by /proc/PID/mem: never stops the process, never writes to it, and leaves pages that it shares with
 * its parent or its children since fork(2) shared. Not by process_vm_readv(2), though that reads small pieces in 0.4 us where this
 * takes 0.7: it pins what it reads (pin_user_pages_remote in mm/process_vm_access.c), and to pin a shared page is to copy it, since
 * 5.19 (gup_must_unshare in mm/internal.h): a prefork server's workers would have all their memory for themselves.
 *
 * What the process may not read itself (PROT_NONE) is read as well. Of the last reader that was made in a thread a file is open;
 * using another one opens it anew.
 */
struct mem_reader mem_reader__of_process(pid_t tgid);

static inline int mem__read(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	return m->read(m, addr, buf, len);
}
int mem__read_u64(const struct mem_reader *m, uint64_t addr, uint64_t *ret);
int mem__read_u32(const struct mem_reader *m, uint64_t addr, uint32_t *ret);

/* Reads n pieces. 0, also where pieces are not ok; -ESRCH or -EPERM: nothing of this process can be read. */
int mem__read_many(const struct mem_reader *m, struct mem_piece *pieces, size_t n);

#endif
