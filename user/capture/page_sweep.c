/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/page_sweep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "capture/forked_memory.h"
#include "capture/moved_pages.h"
#include "capture/own_pages.h"

#define SECOND_NS 1000000000ull
#define MAX_SWEEP_EVERY_NS (10 * SECOND_NS)
/* What sweeping may take of the tracer's time, where it is done as often as it helps; in a crowd, less. */
#define SWEEP_SHARE 0.01
/* What estimates are corrected by is booked so often: the lines that it changes are written each time. */
#define SETTLE_NS (5 * SECOND_NS)
/* For so long, at the end, it is found out what forked processes have alone. */
#define OWN_NS (1 * SECOND_NS)

/* A page that was followed and is gone, or moved. */
struct gone {
	struct traced *tr;
	struct page_key key;
	struct page_value value;
};

struct page_sweep {
	const struct tracker_deps *deps;
	struct traced_table *table;
	struct stack_names *names;
	struct accounts *accounts;
	uint64_t page_bytes;
	uint64_t swept_ns, took_ns, settled_ns;
	uint64_t own_ns; /* spent on what forked processes have alone */
	bool hook_was_off; /* ever */
	double live[STRATA]; /* by stratum, pages that were there at the last sweep and are at this one */
	struct gone *gone; /* in this sweep */
	size_t n_gone, max_gone;
};

int page_sweep__new(const struct tracker_deps *deps, struct traced_table *table, struct stack_names *names,
		    struct accounts *accounts, struct page_sweep **ret)
{
	struct page_sweep *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->deps = deps;
	s->table = table;
	s->names = names;
	s->accounts = accounts;
	s->page_bytes = sysconf(_SC_PAGESIZE);
	s->swept_ns = s->settled_ns = clock_now_ns();
	*ret = s;
	return 0;
}

void page_sweep__free(struct page_sweep *s)
{
	if (s)
		free(s->gone);
	free(s);
}

static void relieve_line(struct page_sweep *s, struct traced *tr, const struct page_value *v)
{
	accounts__relieve_line(s->accounts, tr, v->stack_id, v->kind, v->pages * s->page_bytes);
}

/* ---- pages that are not where they were ---- */

static void keep_sample(struct page_sweep *s, struct traced *tr, const struct page_value *v)
{
	double thinned = v->thinned ? (double)v->thinned / THINNED_ONE : 1;
	double factor = (1u << v->shift) * session__watch_factor(v->watch) * thinned;
	struct stack_name stack = stack_names__look_up(s->names, tr, v->stack_id);
	struct resident_line_key key = { .tid = stack.tid, .node = stack.node, .kind = v->kind };

	resident_lines__found(&tr->lines, &key, stack.process, (double)v->pages * s->page_bytes, factor, v->group);
}

/*
 * A page that is gone was given back, or moved. Where moves are seen it was not moved. Else, how much was given back by lines not known
 * is known only where all faults are looked at; where they are not it counts if it would be known where it was moved to; else only
 * as far as the resident set has lost what no line was relieved of.
 */
static bool is_claimable(const struct page_sweep *s, const struct traced *tr, const struct page_value *v)
{
	uint64_t bytes = v->pages * s->page_bytes;

	return tr->moves || (tr->thinned && v->frame) || resident_account__claimable(&tr->resident, v->kind, bytes) >= bytes;
}

/* False: there is no memory. */
static bool keep_gone(struct page_sweep *s, struct traced *tr, const struct page_key *key, const struct page_value *v)
{
	size_t max = s->max_gone ? 2 * s->max_gone : 1024;
	struct gone *more;

	if (s->n_gone == s->max_gone) {
		more = realloc(s->gone, max * sizeof(*more));
		if (!more)
			return false;
		s->gone = more;
		s->max_gone = max;
	}
	s->gone[s->n_gone++] = (struct gone){ tr, *key, *v };
	return true;
}

/*
 * A page is followed no more. It may have faulted again since it was looked at: then its line was relieved already, who has it now
 * keeps it, and this is false.
 */
