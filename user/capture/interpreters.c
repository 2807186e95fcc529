/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/interpreters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "capture/budget.h"
#include "capture/large_blocks.h"
#include "capture/mapping_watch.h"
#include "capture/move_watch.h"
#include "python/coverage.h"
#include "system/elf_file.h"
#include "system/mem.h"

/* Probe sites of one interpreter file, found once. */
struct site_set {
	char key[128]; /* build id, or path and inode where there is none */
	size_t n; /* of site */
	struct heap_sites window; /* behind those in site: only while a window of the heap signal is open */
	struct probe_sites_info info;
	struct interp_file_facts facts;
	struct probe_site site[MAX_PROBE_SITES];
	UT_hash_handle hh;
};

struct interpreters {
	const struct tracker_deps *deps;
	struct budget *budget;
	struct large_blocks *large; /* NULL: not asked for */
	struct move_watch *moves; /* NULL: not asked for */
	struct mapping_watch *mappings; /* likewise */
	uint32_t signals;
	struct heap *heap; /* NULL: not asked for */
	struct interp_cache *cache;
	struct site_set *sites;
	struct py_walk walks[MAX_INTERPRETERS]; /* as the kernel side has them */
	uint32_t n_walks;
};

int interpreters__new(uint32_t signals, const struct tracker_deps *deps, struct budget *budget, struct heap *heap,
		      struct large_blocks *large, struct move_watch *moves, struct mapping_watch *mappings, struct interpreters **ret)
{
	struct interpreters *i = calloc(1, sizeof(*i));

	if (!i || interp_cache__new(&i->cache)) {
		free(i);
		return -ENOMEM;
	}
	i->signals = signals;
	i->deps = deps;
	i->budget = budget;
	i->large = large;
	i->moves = moves;
	i->mappings = mappings;
	i->heap = heap;
	*ret = i;
	return 0;
}

void interpreters__free(struct interpreters *i)
{
	struct site_set *set, *next;

	if (!i)
		return;
	HASH_ITER(hh, i->sites, set, next) {
		HASH_DEL(i->sites, set);
		free(set);
	}
	interp_cache__free(i->cache);
	free(i);
}

int interpreters__look(struct interpreters *i, pid_t tgid, struct interp *ret, const char **why)
{
	return interp_cache__look(i->cache, tgid, ret, why);
}

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

/* What a window of the heap signal need not see: frees, and blocks that are no pool's. */
static bool is_for_window(const struct probe_site *site)
{
	if (site->spec.is_raw)
		return false;
	if (site->kind == PROBE_GUARD)
		return site->spec.function != PROBE_FREE;
	return site->kind != PROBE_FREE && site->kind != PROBE_RAW_RETURN && site->kind != PROBE_RAW_TAIL;
}

static void swap_sites(struct probe_site *a, struct probe_site *b)
{
	struct probe_site was = *a;

	*a = *b;
	*b = was;
}

/* The exact signal's sites serve the heap signal's windows: they go to the end of the list. */
static void set_windows_apart(struct site_set *set)
{
	size_t stay = 0, windows;

	for (size_t i = 0; i < set->n; i++) {
		if (set->site[i].signal != SIGNAL_EXACT)
			swap_sites(&set->site[stay++], &set->site[i]);
	}
	windows = stay;
	for (size_t i = stay; i < set->n && set->info.inlined; i++) {
		if (is_for_window(&set->site[i]))
			swap_sites(&set->site[windows++], &set->site[i]);
	}
	set->window = (struct heap_sites){ set->site + stay, windows - stay };
	set->n = stay;
}

static void derive_facts(const struct elf_file *f, uint16_t version, uint32_t signals, struct site_set *set)
{
	set->facts.signals = signals;
	for (enum signal s = 0; s < SIGNAL_MAX; s++) {
		if (signals & 1u << s)
			coverage__derive(s, set->site, set->n, &set->info, &set->facts.coverage[s]);
	}
	for (size_t k = 0; k < set->n; k++)
		set->facts.knows_gc_callers |= set->site[k].kind == PROBE_GC_COLLECT;
	set->facts.has_allocators = !allocator_file__examine(f, version, &set->facts.allocators);
}

static const struct site_set *sites_of(struct interpreters *i, pid_t tgid, const struct interp *in)
{
	const bool windows = i->heap && session__takes_windows(i->deps->session);
	struct elf_file *f = NULL;
	struct site_set *set;
	char key[128];

	snprintf(key, sizeof(key), "%.64s %.60s", in->build_id, in->build_id[0] ? "" : in->path);
	HASH_FIND_STR(i->sites, key, set);
	if (set)
		return set;
	if (elf_file__open(in->host_path, &f))
		return NULL;
	set = calloc(1, sizeof(*set));
	if (set) {
		memcpy(set->key, key, sizeof(set->key));
		set->n = probe_sites__find(f, in->version, windows ? i->signals | 1u << SIGNAL_EXACT : i->signals,
					   session__links(i->deps->session), set->site, MAX_PROBE_SITES, &set->info);
		derive_facts(f, in->version, i->signals, set);
		if (set->n < MAX_PROBE_SITES && !code_free_site(f, tgid, in, &set->site[set->n]))
			set->n++;
		if (windows)
			set_windows_apart(set);
		HASH_ADD_STR(i->sites, key, set);
	}
	elf_file__free(f);
	return set;
}

