/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See tracker.h: which processes are in scope, and their life. Numbers of processes (proc_id) are given here, but for
 * forked children, whose number the kernel side gives at the fork, so that no event of theirs is lost.
 *
 * What processes are and do is kept elsewhere: traced.h (the table of them), interpreters.h (what they run, probes),
 * stack_names.h (what stacks are called), accounts.h (what was counted), held_command.h (a command that we run),
 * container_items.h (where they run).
 */
#include "capture/tracker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "capture/accounts.h"
#include "capture/arrivals.h"
#include "capture/budget.h"
#include "capture/container_items.h"
#include "capture/gc_trigger.h"
#include "capture/heap.h"
#include "capture/held_command.h"
#include "capture/interpreters.h"
#include "capture/large_blocks.h"
#include "capture/process_items.h"
#include "capture/stack_names.h"
#include "capture/traced.h"

/* How long a new program image is given to map its interpreter: 12 looks, 1 ms apart at first, doubling. */
#define MAX_RETRIES 12
#define FIRST_RETRY_NS 1000000ull

/* Share of the budget that following large blocks may take; the windows of the heap signal have as much (heap.c). */
#define LARGE_SHARE 0.3

struct tracker {
	struct scope scope;
	uint32_t signals;
	struct tracker_deps deps;
	struct traced_table table;
	struct interpreters *interpreters;
	struct stack_names *names;
	struct accounts *accounts;
	struct heap *heap; /* NULL: not asked for, or the exact signal serves it */
	struct large_blocks *large; /* NULL: not asked for */
	struct budget *budget;
	struct held_command held;
	uint32_t next_proc_id;
	struct process_items *items;
	struct arrivals arrivals;
	struct traced *kept; /* Python processes that have ended, the last of their time: what they held is still told */
	uint32_t seconds;
	uint64_t settled_ns; /* when ended processes were settled last */
	uint32_t settled_cnt; /* since code objects were forgotten last */
	uint64_t missed, unattached;
	char why[512];
};

/* ---- processes ---- */

/* No more events come. */
static void end(struct tracker *t, struct traced *tr, bool exec)
{
	if (t->heap)
		heap__forget(t->heap, tr);
	if (t->large)
		large_blocks__forget(t->large, tr);
	traced_table__end(&t->table, tr, exec);
}

/* Its end was not told, for its number is another process's now. */
static void end_unnoticed(struct tracker *t, struct traced *tr)
{
	if (tr)
		end(t, tr, false);
}

/* How a process came to be traced. */
enum origin {
	FOUND, /* it was there */
	STARTED, /* it has just become this program */
	FORKED,
};

static struct traced *new_traced(struct tracker *t, pid_t tgid, uint32_t proc_id, enum origin origin, uint64_t cgroup_id)
{
	struct profile_process p = { .tgid = tgid, .python = "", .interpreter = "", .note = "" };
	struct traced *tr = calloc(1, sizeof(*tr));
	struct proc_stat stat = {};
	char command[1024] = "";
	int64_t i;

	if (!tr)
		return NULL;
	proc__stat(t->deps.proc, tgid, &stat);
	proc__cmdline(t->deps.proc, tgid, command, sizeof(command));
	p.container = container_items__of_process(&t->deps, tgid, cgroup_id);
	p.start_time_ticks = stat.start_time_ticks;
	p.command = command;
	i = process_items__take(t->items, &p, &tr->shares_item);
	if (i < 0) {
		free(tr);
		return NULL;
	}
	tr->nodes_left = t->deps.limits.nodes_process;
	tr->forked = origin == FORKED;
	tr->process = i;
	tr->tgid = tgid;
	tr->proc_id = proc_id;
	if (origin != FORKED) {
		proc__cpu_ns(t->deps.proc, tgid, &tr->cpu_ns);
		tr->faults = stat.faults;
	}
	if (p.container != PROFILE_NONE) {
		tr->cgroup_id = profile__container(t->deps.profile, p.container)->cgroup_id;
		if (!profile__container(t->deps.profile, p.container)->usage_bytes)
			container_items__refresh(&t->deps, p.container);
	}
	end_unnoticed(t, traced_table__find_alive(&t->table, tgid));
	traced_table__add(&t->table, tr);
	budget__begin(t->budget, tr, origin != FOUND);
	return tr;
}

