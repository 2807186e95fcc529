/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See tracker.h. Numbers of processes (proc_id) are given here, but for forked children, whose number the kernel side
 * gives at the fork, so that no event of theirs is lost.
 */
#include "capture/tracker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "capture/event.h"
#include "capture/traced.h"

/* How long a new program image is given to map its interpreter: 12 looks, 1 ms apart at first, doubling. */
#define MAX_RETRIES 12
#define FIRST_RETRY_NS 1000000ull

/* Probe sites of one interpreter file, found once. */
struct site_set {
	char key[128]; /* build id, or path and inode where there is none */
	size_t n;
	struct probe_sites_info info;
	struct probe_site site[MAX_PROBE_SITES];
	UT_hash_handle hh;
};

/* Pages on which another fault was seen (COUNT_REFAULT). */
struct refault {
	struct count_key key;
	uint64_t bytes;
};

struct tracker {
	struct scope scope;
	uint32_t signals;
	struct tracker_deps deps;
	struct traced *traced; /* by proc_id */
	struct known_stack *stacks;
	struct site_set *sites;
	struct py_walk walks[MAX_INTERPRETERS];
	uint32_t n_walks;
	uint32_t next_proc_id;
	uint32_t n_python;
	struct interp_cache *interps;
	struct code_cache *codes;
	struct refault *refaults; /* of the counts being read */
	size_t n_refaults, max_refaults;
	uint64_t missed; /* programs of the scope that ended before they could be looked at */
	bool holding; /* the command has not become Python yet */
	char why[512];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static struct traced *find_traced(struct tracker *t, uint32_t proc_id)
{
	struct traced *tr;

	HASH_FIND(hh, t->traced, &proc_id, sizeof(proc_id), tr);
	return tr;
}

static struct traced *find_alive(struct tracker *t, pid_t tgid)
{
	struct traced *tr;