static bool take(struct page_sweep *s, struct traced *tr, const struct page_key *key, const struct page_value *v)
{
	struct page_value was;

	if (!session__take_page(s->deps->session, key, &was))
		return false;
	if (!memcmp(&was, v, sizeof(was)))
		return true;
	if (!session__follow_page(s->deps->session, key, &was))
		relieve_line(s, tr, &was);
	return false;
}

static void drop(struct page_sweep *s, struct traced *tr, const struct page_key *key, const struct page_value *v)
{
	if (take(s, tr, key, v))
		relieve_line(s, tr, v);
}

static void judge_gone(struct page_sweep *s, const struct gone *g, uint64_t now_at)
{
	const struct page_key to = { .page = now_at, .proc_id = g->key.proc_id };

	if (!now_at) {
		if (is_claimable(s, g->tr, &g->value))
			drop(s, g->tr, &g->key, &g->value);
		return;
	}
	if (!take(s, g->tr, &g->key, &g->value))
		return;
	if (!session__follow_page(s->deps->session, &to, &g->value)) {
		relieve_line(s, g->tr, &g->value);
		return;
	}
	session__mark_followed(s->deps->session, g->tr->tgid, now_at);
	if (g->tr->thinned)
		keep_sample(s, g->tr, &g->value);
}

/* Those of one process. */
static void look_for_gone(struct page_sweep *s, const struct gone *gone, size_t n)
{
	struct moved_page *pages = calloc(n, sizeof(*pages));
	size_t i;

	for (i = 0; pages && i < n; i++)
		pages[i] = (struct moved_page){ .page = gone[i].key.page, .frame = gone[i].value.frame };
	if (pages && n >= MOVED_TOGETHER && moved_pages__find(s->deps->proc, gone->tr->tgid, pages, n))
		log_debug("process %d: pages that were moved cannot be found", (int)gone->tr->tgid);
	for (i = 0; i < n; i++)
		judge_gone(s, &gone[i], pages ? pages[i].now : 0);
	free(pages);
}

static int compare_processes(const void *va, const void *vb)
{
	const struct gone *a = va, *b = vb;

	return (a->key.proc_id > b->key.proc_id) - (a->key.proc_id < b->key.proc_id);
}

static void look_for_all_gone(struct page_sweep *s)
{
	size_t from, to;

	if (s->n_gone)
		qsort(s->gone, s->n_gone, sizeof(*s->gone), compare_processes);
	for (from = 0; from < s->n_gone; from = to) {
		for (to = from + 1; to < s->n_gone && s->gone[to].tr == s->gone[from].tr; to++)
			;
		look_for_gone(s, &s->gone[from], to - from);
	}
	s->n_gone = 0;
}

/* ---- one page ---- */

static bool open_pagemap(struct traced *tr)
{
	return tr->pagemap || !pagemap__open(tr->tgid, &tr->pagemap);
}

/*
 * One that is there, but in another page frame than when it was looked for last, was given back and has come again, unseen by
 * us; or the kernel has moved it (compaction), which alone it can be where the hook was never off.
 */
static bool was_given_back(const struct page_sweep *s, struct traced *tr, const struct page_key *key, struct page_value *v)
{
	uint32_t is;

	if (!pagemap__present(tr->pagemap, key->page, &is))
		return true;
	if (!v->frame || !s->hook_was_off)
		v->frame = is;
	return v->frame != is;
}

static void forget(struct page_sweep *s, const struct page_key *key)
{
	struct page_value was;

	session__take_page(s->deps->session, key, &was);
}

