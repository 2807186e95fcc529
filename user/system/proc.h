/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * /proc, parsed. The root is injected so that tests can bring their own tree. All functions: 0, -ESRCH (process gone),
 * -EACCES, -EBADMSG (not what /proc prints), -ENOMEM.
 */
#ifndef SYSTEM_PROC_H
#define SYSTEM_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc;

/* root: "/proc", or a test's copy. NULL: "/proc". */
int proc__open(const char *root, struct proc **ret);
void proc__free(struct proc *p);
const char *proc__root(const struct proc *p);

struct proc_map {
	uint64_t start, end; /* addresses in the process */
	uint64_t offset; /* in the file */
	uint64_t inode;
	bool executable, writable, shared;
	bool deleted; /* no longer at path, for it was deleted or replaced */
	const char *path; /* "" for anonymous memory, or its name: "[heap]"; valid during the call */
};
/* Calls fn for each mapping in order, until it returns non-zero; that value is returned. */
int proc__for_each_map(const struct proc *p, pid_t tgid, int (*fn)(const struct proc_map *m, void *arg), void *arg);

/* Calls fn for each tgid, until it returns non-zero; that value is returned. */
int proc__for_each_process(const struct proc *p, int (*fn)(pid_t tgid, void *arg), void *arg);
/* Calls fn for each thread of tgid, likewise. */
int proc__for_each_thread(const struct proc *p, pid_t tgid, int (*fn)(pid_t tid, void *arg), void *arg);

struct proc_stat {
	pid_t ppid;
	char state;
	uint64_t start_time_ticks; /* since boot; with tgid names a process for good */
	uint64_t cpu_ticks; /* user and system time, in sysconf(_SC_CLK_TCK) */
	uint64_t rss_pages;
	uint64_t faults; /* page faults, minor and major, of all its threads ever */
};
int proc__stat(const struct proc *p, pid_t tgid, struct proc_stat *ret);
/* Whether it still runs in its parent's memory, which waits for it (vfork(2)); false also where the kernel does not tell (kcmp(2)). */
bool proc__borrows_memory(const struct proc *p, pid_t tgid);

/* User and system time of a process, all its threads ever, ns: by its clock where the root is /proc, else in ticks. */
int proc__cpu_ns(const struct proc *p, pid_t tgid, uint64_t *ret);
/*
 * How long the main thread has waited for a processor, and how often it has slept and come back (Documentation/scheduler/
 * sched-stats.rst; State and voluntary_ctxt_switches of proc_pid_status(5), which counts a sleep when it begins). -EBADMSG: this kernel
 * does not tell.
 */
int proc__waits(const struct proc *p, pid_t tgid, uint64_t *ret_waited_ns, uint64_t *ret_slept);

/*
 * The processor on which a thread of the process runs, or would run, that is no real-time thread; -1: none does, or it cannot be told.
 * Looks at a few threads.
 */
int proc__running_on(const struct proc *p, pid_t tgid);

/* Resident set in bytes: anonymous, file, shmem (RssAnon, RssFile, RssShmem of /proc/TGID/status). */
int proc__resident(const struct proc *p, pid_t tgid, uint64_t ret[3]);

/* The command line with blanks for the nulls between arguments, at most len - 1 bytes; comm in brackets where empty. */
int proc__cmdline(const struct proc *p, pid_t tgid, char *buf, size_t len);
/* A thread's name. */
int proc__comm(const struct proc *p, pid_t tgid, pid_t tid, char *buf, size_t len);

#endif
