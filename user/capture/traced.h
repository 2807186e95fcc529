/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One traced process, and the table of them: by the number that the kernel side knows them by, and those alive by tgid.
 * What is asked for often (how many are alive, who waits for something) is kept, not looked for. Only the tracker's files
 * include this.
 *
 * The table owns the processes, a process its interpreter, links and pagemap. Processes that have ended stay
 * until what was counted for them is settled.
 */
#ifndef CAPTURE_TRACED_H
#define CAPTURE_TRACED_H

#include <stdbool.h>
#include <uthash.h>

#include "capture/advance.h"
#include "capture/forked_memory.h"
#include "capture/governor.h"
#include "capture/hook_turns.h"
#include "capture/interp_watch.h"
#include "capture/move_pace.h"
#include "capture/pagemap.h"
#include "capture/resident_account.h"
#include "capture/resident_lines.h"
#include "capture/session.h"
#include "model/profile.h"
#include "python/interp.h"

struct traced {
	uint32_t proc_id; /* key */
	pid_t tgid;
	uint32_t process; /* index in the profile */
	bool shares_item; /* which another process had before it */
	uint32_t nodes_left; /* that it may add to the profile */
	uint32_t *tids; /* threads that are told apart */
	uint32_t n_tids;
	uint64_t cgroup_id;
	bool python;
	bool ended; /* no more events come */
	bool replaced; /* ended by exec */
	uint64_t looked_ns; /* when its program was looked at: an exec after that makes it another */
	bool settled; /* and nothing more is counted for it */
	bool started; /* while it was recorded, by an exec */
	bool forked; /* begins with what it inherited, which is not counted */
	bool held; /* was stopped by us: to be let go */
	struct interp *interp; /* NULL: not Python (yet) */
	uint32_t interp_slot;
	struct session_links *links;
	struct session_links *entry; /* of a held command */
	struct native_process *native; /* what is known of its native code (native_frames.h); NULL: nothing yet */
	bool moves; /* it is seen when its memory is moved (move_watch.h) */
	int moves_link; /* session__follow_moves */
	bool moves_tried;
	uint64_t moves_ns, moves_seen_ns, moves_seen_cpu_ns; /* what that cost; and at the last look at it, when it had used so much CPU time */
	struct mapping_process *mappings; /* what it has mapped (mapping_watch.h); NULL: not watched */
	bool mappings_tried;
	uint8_t mapping_looks; /* for its C library */
	uint64_t mappings_ns, mapping_hits; /* what that cost, for how many calls */
	struct heap_process *heap; /* the heap signal's; NULL: not watched */
	struct pagemap *pagemap; /* during a sweep */
	struct resident_account resident;
	struct resident_lines lines; /* of a process that is thinned out */
	uint64_t rss_bytes[RESIDENT_KINDS]; /* when a sweep began */
	bool thinned; /* not all of its page faults were looked at */
	struct forked_faults forked_faults; /* of a forked process, at the end (accounts__reconcile) */
	struct interp_watch watch;
	uint64_t cpu_ns; /* CPU time it had used when last seen, since its fork */
	uint64_t windows_ns, large_ns; /* what windows of the heap signal and probes on malloc have cost it */
	uint64_t faults; /* page faults, likewise */
	double faults_of_late, looks_of_late; /* of those, fading by step */
	/* What tracing it costs and may cost (budget.h). */
	uint64_t advance_ns; /* what it may spend before it has earned it (advance.h) */
	uint64_t began_ns, began_cpu_ns;
	bool waits; /* nothing was advanced to it, so its probes are to wait until it has lived for a while */
	bool shares_advance; /* what it was advanced, and has cost, is yet to be settled with the others of its container */
	struct governor governor;
	struct governor_use use;
	uint64_t passed_ns, passed_cnt; /* struct target_state's, when the governor was told what the hook costs */
	struct govern_args budget; /* as the kernel side was told last */
	uint32_t kernel_shift; /* fault_shift as the kernel side has it */
	struct moved moved; /* likewise */
	struct hook_asked hook_asked;
	double hook_was_on; /* share of the time from the step before the last one to that */
	uint64_t stepped_ns; /* when its governor was asked last */
	struct move_pace move_pace;
	uint32_t trap_ns[COST_PART_MAX]; /* what it takes to get to our program */
	/* Page faults while the hook was off and on by turns, and as many as those seen by it stand for; of late. */
	double faults_lately, faults_told;
	struct {
		struct hook_turns turns; /* where its links are its own */
		bool away; /* the probes on its collector are, */
		bool leaving; /* but not all of them yet */
		uint32_t told_cnt, ask_cnt; /* collections since one asked what they cost; when to ask again */
		uint64_t hit_cnt; /* how often our programs ran for it, as use.gc_ns is what that cost */
		uint64_t since_ns; /* times in use are as of then, as is */
		uint64_t watched_ns; /* how long they were all there */
		uint64_t from_ns, until_ns; /* all of them are, or were, there; 0 and 0: since the begin */
		uint64_t switching_ns;
	} gc; /* gc_turns.h */
	uint64_t exact_cnt; /* events of the exact signal that are not in its cost yet */
	bool newborn; /* just started: governed together with others, until it is looked at for the first time */
	bool one_of_few; /* that started; the first look comes early (early_steps.h) */
	bool busy; /* did something in the last step */
	bool early; /* it was young at the last step between */
	bool heard; /* something was told of it since then */
	bool stirred; /* it ran, or its resident set changed, since its lines were settled last (page_sweep.c) */
	uint8_t calm_steps; /* it did not run for so many; more are not counted */
	bool has_forked; /* since the kernel side was told */
	uint8_t gone_steps; /* in how many it was not found, although nobody told of its end */
	/* A new program image may not have mapped its interpreter yet: when to look again (0: not), how often we did. */
	uint64_t retry_at_ns;
	unsigned int retries;
	struct traced *prev_retry, *next_retry, *next_unsettled, *next_held;
	UT_hash_handle hh, hh_tgid;
};

