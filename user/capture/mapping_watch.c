/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/mapping_watch.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/address_space.h"
#include "system/mapping_sites.h"

/* Of the budget. */
#define MAPPINGS_SHARE 0.1
/* What one call costs beside the trap, until it was measured. */
#define PROGRAM_NS 2000.0
#define TELLING_CALLS 64
/*
 * The probes come back when so much may be spent again, and not before so many steps; twice as many each time that they went, half as many
 * each time that they stayed for as long as it is settled.
 */
#define RETURN_NS 1000000.0
#define MAX_AWAY_STEPS 32
/* So often it is looked at what is there. */
#define SETTLE_STEPS 16
/* A forked worker that has used so much CPU time is not one that lives for a moment. */
#define WORKER_CPU_NS 300000000ull
/* So many are watched from their begin on; more, when they run. */
#define WATCH_AT_ONCE 16
/* A process whose C library is not mapped is looked at so often. */
#define MAX_LOOKS 12
/* Mappings of a process that are looked at. */
#define MAX_RANGES (2 * ADDRESS_SPACE_MAX)

/* Objects/obmalloc.c, ARENA_SIZE: 256 KiB up to 3.9, 1 MiB from 3.10 on. */
#define OLD_ARENA_BYTES (256ull << 10)
#define ARENA_BYTES (1ull << 20)

/* Of one process. */
struct mapping_process {
	struct mapping_watch *watch;
	struct traced *tr;
	struct address_space *space;
	struct mapping_file file;
	struct map_owner before, unseen; /* what was there; and was not seen to be asked for */
	int link; /* -1: the probes are away */
	double hit_ns;
	uint64_t step_ns, hits; /* what it had cost at the last step, and calls since */
	unsigned int steps, away_steps, wait_steps; /* since it was settled; that the probes are away, and are to be */
	bool settled; /* since it is watched */
	int64_t seen_bytes, unseen_bytes; /* that it has now, of what it asked for since it is watched, by calls that were seen and not */
};

struct mapping_watch {
	const struct tracker_deps *deps;
	struct mapping_finder *finder;
	struct stack_names *names;
	double share; /* of a process's CPU time; 0: no limit */
	unsigned int n;
	uint64_t lost;
};

int mapping_watch__new(const struct tracker_deps *deps, struct mapping_finder *finder, struct stack_names *names, double budget,
		   struct mapping_watch **ret)
{
	struct mapping_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->deps = deps;
	w->finder = finder;
	w->names = names;
	w->share = budget * MAPPINGS_SHARE;
	*ret = w;
	return 0;
}

void mapping_watch__free(struct mapping_watch *w)
{
	free(w);
}

uint64_t mapping_watch__lost(const struct mapping_watch *w)
{
	return w->lost;
}

/* ---- what is mapped ---- */

/* What a forked process has from its parent is told of that. */
#define NOBODY PROFILE_NONE

static void take_over(const struct map_owner *owner, uint32_t kind, const struct profile_sums *delta, void *arg)
{
	struct mapping_process *p = arg;
	int64_t more = (int64_t)(delta->alloc_bytes - delta->free_bytes);

	if (owner->node == NOBODY)
		return;
	profile__add(p->watch->deps->profile, owner->process, owner->tid, owner->node, kind, delta);
	if (kind == KIND_ADVISED || owner->node == p->before.node)
		return;
	*(owner->node == p->unseen.node ? &p->unseen_bytes : &p->seen_bytes) += more;
}

static struct map_owner owner_of(const struct mapping_process *p, uint64_t stack_id)
{
	struct stack_name name = stack_names__look_up(p->watch->names, p->tr, stack_id);

	return (struct map_owner){ .process = name.process, .tid = name.tid, .node = name.node };
}

struct ranges {
	struct map_range *at;
	size_t n;
};