	for (tr = t->traced; tr; tr = tr->hh.next) {
		if (tr->tgid == tgid && !tr->ended)
			return tr;
	}
	return NULL;
}

/* ---- containers ---- */

static uint32_t container_of_cgroup(struct tracker *t, pid_t tgid, uint64_t cgroup_id)
{
	struct profile_container c = { .cgroup_id = cgroup_id };
	char path[4096] = "";
	struct container found;
	uint64_t own = 0;
	int64_t i;

	if (cgroup_id) {
		for (i = 0; i < profile__n_containers(t->deps.profile); i++) {
			if (profile__container(t->deps.profile, i)->cgroup_id == cgroup_id)
				return i;
		}
	}

	if (cgroups__path_of_process(t->deps.cgroups, tgid, path, sizeof(path)) ||
	    (cgroup_id && (cgroups__id_of_path(t->deps.cgroups, path, &own) || own != cgroup_id))) {
		if (!cgroup_id || cgroups__path_of_id(t->deps.cgroups, cgroup_id, path, sizeof(path)))
			return PROFILE_NONE;
	}
	if (!cgroup_id) {
		cgroups__id_of_path(t->deps.cgroups, path, &own);
		c.cgroup_id = own;
	}
	if (own && !cgroup_id)
		return container_of_cgroup(t, tgid, own);
	container_names__lookup(t->deps.names, path, &found);
	c.path = path;
	c.id = found.id;
	c.name = found.name;
	c.runtime = found.runtime;
	c.image = found.image;
	i = profile__add_container(t->deps.profile, &c);
	return i < 0 ? PROFILE_NONE : i;
}

static void refresh_container(struct tracker *t, uint32_t i)
{
	const struct profile_container *old = profile__container(t->deps.profile, i);
	struct profile_container c = *old;
	struct cgroup_memory m;

	if (cgroups__memory(t->deps.cgroups, old->path, &m))
		return;
	c.limit_bytes = m.limit_bytes;
	c.usage_bytes = m.usage_bytes;
	c.peak_bytes = m.peak_bytes > old->peak_bytes ? m.peak_bytes : old->peak_bytes;
	if (m.usage_bytes > c.peak_bytes)
		c.peak_bytes = m.usage_bytes;
	c.oom_kills = m.oom_kills;
	profile__update_container(t->deps.profile, i, &c);
}

/* ---- interpreters and their probes ---- */

/* PyTypeObject.tp_dealloc: behind PyVarObject, tp_name, tp_basicsize, tp_itemsize (Include/cpython/object.h, 3.8-3.15). */
#define TP_DEALLOC 48

static int code_free_site(const struct elf_file *f, pid_t tgid, const struct interp *in, struct probe_site *ret)
{
	struct mem_reader m = mem_reader__of_process(tgid);
	struct elf_symbol type;
	uint64_t dealloc;
	int err;

	err = elf_file__symbol(f, "PyCode_Type", &type);
	err = err ? err : mem__read_u64(&m, in->load_bias + type.addr + TP_DEALLOC, &dealloc);
	return err ? err : probe_sites__code_free(f, dealloc - in->load_bias, ret);
}

static const struct site_set *sites_of(struct tracker *t, pid_t tgid, const struct interp *in)
{
	struct elf_file *f = NULL;
	struct site_set *set;
	char key[128];

	snprintf(key, sizeof(key), "%.64s %.60s", in->build_id, in->build_id[0] ? "" : in->path);
	HASH_FIND_STR(t->sites, key, set);
	if (set)
		return set;
	if (elf_file__open(in->host_path, &f))
		return NULL;
	set = calloc(1, sizeof(*set));
	if (set) {
		memcpy(set->key, key, sizeof(set->key));
		set->n = probe_sites__find(f, in->version, t->signals, session__takes_many_sites(t->deps.session),
					   set->site, MAX_PROBE_SITES, &set->info);
		if (set->n < MAX_PROBE_SITES && !code_free_site(f, tgid, in, &set->site[set->n]))
			set->n++;
		HASH_ADD_STR(t->sites, key, set);
	}
	elf_file__free(f);
	return set;
}

static int slot_of_walk(struct tracker *t, struct py_walk *walk, uint32_t *ret)
{
	uint32_t i;
	int err;

	walk->frame_shape = py_walk__shape(walk);
	for (i = 0; i < t->n_walks; i++) {
		if (!memcmp(&t->walks[i], walk, sizeof(*walk))) {
			*ret = i;
			return 0;
		}
	}
	if (t->n_walks == MAX_INTERPRETERS)
		return -ENOSPC;
	err = session__set_interpreter(t->deps.session, t->n_walks, walk);
	if (err)
		return err;
	t->walks[t->n_walks] = *walk;
	*ret = t->n_walks++;
	return 0;
}

static void note_process(struct tracker *t, struct traced *tr, const char *note)
{
	struct profile_process p = *profile__process(t->deps.profile, tr->process);

	p.note = note;
	profile__update_process(t->deps.profile, tr->process, &p);
}

static void attach_probes(struct tracker *t, struct traced *tr)
{
	const struct site_set *set = sites_of(t, tr->tgid, tr->interp);
	char note[256];
	int err;

	if (!set || !set->n)
		return;
	err = session__attach(t->deps.session, tr->tgid, tr->interp->host_path, set->site, set->n, &tr->links);
	if (!err || err == -ESRCH || err == -ENOENT) /* ended meanwhile */
		return;
	snprintf(note, sizeof(note), "probes could not be attached: %s", strerror(-err));
	note_process(t, tr, note);
}

/* signals: 0 for a process that is only watched until it execs. */
static int tell_kernel(struct tracker *t, const struct traced *tr, uint32_t signals)
{
	struct target target = {
		.proc_id = tr->proc_id,
		.interp = tr->interp ? tr->interp_slot : INTERP_NONE,
		.signals = signals,
		.tss_key = -1,
		.runtime = tr->interp ? tr->interp->runtime : 0,
		.family = tr->proc_id,
	};

	return session__add_target(t->deps.session, tr->tgid, &target);
}

static void name_interp(struct tracker *t, const struct traced *tr)
{
	struct profile_process p = *profile__process(t->deps.profile, tr->process);
	char command[1024];

	if (!proc__cmdline(t->deps.proc, tr->tgid, command, sizeof(command)))
		p.command = command;
	p.python = tr->interp->version_text;
	p.interpreter = tr->interp->path;
	profile__update_process(t->deps.profile, tr->process, &p);
}

/* Makes a traced process Python once its interpreter is known. */
static int adopt_interp(struct tracker *t, struct traced *tr, const struct interp *in)
{
	int err;

	/* The kernel side first: until it knows, stacks are lost. */
	tr->interp = malloc(sizeof(*in));
	if (!tr->interp)
		return -ENOMEM;
	*tr->interp = *in;
	err = slot_of_walk(t, &tr->interp->layout.walk, &tr->interp_slot);
	err = err ? err : tell_kernel(t, tr, t->signals);
	if (err)
		return err;
	name_interp(t, tr);
	tr->python = true;
	t->n_python++;
	attach_probes(t, tr);
	return 0;
}

/* ---- processes ---- */

/* The stop may still be on its way: it is looked for again in upkeep. */
static void let_go(struct traced *tr)
{
	if (tr->held)
		kill(tr->tgid, SIGCONT);
}

static void attach_entry(struct tracker *t, struct traced *tr)
{
	struct elf_file *f;
	char path[64];
	uint64_t offset;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)tr->tgid);
	if (elf_file__open(path, &f))
		return;
	if (!elf_file__entry(f, &offset))
		session__attach_entry(t->deps.session, tr->tgid, path, offset, &tr->entry);
	elf_file__free(f);
}


