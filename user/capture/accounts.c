/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

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

/* True: forget the page. */
static bool page_is_gone(const struct page_key *key, const struct page_value *v, void *arg)
{
	struct accounts *a = arg;
	struct traced *tr = traced_table__find(a->table, key->proc_id);
	uint64_t bytes = v->pages * a->page_bytes;

	if (!tr || tr->ended || v->kind >= RESIDENT_KINDS)
		return true;
	if (resident_account__claimable(&tr->resident, v->kind, bytes) < bytes)
		return false;
	if (!tr->pagemap && pagemap__open(tr->tgid, &tr->pagemap))
		return false;
	if (pagemap__present(tr->pagemap, key->page))
		return false;
	take_from_line(a, tr, v->stack_id, v->kind, bytes);
	return true;
}

int accounts__sweep(struct accounts *a)
{
	int err = session__sweep_pages(a->deps->session, page_is_gone, a);
	struct traced *tr;

	for (tr = a->table->alive; tr; tr = tr->hh_tgid.next) {
		pagemap__free(tr->pagemap);
		tr->pagemap = NULL;
	}
	return err;
}

void accounts__reconcile(struct accounts *a)
{
	uint64_t now[RESIDENT_KINDS], stack_id;
	struct traced *tr;
	int64_t lag;
	int kind;

	for (tr = a->table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->forked || proc__resident(a->deps->proc, tr->tgid, now))
			continue;
		for (kind = 0; kind < RESIDENT_KINDS; kind++) {
			struct profile_sums sums = {};

			lag = resident_account__lag(&tr->resident, kind, now[kind], &stack_id);
			if (!lag)
				continue;
			if (lag < 0)
				sums.free_bytes = -lag;
			else
				sums.alloc_bytes = lag;
			add_to(a, tr, stack_id, kind, &sums);
		}
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

int accounts__give_all_back(struct accounts *a, const struct traced *ended, bool only_replaced)
{
	uint32_t i, n = profile__n_cells(a->deps->profile);
	bool *gone = calloc(profile__n_processes(a->deps->profile) + 1, sizeof(*gone));

	if (!gone)
		return -ENOMEM;
	for (; ended; ended = ended->next_unsettled)
		gone[ended->process] = ended->replaced || !only_replaced;
	for (i = 0; i < n; i++) {
		const struct profile_cell c = *profile__cell(a->deps->profile, i);
		struct profile_sums back = left_of(&c.sums);

		if (gone[c.process])
			profile__add(a->deps->profile, c.process, c.tid, c.node, c.kind, &back);
	}
	free(gone);
	return 0;
}
