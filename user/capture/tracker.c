/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See tracker.h: the tracker's life, which processes are in scope, and what is done from time to time.
 *
 * What processes are and do is kept elsewhere: traced.h (the table of them), interpreters.h (what they run, probes),
 * stack_names.h (what stacks are called), accounts.h (what was counted), held_command.h (a command that we run),
 * container_items.h (where they run).
 */
#include "capture/tracker_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "capture/container_items.h"

/* Share of the budget that following large blocks may take; the windows of the heap signal have what it leaves of twice as much (heap.c). */
#define LARGE_SHARE 0.3

bool tracker_impl__in_scope(struct tracker *t, pid_t tgid)
{
	size_t len = strlen(t->scope.cgroup_path);
	char path[4096];

	switch (t->scope.kind) {
	case SCOPE_ALL:
		return true;
	case SCOPE_CGROUP:
		if (cgroups__path_of_process(t->deps.cgroups, tgid, path, sizeof(path)))
			return false;
		return !strcmp(t->scope.cgroup_path, "/") ||
		       (!strncmp(path, t->scope.cgroup_path, len) && (path[len] == '/' || !path[len]));
	default:
		return tgid == t->scope.tgid;
	}
}

static int take_in_one(pid_t tgid, void *arg)
{
	struct tracker *t = arg;

	if (tgid != getpid() && tracker_impl__in_scope(t, tgid))
		tracker_impl__take_in(t, tgid, false);
	return 0;
}

/* True when the process is a child, at any depth, of one that is traced. */
static bool descends(struct tracker *t, pid_t tgid)
{
	struct proc_stat stat;
	int depth;

	for (depth = 0; depth < 64 && tgid > 1; depth++) {
		if (tgid == t->scope.tgid)
			return depth > 0;
		if (proc__stat(t->deps.proc, tgid, &stat))
			return false;
		tgid = stat.ppid;
	}
	return false;
}

static int take_in_descendant(pid_t tgid, void *arg)
{
	struct tracker *t = arg;

	if (descends(t, tgid))
		tracker_impl__take_in(t, tgid, false);
	return 0;
}

/* The process itself decides what is said; its children of before come along. */
static int take_in_tree(struct tracker *t)
{
	int err = tracker_impl__take_in(t, t->scope.tgid, false);

	return err ? err : proc__for_each_process(t->deps.proc, take_in_descendant, t);
}

int tracker__start(struct tracker *t, struct session *session)
{
	t->deps.session = session;
	switch (t->scope.kind) {
	case SCOPE_ALL:
		return proc__for_each_process(t->deps.proc, take_in_one, t);
	case SCOPE_CGROUP:
		return cgroups__for_each_process(t->deps.cgroups, t->scope.cgroup_path, take_in_one, t);
	default:
		return t->scope.tgid ? take_in_tree(t) : 0;
	}
}

int tracker__add_command(struct tracker *t, pid_t tgid)
{
	struct traced *tr = tracker_impl__new_traced(t, tgid, ++t->next_proc_id, FOUND, 0);

	t->scope.tgid = tgid;
	held_command__begin(&t->held, t->deps.session, tgid);
	return tr ? traced__tell_kernel(tr, t->deps.session, 0) : -ENOMEM;
}

/* ---- upkeep ---- */

/* What was forgotten here must be forgotten there, too, or it will never be sent again. */
static void ask_again(struct tracker *t)
{
	uint64_t stack_id;

	while ((stack_id = stack_names__take_missing(t->names)))
		session__forget_stack(t->deps.session, stack_id);
}

static void turn_hook(struct tracker *t)
{
	if (budget__upkeep(t->budget))
		page_sweep__turn_ended(t->sweep);
}

void tracker__upkeep(struct tracker *t)
{
	turn_hook(t);
	held_command__upkeep(&t->held, t->deps.proc);
	tracker_impl__retry_interps(t);
	tracker_impl__take_in_arrivals(t);
	tracker_impl__settle_ended(t, false);
	if (t->heap)
		heap__upkeep(t->heap);
	if (t->large)
		large_blocks__upkeep(t->large);
	turn_hook(t);
}