static bool is_settled(uint32_t proc_id, void *arg)
{
	const struct tracker *t = arg;
	const struct traced *tr = traced_table__find(&t->table, proc_id);

	return !tr || tr->settled;
}

/* So often code objects of ended processes are forgotten, where so many have ended. */
#define FORGET_CODES_SECONDS 30
#define SETTLED_MANY 64

static void forget_settled(struct tracker *t, struct traced *settled)
{
	struct traced *tr, *next;

	if (t->signals & 1u << SIGNAL_EXACT) {
		budget__share_out_exact(t->budget);
		session__forget_blocks(t->deps.session, is_settled, t);
	}
	LL_FOREACH_SAFE2(settled, tr, next, next_unsettled) {
		t->settled_cnt++;
		process_items__give_back(t->items, tr->process);
		if (!tr->held)
			traced_table__forget(&t->table, tr);
	}
}

/*
 * Closes the accounts of processes that have ended, after what they did to their last breath was read. What they held is
 * taken away, but for the last Python process of all: what a program held when it ended, or was killed, is what one
 * wants to see of it, until the next one is there.
 */
static void settle_ended(struct tracker *t, bool now)
{
	struct traced *tr, *next, *ended, *settled = NULL;
	uint64_t now_ns;

	if (!t->table.unsettled)
		return;
	now_ns = clock_now_ns();
	if (!now && now_ns - t->settled_ns < t->deps.limits.settle_ns)
		return;
	t->settled_ns = now_ns;
	/* Only those that had ended before: reading may tell of more, whose last counts come with the next reading. */
	ended = t->table.unsettled;
	t->table.unsettled = NULL;
	if (session__read_counts(t->deps.session)) {
		LL_CONCAT2(t->table.unsettled, ended, next_unsettled);
		return;
	}
	LL_CONCAT2(ended, t->kept, next_unsettled);
	t->kept = NULL;
	LL_FOREACH_SAFE2(ended, tr, next, next_unsettled) {
		if (!t->table.n_python_alive && !tr->replaced) {
			LL_PREPEND2(t->kept, tr, next_unsettled);
			continue;
		}
		accounts__give_all_back(t->accounts, tr);
		tr->settled = true;
		LL_PREPEND2(settled, tr, next_unsettled);
	}
	forget_settled(t, settled);
}

/* Takes in a process of the scope. started: it may not have mapped its interpreter yet. 0: taken in, or nothing to do. */
static int take_in(struct tracker *t, pid_t tgid, bool started)
{
	enum origin origin = started ? STARTED : FOUND;
	const uint64_t now = clock_now_ns();
	const char *why = NULL;
	struct interp *in;
	struct traced *tr;
	int err;

	if (traced_table__find_alive(&t->table, tgid))
		return 0;
	in = calloc(1, sizeof(*in));
	if (!in)
		return -ENOMEM;
	err = interpreters__look(t->interpreters, tgid, in, &why);
	if (err == -ENOTSUP)
		snprintf(t->why, sizeof(t->why), "%.200s (Python %s): %s", in->path, in->version_text, why ? why : "");
	if (err && t->scope.kind == SCOPE_ALL && !(started && err == -ENOENT))
		goto out;
	if (err == -ESRCH || err == -EPERM || err == -EACCES)
		goto out;
	/* The program that is traced may spend from its start on what one that was found may. */
	if (started && tgid == t->scope.tgid && !t->table.n_python)
		origin = FOUND;
	tr = new_traced(t, tgid, ++t->next_proc_id, origin, 0);
	if (!tr) {
		err = -ENOMEM;
		goto out;
	}
	tr->looked_ns = now;
	if (!err) {
		err = interpreters__adopt(t->interpreters, &t->table, tr, in);
		if (err == -ENOENT) {
			traced_table__retry_at(&t->table, tr, clock_now_ns() + FIRST_RETRY_NS);
			err = 0;
		}
		goto out;
	}
	if (err == -ENOTSUP)
		traced__note(tr, t->deps.profile, t->why);
	else if (started)
		traced_table__retry_at(&t->table, tr, clock_now_ns() + FIRST_RETRY_NS);
	if (traced__tell_kernel(tr, t->deps.session, t->signals))
		end(t, tr, false);
out:
	free(in);
	return err;
}

static bool in_scope(struct tracker *t, pid_t tgid)
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

	if (tgid != getpid() && in_scope(t, tgid))
		take_in(t, tgid, false);
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
		take_in(t, tgid, false);
	return 0;
}

