/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel side, from user space: loads the programs, attaches hooks, reads the ring buffer and the maps. The only
 * module that knows the skeleton. It knows processes by number only; what they are is the tracker's business.
 *
 * Life: new (open, configure, load), start (host-wide hooks), add targets and attach sites at any time, poll and
 * read_counts until done, free (detaches all). Freeing takes a half-built session and NULL.
 */
#ifndef CAPTURE_SESSION_H
#define CAPTURE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "python.h"
#include "python/sites.h"
#include "records.h"

enum fault_hook { FAULT_HOOK_AUTO, FAULT_HOOK_FENTRY, FAULT_HOOK_KPROBE, FAULT_HOOK_TRACEPOINT, FAULT_HOOK_PERF };

struct session_opts {
	uint32_t signals; /* bit per enum signal */
	enum fault_hook fault_hook;
	bool cgroup_v1;
	bool tell_every_exec;
	bool every_process; /* no process of the host is left out: probes need not be confined */
	bool exact_serves_heap; /* what the exact signal sees is counted for the heap signal */
	bool no_uprobe_multi; /* attach with perf events as before Linux 6.6, to test that */
};

/* What the session hands out; records have passed record__check. Called from poll and read_counts only. */
struct session_handlers {
	void (*stack)(const struct rec_stack *rec, void *arg);
	void (*code)(const struct rec_code *rec, void *arg);
	void (*gc)(const struct rec_gc *rec, void *arg);
	void (*heap)(const struct rec_heap *rec, void *arg);
	void (*proc)(const struct rec_proc *rec, void *arg);
	void (*count)(const struct count_key *key, const struct count_value *delta, void *arg);
	void (*counted)(void *arg); /* all counts of one reading were handed out */
	void *arg;
};

struct session;
struct session_links; /* probes of one process */

/*
 * -EPERM: not allowed (needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE); -ENOENT: the kernel has no BTF;
 * -ENOTSUP: the fault hook asked for is not to be had; else what the kernel said.
 */
int session__new(const struct session_opts *opts, const struct session_handlers *handlers, struct session **ret);
void session__free(struct session *s);
int session__start(struct session *s);

/* Which hook serves the resident signal on this kernel: the first of fentry, kprobe, tracepoint, perf that works. */
enum fault_hook session__probe_fault_hook(void);
const char *fault_hook__name(enum fault_hook hook);
enum fault_hook session__fault_hook(const struct session *s);

/* Holds a process (SIGSTOP) at exec, and where session__attach_entry is set; SIGCONT lets it go. 0: nobody. */
void session__hold_execs(struct session *s, pid_t tgid);
int session__attach_entry(struct session *s, pid_t tgid, const char *path, uint64_t offset, struct session_links **ret);

int session__set_interpreter(struct session *s, uint32_t interp, const struct py_walk *walk);
int session__add_target(struct session *s, pid_t tgid, const struct target *t);

/* Hundreds of sites can be attached at once (probe_sites__find). */
bool session__takes_many_sites(const struct session *s);
/*
 * Attaches the sites of the session's signals to one process. path opens the file they are in. The caller owns *ret.
 * -ESRCH: the process has ended; -ENOENT, ...
 */
int session__attach(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
		    struct session_links **ret);
void session_links__free(struct session_links *l);

/* Handles records for up to timeout_ms. Number of records, or -errno (-EINTR: a signal came). */
int session__poll(struct session *s, int timeout_ms);
/* Hands out what was counted since the last call, after every record that came before. */
int session__read_counts(struct session *s);
/* Sum over CPUs. */
uint64_t session__counter(const struct session *s, enum counter counter);
uint64_t session__bad_records(const struct session *s);

/* Looks at one page fault in 1 << shift from now on; 0: at all. */
void session__sample_faults(struct session *s, uint32_t shift);
/* Calls fn for each followed page; pages for which it returns true are forgotten. Begins a new choice of pages. */
int session__sweep_pages(struct session *s, bool (*fn)(const struct page_key *key, const struct page_value *v, void *arg),
			 void *arg);

/*
 * The heap signal. Pools that a process takes into use are counted by size class from session__watch_pools on, where a
 * probe of kind PROBE_POOL_OPEN is attached. In a window all allocations of small blocks are seen, at the sites given.
 */
/* Whether windows can be opened: the kernel can confine many probes to a process. */
bool session__takes_windows(const struct session *s);
int session__watch_pools(struct session *s, pid_t tgid);
void session__unwatch_pools(struct session *s, pid_t tgid);
int session__read_pools(const struct session *s, pid_t tgid, struct heap_pools *ret);
/* The window sees at most `allocations`. *ret is the caller's, for session__close_window. */
int session__open_window(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
			 uint32_t allocations, struct session_links **ret);
/* *ret: how it ended. 0 or -errno (-ENOENT: the process has ended). */
int session__close_window(struct session *s, pid_t tgid, struct session_links *l, struct window_state *ret);
/* Hands out (fn may be NULL) the blocks that are followed of a process, and forgets them. */
int session__take_blocks(struct session *s, uint32_t proc_id,
			 void (*fn)(const struct block_key *key, const struct block_value *v, void *arg), void *arg);

struct session_cost {
	uint64_t run_ns; /* time spent in our programs */
	uint64_t run_cnt;
};
void session__cost(const struct session *s, struct session_cost *ret);

#endif
