/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pages that the kernel side follows, and how it chooses the faults that it looks at.
 *
 * Pages are asked about in the order of their addresses, as many as are read together: what /proc/PID/pagemap tells of pages that
 * are near each other is had with one call (pagemap.c), and a map of the kernel hands them out in none. Beside a thousand processes
 * that was a half of what the tracer took.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/session_impl.h"
#include "capture/strata.h"

#define SORTED_PAGES 16384

struct page_walk {
	struct session *s;
	page_asker ask;
	void *arg;
};

static void take_notes(const struct page_walk *p)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int fd = bpf_program__fd(p->s->bpf->progs.note_pages);
	uint32_t cnt = p->s->bpf->bss->page_note_cnt;

	if (fd >= 0 && cnt)
		bpf_prog_test_run_opts(fd, &opts);
	p->s->bpf->bss->page_note_cnt = 0;
}

static void keep_note(const struct page_walk *p, const struct page_note *note)
{
	uint32_t *cnt = &p->s->bpf->bss->page_note_cnt;

	if (!memcmp(&note->is, &note->was, sizeof(note->is)))
		return;
	memcpy(&p->s->bpf->bss->page_notes[*cnt], note, sizeof(*note));
	if (++*cnt == PAGE_NOTES)
		take_notes(p);
}

/* Of one process together, and by address; of what is followed more than once the last first. */
static int compare_pages(const void *va, const void *vb)
{
	const struct turn_page *a = *(const struct turn_page *const *)va, *b = *(const struct turn_page *const *)vb;

	if (a->key.proc_id != b->key.proc_id)
		return a->key.proc_id < b->key.proc_id ? -1 : 1;
	if (a->key.page != b->key.page)
		return a->key.page < b->key.page ? -1 : 1;
	return a > b ? -1 : a < b;
}

static void ask_of_page(const struct page_walk *p, const struct turn_page *page)
{
	struct page_note note = { .key = page->key };

	memcpy(&note.was, &page->value, sizeof(note.was));
	note.is = note.was;
	p->ask(&note.key, &note.is, p->arg);
	keep_note(p, &note);
}

/* False: there is no memory. */
static bool ask_of_all(const struct page_walk *p, const struct turn_page *pages, size_t n)
{
	const struct turn_page **sorted = malloc((n + 1) * sizeof(*sorted));
	size_t i;

	for (i = 0; sorted && i < n; i++)
		sorted[i] = &pages[i];
	if (sorted && n)
		qsort(sorted, n, sizeof(*sorted), compare_pages);
	for (i = 0; sorted && i < n; i++)
		ask_of_page(p, sorted[i]);
	free(sorted);
	return sorted;
}

struct sweep {
	struct page_walk pages;
	struct turn_page *page;
	size_t n;
	bool failed;
};

static bool collect_page(const void *key, const void *value, void *arg)
{
	struct sweep *sweep = arg;
	struct turn_page *page = &sweep->page[sweep->n++];

	memcpy(&page->key, key, sizeof(page->key));
	memcpy(&page->value, value, sizeof(page->value));
	if (sweep->n == SORTED_PAGES) {
		sweep->failed |= !ask_of_all(&sweep->pages, sweep->page, sweep->n);
		sweep->n = 0;
	}
	return false;
}

int session__sweep_pages(struct session *s, page_asker ask, void *arg)
{
	struct sweep sweep = { .pages = { s, ask, arg }, .page = malloc(SORTED_PAGES * sizeof(*sweep.page)) };
	struct map_walk w = {
		.fd = bpf_map__fd(s->bpf->maps.pages),
		.key_bytes = sizeof(struct page_key),
		.value_bytes = sizeof(struct page_value),
		.fn = collect_page,
		.arg = &sweep,
		.read = bpf_map_lookup_batch,
	};
	int err;

	if (!sweep.page)
		return -ENOMEM;
	err = session_impl__walk_map(&w);
	sweep.failed |= !ask_of_all(&sweep.pages, sweep.page, sweep.n);
	take_notes(&sweep.pages);
	free(sweep.page);
	return err ? err : sweep.failed ? -ENOMEM : 0;
}