/* The process itself decides what is said; its children of before come along. */
static int take_in_tree(struct tracker *t)
{
	int err = take_in(t, t->scope.tgid, false);

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
	struct traced *tr = new_traced(t, tgid, ++t->next_proc_id, FOUND, 0);

	t->scope.tgid = tgid;
	held_command__begin(&t->held, t->deps.session, tgid);
	return tr ? traced__tell_kernel(tr, t->deps.session, 0) : -ENOMEM;
}

/* ---- what the session hands out ---- */

static void look_again(struct tracker *t, struct traced *tr)
{
	struct interp *in = calloc(1, sizeof(*in));
	const char *why;
	int err;

	err = in ? interpreters__look(t->interpreters, tr->tgid, in, &why) : -ENOMEM;
	if (!err)
		err = interpreters__adopt(t->interpreters, &t->table, tr, in);
	if (err == -ENOENT && ++tr->retries < MAX_RETRIES)
		traced_table__retry_at(&t->table, tr, clock_now_ns() + (FIRST_RETRY_NS << tr->retries));
	else
		traced_table__retry_at(&t->table, tr, 0);
	free(in);
}

/* Its turn will come (arrivals.h). */
static void arrive(struct tracker *t, const struct arrival *a)
{
	if (!arrivals__add(&t->arrivals, a))
		return;
	if (a->proc_id)
		t->unattached++;
	else
		t->missed++;
}

static void on_fork(struct tracker *t, const struct rec_proc *rec)
{
	struct traced *parent = traced_table__find(&t->table, rec->parent_proc_id);
	struct traced *tr;

	if (!rec->proc_id || traced_table__find(&t->table, rec->proc_id))
		return;
	if (parent)
		parent->has_forked = true;
	tr = new_traced(t, rec->hdr.tgid, rec->proc_id, FORKED, rec->cgroup_id);
	if (!tr || !parent || !parent->interp)
		return;
	tr->nodes_left = parent->nodes_left;
	if (!interpreters__inherit(t->interpreters, &t->table, tr, parent))
		arrive(t, &(struct arrival){ .proc_id = tr->proc_id, .tgid = tr->tgid });
}

static void look_at_program(struct tracker *t, const struct arrival *a)
{
	struct traced *tr = traced_table__find_alive(&t->table, a->tgid);
	bool known;

	/* It was taken in while it became another program, of which the kernel side did not know that it is traced. */
	if (tr && tr->looked_ns <= a->time_ns)
		end(t, tr, true);
	known = tr && !tr->ended;
	if (take_in(t, a->tgid, true) == -ESRCH)
		t->missed++;
	tr = traced_table__find_alive(&t->table, a->tgid);
	if (tr && !known)
		budget__go_on(tr, a->cpu_ns, a->faults);
}

static void on_exec(struct tracker *t, const struct rec_proc *rec)
{
	const struct arrival a = { .tgid = rec->hdr.tgid, .time_ns = rec->hdr.time_ns, .cpu_ns = rec->cpu_ns, .faults = rec->faults };
	struct traced *tr;

	if (!held_command__holds(&t->held, a.tgid)) {
		arrive(t, &a);
		return;
	}
	look_at_program(t, &a);
	tr = traced_table__find_alive(&t->table, a.tgid);
	held_command__at_exec(&t->held, tr, tr && tr->python && (!t->large || large_blocks__follows(t->large, tr)));
}

static void on_entry(struct tracker *t, struct traced *tr)
{
	if (!tr || tr->ended)
		return;
	if (!tr->python)
		look_again(t, tr);
	else if (t->large)
		large_blocks__look_again(t->large, tr);
	held_command__at_entry(&t->held, tr);
}

static void on_proc(const struct rec_proc *rec, void *arg)
{
	struct traced *tr;
	struct tracker *t = arg;

	if (rec->hdr.kind == REC_FORK) {
		on_fork(t, rec);
		return;
	}
	tr = traced_table__find(&t->table, rec->proc_id);
	if (rec->hdr.kind == REC_ENTRY) {
		on_entry(t, tr);
		return;
	}
	if (tr && t->large)
		large_blocks__forget(t->large, tr);
	if (tr && !tr->ended)
		budget__ended(t->budget, tr, rec);
	if (tr)
		end(t, tr, rec->hdr.kind == REC_EXEC);
	if (rec->hdr.kind == REC_EXEC && (tr || in_scope(t, rec->hdr.tgid)))
		on_exec(t, rec);
}

