/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

/* Pages on which another fault was seen (COUNT_REFAULT). */
struct refault {
	struct count_key key;
	uint64_t bytes;
};

struct accounts {
	const struct tracker_deps *deps;
	struct traced_table *table;
	struct stack_names *names;
	uint64_t page_bytes;
	uint64_t unknown;
	uint64_t swept_ns, sweep_took_ns, chosen_ns;
	struct refault *refaults; /* of the counts being read */
	size_t n_refaults, max_refaults;
};

int accounts__new(const struct tracker_deps *deps, struct traced_table *table, struct stack_names *names,
		  struct accounts **ret)
{
	struct accounts *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->deps = deps;
	a->table = table;
	a->names = names;
	a->page_bytes = sysconf(_SC_PAGESIZE);
	a->swept_ns = a->chosen_ns = clock_now_ns();
	*ret = a;
	return 0;
}

void accounts__free(struct accounts *a)
{
	if (!a)
		return;
	free(a->refaults);
	free(a);
}

static void add_to(struct accounts *a, struct traced *tr, uint64_t stack_id, uint32_t kind,
		   const struct profile_sums *sums)
{
	struct stack_name stack = stack_names__look_up(a->names, tr, stack_id);

	resident_account__count(&tr->resident, stack_id, kind, (int64_t)(sums->alloc_bytes - sums->free_bytes));
	profile__add(a->deps->profile, stack.process, stack.tid, stack.node, kind, sums);
}

/* Takes bytes from a line, and from what was given back by nobody we know. */
static void take_from_line(struct accounts *a, struct traced *tr, uint64_t stack_id, uint32_t kind, uint64_t bytes)
{
	struct profile_sums line = { .free_cnt = 1, .free_bytes = bytes };
	struct profile_sums nobody = { .alloc_cnt = 1, .alloc_bytes = bytes };

	add_to(a, tr, stack_id, kind, &line);
	add_to(a, tr, STACK_GIVEN_BACK, kind, &nobody);
}

/* They are judged when all losses of the resident set are known. */
static void keep_refault(struct accounts *a, const struct count_key *key, const struct count_value *delta)
{
	size_t max = a->max_refaults ? 2 * a->max_refaults : 1024;
	struct refault *more;

	if (a->n_refaults == a->max_refaults) {
		more = realloc(a->refaults, max * sizeof(*more));
		if (!more)
			return;
		a->refaults = more;
		a->max_refaults = max;
	}
	a->refaults[a->n_refaults].key = *key;
	a->refaults[a->n_refaults++].bytes = delta->free_bytes;
}

void accounts__count(struct accounts *a, const struct count_key *key, const struct count_value *delta)
{
	struct traced *tr = traced_table__find(a->table, key->proc_id);
	struct profile_sums sums = {
		.alloc_cnt = delta->alloc_cnt,
		.alloc_bytes = delta->alloc_bytes,
		.free_cnt = delta->free_cnt,
		.free_bytes = delta->free_bytes,
	};

	if (tr && key->kind & COUNT_REFAULT)
		keep_refault(a, key, delta);
	else if (tr && !(key->kind & COUNT_WINDOW) && key->kind < KIND_MAX)
		add_to(a, tr, key->stack_id, key->kind, &sums);
	/* They serve the heap signal where there is no budget, and then small blocks are not told by windows. */
	if (tr && (key->kind == KIND_EXACT || key->kind == KIND_HEAP_POOL))
		tr->exact_cnt += sums.alloc_cnt + sums.free_cnt;
	a->unknown += !tr;
}

uint64_t accounts__unknown(const struct accounts *a)
{
	return a->unknown;
}

void accounts__counted(struct accounts *a)
{
	size_t i;

	for (i = 0; i < a->n_refaults; i++) {
		const struct refault *f = &a->refaults[i];
		struct traced *tr = traced_table__find(a->table, f->key.proc_id);
		uint32_t kind = f->key.kind & ~COUNT_REFAULT;
		uint64_t bytes = tr ? resident_account__claimable(&tr->resident, kind, f->bytes) : 0;

		if (bytes)
			take_from_line(a, tr, f->key.stack_id, kind, bytes);
	}
	a->n_refaults = 0;
}

static uint32_t hash_of_frame(uint64_t frame)
{
	uint32_t hash = PY_HASH_STEP(0, frame) >> 40;

	return !frame ? 0 : hash ? hash : 1;
}

/*
 * True: forget the page. One that is there, but in another page frame than when it was looked for last, was given back and
 * has come again, unseen by us because its faults are thinned out. The kernel moves pages, too: so it counts only as far
 * as the resident set has lost what no line was relieved of.
 */