/*
 * What was looked at already, or is not followed any more, is found out when notes are taken over: to ask for each here is a call
 * into the kernel.
 */
bool session__sweep_turn(struct session *s, page_asker ask, void *arg)
{
	uint32_t cnt = s->bpf->bss->turn_page_cnt;
	struct turn_page *turn = cnt < TURN_PAGES ? malloc((cnt + 1) * sizeof(*turn)) : NULL;
	struct page_walk pages = { s, ask, arg };
	bool all;

	/* Pages that are moved are added also now. */
	if (turn)
		memcpy(turn, (const void *)s->bpf->bss->turn_pages, cnt * sizeof(*turn));
	all = turn && ask_of_all(&pages, turn, cnt);
	s->bpf->bss->turn_page_cnt = 0;
	take_notes(&pages);
	free(turn);
	return all;
}

bool session__take_page(struct session *s, const struct page_key *key, struct page_value *ret)
{
	int fd = bpf_map__fd(s->bpf->maps.pages);

	/* Of hash tables since 5.14. */
	if (!bpf_map_lookup_and_delete_elem(fd, key, ret))
		return true;
	return errno != ENOENT && !bpf_map_lookup_elem(fd, key, ret) && !bpf_map_delete_elem(fd, key);
}

bool session__follow_page(struct session *s, const struct page_key *key, const struct page_value *v)
{
	return !bpf_map_update_elem(bpf_map__fd(s->bpf->maps.pages), key, v, BPF_NOEXIST);
}

static uint64_t *marks(struct session *s, uint32_t half)
{
	return (uint64_t *)s->bpf->bss->followed + half % 2 * FOLLOWED_WORDS;
}

/* The programs mark in the half that we write to from now on. What was marked in the other stays until session__end_marks. */
void session__begin_marks(struct session *s)
{
	uint32_t next = s->bpf->bss->followed_half + 1;

	/* The last time was not ended: what it did not mark is in the other half alone. */
	if (s->marks_begun)
		return;
	s->marks_begun = true;
	memset(marks(s, next), 0, FOLLOWED_WORDS * sizeof(uint64_t));
	s->bpf->bss->followed_half = next;
}

void session__mark_followed(struct session *s, pid_t tgid, uint64_t page)
{
	__atomic_fetch_or(&marks(s, s->bpf->bss->followed_half)[FOLLOWED_WORD(tgid, page)], FOLLOWED_BIT(page), __ATOMIC_RELAXED);
}

void session__end_marks(struct session *s)
{
	s->marks_begun = false;
	memset(marks(s, s->bpf->bss->followed_half + 1), 0, FOLLOWED_WORDS * sizeof(uint64_t));
}

void session__begin_period(struct session *s)
{
	uint32_t next = s->bpf->bss->fault_period + 1;

	memset((uint64_t *)s->bpf->bss->fault_marks + next % 2 * FAULT_MARK_WORDS, 0, FAULT_MARK_WORDS * sizeof(uint64_t));
	s->bpf->bss->fault_period = next;
}

/* Of the period that is ending, or the one before: what has more is whole. */
static struct stratum_use use_of(const struct stratum *s, uint32_t period, double live)
{
	struct stratum_use use = { .live = live };
	uint32_t hits = s->hits - s->hits_then;

	if (s->usual == NOT_FAVOURED || s->period + 1 < period || s->period > period)
		return use;
	use.hits = s->period == period && s->rate > hits ? s->rate : hits;
	use.looks = use.hits / (1u << s->shift % 32);
	use.usual_looks = use.hits / (1u << s->usual % 32);
	return use;
}

void session__favour_strata(struct session *s, const double *live)
{
	struct stratum *strata = (struct stratum *)s->bpf->bss->strata;
	struct stratum_use *use = calloc(STRATA, sizeof(*use));
	int32_t favour[STRATA];
	size_t i;

	if (!use)
		return;
	for (i = 0; i < STRATA; i++) {
		use[i] = use_of(&strata[i], s->bpf->bss->fault_period, live[i]);
		favour[i] = strata[i].favour;
	}
	strata__share_out(use, favour, STRATA);
	for (i = 0; i < STRATA; i++)
		strata[i].favour = favour[i];
	free(use);
}