static int slot_of_walk(struct interpreters *i, struct py_walk *walk, uint32_t *ret)
{
	uint32_t slot;
	int err;

	walk->frame_shape = py_walk__shape(walk);
	for (slot = 0; slot < i->n_walks; slot++) {
		if (!memcmp(&i->walks[slot], walk, sizeof(*walk))) {
			*ret = slot;
			return 0;
		}
	}
	if (i->n_walks == MAX_INTERPRETERS)
		return -ENOSPC;
	err = session__set_interpreter(i->deps->session, i->n_walks, walk);
	if (err)
		return err;
	i->walks[i->n_walks] = *walk;
	*ret = i->n_walks++;
	return 0;
}

/* Only what is missed: the first signal that misses something is named. */
static void note_coverage(const struct interpreters *i, struct traced *tr, const struct site_set *set)
{
	static const struct {
		enum signal signal;
		const char *name;
	} known[] = { { SIGNAL_HEAP, "heap" }, { SIGNAL_EXACT, "exact" }, { SIGNAL_GC, "gc" } };
	char text[COVERAGE_TEXT_BYTES + 16];

	for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
		const struct coverage *c = &set->facts.coverage[known[k].signal];

		if (!(set->facts.signals & 1u << known[k].signal) || coverage__is_complete(c))
			continue;
		snprintf(text, sizeof(text), "%s %s", known[k].name, c->text);
		traced__note(tr, i->deps->profile, text);
		return;
	}
}

static void expect_traps(const struct interpreters *i, struct traced *tr, const struct site_set *set)
{
	const struct probe_costs *costs = session__probe_costs(i->deps->session);

	tr->trap_ns[COST_GC] = probe_sites__trap_ns(set->site, set->n, SIGNAL_GC, costs);
	tr->trap_ns[COST_CODE] = probe_sites__trap_ns(set->site, set->n, SIGNAL_CODE, costs);
	tr->trap_ns[COST_HEAP] = probe_sites__trap_ns(set->site, set->n, SIGNAL_HEAP, costs);
}

/*
 * -ENOENT: its interpreter's file cannot be opened (any more) by where it was mapped when it was looked at. That may be in its
 * parent: of a zombie the kernel says ESRCH.
 */
static int attach_to_interpreter(struct interpreters *i, struct traced *tr, const struct site_set *set)
{
	char note[256];
	int err;

	if (!set->n)
		return 0;
	expect_traps(i, tr, set);
	err = session__attach(i->deps->session, tr->tgid, tr->interp->host_path, set->site, set->n, &tr->links);
	if (err == -ESRCH || err == -ENOENT)
		return -ENOENT;
	if (!err) {
		note_coverage(i, tr, set);
		return 0;
	}
	snprintf(note, sizeof(note), "probes could not be attached: %s", strerror(-err));
	traced__note(tr, i->deps->profile, note);
	return 0;
}

/* The exact signal is not governed. */
static bool has_to_wait(struct interpreters *i, struct traced *tr)
{
	if (i->signals & 1u << SIGNAL_EXACT)
		tr->waits = false;
	return !budget__may_attach(i->budget, tr);
}

int interpreters__attach(struct interpreters *i, struct traced *tr)
{
	const struct site_set *set;
	int err;

	if (has_to_wait(i, tr))
		return 0;
	set = sites_of(i, tr->tgid, tr->interp);
	if (set && i->heap)
		heap__adopt(i->heap, tr, &set->window);
	err = set ? attach_to_interpreter(i, tr, set) : 0;
	if (err && i->heap)
		heap__forget(i->heap, tr);
	if (err)
		return err;
	if (i->large)
		large_blocks__follow(i->large, tr);
	if (i->moves && !tr->forked)
		move_watch__begin(i->moves, tr);
	if (i->mappings && !tr->forked)
		mapping_watch__begin(i->mappings, tr);
	interp_watch__begin(tr, set ? &set->facts : NULL, i->deps->proc, i->deps->profile);
	return 0;
}

static void name_interp(struct interpreters *i, const struct traced *tr)
{
	struct profile_process p = *profile__process(i->deps->profile, tr->process);
	char command[1024];

	if (!proc__cmdline(i->deps->proc, tr->tgid, command, sizeof(command)))
		p.command = command;
	p.python = tr->interp->version_text;
	p.interpreter = tr->interp->path;
	profile__update_process(i->deps->profile, tr->process, &p);
}

int interpreters__adopt(struct interpreters *i, struct traced_table *table, struct traced *tr, const struct interp *in)
{
	int err;

	/* The kernel side first: until it knows, stacks are lost. */
	free(tr->interp);
	tr->interp = malloc(sizeof(*in));
	if (!tr->interp)
		return -ENOMEM;
	*tr->interp = *in;
	err = slot_of_walk(i, &tr->interp->layout.walk, &tr->interp_slot);
	err = err ? err : traced__tell_kernel(tr, i->deps->session, i->signals);
	if (err)
		return err;
	name_interp(i, tr);
	traced_table__is_python(table, tr);
	return interpreters__attach(i, tr);
}

int interpreters__inherit(struct interpreters *i, struct traced_table *table, struct traced *tr,
			  const struct traced *parent)
{
	struct profile_process p = *profile__process(i->deps->profile, tr->process);

	tr->interp = malloc(sizeof(*tr->interp));
	if (!tr->interp)
		return -ENOMEM;
	*tr->interp = *parent->interp;
	tr->interp_slot = parent->interp_slot;
	tr->watch = parent->watch;
	tr->watch.collections = (struct gc_ledger){};
	tr->watch.then_ns = 0;
	traced_table__is_python(table, tr);
	p.python = tr->interp->version_text;
	p.interpreter = tr->interp->path;
	return profile__update_process(i->deps->profile, tr->process, &p);
}
