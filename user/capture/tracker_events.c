/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the session hands out, record by record, and whose it is.
 */
#include "capture/tracker_impl.h"

#include "capture/container_items.h"
#include "capture/gc_trigger.h"

static void on_fork(struct tracker *t, const struct rec_proc *rec)
{
	struct traced *parent = traced_table__find(&t->table, rec->parent_proc_id);
	struct traced *tr;

	if (!rec->proc_id || traced_table__find(&t->table, rec->proc_id))
		return;
	if (parent)
		parent->has_forked = true;
	tr = tracker_impl__new_traced(t, rec->hdr.tgid, rec->proc_id, FORKED, rec->cgroup_id);
	if (!tr || !parent || !parent->interp)
		return;
	tr->nodes_left = parent->nodes_left;
	if (!interpreters__inherit(t->interpreters, &t->table, tr, parent))
		tracker_impl__arrive(t, &(struct arrival){ .proc_id = tr->proc_id, .tgid = tr->tgid });
}

static void on_exec(struct tracker *t, const struct rec_proc *rec)
{
	const struct arrival a = { .tgid = rec->hdr.tgid, .time_ns = rec->hdr.time_ns, .cpu_ns = rec->cpu_ns, .faults = rec->faults };
	struct traced *tr;

	if (!held_command__holds(&t->held, a.tgid)) {
		tracker_impl__arrive(t, &a);
		return;
	}
	tracker_impl__look_at_program(t, &a);
	tr = traced_table__find_alive(&t->table, a.tgid);
	held_command__at_exec(&t->held, tr, tr && tr->python && (!t->large || large_blocks__follows(t->large, tr)));
}

static void on_entry(struct tracker *t, struct traced *tr)
{
	if (!tr || tr->ended)
		return;
	if (!tr->python)
		tracker_impl__look_again(t, tr);
	else if (t->large)
		large_blocks__look_again(t->large, tr);
	if (t->mappings)
		mapping_watch__begin(t->mappings, tr);
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
	if (tr && !tr->ended) {
		if (t->heap)
			heap__ended(t->heap, tr);
		budget__ended(t->budget, tr, rec);
		interp_watch__ended(tr, rec->hdr.time_ns, t->deps.profile);
	}
	if (tr)
		tracker_impl__end(t, tr, rec->hdr.kind == REC_EXEC);
	if (rec->hdr.kind == REC_EXEC && (tr || tracker_impl__in_scope(t, rec->hdr.tgid)))
		on_exec(t, rec);
}

/* A process whose fork or exec record was dropped. */
static struct traced *traced_of_record(struct tracker *t, uint32_t proc_id, pid_t tgid)
{
	struct traced *tr = traced_table__find(&t->table, proc_id);
	struct proc_stat stat;

	if (tr || proc__stat(t->deps.proc, tgid, &stat))
		return tr;
	return tracker_impl__new_traced(t, tgid, proc_id, proc_id & PROC_ID_FORKED ? FORKED : FOUND, 0);
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

static void on_native(const struct rec_native *rec, void *arg)
{
	struct tracker *t = arg;

	native_frames__answer(t->native, traced_table__find(&t->table, rec->proc_id), rec);
}

static void on_mapping(const struct rec_mapping *rec, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = traced_table__find(&t->table, rec->proc_id);

	if (tr && t->mappings)
		mapping_watch__event(t->mappings, tr, rec);
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
		.collected = rec->collected,
		.pause_ns = rec->pause_ns,
		.cnt = 1,
		.longest_ns = rec->pause_ns,
		.uncollectable = rec->uncollectable,
	};

	if (!tr || !budget__collected(t->budget, tr, gc.time_ns - gc.pause_ns, gc.time_ns))
		return;
	gc.trigger = gc_trigger__of(rec->evidence, tr->watch.file && tr->watch.file->knows_gc_callers);
	interp_watch__collected(tr, &gc);
	gc.process = tr->process;
	gc.node = stack_names__look_up(t->names, tr, rec->stack_id).node;
	profile__add_gc(t->deps.profile, &gc);
}

struct session_handlers tracker__handlers(struct tracker *t)
{
	return (struct session_handlers){
		.stack = on_stack, .code = on_code, .code_more = on_code_more, .gc = on_gc, .heap = on_heap, .mapping = on_mapping, .native = on_native, .proc = on_proc,
		.count = on_count, .counted = on_counted, .arg = t
	};
}
