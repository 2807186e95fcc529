/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/page_sweep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define SECOND_NS 1000000000ull
#define MAX_SWEEP_EVERY_NS (10 * SECOND_NS)
/* What sweeping may take of the tracer's time, where it is done as often as it helps. */
#define SWEEP_SHARE 0.01
/* So long goes by before other pages are chosen: what was followed before is seen less well from then on. */
#define CHOICE_NS (60 * SECOND_NS)
/* What estimates are corrected by is booked so often: the lines that it changes are written each time. */
#define SETTLE_NS (5 * SECOND_NS)
/* Lines may be relieved of pages that are gone while the sum of lines is this much smaller than the resident set. */
#define SLACK_DEVIATIONS 2

struct page_sweep {
	const struct tracker_deps *deps;
	struct traced_table *table;
	struct stack_names *names;
	struct accounts *accounts;
	uint64_t page_bytes;
	uint64_t swept_ns, took_ns, chosen_ns, settled_ns;
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
	s->swept_ns = s->chosen_ns = s->settled_ns = clock_now_ns();
	*ret = s;
	return 0;
}

void page_sweep__free(struct page_sweep *s)
{
	free(s);
}

/* ---- one page ---- */

/* What is noted of a page that was gone when it was looked at for the first time. */
#define NO_FRAME 1

static uint32_t hash_of_frame(uint64_t frame)
{
	uint32_t hash = PY_HASH_STEP(0, frame) >> 48;

	return !frame ? 0 : hash > NO_FRAME ? hash : NO_FRAME + 1;
}

static void keep_sample(struct page_sweep *s, struct traced *tr, const struct page_value *v)
{
	double factor = (1u << v->shift) * session__watch_factor(v->watch);
	struct stack_name stack = stack_names__look_up(s->names, tr, v->stack_id);
	struct resident_line_key key = { .tid = stack.tid, .node = stack.node, .kind = v->kind };

	resident_lines__found(&tr->lines, &key, stack.process, (double)v->pages * s->page_bytes, factor, v->group);
}

/*
 * One that is there, but in another page frame than when it was looked for last, was given back and has come again, unseen by
 * us. The kernel moves pages, too: so it counts only as far as the resident set has lost what no line was relieved of.
 */
static bool was_given_back(struct traced *tr, const struct page_key *key, const struct page_value *v, uint32_t *frame)
{
	uint64_t number;

	if (!pagemap__present(tr->pagemap, key->page, &number))
		return true;
	if (!v->frame)
		*frame = hash_of_frame(number);
	return v->frame && v->frame != hash_of_frame(number);
}

/* True: forget the page. */
static bool page_is_gone(const struct page_key *key, const struct page_value *v, uint32_t *frame, void *arg)
{
	struct page_sweep *s = arg;
	struct traced *tr = traced_table__find(s->table, key->proc_id);
	uint64_t bytes = v->pages * s->page_bytes;
	bool claimable;

	if (!tr || tr->ended || v->kind >= RESIDENT_KINDS)
		return true;
	claimable = resident_account__claimable(&tr->resident, v->kind, bytes) >= bytes;
	if (!claimable && !tr->thinned)
		return false;
	if (!tr->pagemap && pagemap__open(tr->tgid, &tr->pagemap))
		return false;
	if (!was_given_back(tr, key, v, frame) || !claimable) {
		if (tr->thinned)
			keep_sample(s, tr, v);
		return false;
	}
	accounts__take_from_line(s->accounts, tr, v->stack_id, v->kind, bytes);
	return true;
}

/*
 * The hook was taken away: from now on nobody sees a page come and go. What was in this turn is not counted yet, so lines are
 * relieved later.
 */
