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

#include "large.h"
#include "python.h"
#include "python/malloc_sites.h"
#include "python/sites.h"
#include "system/mapping_sites.h"
#include "system/probe_cost.h"
#include "records.h"

enum fault_hook { FAULT_HOOK_AUTO, FAULT_HOOK_FENTRY, FAULT_HOOK_KPROBE, FAULT_HOOK_TRACEPOINT, FAULT_HOOK_PERF };

struct proc;

struct session_opts {
	uint32_t signals; /* bit per enum signal */
	enum fault_hook fault_hook;
	bool cgroup_v1;
	bool tell_every_exec;
	bool every_process; /* no process of the host is left out: probes need not be confined */
	enum probe_links max_links; /* no better ones than these, to test what older kernels have */
	bool reads_by_calls; /* memory is not read in place (bpf/direct.bpf.h), to test that, too */
	const struct proc *proc; /* tells where a process runs; must live longer */
};

/* What the session hands out; records have passed record__check. Called from poll and read_counts only. */
struct session_handlers {
	void (*stack)(const struct rec_stack *rec, void *arg);
	void (*code)(const struct rec_code *rec, void *arg);
	void (*code_more)(const struct rec_code_more *rec, void *arg);
	void (*gc)(const struct rec_gc *rec, void *arg);
	void (*heap)(const struct rec_heap *rec, void *arg);
	void (*mapping)(const struct rec_mapping *rec, void *arg);
	void (*native)(const struct rec_native *rec, void *arg);
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
/* One that is there already is replaced, and keeps what it has counted and its budget. */
int session__add_target(struct session *s, pid_t tgid, const struct target *t, const struct govern_args *budget);
/* For a process whose end was not told. */
void session__remove_target(struct session *s, pid_t tgid);

/* How sites are attached (probe_sites__find). */
enum probe_links session__links(const struct session *s);
/*
 * Attaches the sites of the session's signals to one process. path opens the file they are in. The caller owns *ret; sites
 * outlive it.
 * -ESRCH: the process has ended; -ENOENT, ...
 */
int session__attach(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
		    struct session_links **ret);
void session_links__free(struct session_links *l);

/*
 * Takes the probes on the collector away from a process, or puts them back: while they are away nobody pays for a trap, and no
 * collection is told. Where links are shared (capture/attach.h), that goes for all processes that share them. What was under
 * way is forgotten. path: as for session__attach. 0 or -errno: they stay away.
 */
int session__pause_gc(struct session *s, struct session_links *l, pid_t tgid, const char *path, bool pause);
/* The same of the probe that counts pools; where each site has a link of its own there is none. */
int session__pause_pools(struct session_links *l, const char *path, bool pause);
bool session_links__pools_paused(const struct session_links *l);
bool session_links__gc_paused(const struct session_links *l);
/* Probes that were taken away are still met: where they are perf events, the kernel takes 0.1 s for each. */
bool session__is_detaching(struct session *s);
bool session_links__shared(const struct session_links *l);

/* Handles records for up to timeout_ms. Number of records, or -errno (-EINTR: a signal came). */
int session__poll(struct session *s, int timeout_ms);
/* Hands out what was counted since the last call, after every record that came before. */
int session__read_counts(struct session *s);
/* Sum over CPUs. */
uint64_t session__counter(const struct session *s, enum counter counter);
uint64_t session__bad_records(const struct session *s);

/* Forgets the blocks of all processes that is_gone says yes to, in one walk. */
int session__forget_blocks(struct session *s, bool (*is_gone)(uint32_t proc_id, void *arg), void *arg);
/* The kernel side will send that stack again when it comes to it. */
void session__forget_stack(struct session *s, uint64_t stack_id);
/*
 * To be called every half minute or so where processes come and go: makes room among the code objects that the kernel side
 * remembers, whose processes have all ended. It must remember those of living ones (bpf/code.bpf.c).
 */
int session__forget_codes(struct session *s);

/* How native code is walked from an address of a process on (struct native_key), from now on. 0 or -errno. */
int session__set_native(struct session *s, uint32_t proc_id, uint64_t at, const struct native_rule *rule);
/* The kernel side will ask about it again. */
void session__forget_native(struct session *s, uint32_t proc_id, uint64_t at);

/* What the kernel side keeps of a target. -ENOENT: it has ended. */
int session__read_state(const struct session *s, pid_t tgid, struct target_state *ret);
/* Sets the budget of a target. -ENOENT: it has ended; -ENOTSUP: before Linux 5.14. */
int session__govern(struct session *s, const struct govern_args *args);
/*
 * Takes the hook on page faults away, or puts it back: while it is off nobody pays for it, and what the resident sets gain
 * is no line's. chance: in (0, 1], of a moment to be watched; what is seen from now on stands for as much more. Puts off at
 * most 0.2 ms, where at least 50 ms lie between two calls. 0 or -errno.
 */
void session__pause_faults(struct session *s);
int session__watch_faults(struct session *s, double chance);
/* How often it was put back: struct target_state.hook_turn is of now, or of an earlier time. */
uint32_t session__hook_turn(const struct session *s);
/* The factor of struct page_value.watch. */
double session__watch_factor(unsigned int watch);
/* What the hook costs a fault that it passes over, ns; measured when it was attached. 0: there is no hook. */
uint64_t session__hook_ns(const struct session *s);
/* Of that, what it takes to get to our program and back. 0: not known. */
uint64_t session__hook_way_ns(const struct session *s);
/* What traps cost on this machine. Belongs to the session. */
const struct probe_costs *session__probe_costs(const struct session *s);

/* Called for each followed page; what it changes is kept, unless the page has faulted again meanwhile. */
typedef void (*page_asker)(const struct page_key *key, struct page_value *v, void *arg);
int session__sweep_pages(struct session *s, page_asker ask, void *arg);
/* Only those that are followed since the hook was put back, and not looked at yet, once each. False: there were more. */
bool session__sweep_turn(struct session *s, page_asker ask, void *arg);
/* Follows a page no more; ret: what was known of it last. False: it was not followed. */
bool session__take_page(struct session *s, const struct page_key *key, struct page_value *ret);
/* False: another one is followed there, or there is no room. */
bool session__follow_page(struct session *s, const struct page_key *key, const struct page_value *v);
/* Begins to write down anew which pages are followed; all that still are must be marked, and then session__end_marks called. */
void session__begin_marks(struct session *s);
void session__mark_followed(struct session *s, pid_t tgid, uint64_t page);
void session__end_marks(struct session *s);
/* Page faults are counted anew (struct stratum); about once a second. */
void session__begin_period(struct session *s);
/* live: of each of STRATA, pages that are there: what is looked at is shared out by them (strata.h). */
void session__favour_strata(struct session *s, const double *live);

/*
 * The heap signal. Pools that a process takes into use are counted by size class from session__watch_pools on, where a
 * probe of kind PROBE_POOL_OPEN is attached. In a window all allocations of small blocks are seen, at the sites given.
 */
/* Whether windows can be opened: the kernel can confine many probes to a process. */
bool session__takes_windows(const struct session *s);
int session__watch_pools(struct session *s, pid_t tgid);
void session__unwatch_pools(struct session *s, pid_t tgid);
int session__read_pools(const struct session *s, pid_t tgid, struct heap_pools *ret);
/* Has a window asked for (rec_heap) when as many pools were taken into use; 0: never. No window may be open. */
int session__ask_for_window(struct session *s, pid_t tgid, uint64_t pools_goal);
/*
 * Attaches a window's sites, those that are often hit for the shortest time; *ret is the caller's, for session__close_window. Their
 * hits count for nobody yet. 0 or -errno.
 */
int session__attach_window(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
			   const bool *often, struct session_links **ret, uint32_t *ret_id);
/*
 * w: attach_id (*ret_id above), left, limit_ns and trap_ns; of the main thread tid, waited_ns and slept. 0 or -errno (-ENOENT: the
 * process has ended).
 */
int session__begin_window(struct session *s, pid_t tgid, const struct window_state *w);
/* *ret: how it ended. 0 or -errno (-ENOENT: the process has ended). */
int session__close_window(struct session *s, pid_t tgid, struct session_links *l, struct window_state *ret);
/* Hands out (fn may be NULL) the blocks that are followed of a process, and forgets them. */
int session__take_blocks(struct session *s, uint32_t proc_id,
			 void (*fn)(const struct block_key *key, const struct block_value *v, void *arg), void *arg);

/*
 * Blocks over 512 bytes of one process (include/large.h): its malloc and kin are probed from here until it is
 * stopped, with probes that no other process meets.
 */
struct session_large;
/* on: once all is attached, and before. The caller owns *ret. -ESRCH: the process has ended; -ENOSPC: too many processes; -ENOENT, ... */
int session__follow_large(struct session *s, pid_t tgid, uint32_t proc_id, const struct malloc_file *file,
			  enum large_watch_on on, struct session_large **ret);
/* Goes on as told from now on. 0 or -errno. */
int session_large__set(struct session_large *l, enum large_watch_on on);
/* Nothing is counted any more; the probes are gone soon after. Its blocks stay until they are swept. */
void session_large__stop(struct session_large *l);
/* Once its blocks are swept. Stops it. Takes NULL. */
void session_large__free(struct session_large *l);
/*
 * From now on it is known by whom a mapping of the process is made larger, which realloc has done for large blocks. *ret is the caller's,
 * for session__unwatch. -ENOTSUP: not before 6.6; -ENOENT: the file has no such place.
 */
int session__watch_moves(struct session *s, pid_t tgid, const struct mapping_file *file, int *ret);
void session__unwatch(struct session *s, int moves);
/* The stack that made one so large last; 0: none did. */
uint64_t session__mover_of(const struct session *s, pid_t tgid, uint64_t bytes);
/* From now on each call that changes what the process has mapped is told (session_handlers.mapping). As session__watch_moves. */
int session__watch_mappings(struct session *s, pid_t tgid, const struct mapping_file *file, int *ret);
/* From now on pages that are followed go along when the process moves memory. As session__watch_moves. */
int session__follow_moves(struct session *s, pid_t tgid, const struct mapping_file *file, int *ret);
/* What large_key.watch says of its blocks. */
uint32_t session_large__number(const struct session_large *l);
/* How often its probes hit, and for how many of them a block was followed to the return. 0 or -errno. */
int session_large__hits(const struct session_large *l, struct large_watch *ret);
/* Calls fn for each followed block; those for which it returns true are forgotten. */
int session__sweep_large(struct session *s,
			 bool (*fn)(const struct large_key *key, const struct large_block *b, void *arg), void *arg);

/* Time spent in the programs of the exact signal, without the traps that lead to them, ns. */
uint64_t session__exact_ns(const struct session *s);

#endif