/* A process whose fork or exec record was dropped. */
static struct traced *traced_of_record(struct tracker *t, uint32_t proc_id, pid_t tgid)
{
	struct traced *tr = traced_table__find(&t->table, proc_id);
	struct proc_stat stat;

	if (tr || proc__stat(t->deps.proc, tgid, &stat))
		return tr;
	return new_traced(t, tgid, proc_id, proc_id & PROC_ID_FORKED ? FORKED : FOUND, 0);
}

/* A process that was moved to another cgroup goes on as another item of the profile. */
static void move_to_cgroup(struct tracker *t, struct traced *tr, uint64_t cgroup_id)
{
	struct profile_process p = *profile__process(t->deps.profile, tr->process);
	uint32_t container = container_items__of_process(&t->deps, tr->tgid, cgroup_id);
	int64_t process;

	tr->cgroup_id = cgroup_id;
	if (container == PROFILE_NONE || container == p.container)
		return;
	p.container = container;
	p.cost = (struct profile_cost){};
	p.earlier = 0;
	process = process_items__take(t->items, &p, &tr->shares_item);
	if (process >= 0)
		tr->process = process;
	container_items__refresh(&t->deps, container);
}

static void on_code(const struct rec_code *rec, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = traced_table__find(&t->table, rec->proc_id);

	if (tr)
		stack_names__learn_code(t->names, rec, tr);
}

static void on_code_more(const struct rec_code_more *rec, void *arg)
{
	struct tracker *t = arg;

	stack_names__learn_more(t->names, rec);
}

static void on_stack(const struct rec_stack *rec, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = traced_of_record(t, rec->proc_id, rec->hdr.tgid);

	if (!tr)
		return;
	if (rec->cgroup_id && rec->cgroup_id != tr->cgroup_id)
		move_to_cgroup(t, tr, rec->cgroup_id);
	stack_names__learn(t->names, rec, tr);
}

static void on_count(const struct count_key *key, const struct count_value *delta, void *arg)
{
	struct tracker *t = arg;

	accounts__count(t->accounts, key, delta);
}

static void on_heap(const struct rec_heap *rec, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = traced_table__find(&t->table, rec->proc_id);

	if (tr && t->heap)
		heap__request(t->heap, tr, rec);
}

static void on_counted(void *arg)
{
	struct tracker *t = arg;

	accounts__counted(t->accounts);
}

static void on_gc(const struct rec_gc *rec, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = traced_of_record(t, rec->proc_id, rec->hdr.tgid);
	struct profile_gc gc = {
		.time_ns = rec->hdr.time_ns,
		.tid = rec->tid,
		.generation = rec->generation,
		.collected = rec->collected < 0 ? -1 : rec->collected * rec->cnt,
		.pause_ns = rec->pause_ns * rec->cnt,
		.cnt = rec->cnt,
		.longest_ns = rec->pause_ns,
		.uncollectable = rec->uncollectable < 0 ? -1 : rec->uncollectable * rec->cnt,
	};

	if (!tr)
		return;
	gc.trigger = gc_trigger__of(rec->evidence, tr->watch.file && tr->watch.file->knows_gc_callers);
	interp_watch__collected(tr, gc.time_ns, gc.cnt);
	gc.process = tr->process;
	gc.node = stack_names__look_up(t->names, tr, rec->stack_id).node;
	profile__add_gc(t->deps.profile, &gc);
}

struct session_handlers tracker__handlers(struct tracker *t)
{
	return (struct session_handlers){
		.stack = on_stack, .code = on_code, .code_more = on_code_more, .gc = on_gc, .heap = on_heap, .proc = on_proc,
		.count = on_count, .counted = on_counted, .arg = t
	};
}

/* ---- upkeep ---- */

/* Those whose turn it is, for a while: others wait until the next records were read. */
static void take_in_arrivals(struct tracker *t)
{
	uint64_t begin = clock_now_ns();
	struct arrival a;
	struct traced *tr;

	while (clock_now_ns() - begin < t->deps.limits.attach_ns && arrivals__take(&t->arrivals, &a)) {
		if (!a.proc_id) {
			look_at_program(t, &a);
			continue;
		}
		tr = traced_table__find(&t->table, a.proc_id);
		if (tr && !tr->ended && interpreters__attach(t->interpreters, tr) == -ENOENT)
			traced_table__retry_at(&t->table, tr, clock_now_ns() + FIRST_RETRY_NS);
	}
}