static bool starts_with(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* The kernel's own, and the main thread's stack, are no data of the process. */
static int keep_range(const struct proc_map *m, void *arg)
{
	struct ranges *r = arg;

	if (starts_with(m->path, "[stack") || starts_with(m->path, "[v"))
		return 0;
	if (r->n == MAX_RANGES)
		return -E2BIG;
	r->at[r->n++] = (struct map_range){
		.begin = m->start,
		.end = m->end,
		.shared = m->shared,
		.writable = m->writable,
		.heap = !strcmp(m->path, "[heap]"),
	};
	return 0;
}

/* Brings p up to what that process has, which is its own or its parent's. One that is ending has nothing, which tells nothing. */
static int settle_with(struct mapping_process *p, pid_t tgid, const struct map_owner *unseen)
{
	struct ranges r = { .at = malloc(MAX_RANGES * sizeof(*r.at)) };
	int err = r.at ? proc__for_each_map(p->watch->deps->proc, tgid, keep_range, &r) : -ENOMEM;

	if (!err && !r.n)
		err = -ESRCH;
	if (!err)
		err = address_space__settle(p->space, r.at, r.n, unseen);
	free(r.at);
	return err;
}

static int settle(struct mapping_process *p)
{
	int err = settle_with(p, p->tr->tgid, &p->unseen);

	p->steps = 0;
	p->settled |= !err;
	if (err == -ENOSPC || err == -E2BIG)
		p->watch->lost++;
	return err;
}

static void set_coverage(const struct traced *tr, struct profile *profile, uint64_t part, uint64_t whole, const char *text)
{
	struct profile_fact f = { .process = tr->process, .name = FACT_COVERAGE "mapped", .text = text, .part = part, .whole = whole };

	profile__set_fact(profile, &f);
}

static void put_coverage(const struct mapping_process *p)
{
	uint64_t seen = p->seen_bytes > 0 ? p->seen_bytes : 0, unseen = p->unseen_bytes > 0 ? p->unseen_bytes : 0;

	if (p->settled && seen + unseen)
		set_coverage(p->tr, p->watch->deps->profile, seen, seen + unseen,
			     "measured: bytes that it has now, of those mapped since it is watched, by what the kernel says is there");
}

/* Nobody looked at what it had last. */
static void put_coverage_at_end(const struct mapping_process *p)
{
	uint64_t seen = p->seen_bytes > 0 ? p->seen_bytes : 0;

	if (p->link < 0)
		set_coverage(p->tr, p->watch->deps->profile, 0, 0,
			     "derived: not known: it was not watched when it ended, to keep the budget");
	else if (!p->settled && seen)
		set_coverage(p->tr, p->watch->deps->profile, seen, seen,
			     "derived: sees what its C library asks the kernel for; it ended before that was compared with what is there");
	else
		put_coverage(p);
}

static void put_not_watched(const struct mapping_watch *w, const struct traced *tr, const char *why)
{
	char text[128];

	snprintf(text, sizeof(text), "derived: sees nothing: %s", why);
	set_coverage(tr, w->deps->profile, 0, 0, text);
}

/* ---- one process ---- */

static int attach(struct mapping_process *p)
{
	p->away_steps = 0;
	return session__watch_mappings(p->watch->deps->session, p->tr->tgid, &p->file, &p->link);
}

static void detach(struct mapping_process *p)
{
	if (p->link >= 0)
		session__unwatch(p->watch->deps->session, p->link);
	p->link = -1;
}

static double trap_ns(const struct mapping_watch *w, const struct mapping_file *file)
{
	const struct probe_costs *costs = session__probe_costs(w->deps->session);

	return file->site[MAP_CALL_MMAP].emulated && file->site[MAP_CALL_MUNMAP].emulated ? costs->emulated_ns : costs->stepped_ns;
}

static void free_process(struct mapping_process *p)
{
	address_space__free(p->space);
	free(p);
}

/* What a forked process has where its parent has something, too, is inherited. */
static int look_at_begin(struct mapping_process *p)
{
	const struct map_owner nobody = { .node = NOBODY };
	struct proc_stat stat;
	int err;

	if (p->tr->forked && !proc__stat(p->watch->deps->proc, p->tr->tgid, &stat))
		settle_with(p, stat.ppid, &nobody);
	err = settle_with(p, p->tr->tgid, p->tr->forked || p->tr->started ? &p->unseen : &p->before);
	p->seen_bytes = 0;
	return err;
}

/* The probes first: what comes between the two is told twice, which changes at most whose it is. */
static int start(struct mapping_process *p)
{
	int err = address_space__new(&p->unseen, take_over, p, &p->space);

	err = err ? err : attach(p);
	if (err)
		return err;
	err = look_at_begin(p);
	if (err) {
		detach(p);
		address_space__settle(p->space, NULL, 0, &p->unseen);
	}
	return err;
}

static const char *why_not(int err)
{
	switch (err) {
	case -ENOTSUP:
		return "it takes Linux 6.6";
	case -ENOSPC:
	case -E2BIG:
		return "it has more mappings than are told apart";
	default:
		return strerror(-err);
	}
}

static bool find_file(struct mapping_watch *w, struct traced *tr, struct mapping_file *ret)
{
	int err = mapping_finder__find(w->finder, tr->tgid, tr->interp->host_path, ret);

	tr->mappings_tried = err != -ENOENT || ++tr->mapping_looks == MAX_LOOKS;
	if (err && tr->mappings_tried)
		put_not_watched(w, tr, "where its C library maps memory was not found");
	return !err;
}

static void begin(struct mapping_watch *w, struct traced *tr)
{
	struct mapping_process *p;
	struct mapping_file file;
	int err;

	if (tr->mappings || tr->mappings_tried || !tr->interp || !find_file(w, tr, &file))
		return;
	p = calloc(1, sizeof(*p));
	if (!p)
		return;
	*p = (struct mapping_process){ .watch = w, .tr = tr, .file = file, .link = -1, .wait_steps = 1 };
	p->before = owner_of(p, STACK_BEFORE_ATTACH);
	p->unseen = owner_of(p, STACK_MAPPED_UNSEEN);
	tr->trap_ns[COST_MAP] = trap_ns(w, &file);
	p->hit_ns = tr->trap_ns[COST_MAP] + PROGRAM_NS;
	err = start(p);
	if (err) {
		log_debug("process %d: what it maps is not seen: %s", (int)tr->tgid, strerror(-err));
		if (err != -ESRCH)
			put_not_watched(w, tr, why_not(err));
		free_process(p);
		return;
	}
	tr->mappings = p;
	w->n++;
}

void mapping_watch__begin(struct mapping_watch *w, struct traced *tr)
{
	if (w->n < WATCH_AT_ONCE || tr->held)
		begin(w, tr);
}

void mapping_watch__end(struct mapping_watch *w, struct traced *tr)
{
	if (!tr->mappings)
		return;
	put_coverage_at_end(tr->mappings);
	detach(tr->mappings);
	free_process(tr->mappings);
	tr->mappings = NULL;
	w->n--;
}

/* ---- what it costs ---- */

/* As known at the last step. */
static double may_be_spent_ns(const struct mapping_process *p)
{
	const struct mapping_watch *w = p->watch;
	const struct traced *tr = p->tr;
	uint64_t cpu_ns = tr->cpu_ns > tr->began_cpu_ns ? tr->cpu_ns - tr->began_cpu_ns : 0;

	return w->share ? MAPPING_BURST_NS * traced__advance(tr) + w->share * cpu_ns - p->step_ns : INFINITY;
}

static void leave(struct mapping_process *p)
{
	if (p->link < 0) /* what is told of before it left */
		return;
	detach(p);
	p->wait_steps = 2 * p->wait_steps < MAX_AWAY_STEPS ? 2 * p->wait_steps : MAX_AWAY_STEPS;
}

static void come_back(struct mapping_process *p)
{
	if (++p->away_steps < p->wait_steps || may_be_spent_ns(p) < RETURN_NS || attach(p))
		return;
	if (settle(p))
		detach(p);
	put_coverage(p);
}

/* Calls that the kernel refuses, and those that told nothing, cost as much. */
static void step(struct mapping_process *p)
{
	const struct traced *tr = p->tr;
	uint64_t seen = p->hits;

	if (tr->mapping_hits >= TELLING_CALLS)
		p->hit_ns = (double)tr->mappings_ns / tr->mapping_hits;
	p->hits = 0;
	p->step_ns = tr->mappings_ns;
	p->steps++;
	if (p->link < 0) {
		come_back(p);
	} else if (may_be_spent_ns(p) < 0) {
		leave(p);
	} else if (p->steps >= SETTLE_STEPS && seen) {
		settle(p);
		put_coverage(p);
		p->wait_steps = p->wait_steps > 1 ? p->wait_steps / 2 : 1;
	}
}

/* ---- events ---- */

static bool is_arena(const struct traced *tr, const struct rec_mapping *rec)
{
	return rec->call == MAP_CALL_MMAP && (rec->bytes == ARENA_BYTES || rec->bytes == OLD_ARENA_BYTES) &&
	       rec->flags == (MAP_PRIVATE | MAP_ANONYMOUS) && rec->caller - tr->interp->text_begin < tr->interp->text_bytes;
}

void mapping_watch__event(struct mapping_watch *w, struct traced *tr, const struct rec_mapping *rec)
{
	struct mapping_process *p = tr->mappings;
	struct map_event e = {
		.call = rec->call,
		.addr = rec->addr,
		.bytes = rec->bytes,
		.third = rec->third,
		.flags = rec->flags,
		.result = rec->result,
	};
	struct map_owner who;

	if (!p)
		return;
	e.arena = is_arena(tr, rec);
	who = owner_of(p, rec->stack_id);
	if (address_space__apply(p->space, &e, &who))
		w->lost++;
	tr->heard = true;
	if (++p->hits * p->hit_ns > may_be_spent_ns(p))
		leave(p);
}

/* NULL: nothing stands in the way of watching it. */
static const char *why_not_yet(const struct mapping_watch *w, const struct traced *tr)
{
	if (!tr->busy)
		return "it did nothing";
	if (tr->waits || (tr->forked && tr->use.cpu_ns <= WORKER_CPU_NS))
		return "it ran but for a moment";
	return w->n == MAX_MAPPING_WATCHES ? "as many others as can be are watched" : NULL;
}

void mapping_watch__refresh(struct mapping_watch *w, struct traced_table *table)
{
	uint64_t begin_ns = clock_now_ns();
	struct traced *tr;

	for (tr = table->alive; tr && clock_now_ns() - begin_ns < w->deps->limits.attach_ns; tr = tr->hh_tgid.next) {
		if (tr->mappings)
			step(tr->mappings);
		else if (tr->python && !tr->mappings_tried && !why_not_yet(w, tr))
			begin(w, tr);
	}
}

void mapping_watch__settle(struct mapping_watch *w, struct traced_table *table)
{
	struct traced *tr;
	const char *why;

	for (tr = table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->mappings) {
			settle(tr->mappings);
			put_coverage(tr->mappings);
		} else if (tr->python && !tr->mappings_tried) {
			why = why_not_yet(w, tr);
			put_not_watched(w, tr, why ? why : "it was not its turn yet");
		}
	}
}