static struct traced *new_traced(struct tracker *t, pid_t tgid, uint32_t proc_id, bool forked, uint64_t cgroup_id)
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
	p.container = container_of_cgroup(t, tgid, cgroup_id);
	p.start_time_ticks = stat.start_time_ticks;
	p.command = command;
	i = profile__add_process(t->deps.profile, &p);
	if (i < 0) {
		free(tr);
		return NULL;
	}
	tr->forked = forked;
	tr->process = i;
	tr->tgid = tgid;
	tr->proc_id = proc_id;
	tr->cpu_ticks_first = tr->cpu_ticks_last = stat.cpu_ticks;
	if (p.container != PROFILE_NONE) {
		tr->cgroup_id = profile__container(t->deps.profile, p.container)->cgroup_id;
		refresh_container(t, p.container);
	}
	HASH_ADD(hh, t->traced, proc_id, sizeof(tr->proc_id), tr);
	return tr;
}

/* What a process held is gone with it. */
static void give_all_back(struct tracker *t, const struct traced *tr)
{
	uint32_t i, n = profile__n_cells(t->deps.profile);

	for (i = 0; i < n; i++) {
		const struct profile_cell c = *profile__cell(t->deps.profile, i);
		struct profile_sums back = {};

		if (c.process != tr->process)
			continue;
		if (c.sums.alloc_bytes > c.sums.free_bytes)
			back.free_bytes = c.sums.alloc_bytes - c.sums.free_bytes;
		else
			back.alloc_bytes = c.sums.free_bytes - c.sums.alloc_bytes;
		if (c.sums.alloc_cnt > c.sums.free_cnt)
			back.free_cnt = c.sums.alloc_cnt - c.sums.free_cnt;
		profile__add(t->deps.profile, c.process, c.tid, c.node, c.kind, &back);
	}
}

static void end_traced(struct traced *tr, bool exec)
{
	if (tr->ended)
		return;
	tr->ended = tr->unsettled = true;
	tr->replaced = exec;
	tr->retry_at_ns = 0;
	session_links__free(tr->links);
	session_links__free(tr->entry);
	tr->links = tr->entry = NULL;
}

/*
 * Closes the accounts of processes that have ended, after what they did to their last breath was read. What they held is
 * taken away, but for the last Python process of all: what a program held when it ended, or was killed, is what one
 * wants to see of it.
 */