/* One that is gone may have been moved: that is found out for all together. */
static void look_at_page(const struct page_key *key, struct page_value *v, void *arg)
{
	struct page_sweep *s = arg;
	struct traced *tr = traced_table__find(s->table, key->proc_id);
	bool stays = v->frame; /* it was there before */

	if (!tr || tr->ended || v->kind >= RESIDENT_KINDS) {
		forget(s, key);
		return;
	}
	session__mark_followed(s->deps->session, tr->tgid, key->page);
	if ((v->frame && !is_claimable(s, tr, v)) || !open_pagemap(tr))
		return;
	if (!was_given_back(s, tr, key, v)) {
		if (tr->thinned)
			keep_sample(s, tr, v);
		if (stays && v->stratum < STRATA)
			s->live[v->stratum] += v->pages;
		return;
	}
	if (!tr->moves && v->frame > PAGEMAP_NO_FRAME && keep_gone(s, tr, key, v))
		return;
	if (is_claimable(s, tr, v))
		drop(s, tr, key, v);
}

/*
 * The hook was taken away: from now on nobody sees a page come and go. What was in this turn is not counted yet, so lines are
 * relieved later.
 */
static void note_frame(const struct page_key *key, struct page_value *v, void *arg)
{
	struct page_sweep *s = arg;
	struct traced *tr = traced_table__find(s->table, key->proc_id);

	if (!tr || tr->ended) {
		forget(s, key);
		return;
	}
	if (v->frame || !open_pagemap(tr))
		return;
	if (was_given_back(s, tr, key, v))
		v->frame = PAGEMAP_NO_FRAME;
}

static void close_pagemaps(struct page_sweep *s)
{
	struct traced *tr;

	for (tr = s->table->alive; tr; tr = tr->hh_tgid.next) {
		pagemap__free(tr->pagemap);
		tr->pagemap = NULL;
	}
}

void page_sweep__turn_ended(struct page_sweep *s)
{
	s->hook_was_off = true;
	if (!session__sweep_turn(s->deps->session, note_frame, s))
		session__sweep_pages(s->deps->session, note_frame, s);
	close_pagemaps(s);
}

/* ---- a process of whose faults a part is looked at ---- */

/* Whether they may hold something else than when they were settled last. */
static bool may_have_changed(const struct traced *tr, bool at_end)
{
	return tr->stirred || (at_end && (tr->heard || !tr->calm_steps || tr->lines.by_key));
}

/* A process that was thinned out since its budget was looked at last is one of them, too. */
static void begin_lines(struct page_sweep *s, struct traced *tr, bool at_end)
{
	struct target_state state;
	bool look = may_have_changed(tr, at_end);

	resident_lines__begin(&tr->lines);
	if (look && !session__read_state(s->deps->session, tr->tgid, &state))
		traced__note_thinned(tr, &state);
	/* Of one that lived for less than a step nothing else tells. */
	tr->thinned |= at_end && tr->forked && s->hook_was_off;
	if ((look && tr->thinned) || (at_end && tr->forked))
		proc__resident(s->deps->proc, tr->tgid, tr->rss_bytes);
}

struct settling {
	struct page_sweep *s;
	struct traced *tr;
	bool at_end;
	struct forked_memory forked;
	int64_t deviations[PAGE_GROUPS]; /* of its lines of anonymous memory, in sum */
};

static void book(struct resident_line *line, int64_t correction, const int64_t deviations[PAGE_GROUPS], void *arg)
{
	const struct resident_line_key *key = &line->key;
	struct settling *settling = arg;
	struct page_sweep *s = settling->s;

	accounts__correct_line(s->accounts, settling->tr, line, correction - line->correction);
	line->correction = correction;
	profile__set_deviations(s->deps->profile, line->process, key->tid, key->node, key->kind, deviations);
	if (key->kind != KIND_RESIDENT_ANON)
		return;
	for (int i = 0; i < PAGE_GROUPS; i++)
		settling->deviations[i] += deviations[i];
}

/* What the resident set has gained since its counters were counted last; nothing at the end, when all is. */
static void find_drift(struct page_sweep *s, const struct traced *tr, bool at_end, double *ret)
{
	struct target_state state;
	int kind;

	if (at_end || session__read_state(s->deps->session, tr->tgid, &state) || !state.stack_id)
		return;
	for (kind = 0; kind < RESIDENT_KINDS; kind++)
		ret[kind] = (double)tr->rss_bytes[kind] - state.rss_pages[kind] * (double)s->page_bytes;
}

