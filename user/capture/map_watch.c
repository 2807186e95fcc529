/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/map_watch.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "model/address_space.h"
#include "system/map_sites.h"

/* Of the budget; and what it may cost before that was earned. */
#define MAPS_SHARE 0.1
#define BURST_NS 3000000.0
/* What one call costs beside the trap, until it was measured. */
#define PROGRAM_NS 2000.0
/* The probes come back when so much may be spent again. */
#define RETURN_NS 1000000.0
/* A forked worker that has used so much CPU time is not one that lives for a moment. */
#define WORKER_CPU_NS 300000000ull
/* Mappings of a process that are looked at. */
#define MAX_RANGES (2 * ADDRESS_SPACE_MAX)

/* Objects/obmalloc.c, ARENA_SIZE: 256 KiB up to 3.9, 1 MiB from 3.10 on. */
#define OLD_ARENA_BYTES (256ull << 10)
#define ARENA_BYTES (1ull << 20)

/* Of one process. */
struct map_process {
	struct map_watch *watch;
	struct traced *tr;
	struct address_space *space;
	struct map_file file;
	struct map_owner unseen; /* whose memory is that nobody was seen to ask for */
	int link; /* -1: the probes are away */
	double hit_ns;
	uint64_t began_cpu_ns;
	uint64_t step_ns, hits; /* what it had cost at the last step, and calls since */
	uint64_t seen_bytes, unseen_bytes; /* taken while it was watched, by calls that were seen; and found afterwards */
	bool settling;
};

struct map_watch {
	const struct tracker_deps *deps;
	struct map_finder *finder;
	struct stack_names *names;
	double share; /* of a process's CPU time; 0: no limit */
	unsigned int n;
	uint64_t lost;
};

int map_watch__new(const struct tracker_deps *deps, struct map_finder *finder, struct stack_names *names, double budget,
		   struct map_watch **ret)
{
	struct map_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->deps = deps;
	w->finder = finder;
	w->names = names;
	w->share = budget * MAPS_SHARE;
	*ret = w;
	return 0;
}

void map_watch__free(struct map_watch *w)
{
	free(w);
}

uint64_t map_watch__lost(const struct map_watch *w)
{
	return w->lost;
}

/* ---- what is mapped ---- */

/* What a forked process begins with is its parent's. */
#define NOBODY PROFILE_NONE

static void take_over(const struct map_owner *owner, uint32_t kind, const struct profile_sums *delta, void *arg)
{
	struct map_process *p = arg;

	if (owner->node == NOBODY)
		return;
	profile__add(p->watch->deps->profile, owner->process, owner->tid, owner->node, kind, delta);
	if (kind != KIND_ADVISED && p->settling)
		p->unseen_bytes += delta->alloc_bytes;
	else if (kind != KIND_ADVISED)
		p->seen_bytes += delta->alloc_bytes;
}

static struct map_owner owner_of(const struct map_process *p, uint64_t stack_id)
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
		.anonymous = !m->inode,
		.heap = !strcmp(m->path, "[heap]"),
	};
	return 0;
}

static int settle(struct map_process *p)
{
	struct ranges r = { .at = malloc(MAX_RANGES * sizeof(*r.at)) };
	int err = r.at ? proc__for_each_map(p->watch->deps->proc, p->tr->tgid, keep_range, &r) : -ENOMEM;

	p->settling = true;
	if (!err)
		err = address_space__settle(p->space, r.at, r.n, &p->unseen);
	p->settling = false;
	free(r.at);
	return err;
}

static void put_coverage(const struct map_process *p)
{
	struct profile_fact f = {
		.process = p->tr->process,
		.name = FACT_COVERAGE "mapped",
		.text = "measured: bytes mapped since it is watched, by what the kernel says is there",
		.part = p->seen_bytes,
		.whole = p->seen_bytes + p->unseen_bytes,
	};

	if (f.whole)
		profile__set_fact(p->watch->deps->profile, &f);
}

/* ---- one process ---- */

static int attach(struct map_process *p)
{
	return session__watch_maps(p->watch->deps->session, p->tr->tgid, &p->file, &p->link);
}

static void detach(struct map_process *p)
{
	if (p->link >= 0)
		session__unwatch_moves(p->watch->deps->session, p->link);
	p->link = -1;
}

static double trap_ns(const struct map_watch *w, const struct map_file *file)
{
	const struct probe_costs *costs = session__probe_costs(w->deps->session);

	return file->site[MAP_CALL_MMAP].emulated && file->site[MAP_CALL_MUNMAP].emulated ? costs->emulated_ns : costs->stepped_ns;
}

static void free_process(struct map_process *p)
{
	address_space__free(p->space);
	free(p);
}