static void settle_ended(struct tracker *t)
{
	struct traced *tr;
	bool others = false, any = false;

	/* Only those that had ended before: reading may tell of more, whose last counts come with the next reading. */
	for (tr = t->traced; tr; tr = tr->hh.next) {
		tr->settling = tr->unsettled;
		any |= tr->unsettled;
	}
	if (!any || session__read_counts(t->deps.session))
		return;
	for (tr = t->traced; tr; tr = tr->hh.next)
		others |= tr->python && !tr->ended;
	for (tr = t->traced; tr; tr = tr->hh.next) {
		if (!tr->settling)
			continue;
		tr->unsettled = tr->settling = false;
		if (tr->replaced || others)
			give_all_back(t, tr);
		if (t->signals & 1u << SIGNAL_EXACT)
			session__forget_blocks(t->deps.session, tr->proc_id);
	}
}

/* Takes in a process of the scope. 0: taken in, or nothing to do. */
static int take_in(struct tracker *t, pid_t tgid, bool retry)
{
	const char *why = NULL;
	struct interp *in;
	struct traced *tr;
	int err;

	if (find_alive(t, tgid))
		return 0;
	in = calloc(1, sizeof(*in));
	if (!in)
		return -ENOMEM;
	err = interp_cache__look(t->interps, tgid, in, &why);
	if (err == -ENOTSUP)
		snprintf(t->why, sizeof(t->why), "%.200s (Python %s): %s", in->path, in->version_text, why ? why : "");
	if (err && t->scope.kind == SCOPE_ALL && !(retry && err == -ENOENT))
		goto out;
	if (err == -ESRCH || err == -EPERM || err == -EACCES)
		goto out;
	tr = new_traced(t, tgid, ++t->next_proc_id, false, 0);
	if (!tr) {
		err = -ENOMEM;
		goto out;
	}
	if (!err) {
		err = adopt_interp(t, tr, in);
		goto out;
	}
	if (err == -ENOTSUP)
		note_process(t, tr, t->why);
	else if (retry)
		tr->retry_at_ns = now_ns() + FIRST_RETRY_NS;
	if (tell_kernel(t, tr, t->signals))
		end_traced(tr, false);
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
	struct traced *tr = new_traced(t, tgid, ++t->next_proc_id, false, 0);

	t->scope.tgid = tgid;
	t->holding = true;
	session__hold_execs(t->deps.session, tgid);
	return tr ? tell_kernel(t, tr, 0) : -ENOMEM;
}

static void retry_interps(struct tracker *t)
{
	uint64_t now = now_ns();
	struct traced *tr, *next;

	HASH_ITER(hh, t->traced, tr, next) {
		struct interp *in;
		const char *why;
		int err;

		if (!tr->retry_at_ns || now < tr->retry_at_ns)
			continue;
		in = calloc(1, sizeof(*in));
		err = in ? interp_cache__look(t->interps, tr->tgid, in, &why) : -ENOMEM;
		tr->retry_at_ns = 0;
		if (!err)
			adopt_interp(t, tr, in);
		else if (err == -ENOENT && ++tr->retries < MAX_RETRIES)
			tr->retry_at_ns = now + (FIRST_RETRY_NS << tr->retries);
		free(in);
	}
}

/* Whom we stopped and who still is stopped. */
static void let_go_again(struct tracker *t)
{
	struct proc_stat stat;
	struct traced *tr;

	for (tr = t->traced; tr; tr = tr->hh.next) {
		if (!tr->held)
			continue;
		if (proc__stat(t->deps.proc, tr->tgid, &stat) || stat.state != 'T')
			tr->held = tr->entry != NULL;
		else
			let_go(tr);
	}
}

void tracker__upkeep(struct tracker *t)
{
	let_go_again(t);
	retry_interps(t);
	settle_ended(t);
}

int tracker__patience_ms(const struct tracker *t, int max_ms)
{
	const struct traced *tr;
	uint64_t now = now_ns(), wait = max_ms * 1000000ull;

	for (tr = t->traced; tr; tr = tr->hh.next) {
		if (tr->retry_at_ns)
			wait = tr->retry_at_ns <= now ? 0 : tr->retry_at_ns - now < wait ? tr->retry_at_ns - now : wait;
	}
	return (wait + 999999) / 1000000;
}