/*
 * How much of a forked process's memory no other has: at the end, when it may take a while. Less what it has gained since it was
 * counted: it may run.
 */
static uint64_t find_own(struct page_sweep *s, struct traced *tr)
{
	uint64_t own_bytes, rss_bytes[RESIDENT_KINDS], gained_bytes = 0;
	struct target_state state;

	if (!open_pagemap(tr) || own_pages__find(s->deps->proc, tr->tgid, tr->pagemap, &own_bytes) ||
	    proc__resident(s->deps->proc, tr->tgid, rss_bytes))
		return FORKED_UNKNOWN;
	/* It has become another program. */
	if (session__read_state(s->deps->session, tr->tgid, &state))
		return FORKED_UNKNOWN;
	if (rss_bytes[KIND_RESIDENT_ANON] > tr->rss_bytes[KIND_RESIDENT_ANON])
		gained_bytes = rss_bytes[KIND_RESIDENT_ANON] - tr->rss_bytes[KIND_RESIDENT_ANON];
	/* Pages of hugetlbfs look like its own, and are in no resident set. */
	if (own_bytes > rss_bytes[KIND_RESIDENT_ANON])
		own_bytes = rss_bytes[KIND_RESIDENT_ANON];
	return own_bytes > gained_bytes ? own_bytes - gained_bytes : 0;
}

static struct forked_memory memory_of_forked(struct page_sweep *s, struct traced *tr, bool at_end)
{
	struct forked_memory ret = { .own_bytes = FORKED_UNKNOWN, .page_bytes = s->page_bytes };
	uint64_t begin = clock_now_ns();

	if (!at_end || !tr->forked || s->own_ns > OWN_NS)
		return ret;
	ret.own_bytes = find_own(s, tr);
	if (tr->thinned)
		ret.faults = tr->forked_faults;
	s->own_ns += clock_now_ns() - begin;
	return ret;
}

/* What the lines of a process hold. */
static double bytes_of_lines(const struct traced *tr, int kind)
{
	return (double)tr->resident.counted_bytes[kind] + tr->resident.given_back_bytes[kind];
}

/* Bytes that its lines were given of what was known in sum. */
static double corrections(const struct traced *tr, uint32_t kind)
{
	const struct resident_line *line;
	double sum = 0;

	for (line = tr->lines.by_key; line; line = line->hh.next)
		sum += line->key.kind == kind ? line->correction : 0;
	return sum;
}

/* Of a forked process, what lines do not have. corrected: bytes that they were given. */
static double unknown_of_forked(const struct settling *settling, int kind, double unknown, double corrected, uint64_t rss_bytes,
				double *unsteady)
{
	static const struct forked_memory nothing = { .own_bytes = FORKED_UNKNOWN };
	const struct forked_memory *m = kind == KIND_RESIDENT_ANON ? &settling->forked : &nothing;
	double unsure, ret = forked_memory__unknown(m, unknown, bytes_of_lines(settling->tr, kind) - corrected, rss_bytes, &unsure);

	*unsteady += unsure;
	return ret;
}

static void settle_lines(struct settling *settling)
{
	double unknown[RESIDENT_KINDS] = {}, unsteady[RESIDENT_KINDS] = {};
	struct traced *tr = settling->tr;
	uint64_t rss_bytes[RESIDENT_KINDS];
	int kind;

	if (proc__resident(settling->s->deps->proc, tr->tgid, rss_bytes))
		return;
	find_drift(settling->s, tr, settling->at_end, unknown);
	for (kind = 0; kind < RESIDENT_KINDS; kind++) {
		double corrected = corrections(tr, kind);

		unknown[kind] += corrected - tr->resident.given_back_bytes[kind];
		unsteady[kind] = fabs((double)rss_bytes[kind] - tr->rss_bytes[kind]);
		if (tr->forked)
			unknown[kind] = unknown_of_forked(settling, kind, unknown[kind], corrected, rss_bytes[kind], &unsteady[kind]);
	}
	tr->lines.a_look = tr->looks_of_late ? settling->s->page_bytes * tr->faults_of_late / tr->looks_of_late : 0;
	resident_lines__settle(&tr->lines, unknown, unsteady, book, settling);
}