/* What was forgotten here must be forgotten there, too, or it will never be sent again. */
static void ask_again(struct tracker *t)
{
	uint64_t stack_id;

	while ((stack_id = stack_names__take_missing(t->names)))
		session__forget_stack(t->deps.session, stack_id);
}

static void retry_interps(struct tracker *t)
{
	uint64_t now = t->table.retrying ? clock_now_ns() : 0;
	struct traced *tr, *next;

	DL_FOREACH_SAFE2(t->table.retrying, tr, next, next_retry) {
		if (now >= tr->retry_at_ns)
			look_again(t, tr);
		if (clock_now_ns() - now >= t->deps.limits.attach_ns)
			break;
	}
}

void tracker__upkeep(struct tracker *t)
{
	budget__upkeep(t->budget);
	held_command__upkeep(&t->held, t->deps.proc);
	retry_interps(t);
	take_in_arrivals(t);
	settle_ended(t, false);
	if (t->heap)
		heap__upkeep(t->heap);
	if (t->large)
		large_blocks__upkeep(t->large);
	budget__upkeep(t->budget);
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

/* A container in which nothing happens is looked at in every tenth second, another tenth of them in each. */
#define IDLE_SECONDS 10

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
		if (all || !busy || busy[i] || (t->seconds + i) % IDLE_SECONDS == 0)
			container_items__refresh(&t->deps, i);
	}
	free(busy);
}

void tracker__refresh(struct tracker *t, bool all)
{
	struct traced *tr, *next;

	budget__step(t->budget);
	refresh_containers(t, all);
	ask_again(t);
	if (t->seconds % FORGET_CODES_SECONDS == 0 && t->settled_cnt >= SETTLED_MANY) {
		t->settled_cnt = 0;
		session__forget_codes(t->deps.session);
	}
	for (tr = t->table.alive; tr; tr = next) {
		next = tr->hh_tgid.next;
		if (tr->gone_steps < 2)
			continue;
		session__remove_target(t->deps.session, tr->tgid);
		end_unnoticed(t, tr);
	}
	interp_watch__refresh(&t->table, t->deps.proc, t->deps.profile, false);
	if (t->large)
		large_blocks__refresh(t->large, false);
	if (t->heap)
		heap__refresh(t->heap, false);
}

void tracker__reconcile(struct tracker *t)
{
	/* What lies in the ring tells who has ended. */
	session__read_counts(t->deps.session);
	settle_ended(t, true);
	if (t->large)
		large_blocks__refresh(t->large, true);
	if (t->heap)
		heap__refresh(t->heap, true);
	interp_watch__refresh(&t->table, t->deps.proc, t->deps.profile, true);
	if (!(t->signals & 1u << SIGNAL_RESIDENT))
		return;
	budget__end(t->budget);
	session__read_counts(t->deps.session);
	accounts__reconcile(t->accounts);
}

int tracker__sweep(struct tracker *t, bool now)
{
	return t->signals & 1u << SIGNAL_RESIDENT ? accounts__sweep(t->accounts, now) : 0;
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
	    stack_names__new(deps->profile, &t->deps.limits, &t->names) ||
	    accounts__new(&t->deps, &t->table, t->names, &t->accounts) ||
	    budget__new(&t->deps, &t->table, budget, &t->budget) ||
	    (signals & 1u << SIGNAL_HEAP && large_blocks__new(&t->deps, t->accounts, t->names, budget * LARGE_SHARE, &t->large)) ||
	    ((signals & (1u << SIGNAL_HEAP | 1u << SIGNAL_EXACT)) == 1u << SIGNAL_HEAP &&
	     heap__new(&t->deps, &t->table, t->names, budget, &t->heap)) ||
	    interpreters__new(signals, &t->deps, t->heap, t->large, &t->interpreters)) {
		tracker__free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void tracker__free(struct tracker *t)
{
	if (!t)
		return;
	large_blocks__free(t->large);
	heap__free(t->heap);
	traced_table__clear(&t->table);
	budget__free(t->budget);
	accounts__free(t->accounts);
	stack_names__free(t->names);
	process_items__free(t->items);
	arrivals__free(&t->arrivals);
	interpreters__free(t->interpreters);
	free(t);
}
