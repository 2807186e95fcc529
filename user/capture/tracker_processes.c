/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Traced processes, from when they are taken in until they are settled. Numbers of processes (proc_id) are given here,
 * but for forked children, whose number the kernel side gives at the fork, so that no event of theirs is lost.
 */
#include "capture/tracker_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "capture/container_items.h"

/* How long a new program image is given to map its interpreter: 12 looks, 1 ms apart at first, doubling. */
#define MAX_RETRIES 12
#define FIRST_RETRY_NS 1000000ull

void tracker_impl__end(struct tracker *t, struct traced *tr, bool exec)
{
	if (t->heap)
		heap__forget(t->heap, tr);
	if (t->large)
		large_blocks__forget(t->large, tr);
	if (t->moves)
		move_watch__end(t->moves, tr);
	if (t->mappings)
		mapping_watch__end(t->mappings, tr);
	budget__settle(t->budget, tr);
	traced_table__end(&t->table, tr, exec);
}

struct traced *tracker_impl__new_traced(struct tracker *t, pid_t tgid, uint32_t proc_id, enum origin origin,
					uint64_t cgroup_id)
{
	struct profile_process p = { .tgid = tgid, .python = "", .interpreter = "", .note = "" };
	struct traced *tr = calloc(1, sizeof(*tr)), *earlier;
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
	/* Its end was not told, for its number is this one's now. */
	earlier = traced_table__find_alive(&t->table, tgid);
	if (earlier)
		tracker_impl__end(t, earlier, false);
	traced_table__add(&t->table, tr);
	budget__begin(t->budget, tr, origin != FOUND);
	return tr;
}

/* ---- what they run ---- */

/* It has not mapped its interpreter yet. */
static void retry_soon(struct tracker *t, struct traced *tr)
{
	traced_table__retry_at(&t->table, tr, clock_now_ns() + FIRST_RETRY_NS);
}

static void attach(struct tracker *t, struct traced *tr)
{
	if (interpreters__attach(t->interpreters, tr) == -ENOENT)
		retry_soon(t, tr);
}

int tracker_impl__take_in(struct tracker *t, pid_t tgid, bool started)
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
	tr = tracker_impl__new_traced(t, tgid, ++t->next_proc_id, origin, 0);
	if (!tr) {
		err = -ENOMEM;
		goto out;
	}
	tr->looked_ns = now;
	tr->started = started;
	if (!err) {
		err = interpreters__adopt(t->interpreters, &t->table, tr, in);
		if (err == -ENOENT) {
			retry_soon(t, tr);
			err = 0;
		}
		goto out;
	}
	if (err == -ENOTSUP)
		traced__note(tr, t->deps.profile, t->why);
	else if (started)
		retry_soon(t, tr);
	if (traced__tell_kernel(tr, t->deps.session, t->signals))
		tracker_impl__end(t, tr, false);
out:
	free(in);
	return err;
}

void tracker_impl__look_again(struct tracker *t, struct traced *tr)
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

void tracker_impl__look_at_program(struct tracker *t, const struct arrival *a)
{
	struct traced *tr = traced_table__find_alive(&t->table, a->tgid);

	if (tr && tr->looked_ns > a->time_ns)
		return;
	/* It was taken in while it became another program, of which the kernel side did not know that it is traced. */
	if (tr)
		tracker_impl__end(t, tr, true);
	if (tracker_impl__take_in(t, a->tgid, true) == -ESRCH)
		t->missed++;
	tr = traced_table__find_alive(&t->table, a->tgid);
	if (tr)
		budget__go_on(tr, a->cpu_ns, a->faults);
}

void tracker_impl__retry_interps(struct tracker *t)
{
	uint64_t now = t->table.retrying ? clock_now_ns() : 0;
	struct traced *tr, *next;

	DL_FOREACH_SAFE2(t->table.retrying, tr, next, next_retry) {
		if (now >= tr->retry_at_ns)
			tracker_impl__look_again(t, tr);
		if (clock_now_ns() - now >= t->deps.limits.attach_ns)
			break;
	}
}

void tracker_impl__arrive(struct tracker *t, const struct arrival *a)
{
	if (!arrivals__add(&t->arrivals, a))
		return;
	if (a->proc_id)
		t->unattached++;
	else
		t->missed++;
}

void tracker_impl__take_in_arrivals(struct tracker *t)
{
	uint64_t begin = clock_now_ns();
	struct arrival a;
	struct traced *tr;

	while (clock_now_ns() - begin < t->deps.limits.attach_ns && arrivals__take(&t->arrivals, &a)) {
		if (!a.proc_id) {
			tracker_impl__look_at_program(t, &a);
			continue;
		}
		tr = traced_table__find(&t->table, a.proc_id);
		if (tr && !tr->ended)
			attach(t, tr);
	}
}

void tracker_impl__attach_waiting(struct tracker *t)
{
	uint64_t begin = clock_now_ns();
	struct traced *tr;

	for (tr = t->table.alive; tr && clock_now_ns() - begin < t->deps.limits.attach_ns; tr = tr->hh_tgid.next) {
		if (tr->waits && tr->python)
			attach(t, tr);
	}
}

/* ---- those that have ended ---- */

static bool is_settled(uint32_t proc_id, void *arg)
{
	const struct tracker *t = arg;
	const struct traced *tr = traced_table__find(&t->table, proc_id);

	return !tr || tr->settled;
}

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
		native_frames__forget(t->native, tr);
		if (!tr->held)
			traced_table__forget(&t->table, tr);
	}
}

void tracker_impl__settle_ended(struct tracker *t, bool now)
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