static bool page_is_gone(const struct page_key *key, const struct page_value *v, uint32_t *frame, void *arg)
{
	struct accounts *a = arg;
	struct traced *tr = traced_table__find(a->table, key->proc_id);
	uint64_t bytes = v->pages * a->page_bytes, number;
	bool claimable;

	if (!tr || tr->ended || v->kind >= RESIDENT_KINDS)
		return true;
	claimable = resident_account__claimable(&tr->resident, v->kind, bytes) >= bytes;
	if (!claimable && (v->frame || !tr->kernel_shift))
		return false;
	if (!tr->pagemap && pagemap__open(tr->tgid, &tr->pagemap))
		return false;
	if (pagemap__present(tr->pagemap, key->page, &number)) {
		if (!v->frame)
			*frame = hash_of_frame(number);
		if (!v->frame || v->frame == hash_of_frame(number))
			return false;
	}
	if (!claimable)
		return false;
	take_from_line(a, tr, v->stack_id, v->kind, bytes);
	return true;
}

#define SECOND_NS 1000000000ull
#define MAX_SWEEP_EVERY_NS (10 * SECOND_NS)
/* What sweeping may take of the tracer's time, where it is done as often as it helps. */
#define SWEEP_SHARE 0.01
/* So long goes by before other pages are chosen: what was followed before is seen less well from then on. */
#define CHOICE_NS (60 * SECOND_NS)

/*
 * Where faults are thinned out, memory that comes and goes is told apart from what stays by looking again and again at the
 * pages that are followed.
 */
static uint64_t sweep_every_ns(const struct accounts *a)
{
	uint64_t least_ns = a->sweep_took_ns / SWEEP_SHARE;
	const struct traced *tr;

	if (least_ns < MAX_SWEEP_EVERY_NS) {
		for (tr = a->table->alive; tr; tr = tr->hh_tgid.next) {
			if (tr->kernel_shift)
				return least_ns > SECOND_NS ? least_ns : SECOND_NS;
		}
	}
	return MAX_SWEEP_EVERY_NS;
}

int accounts__sweep(struct accounts *a, bool now)
{
	uint64_t begin = clock_now_ns();
	struct traced *tr;
	int err;

	if (!now && begin + SECOND_NS / 10 < a->swept_ns + sweep_every_ns(a))
		return 0;
	err = session__sweep_pages(a->deps->session, page_is_gone, a);
	for (tr = a->table->alive; tr; tr = tr->hh_tgid.next) {
		pagemap__free(tr->pagemap);
		tr->pagemap = NULL;
	}
	a->swept_ns = clock_now_ns();
	a->sweep_took_ns = a->swept_ns - begin;
	if (a->swept_ns - a->chosen_ns >= CHOICE_NS) {
		session__choose_pages(a->deps->session);
		a->chosen_ns = a->swept_ns;
	}
	return err;
}

/* What the resident set did since the process's last fault that was looked at is that fault's, as the next one would say. */
static void reconcile(struct accounts *a, struct traced *tr, const struct target_state *last, const uint64_t *now)
{
	int kind;

	for (kind = 0; kind < RESIDENT_KINDS; kind++) {
		int64_t gained = (int64_t)now[kind] - last->rss_pages[kind] * (int64_t)a->page_bytes;
		struct profile_sums sums = {};

		if (gained < 0)
			sums.free_bytes = -gained;
		else
			sums.alloc_bytes = gained;
		if (gained)
			add_to(a, tr, gained < 0 ? STACK_GIVEN_BACK : last->stack_id, kind, &sums);
	}
}

void accounts__reconcile(struct accounts *a)
{
	uint64_t now[RESIDENT_KINDS];
	struct target_state last;
	struct traced *tr;

	for (tr = a->table->alive; tr; tr = tr->hh_tgid.next) {
		if (!session__read_state(a->deps->session, tr->tgid, &last) && last.stack_id &&
		    !proc__resident(a->deps->proc, tr->tgid, now))
			reconcile(a, tr, &last, now);
	}
}

static struct profile_sums left_of(const struct profile_sums *s)
{
	struct profile_sums back = {};

	if (s->alloc_bytes > s->free_bytes)
		back.free_bytes = s->alloc_bytes - s->free_bytes;
	else
		back.alloc_bytes = s->free_bytes - s->alloc_bytes;
	if (s->alloc_cnt > s->free_cnt)
		back.free_cnt = s->alloc_cnt - s->free_cnt;
	return back;
}

void accounts__give_all_back(struct accounts *a, const struct traced *tr)
{
	struct profile *p = a->deps->profile;
	uint32_t i;

	for (i = profile__first_cell_of(p, tr->process); i != PROFILE_NONE; i = profile__next_cell_of(p, i)) {
		const struct profile_cell c = *profile__cell(p, i);
		struct profile_sums back = left_of(&c.sums);

		profile__add(p, c.process, c.tid, c.node, c.kind, &back);
	}
}