/* ---- what the session hands out ---- */

static void on_fork(struct tracker *t, const struct rec_proc *rec)
{
	struct traced *parent = find_traced(t, rec->parent_proc_id);
	struct traced *tr;

	if (!rec->proc_id || find_traced(t, rec->proc_id))
		return;
	tr = new_traced(t, rec->hdr.tgid, rec->proc_id, true, rec->cgroup_id);
	if (!tr || !parent || !parent->interp)
		return;
	tr->interp = malloc(sizeof(*tr->interp));
	if (!tr->interp)
		return;
	*tr->interp = *parent->interp;
	tr->interp_slot = parent->interp_slot;
	tr->python = true;
	t->n_python++;
	name_interp(t, tr);
	attach_probes(t, tr);
}

/*
 * A held command: at its exec a static interpreter is there to be found; of others the libraries are mapped when the
 * program's own first instruction is reached.
 */
static void on_exec(struct tracker *t, pid_t tgid)
{
	struct traced *tr;

	if (take_in(t, tgid, true) == -ESRCH)
		t->missed++;
	tr = find_alive(t, tgid);
	if (!tr || !t->holding || tgid != t->scope.tgid)
		return;
	tr->held = true;
	if (tr->python)
		t->holding = false;
	else
		attach_entry(t, tr);
	session__hold_execs(t->deps.session, t->holding ? tgid : 0);
	let_go(tr);
}

static void on_entry(struct tracker *t, struct traced *tr)
{
	if (!tr || tr->ended)
		return;
	tr->held = true;
	tr->retry_at_ns = 1;
	retry_interps(t);
	session_links__free(tr->entry);
	tr->entry = NULL;
	if (tr->python) {
		t->holding = false;
		session__hold_execs(t->deps.session, 0);
	}
	let_go(tr);
}

static void on_proc(const struct rec_proc *rec, void *arg)
{
	struct traced *tr;
	struct tracker *t = arg;

	if (rec->hdr.kind == REC_FORK) {
		on_fork(t, rec);
		return;
	}
	tr = find_traced(t, rec->proc_id);
	if (rec->hdr.kind == REC_ENTRY) {
		on_entry(t, tr);
		return;
	}
	if (tr)
		end_traced(tr, rec->hdr.kind == REC_EXEC);
	if (rec->hdr.kind == REC_EXEC && (tr || in_scope(t, rec->hdr.tgid)))
		on_exec(t, rec->hdr.tgid);
}

/* A process whose fork or exec record was dropped. */
static struct traced *traced_of_record(struct tracker *t, uint32_t proc_id, pid_t tgid)
{
	struct traced *tr = find_traced(t, proc_id);

	return tr ? tr : new_traced(t, tgid, proc_id, proc_id & PROC_ID_FORKED, 0);
}

static int64_t reason_node(struct tracker *t, const char *fmt, unsigned int status)
{
	struct profile_frame f = { .kind = FRAME_REASON, .file = "" };
	char text[128];
	int64_t frame;

	snprintf(text, sizeof(text), fmt, stack_status__text(status));
	f.function = text;
	frame = profile__add_frame(t->deps.profile, &f);
	return frame < 0 ? frame : profile__add_node(t->deps.profile, 0, frame);
}

/* Node of a stack's leaf. */
static int64_t resolve_stack(struct tracker *t, struct traced *tr, const struct rec_stack *rec)
{
	struct mem_reader m = mem_reader__of_process(tr->tgid);
	int64_t node = 0, frame;
	uint32_t i;

	if (!rec->depth || !tr->interp)
		return reason_node(t, "[no python stack: %s]", rec->status);
	if (rec->status != STACK_COMPLETE)
		node = reason_node(t, "[stack is cut: %s]", rec->status);
	for (i = rec->depth; i-- > 0 && node >= 0;) {
		if (!rec->frames[i].code)
			continue;
		frame = code_cache__frame(t->codes, &m, &tr->interp->layout, rec->family, &rec->frames[i],
					  t->deps.profile);
		if (frame == -ENODATA)
			continue;
		if (frame < 0)
			return frame;
		node = profile__add_node(t->deps.profile, node, frame);
	}
	return node;
}