int tracker__patience_ms(const struct tracker *t, int max_ms)
{
	uint64_t now = clock_now_ns(), at;
	const struct traced *tr;

	if (t->heap)
		max_ms = heap__patience_ms(t->heap, max_ms);
	at = now + max_ms * 1000000ull;
	if (t->large)
		at = now + large_blocks__patience_ms(t->large, max_ms) * 1000000ull;
	if (budget__next_ns(t->budget) < at)
		at = budget__next_ns(t->budget);
	for (tr = t->table.retrying; tr; tr = tr->next_retry)
		at = tr->retry_at_ns < at ? tr->retry_at_ns : at;
	if (t->arrivals.n)
		return 0;
	return at > now ? (at - now + 999999) / 1000000 : 0;
}

/*
 * Usage is read each second where something happens, and the rest (limit, peak, OOM kills) in every tenth; where nothing happens
 * those in every tenth and sixtieth. Where usage fell to less than half, all is read at once. Each second another tenth of the containers.
 */
#define IDLE_SECONDS 10
#define REST_SECONDS 60

static void refresh_containers(struct tracker *t, bool all)
{
	uint32_t i, n = profile__n_containers(t->deps.profile);
	bool *busy = calloc(n + 1, sizeof(*busy));
	const struct traced *tr;

	t->seconds++;
	for (tr = t->table.alive; tr && busy; tr = tr->hh_tgid.next) {
		uint32_t container = profile__process(t->deps.profile, tr->process)->container;

		if (tr->busy && container != PROFILE_NONE)
			busy[container] = true;
	}
	for (i = 0; i < n; i++) {
		bool turn = (t->seconds + i) % IDLE_SECONDS == 0;

		if (all || !busy || (turn && (busy[i] || (t->seconds + i) % REST_SECONDS == 0)))
			container_items__refresh(&t->deps, i);
		else if (busy[i] || turn)
			container_items__refresh_usage(&t->deps, i);
	}
	free(busy);
}

/* So often code objects of ended processes are forgotten, where so many have ended. */
#define FORGET_CODES_SECONDS 30
#define SETTLED_MANY 64

void tracker__refresh(struct tracker *t, bool all)
{
	struct traced *tr, *next;

	budget__step(t->budget);
	turn_hook(t);
	refresh_containers(t, all);
	ask_again(t);
	native_frames__rest(t->native);
	if (t->seconds % FORGET_CODES_SECONDS == 0 && t->settled_cnt >= SETTLED_MANY) {
		t->settled_cnt = 0;
		session__forget_codes(t->deps.session);
	}
	for (tr = t->table.alive; tr; tr = next) {
		next = tr->hh_tgid.next;
		if (tr->gone_steps < 2)
			continue;
		session__remove_target(t->deps.session, tr->tgid);
		tracker_impl__end(t, tr, false);
	}
	tracker_impl__attach_waiting(t);
	interp_watch__refresh(&t->table, t->deps.proc, t->deps.profile, false);
	if (t->large)
		large_blocks__refresh(t->large, false);
	if (t->moves)
		move_watch__refresh(t->moves, &t->table);
	if (t->mappings)
		mapping_watch__refresh(t->mappings, &t->table);
	if (t->heap)
		heap__refresh(t->heap, false);
}

void tracker__reconcile(struct tracker *t)
{
	bool watched;

	/* What lies in the ring tells who has ended. */
	session__read_counts(t->deps.session);
	tracker_impl__settle_ended(t, true);
	if (t->large)
		large_blocks__refresh(t->large, true);
	if (t->heap)
		heap__refresh(t->heap, true);
	if (t->mappings) {
		session__read_counts(t->deps.session);
		mapping_watch__settle(t->mappings, &t->table);
	}
	interp_watch__refresh(&t->table, t->deps.proc, t->deps.profile, true);
	if (!(t->signals & 1u << SIGNAL_RESIDENT))
		return;
	watched = budget__end(t->budget);
	session__read_counts(t->deps.session);
	accounts__reconcile(t->accounts, watched);
}

int tracker__sweep(struct tracker *t, bool now)
{
	return t->signals & 1u << SIGNAL_RESIDENT ? page_sweep__run(t->sweep, now) : 0;
}

