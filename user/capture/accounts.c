/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Pages on which another fault was seen (COUNT_REFAULT). */
struct refault {
	struct count_key key;
	int64_t bytes; /* < 0: those that are followed stand for more now (bpf/fault_moves.bpf.h) */
};

struct accounts {
	const struct tracker_deps *deps;
	struct traced_table *table;
	struct stack_names *names;
	uint64_t page_bytes;
	uint64_t unknown;
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

static struct profile_sums sums_of(int64_t gained_bytes)
{
	struct profile_sums sums = {};

	if (gained_bytes > 0)
		sums.alloc_bytes = gained_bytes;
	else
		sums.free_bytes = -gained_bytes;
	return sums;
}

void accounts__relieve_line(struct accounts *a, struct traced *tr, uint64_t stack_id, uint32_t kind, int64_t bytes)
{
	struct profile_sums line = sums_of(-bytes), nobody = sums_of(bytes);

	line.free_cnt = nobody.alloc_cnt = bytes > 0;

	add_to(a, tr, stack_id, kind, &line);
	add_to(a, tr, STACK_GIVEN_BACK, kind, &nobody);
}

void accounts__correct_line(struct accounts *a, struct traced *tr, const struct resident_line *line, int64_t more)
{
	struct profile_sums sums = sums_of(more), opposite = sums_of(-more);
	const struct resident_line_key *key = &line->key;

	if (!more)
		return;
	profile__add(a->deps->profile, line->process, key->tid, key->node, key->kind, &sums);
	tr->resident.counted_bytes[key->kind] += more;
	add_to(a, tr, STACK_GIVEN_BACK, key->kind, &opposite);
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
	/* What is counted as heap's was seen in its windows, and is told as an estimate (capture/heap.c). */
	else if (tr && key->kind != KIND_HEAP_POOL && key->kind < KIND_MAX)
		add_to(a, tr, key->stack_id, key->kind, &sums);
	if (tr && key->kind == KIND_EXACT)
		tr->exact_cnt += sums.alloc_cnt + sums.free_cnt;
	if (tr)
		tr->heard = true;
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
		int64_t bytes = f->bytes;

		/* It may have been moved, which is not seen of everybody; how much was given back is known where nothing is thinned out. */
		if (tr && bytes > 0 && !tr->thinned && !tr->moves)
			bytes = resident_account__claimable(&tr->resident, kind, bytes);
		if (tr && bytes)
			accounts__relieve_line(a, tr, f->key.stack_id, kind, bytes);
	}
	a->n_refaults = 0;
}

/*
 * What the resident set did since the process's last fault that was looked at is that fault's, as the next one would say; or
 * no line's, where the hook was off meanwhile.
 */
static void reconcile(struct accounts *a, struct traced *tr, const struct target_state *last, bool watched, const uint64_t *now)
{
	bool known = last->stack_id && (watched || last->stack_id == STACK_BEFORE_ATTACH);
	uint64_t gainer = known ? last->stack_id : STACK_GIVEN_BACK;
	int kind;

	for (kind = 0; kind < RESIDENT_KINDS; kind++) {
		int64_t gained = (int64_t)now[kind] - last->rss_pages[kind] * (int64_t)a->page_bytes;
		struct profile_sums sums = sums_of(gained);

		if (gained)
			add_to(a, tr, gained < 0 ? STACK_GIVEN_BACK : gainer, kind, &sums);
	}
}

/* What a forked child begins with is known also where none of its faults was looked at. */
static bool has_begun(const struct traced *tr, const struct target_state *last)
{
	return last->stack_id || tr->forked;
}

/* Those after this nobody looks at any more. */
static void count_faults(struct accounts *a, struct traced *tr, const struct target_state *last)
{
	struct proc_stat stat;

	if (!tr->forked || proc__stat(a->deps->proc, tr->tgid, &stat))
		return;
	tr->forked_faults = (struct forked_faults){
		.all = stat.faults,
		.looks = last->cost[COST_FAULT].cnt,
		.stood_for = (double)last->stood_for / WEIGHT_ONE,
	};
}

void accounts__reconcile(struct accounts *a, bool watched)
{
	uint32_t turn = session__hook_turn(a->deps->session);
	uint64_t now[RESIDENT_KINDS];
	struct target_state last;
	struct traced *tr;

	for (tr = a->table->alive; tr; tr = tr->hh_tgid.next) {
		if (session__read_state(a->deps->session, tr->tgid, &last) || !has_begun(tr, &last))
			continue;
		count_faults(a, tr, &last);
		if (!proc__resident(a->deps->proc, tr->tgid, now))
			reconcile(a, tr, &last, watched && last.hook_turn == turn, now);
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
	static const int64_t sure[PROFILE_REPLICATES];
	struct profile *p = a->deps->profile;
	const struct resident_line *line;
	uint32_t i;

	for (i = profile__first_cell_of(p, tr->process); i != PROFILE_NONE; i = profile__next_cell_of(p, i)) {
		const struct profile_cell c = *profile__cell(p, i);
		struct profile_sums back = left_of(&c.sums);

		profile__add(p, c.process, c.tid, c.node, c.kind, &back);
	}
	for (line = tr->lines.by_key; line; line = line->hh.next)
		profile__set_deviations(p, line->process, line->key.tid, line->key.node, line->key.kind, sure);
}