/* A process that was moved to another cgroup goes on as another item of the profile. */
static void move_to_cgroup(struct tracker *t, struct traced *tr, uint64_t cgroup_id)
{
	struct profile_process p = *profile__process(t->deps.profile, tr->process);
	uint32_t container = container_of_cgroup(t, tr->tgid, cgroup_id);
	int64_t process;

	tr->cgroup_id = cgroup_id;
	if (container == PROFILE_NONE || container == p.container)
		return;
	p.container = container;
	process = profile__add_process(t->deps.profile, &p);
	if (process >= 0)
		tr->process = process;
	refresh_container(t, container);
}

static void on_code(const struct rec_code *rec, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = find_traced(t, rec->proc_id);

	if (tr && tr->interp)
		code_cache__learn(t->codes, rec, tr->tgid, &tr->interp->layout);
}

static void on_stack(const struct rec_stack *rec, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = traced_of_record(t, rec->proc_id, rec->hdr.tgid);
	struct known_stack *known;
	int64_t node;

	if (!tr)
		return;
	if (rec->cgroup_id && rec->cgroup_id != tr->cgroup_id)
		move_to_cgroup(t, tr, rec->cgroup_id);
	node = resolve_stack(t, tr, rec);
	if (node < 0)
		return;
	HASH_FIND(hh, t->stacks, &rec->stack_id, sizeof(rec->stack_id), known);
	if (!known) {
		known = calloc(1, sizeof(*known));
		if (!known)
			return;
		known->stack_id = rec->stack_id;
		HASH_ADD(hh, t->stacks, stack_id, sizeof(known->stack_id), known);
	}
	known->node = node;
	known->process = tr->process;
	known->tid = rec->tid;
}

/* Node and thread of a stack id, pseudo stacks and lost ones included. */
static struct known_stack look_up_stack(struct tracker *t, const struct traced *tr, uint64_t stack_id)
{
	struct known_stack *known, none = { .process = tr->process };
	int64_t node;

	HASH_FIND(hh, t->stacks, &stack_id, sizeof(stack_id), known);
	if (known)
		return *known;
	switch (stack_id) {
	case STACK_BEFORE_ATTACH:
	case STACK_GIVEN_BACK:
		node = reason_node(t, "[%s]", stack_id);
		break;
	default:
		node = reason_node(t, "[no python stack: %s]", STACK_LOST);
		break;
	}
	none.node = node < 0 ? 0 : node;
	return none;
}

static void account(struct traced *tr, uint64_t stack_id, uint32_t kind, int64_t gained)
{
	if (kind >= RESIDENT_KINDS)
		return;
	tr->resident[kind] += gained;
	if (stack_id == STACK_GIVEN_BACK)
		tr->given_back[kind] -= gained;
}

static void add_to(struct tracker *t, struct traced *tr, uint64_t stack_id, uint32_t kind,
		   const struct profile_sums *sums)
{
	struct known_stack stack = look_up_stack(t, tr, stack_id);

	account(tr, stack_id, kind, (int64_t)(sums->alloc_bytes - sums->free_bytes));
	profile__add(t->deps.profile, stack.process, stack.tid, stack.node, kind, sums);
}

/*
 * Takes bytes from a line, and from what was given back by nobody we know; at most as much as the resident set did lose:
 * pages that are not where they were may have been moved (mremap, with which realloc grows large blocks).
 */
static bool take_from_line(struct tracker *t, struct traced *tr, uint64_t stack_id, uint32_t kind, uint64_t bytes)
{
	struct profile_sums line = { .free_cnt = 1, .free_bytes = bytes };
	struct profile_sums nobody = { .alloc_cnt = 1, .alloc_bytes = bytes };

	if (kind >= RESIDENT_KINDS || tr->given_back[kind] < (int64_t)bytes)
		return false;
	add_to(t, tr, stack_id, kind, &line);
	add_to(t, tr, STACK_GIVEN_BACK, kind, &nobody);
	return true;
}

