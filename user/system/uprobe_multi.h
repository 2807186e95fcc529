/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Many uprobes in one link (BPF_TRACE_UPROBE_MULTI, Linux 6.6; Debian 12's libbpf 1.1 and headers do not know it).
 * A program for it must be loaded with this attach type, and can then be attached in no other way.
 */
#ifndef SYSTEM_UPROBE_MULTI_H
#define SYSTEM_UPROBE_MULTI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* enum bpf_attach_type in include/uapi/linux/bpf.h. */
#define UPROBE_MULTI_ATTACH_TYPE 48
#define UPROBE_SESSION_ATTACH_TYPE 57

/* Where a program runs. */
enum uprobe_multi_when {
	UPROBE_MULTI_AT_SITE,
	UPROBE_MULTI_AT_RETURN, /* of the function whose first instructions the sites are in */
	/* Linux 6.13, for programs of UPROBE_SESSION_ATTACH_TYPE: at the site, and at the return when it returned 0 there. */
	UPROBE_MULTI_SESSION,
};

struct uprobe_multi_site {
	uint64_t offset; /* in the file */
	uint64_t semaphore; /* offset in the file of a USDT's count of listeners, or 0 */
	uint64_t cookie;
};
#define UPROBE_MULTI_MAX_SITES 2048

/*
 * The link's descriptor, or -errno. tgid: only that process, whose other threads are met too; 0: every process, also those
 * that map the file later. -ESRCH: no such process. Closing it waits for the kernel.
 */
int uprobe_multi__attach(int prog_fd, const char *path, pid_t tgid, enum uprobe_multi_when when,
			 const struct uprobe_multi_site *sites, size_t n);

enum uprobe_multi_support {
	UPROBE_MULTI_NONE,
	UPROBE_MULTI_NO_PID, /* works, but told a process it meets one thread only: 6.6 to 6.9 without the repair */
	UPROBE_MULTI_FULL,
	UPROBE_MULTI_WITH_SESSION, /* and takes UPROBE_MULTI_SESSION */
};
/* Tries it on this very program. */
enum uprobe_multi_support uprobe_multi__probe(void);

#endif