uint32_t tracker__n_python(const struct tracker *t)
{
	return t->table.n_python;
}

uint32_t tracker__n_alive(const struct tracker *t)
{
	return traced_table__n_alive(&t->table) + t->arrivals.n;
}

struct profile_cost tracker__cost(const struct tracker *t)
{
	return budget__sums(t->budget);
}

double tracker__hook_share(const struct tracker *t)
{
	return budget__hook_share(t->budget);
}

struct gc_activity tracker__gc_activity(const struct tracker *t)
{
	return budget__gc_activity(t->budget);
}

struct large_blocks_sums tracker__large_blocks(const struct tracker *t)
{
	return t->large ? large_blocks__sums(t->large) : (struct large_blocks_sums){};
}

struct tracker_losses tracker__losses(const struct tracker *t)
{
	return (struct tracker_losses){
		.missed = t->missed,
		.unattached = t->unattached,
		.unknown = accounts__unknown(t->accounts),
		.mappings = t->mappings ? mapping_watch__lost(t->mappings) : 0,
		.shared_items = process_items__shared(t->items),
		.forgotten = stack_names__forgotten(t->names),
	};
}

void tracker__heap_activity(const struct tracker *t, struct heap_activity *ret)
{
	*ret = (struct heap_activity){};
	if (t->heap)
		heap__activity(t->heap, ret);
}

const char *tracker__why(const struct tracker *t)
{
	return t->why;
}

bool tracker__wants_every_exec(const struct tracker *t)
{
	return t->scope.kind != SCOPE_TREE;
}

int tracker__new(const struct scope *scope, uint32_t signals, double budget, const struct tracker_deps *deps,
		 struct tracker **ret)
{
	struct tracker *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->scope = *scope;
	t->signals = signals;
	t->deps = *deps;
	if (process_items__new(deps->profile, &t->deps.limits, &t->items) ||
	    native_frames__new(&t->deps, &t->native) ||
	    stack_names__new(deps->profile, &t->deps.limits, t->native, &t->names) ||
	    accounts__new(&t->deps, &t->table, t->names, &t->accounts) ||
	    page_sweep__new(&t->deps, &t->table, t->names, t->accounts, &t->sweep) ||
	    budget__new(&t->deps, &t->table, budget, &t->budget) ||
	    malloc_finder__new(&t->malloc_files) || mapping_finder__new(&t->mapping_files) ||
	    (signals & 1u << SIGNAL_HEAP &&
	     large_blocks__new(&t->deps, t->malloc_files, t->mapping_files, t->accounts, t->names, budget * LARGE_SHARE, &t->large)) ||
	    (signals & 1u << SIGNAL_HEAP && heap__new(&t->deps, &t->table, t->names, budget, &t->heap)) ||
	    (signals & 1u << SIGNAL_RESIDENT && move_watch__new(&t->deps, t->mapping_files, budget, &t->moves)) ||
	    (signals & 1u << SIGNAL_HEAP && mapping_watch__new(&t->deps, t->mapping_files, t->names, budget, &t->mappings)) ||
	    interpreters__new(signals, &t->deps, t->budget, t->heap, t->large, t->moves, t->mappings, &t->interpreters)) {
		tracker__free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void tracker__free(struct tracker *t)
{
	struct traced *tr;

	if (!t)
		return;
	large_blocks__free(t->large);
	heap__free(t->heap);
	for (tr = t->table.alive; tr && t->moves; tr = tr->hh_tgid.next)
		move_watch__end(t->moves, tr);
	move_watch__free(t->moves);
	for (tr = t->table.alive; tr && t->mappings; tr = tr->hh_tgid.next)
		mapping_watch__end(t->mappings, tr);
	mapping_watch__free(t->mappings);
	malloc_finder__free(t->malloc_files);
	mapping_finder__free(t->mapping_files);
	traced_table__clear(&t->table);
	native_frames__free(t->native);
	budget__free(t->budget);
	page_sweep__free(t->sweep);
	accounts__free(t->accounts);
	stack_names__free(t->names);
	process_items__free(t->items);
	arrivals__free(&t->arrivals);
	interpreters__free(t->interpreters);
	free(t);
}