/* They are judged when all losses of the resident set are known. */
static void keep_refault(struct tracker *t, const struct count_key *key, const struct count_value *delta)
{
	size_t max = t->max_refaults ? 2 * t->max_refaults : 1024;
	struct refault *more;

	if (t->n_refaults == t->max_refaults) {
		more = realloc(t->refaults, max * sizeof(*more));
		if (!more)
			return;
		t->refaults = more;
		t->max_refaults = max;
	}
	t->refaults[t->n_refaults].key = *key;
	t->refaults[t->n_refaults++].bytes = delta->free_bytes;
}

static void on_count(const struct count_key *key, const struct count_value *delta, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = find_traced(t, key->proc_id);
	struct known_stack stack;
	struct profile_sums sums = {
		.alloc_cnt = delta->alloc_cnt,
		.alloc_bytes = delta->alloc_bytes,
		.free_cnt = delta->free_cnt,
		.free_bytes = delta->free_bytes,
	};

	if (tr && key->kind & COUNT_REFAULT) {
		keep_refault(t, key, delta);
		return;
	}
	if (!tr || key->kind >= KIND_MAX)
		return;
	account(tr, key->stack_id, key->kind, (int64_t)(delta->alloc_bytes - delta->free_bytes));
	stack = look_up_stack(t, tr, key->stack_id);
	profile__add(t->deps.profile, stack.process, stack.tid, stack.node, key->kind, &sums);
}

static void on_counted(void *arg)
{
	struct tracker *t = arg;
	struct traced *tr;
	size_t i;

	for (i = 0; i < t->n_refaults; i++) {
		const struct refault *f = &t->refaults[i];
		uint32_t kind = f->key.kind & ~COUNT_REFAULT;
		uint64_t bytes = f->bytes;

		tr = find_traced(t, f->key.proc_id);
		if (!tr || kind >= RESIDENT_KINDS || tr->given_back[kind] <= 0)
			continue;
		if (bytes > (uint64_t)tr->given_back[kind])
			bytes = tr->given_back[kind];
		take_from_line(t, tr, f->key.stack_id, kind, bytes);
	}
	t->n_refaults = 0;
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
	};

	if (!tr)
		return;
	gc.process = tr->process;
	gc.node = look_up_stack(t, tr, rec->stack_id).node;
	profile__add_gc(t->deps.profile, &gc);
}

struct session_handlers tracker__handlers(struct tracker *t)
{
	return (struct session_handlers){
		.stack = on_stack, .code = on_code, .gc = on_gc, .proc = on_proc, .count = on_count, .counted = on_counted, .arg = t
	};
}

/* ---- upkeep ---- */

void tracker__refresh(struct tracker *t)
{
	uint64_t page_bytes = sysconf(_SC_PAGESIZE);
	struct profile_process p;
	struct proc_stat stat;
	struct traced *tr;
	uint32_t i;

	for (i = 0; i < profile__n_containers(t->deps.profile); i++)
		refresh_container(t, i);
	for (tr = t->traced; tr; tr = tr->hh.next) {
		if (tr->ended || proc__stat(t->deps.proc, tr->tgid, &stat))
			continue;
		tr->cpu_ticks_last = stat.cpu_ticks;
		p = *profile__process(t->deps.profile, tr->process);
		p.rss_bytes = stat.rss_pages * page_bytes;
		profile__update_process(t->deps.profile, tr->process, &p);
	}
}

/* True: forget the page. */
static bool page_is_gone(const struct page_key *key, const struct page_value *v, void *arg)
{
	struct tracker *t = arg;
	struct traced *tr = find_traced(t, key->proc_id);
	uint64_t bytes = (uint64_t)v->pages * sysconf(_SC_PAGESIZE);

	if (!tr || tr->ended || v->kind >= RESIDENT_KINDS)
		return true;
	if (tr->given_back[v->kind] < (int64_t)bytes)
		return false;
	if (!tr->pagemap && pagemap__open(tr->tgid, &tr->pagemap))
		return false;
	if (pagemap__present(tr->pagemap, key->page))
		return false;
	return take_from_line(t, tr, v->stack_id, v->kind, bytes);
}

