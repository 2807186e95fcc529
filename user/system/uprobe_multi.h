/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Many uprobes in one link (BPF_TRACE_UPROBE_MULTI, Linux 6.6; Debian 12's libbpf 1.1 and headers do not know it).
 * A program for it must be loaded with this attach type, and can then be attached in no other way.
 */
#ifndef SYSTEM_UPROBE_MULTI_H
#define SYSTEM_UPROBE_MULTI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* enum bpf_attach_type in include/uapi/linux/bpf.h. */
#define UPROBE_MULTI_ATTACH_TYPE 48
#define UPROBE_SESSION_ATTACH_TYPE 57

struct uprobe_multi_site {
	uint64_t offset; /* in the file */
	uint64_t semaphore; /* offset in the file of a USDT's count of listeners, or 0 */
	uint64_t cookie;
};
#define UPROBE_MULTI_MAX_SITES 1024

/*
 * The link's descriptor, or -errno. tgid: only that process, whose other threads are met too; 0: every process, also those
 * that map the file later. -ESRCH: no such process. Closing it waits for the kernel.
 */
int uprobe_multi__attach(int prog_fd, const char *path, pid_t tgid, bool at_return, const struct uprobe_multi_site *sites,
			 size_t n);

/*
 * The same for a program of UPROBE_SESSION_ATTACH_TYPE, which is called at entry and return; at return only where it returned
 * 0 at entry.
 */
int uprobe_multi__attach_session(int prog_fd, const char *path, pid_t tgid, const struct uprobe_multi_site *sites, size_t n);

enum uprobe_multi_support {
	UPROBE_MULTI_NONE,
	UPROBE_MULTI_NO_PID, /* works, but told a process it meets one thread only: 6.6 to 6.9 without the repair */
	UPROBE_MULTI_FULL,
};
/* Tries it on this very program. */
enum uprobe_multi_support uprobe_multi__probe(void);
/* Session programs, Linux 6.13; tried likewise. */
bool uprobe_multi__has_sessions(void);

#endif
