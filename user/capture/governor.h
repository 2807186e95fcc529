/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Keeps what tracing costs one process (or some that are taken as one) within a share of its CPU time. Pure: fed with sums
 * about once a second, or sooner, it answers with what may be spent until the next time, and how.
 *
 * What the process may spend is an account: a share of its CPU time comes in, what tracing cost goes out, and at most
 * GOVERNOR_SAVED_NS are saved up, which is also what it begins with: a program's first faults are many and tell much. Of
 * what was saved a half may be spent at each step, so that a program that turns hot is thinned out step by step, never all
 * at once, and what is spent in the long run is what came in.
 *
 * Means, in this order: some probes cost what they cost. Those on the collector cost a trap at each collection, whatever the
 * program does: they are there for a part of the time (gc_share), so that they take what nobody else asks for, and always
 * GOVERNOR_GC_ALWAYS; that share falls at once and rises slowly, and only when what comes in pays for it. The hook on page
 * faults costs a little at each fault, looked at or not: where that alone is more than half of what is left, or where even the
 * fewest faults that may be looked at cost more than that, it must be off for a part of the time (hook_share). One fault in
 * 1 << shift is looked at, as many as fit. The shift grows by as much as is needed, and falls half of the way to what fits into what
 * comes in, with a margin: it does not swing.
 *
 * Pages that are followed when they are moved may take a quarter of what may be spent (move_pace.h).
 *
 * Heap windows: as long as they spend nothing, page faults have it all; from the step on at which they spend, up to a half
 * is theirs. Whoever else has spent all: page faults have a tenth for the hook and a tenth to be looked at, or of what comes later nothing
 * would be known.
 */
#ifndef CAPTURE_GOVERNOR_H
#define CAPTURE_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#define GOVERNOR_SAVED_NS 10000000ull
/*
 * What the hook may cost at first, beside that: whether a program faults a lot to begin with, or all the time, is known later, and what
 * comes in while the hook is off is of no line.
 */
#define GOVERNOR_HOOK_FREE_NS 10000000ull
/* The hook on page faults is never off for longer than all but this share of the time. */
#define GOVERNOR_MIN_HOOK_SHARE 0.02
/* Where it was on for less of a step, that tells nothing of how many page faults there are. */
#define GOVERNOR_HOOK_TELLING 0.005
/* The same of the probes on the collector. */
#define GOVERNOR_MIN_GC_SHARE 0.004
/* Of what a process may spend, what collections may always take. */
#define GOVERNOR_GC_ALWAYS 0.3

/* Sums since the beginning. */
struct governor_use {
	uint64_t cpu_ns; /* of the process */
	uint64_t fault_ns, fault_cnt; /* page faults looked at */
	uint64_t skipped_cnt; /* page faults that the hook saw and passed over */
	uint64_t hook_ns; /* what the hook cost all page faults that it saw, beside what it takes to look at one */
	uint64_t gc_ns; /* collections that were watched: cost with the traps */
	uint64_t gc_on_ns, gc_all_ns; /* time that the probes on the collector were there, of how much */
	uint64_t other_ns; /* what other probes cost, which nothing here can change */
	uint64_t heap_ns; /* what heap windows cost */
};

struct governor {
	double budget; /* 0.01: 1 %; 0: no limit */
	double hook_ns; /* what the hook costs a fault that it passes over; may be set anew at any time */
	double ahead; /* so many times as long as the last step the next one will be; likewise */
	/* Answers; of a governor that has not stepped yet: what to begin with. */
	uint32_t shift;
	uint64_t limit_ns; /* of fault_ns: there the kernel side begins to thin out by itself, */
	uint32_t step_ns; /* and once more each time that so much more was spent */
	double hook_share; /* of the time the hook may be on, for this process alone */
	double gc_share; /* of the time the probes on the collector may be there */
	uint64_t gc_limit_ns; /* of gc_ns: from there on they must be away until the next step */
	uint64_t moves_ns; /* following moved pages may take so much until the next step; UINT64_MAX: no limit */
	/* its own */
	struct governor_use last;
	double saved_ns; /* < 0: more was spent than came in */
	double hook_free_ns; /* what the hook may cost yet without being counted; set after the begin, if anything */
	double look_ns; /* what it costs to look at one fault */
	double looks; /* so many more are looked at than the shift says, for some pages are looked at more often (bpf/fault.bpf.c) */
	double gc_a_ns; /* what collections would cost if all were watched, by CPU time */
	double hits_a_ns; /* page faults that the hook would see, by CPU time, as of the last step in which it was on */
};

/* saved_ns: what may be spent at first, at most GOVERNOR_SAVED_NS. use: sums as they are, NULL: zeros. */
void governor__begin(struct governor *g, double budget, double hook_ns, uint64_t saved_ns, const struct governor_use *use);

/* Until the next step no more than this may be spent on page faults before the kernel side thins out. */
void governor__set_limit(struct governor *g, double more_ns);
/* The same of collections. */
void governor__set_gc_limit(struct governor *g, double more_ns);
/*
 * shift: as the kernel side has it now, which may have added to it. hook_was_on: share of the time since the last step;
 * hook_will_be_on: until the next, where others have a say in it.
 */
void governor__step(struct governor *g, const struct governor_use *use, uint32_t shift, double hook_was_on,
		    double hook_will_be_on);
/* The share of time that the hook may be on until the next step; to be asked before it. */
double governor__hook_share(struct governor *g, const struct governor_use *use, double hook_was_on);

/* All that tracing cost the process. */
uint64_t governor__cost_ns(const struct governor_use *use);

#endif