void tracker__reconcile(struct tracker *t)
{
	struct profile_sums sums;
	struct traced *tr;
	uint64_t now[RESIDENT_KINDS];
	int64_t gained;
	int kind;

	if (!(t->signals & 1u << SIGNAL_RESIDENT))
		return;
	for (tr = t->traced; tr; tr = tr->hh.next) {
		if (tr->ended || tr->forked || proc__resident(t->deps.proc, tr->tgid, now))
			continue;
		for (kind = 0; kind < RESIDENT_KINDS; kind++) {
			gained = (int64_t)now[kind] - tr->resident[kind];
			sums = (struct profile_sums){};
			if (gained < 0) {
				sums.free_bytes = -gained;
				add_to(t, tr, STACK_GIVEN_BACK, kind, &sums);
			} else if (!tr->resident[kind]) {
				sums.alloc_bytes = gained;
				add_to(t, tr, STACK_BEFORE_ATTACH, kind, &sums);
			}
		}
	}
}

int tracker__sweep(struct tracker *t)
{
	struct traced *tr;
	int err;

	if (!(t->signals & 1u << SIGNAL_RESIDENT))
		return 0;
	err = session__sweep_pages(t->deps.session, page_is_gone, t);
	for (tr = t->traced; tr; tr = tr->hh.next) {
		pagemap__free(tr->pagemap);
		tr->pagemap = NULL;
	}
	return err;
}

uint32_t tracker__n_python(const struct tracker *t)
{
	return t->n_python;
}

uint32_t tracker__n_alive(const struct tracker *t)
{
	const struct traced *tr;
	uint32_t n = 0;

	for (tr = t->traced; tr; tr = tr->hh.next)
		n += !tr->ended;
	return n;
}

uint64_t tracker__cpu_ns(const struct tracker *t)
{
	uint64_t ticks = 0, hz = sysconf(_SC_CLK_TCK);
	const struct traced *tr;

	for (tr = t->traced; tr; tr = tr->hh.next)
		ticks += tr->cpu_ticks_last - tr->cpu_ticks_first;
	return ticks * (1000000000ull / hz);
}

uint64_t tracker__missed(const struct tracker *t)
{
	return t->missed;
}

const char *tracker__why(const struct tracker *t)
{
	return t->why;
}

bool tracker__wants_every_exec(const struct tracker *t)
{
	return t->scope.kind != SCOPE_TREE;
}

int tracker__new(const struct scope *scope, uint32_t signals, const struct tracker_deps *deps, struct tracker **ret)
{
	struct tracker *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->scope = *scope;
	t->signals = signals;
	t->deps = *deps;
	if (interp_cache__new(&t->interps) || code_cache__new(&t->codes)) {
		interp_cache__free(t->interps);
		free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

static void free_traced(struct tracker *t, struct traced *tr)
{
	HASH_DEL(t->traced, tr);
	session_links__free(tr->links);
	session_links__free(tr->entry);
	let_go(tr);
	pagemap__free(tr->pagemap);
	free(tr->interp);
	free(tr);
}

void tracker__free(struct tracker *t)
{
	struct known_stack *k, *next_stack;
	struct site_set *set, *next_set;
	struct traced *tr, *next;

	if (!t)
		return;
	HASH_ITER(hh, t->traced, tr, next)
		free_traced(t, tr);
	HASH_ITER(hh, t->stacks, k, next_stack) {
		HASH_DEL(t->stacks, k);
		free(k);
	}
	HASH_ITER(hh, t->sites, set, next_set) {
		HASH_DEL(t->sites, set);
		free(set);
	}
	interp_cache__free(t->interps);
	code_cache__free(t->codes);
	free(t->refaults);
	free(t);
}