/* A part of what no line has: deviations are those of what lines have, for both together are known. */
static void tell_rest(const struct settling *settling, enum stack_status row, double bytes, double rest)
{
	struct stack_name name = stack_names__look_up(settling->s->names, settling->tr, row);
	struct profile *p = settling->s->deps->profile;
	int64_t deviations[PAGE_GROUPS];

	if (!bytes)
		return;
	profile__add(p, name.process, name.tid, name.node, KIND_RESIDENT_ANON,
		     &(struct profile_sums){ .alloc_cnt = 1, .alloc_bytes = bytes });
	for (int i = 0; i < PAGE_GROUPS; i++)
		deviations[i] = -settling->deviations[i] * (bytes / rest);
	if (settling->tr->thinned)
		profile__set_deviations(p, name.process, name.tid, name.node, KIND_RESIDENT_ANON, deviations);
}

/* What a forked process has alone and no line has. What came while no line was watched is told already. */
static void tell_rest_of_forked(const struct settling *settling)
{
	const struct traced *tr = settling->tr;
	double lines = bytes_of_lines(tr, KIND_RESIDENT_ANON), came = fmax(-tr->resident.given_back_bytes[KIND_RESIDENT_ANON], 0);
	struct forked_rest rest = forked_memory__rest(&settling->forked, lines - corrections(tr, KIND_RESIDENT_ANON), lines + came);
	double all = rest.inherited + rest.not_looked_at;

	tell_rest(settling, STACK_INHERITED, rest.inherited, all);
	tell_rest(settling, STACK_NOT_LOOKED_AT, rest.not_looked_at, all);
}

static void settle_process(struct page_sweep *s, struct traced *tr, bool at_end)
{
	struct settling settling = { .s = s, .tr = tr, .at_end = at_end, .forked = memory_of_forked(s, tr, at_end) };

	if (tr->thinned && may_have_changed(tr, at_end))
		settle_lines(&settling);
	tell_rest_of_forked(&settling);
	tr->stirred = false;
}

/* ---- all ---- */

/*
 * Where faults are thinned out, memory that comes and goes is told apart from what stays by looking again and again at the
 * pages that are followed.
 */
static uint64_t sweep_every_ns(const struct page_sweep *s)
{
	uint64_t least_ns = s->took_ns * traced_table__crowd(s->table) / SWEEP_SHARE;
	const struct traced *tr;

	if (least_ns < MAX_SWEEP_EVERY_NS) {
		for (tr = s->table->alive; tr; tr = tr->hh_tgid.next) {
			if (tr->thinned && tr->busy)
				return least_ns > SECOND_NS ? least_ns : SECOND_NS;
		}
	}
	return MAX_SWEEP_EVERY_NS;
}

int page_sweep__run(struct page_sweep *s, bool now)
{
	uint64_t begin = clock_now_ns();
	bool settle = now || begin - s->settled_ns >= SETTLE_NS;
	struct traced *tr;
	int err;

	if (!now && begin + SECOND_NS / 10 < s->swept_ns + sweep_every_ns(s))
		return 0;
	for (tr = s->table->alive; tr; tr = tr->hh_tgid.next)
		begin_lines(s, tr, now);
	memset(s->live, 0, sizeof(s->live));
	session__begin_marks(s->deps->session);
	err = session__sweep_pages(s->deps->session, look_at_page, s);
	look_for_all_gone(s);
	/* What was not looked at stays marked, and lines as they are. */
	if (!err) {
		session__end_marks(s->deps->session);
		session__favour_strata(s->deps->session, s->live);
		for (tr = s->table->alive; tr && settle; tr = tr->hh_tgid.next)
			settle_process(s, tr, now);
	}
	close_pagemaps(s);
	s->swept_ns = clock_now_ns();
	s->took_ns = s->swept_ns - begin;
	if (settle)
		s->settled_ns = s->swept_ns;
	return err;
}