static bool note_frame(const struct page_key *key, const struct page_value *v, uint32_t *frame, void *arg)
{
	struct page_sweep *s = arg;
	struct traced *tr = traced_table__find(s->table, key->proc_id);
	uint64_t number;

	if (!tr || tr->ended)
		return true;
	if (v->frame)
		return false;
	if (!tr->pagemap && pagemap__open(tr->tgid, &tr->pagemap))
		return false;
	*frame = pagemap__present(tr->pagemap, key->page, &number) ? hash_of_frame(number) : NO_FRAME;
	return false;
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
	if (!session__sweep_turn(s->deps->session, note_frame, s))
		session__sweep_pages(s->deps->session, note_frame, s);
	close_pagemaps(s);
}

/* ---- a process of whose faults a part is looked at ---- */

static void begin_lines(struct page_sweep *s, struct traced *tr, bool now)
{
	struct target_state state;
	int kind;

	resident_lines__begin(&tr->lines);
	memset(tr->resident.drift_bytes, 0, sizeof(tr->resident.drift_bytes));
	if (proc__resident(s->deps->proc, tr->tgid, tr->rss_bytes) || now ||
	    session__read_state(s->deps->session, tr->tgid, &state) || !state.stack_id)
		return;
	for (kind = 0; kind < RESIDENT_KINDS; kind++)
		tr->resident.drift_bytes[kind] = tr->rss_bytes[kind] - state.rss_pages[kind] * s->page_bytes;
}

struct settling {
	struct page_sweep *s;
	struct traced *tr;
};

static void book(struct resident_line *line, int64_t correction, const int64_t deviations[PAGE_GROUPS], void *arg)
{
	const struct resident_line_key *key = &line->key;
	struct settling *now = arg;

	accounts__correct_line(now->s->accounts, now->tr, line, correction - line->correction);
	line->correction = correction;
	profile__set_deviations(now->s->deps->profile, line->process, key->tid, key->node, key->kind, deviations);
}

static void settle_lines(struct page_sweep *s, struct traced *tr)
{
	struct settling now = { s, tr };
	double unknown[RESIDENT_KINDS], unsteady[RESIDENT_KINDS] = {};
	uint64_t rss_bytes[RESIDENT_KINDS];
	struct resident_line *line;
	int kind;

	for (kind = 0; kind < RESIDENT_KINDS; kind++)
		unknown[kind] = tr->resident.drift_bytes[kind] - tr->resident.given_back_bytes[kind];
	for (line = tr->lines.by_key; line; line = line->hh.next)
		unknown[line->key.kind] += line->correction;
	if (!proc__resident(s->deps->proc, tr->tgid, rss_bytes)) {
		for (kind = 0; kind < RESIDENT_KINDS; kind++)
			unsteady[kind] = fabs((double)rss_bytes[kind] - tr->rss_bytes[kind]);
	}
	resident_lines__settle(&tr->lines, unknown, unsteady, book, &now);
}

static void end_lines(struct page_sweep *s, struct traced *tr, bool settle)
{
	int kind;

	for (kind = 0; kind < RESIDENT_KINDS; kind++)
		tr->resident.slack_bytes[kind] = SLACK_DEVIATIONS * resident_lines__deviation(&tr->lines, kind);
	if (settle)
		settle_lines(s, tr);
	/* What is counted from now on is no drift. */
	memset(tr->resident.drift_bytes, 0, sizeof(tr->resident.drift_bytes));
}

/* ---- all ---- */

/*
 * Where faults are thinned out, memory that comes and goes is told apart from what stays by looking again and again at the
 * pages that are followed.
 */
static uint64_t sweep_every_ns(const struct page_sweep *s)
{
	uint64_t least_ns = s->took_ns / SWEEP_SHARE;
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
	for (tr = s->table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->thinned)
			begin_lines(s, tr, now);
	}
	err = session__sweep_pages(s->deps->session, page_is_gone, s);
	for (tr = s->table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->thinned)
			end_lines(s, tr, settle);
	}
	close_pagemaps(s);
	s->swept_ns = clock_now_ns();
	s->took_ns = s->swept_ns - begin;
	if (settle)
		s->settled_ns = s->swept_ns;
	if (s->swept_ns - s->chosen_ns >= CHOICE_NS) {
		session__choose_pages(s->deps->session);
		s->chosen_ns = s->swept_ns;
	}
	return err;
}