/* What is there already is told as that, but for what was inherited. */
static int look_at_begin(struct map_process *p)
{
	int err;

	p->unseen = owner_of(p, STACK_BEFORE_ATTACH);
	if (p->tr->forked)
		p->unseen.node = NOBODY;
	err = settle(p);
	p->unseen = owner_of(p, STACK_MAPPED_UNSEEN);
	p->unseen_bytes = 0;
	return err;
}

/* The probes first: what comes between the two is told twice, which changes nothing. */
static int start(struct map_process *p)
{
	int err = address_space__new(take_over, p, &p->space);

	err = err ? err : attach(p);
	err = err ? err : look_at_begin(p);
	if (err)
		detach(p);
	return err;
}

void map_watch__begin(struct map_watch *w, struct traced *tr)
{
	struct map_process *p;
	struct map_file file;
	int err;

	if (tr->maps || tr->maps_tried || !tr->interp || w->n == MAX_MAP_WATCHES)
		return;
	err = map_finder__find(w->finder, tr->tgid, tr->interp->host_path, &file);
	if (err == -ENOENT)
		return;
	tr->maps_tried = true;
	p = err ? NULL : calloc(1, sizeof(*p));
	if (!p)
		return;
	*p = (struct map_process){ .watch = w, .tr = tr, .file = file, .link = -1, .began_cpu_ns = tr->cpu_ns };
	tr->trap_ns[COST_MAP] = trap_ns(w, &file);
	p->hit_ns = tr->trap_ns[COST_MAP] + PROGRAM_NS;
	err = start(p);
	if (err) {
		log_debug("process %d: what it maps is not seen: %s", (int)tr->tgid, strerror(-err));
		free_process(p);
		return;
	}
	tr->maps = p;
	w->n++;
}

void map_watch__end(struct map_watch *w, struct traced *tr)
{
	if (!tr->maps)
		return;
	put_coverage(tr->maps);
	detach(tr->maps);
	free_process(tr->maps);
	tr->maps = NULL;
	w->n--;
}

/* ---- what it costs ---- */

/* As known at the last step. */
static double may_be_spent_ns(const struct map_process *p)
{
	const struct map_watch *w = p->watch;

	if (!w->share)
		return INFINITY;
	return BURST_NS * traced__advance(p->tr) + w->share * (p->tr->cpu_ns - p->began_cpu_ns) - p->step_ns;
}

static void step(struct map_process *p)
{
	uint64_t ns = p->tr->maps_ns - p->step_ns;
	bool away = p->link < 0;

	if (p->hits >= 64 && ns)
		p->hit_ns = (double)ns / p->hits;
	p->hits = 0;
	p->step_ns = p->tr->maps_ns;
	if (away && may_be_spent_ns(p) >= RETURN_NS && !attach(p) && settle(p))
		detach(p);
}

/* ---- events ---- */

static bool is_arena(const struct traced *tr, const struct rec_mapping *rec)
{
	return rec->call == MAP_CALL_MMAP && (rec->bytes == ARENA_BYTES || rec->bytes == OLD_ARENA_BYTES) &&
	       rec->flags == (MAP_PRIVATE | MAP_ANONYMOUS) && rec->caller - tr->interp->text_begin < tr->interp->text_bytes;
}

void map_watch__event(struct map_watch *w, struct traced *tr, const struct rec_mapping *rec)
{
	const struct map_event e = {
		.call = rec->call,
		.addr = rec->addr,
		.bytes = rec->bytes,
		.third = rec->third,
		.flags = rec->flags,
		.result = rec->result,
		.arena = is_arena(tr, rec),
	};
	struct map_process *p = tr->maps;
	struct map_owner who;

	if (!p || !p->space)
		return;
	who = owner_of(p, rec->stack_id);
	if (address_space__apply(p->space, &e, &who))
		w->lost++;
	tr->heard = true;
	if (++p->hits * p->hit_ns > may_be_spent_ns(p))
		detach(p);
}

void map_watch__refresh(struct map_watch *w, struct traced_table *table)
{
	struct traced *tr;

	for (tr = table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->maps)
			step(tr->maps);
		else if (tr->python && tr->busy && !tr->waits && (!tr->forked || tr->use.cpu_ns > WORKER_CPU_NS))
			map_watch__begin(w, tr);
	}
}

void map_watch__settle(struct map_watch *w, struct traced_table *table)
{
	struct traced *tr;

	(void)w;
	for (tr = table->alive; tr; tr = tr->hh_tgid.next) {
		if (!tr->maps)
			continue;
		settle(tr->maps);
		put_coverage(tr->maps);
	}
}