struct traced_table {
	struct traced *by_id;
	struct traced *alive; /* by tgid; where an exit was missed, the newest of a tgid is found */
	struct traced *retrying; /* those with retry_at_ns */
	struct traced *unsettled; /* ended, but what was counted for them is not read yet */
	uint32_t n_python; /* ever */
	uint32_t n_python_alive;
	uint32_t n_running; /* Python processes that ran in the last step */
};

/* The table takes tr. */
void traced_table__add(struct traced_table *table, struct traced *tr);
/* NULL: none. */
struct traced *traced_table__find(const struct traced_table *table, uint32_t proc_id);
struct traced *traced_table__find_alive(const struct traced_table *table, pid_t tgid);
uint32_t traced_table__n_alive(const struct traced_table *table);
/*
 * So many times less of the tracer's own time goes into each thing that it could do at any pace: where many Python processes run,
 * each is looked at less closely, so that all together take no more than a few. 1 or more.
 */
double traced_table__crowd(const struct traced_table *table);
/* Its interpreter is known. */
void traced_table__is_python(struct traced_table *table, struct traced *tr);
/* at_ns 0: never. */
void traced_table__retry_at(struct traced_table *table, struct traced *tr, uint64_t at_ns);
/* No more events come: takes its probes away; unsettled from now on. Once only, later calls do nothing. */
void traced_table__end(struct traced_table *table, struct traced *tr, bool exec);
/* Frees a process that has ended and is settled: nothing more is known of it. */
void traced_table__forget(struct traced_table *table, struct traced *tr);
/* Frees all processes, lets go who is held. */
void traced_table__clear(struct traced_table *table);

/* How much of a whole advance it was given. */
static inline double traced__advance(const struct traced *tr)
{
	return (double)tr->advance_ns / ADVANCE_NS;
}

/* Continues a process that we stopped; the stop may still be on its way. */
void traced__let_go(const struct traced *tr);
/* ns that it takes to get to our programs of a part; before its probes are attached, as to most. */
uint32_t traced__trap_ns(const struct traced *tr, const struct session *session, enum cost_part part);
/* Tells the kernel side what it is, and its budget; signals: 0 for one that is only watched until it execs. 0 or -errno. */
int traced__tell_kernel(const struct traced *tr, struct session *session, uint32_t signals);
/* Notes whether its faults, or its pages that move, are looked at in part. */
void traced__note_thinned(struct traced *tr, const struct target_state *state);
/* Leaves a note for people in the profile. */
void traced__note(const struct traced *tr, struct profile *profile, const char *note);

#endif
