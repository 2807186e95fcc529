/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which processes are traced, what they are, and where their events go in the profile. Takes what the session hands
 * out, finds interpreters, attaches their probes, follows fork, exec and exit.
 */
#ifndef CAPTURE_TRACKER_H
#define CAPTURE_TRACKER_H

#include "capture/limits.h"
#include "capture/session.h"
#include "containers/cgroup.h"
#include "containers/container.h"
#include "model/profile.h"
#include "system/proc.h"

enum scope_kind {
	SCOPE_ALL, /* every Python process of the host */
	SCOPE_CGROUP, /* every process in a cgroup and below it */
	SCOPE_TREE, /* one process and what it forks from now on */
};

struct scope {
	enum scope_kind kind;
	char cgroup_path[4096]; /* SCOPE_CGROUP */
	pid_t tgid; /* SCOPE_TREE */
};

/* What the tracker works with; all outlive it. names may be NULL. */
struct tracker_deps {
	struct session *session; /* set by tracker__start */
	struct profile *profile;
	struct cgroups *cgroups;
	struct container_names *names;
	struct proc *proc;
	struct capture_limits limits;
};

struct tracker;

/* budget: share of the targets' CPU time that tracing may take; 0: no limit. -ENOMEM. */
int tracker__new(const struct scope *scope, uint32_t signals, double budget, const struct tracker_deps *deps,
		 struct tracker **ret);
void tracker__free(struct tracker *t);
/* What to give session__new. */
struct session_handlers tracker__handlers(struct tracker *t);
/* True when the session must tell of every exec. */
bool tracker__wants_every_exec(const struct tracker *t);

/*
 * Takes in all processes of the scope that run now. 0; for SCOPE_TREE also -ESRCH (no such process), -ENOEXEC (not
 * Python), -ENOTSUP (Python, but out of reach: tracker__why tells).
 */
int tracker__start(struct tracker *t, struct session *session);
/* Adds a process about to exec (record -- COMMAND), before it has become Python. */
int tracker__add_command(struct tracker *t, pid_t tgid);
/* What was lost, and what was merged or forgotten to bound memory. */
struct tracker_losses {
	uint64_t missed; /* programs of the scope that ended before they could be looked at: nothing of theirs was recorded */
	uint64_t unattached; /* forked processes that came in a storm, and were not attached to */
	uint64_t unknown; /* counts of processes that are not known (any more) */
	uint64_t mappings; /* calls that map memory, or give it back, which were seen but could not be kept */
	uint64_t shared_items; /* processes told together with an earlier one (process_items.h) */
	uint64_t forgotten; /* names of stacks and code objects, to be sent again */
};
struct tracker_losses tracker__losses(const struct tracker *t);
const char *tracker__why(const struct tracker *t);

/*
 * To be called often: looks again where a new program image was not Python yet, settles processes that have ended, switches
 * the hook on page faults.
 */
void tracker__upkeep(struct tracker *t);
/* How long a poll may sleep before upkeep is due: at most max_ms. */
int tracker__patience_ms(const struct tracker *t, int max_ms);
/*
 * To be called every second: limits and usage of containers, resident sets of processes, what each may cost. Those in which
 * nothing happens are looked at less often, but for all.
 */
void tracker__refresh(struct tracker *t, bool all);
/*
 * To be called every second: looks which followed pages are still resident and takes away those that are not. Does so only
 * every few seconds, but for now.
 */
int tracker__sweep(struct tracker *t, bool now);
/*
 * At the end: looks at all collectors and heaps once more, stops the resident signal, and brings each account up to the process's
 * resident set as it is now.
 */
void tracker__reconcile(struct tracker *t);

uint32_t tracker__n_python(const struct tracker *t); /* Python processes attached so far */
uint32_t tracker__n_alive(const struct tracker *t); /* traced processes that have not ended, and programs yet to be looked at */
/* How far large blocks were followed; sums over processes. */
struct large_blocks_sums {
	uint64_t hits, blocks; /* struct large_watch */
	uint64_t followed_ns, all_ns; /* how long processes were followed, of how long they lived since they were to be */
};
struct large_blocks_sums tracker__large_blocks(const struct tracker *t);
/* What all traced processes did and what tracing cost them, the exact signal included. */
struct profile_cost tracker__cost(const struct tracker *t);
/* The share of the time that the hook on page faults was on. */
double tracker__hook_share(const struct tracker *t);
/* Taking probes on collectors away and putting them back (gc_turns.h): how often, and what it cost us, CPU time. */
struct gc_activity {
	uint64_t switches, switching_ns;
};
struct gc_activity tracker__gc_activity(const struct tracker *t);
/* What the heap signal did; all 0 where it is not asked for. */
struct heap_activity {
	uint64_t watched; /* processes, ever */
	uint64_t windows, allocations; /* opened; seen in them */
	uint64_t spent_ns; /* what windows cost the processes, estimated */
	uint64_t reading_ns; /* what reading heaps cost us, CPU time */
	uint64_t opening_ns; /* what opening and closing windows cost us, likewise */
	uint64_t failed; /* windows that could not be opened, heaps that could not be read */
};
void tracker__heap_activity(const struct tracker *t, struct heap_activity *ret);

#endif
