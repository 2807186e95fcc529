/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/interp_watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "capture/gc_turns.h"
#include "capture/traced.h"
#include "python/gc_state.h"

#define COUNTING_NS 100000000ull
#define COUNTING_LAST_NS 1000000000ull
#define COUNTING_SHARE 1000

_Static_assert(PROFILE_GENERATIONS == GC_GENERATIONS, "generations");

/* ---- collector ---- */

/* -1: not known. */
static int64_t frozen_of(const struct interp_watch *w, const struct gc_state *s)
{
	if (s->frozen_first == s->frozen_head)
		return 0;
	return w->frozen_first == s->frozen_first && w->frozen_last == s->frozen_last ? w->frozen_plus_1 - 1 : -1;
}

static void put_collector(const struct traced *tr, const struct gc_state *s, struct profile *p)
{
	struct profile_collector c = {
		.process = tr->process,
		.enabled = s->enabled,
		.has_counts = s->has_counts,
		.frozen = frozen_of(&tr->watch, s),
	};

	memcpy(c.threshold, s->threshold, sizeof(c.threshold));
	memcpy(c.count, s->count, sizeof(c.count));
	memcpy(c.collections, s->collections, sizeof(c.collections));
	memcpy(c.collected, s->collected, sizeof(c.collected));
	memcpy(c.uncollectable, s->uncollectable, sizeof(c.uncollectable));
	profile__set_collector(p, &c);
}

static void count_frozen(struct interp_watch *w, const struct mem_reader *m, const struct gc_state *s)
{
	uint64_t n = 0, begin = clock_now_ns(), end;
	int err = gc_state__count_frozen(m, s, &n);

	end = clock_now_ns();
	w->count_again_ns = end + (end - begin) * COUNTING_SHARE;
	w->frozen_first = s->frozen_first;
	w->frozen_last = s->frozen_last;
	w->frozen_plus_1 = !err || (err == -E2BIG && n == GC_MAX_FROZEN) ? (int64_t)n + 1 : 0;
}

/* ---- collections that nobody watched ---- */

static uint64_t off_ns(struct traced *tr)
{
	gc_turns__tell(tr);
	return tr->use.gc_all_ns - tr->gc.watched_ns;
}

static void put_collections(const struct traced *tr, struct profile_gc *gc, int n, enum gc_trigger trigger, struct profile *p)
{
	for (int i = 0; i < n; i++) {
		gc[i].process = tr->process;
		gc[i].tid = tr->tgid;
		gc[i].trigger = trigger;
		profile__add_gc(p, &gc[i]);
	}
}

/* Records until the last mark were read. */
static void settle(struct traced *tr, struct profile *p)
{
	struct profile_gc gc[PROFILE_GENERATIONS];

	put_collections(tr, gc, gc_ledger__settle(&tr->watch.collections, gc), GC_TRIGGER_NOT_WATCHED, p);
}

/* off: how long nobody had watched it until then_ns. */
static void estimate(struct traced *tr, uint64_t off, uint64_t then_ns, struct profile *p)
{
	struct interp_watch *w = &tr->watch;
	struct profile_gc gc[PROFILE_GENERATIONS];
	uint64_t more_ns = off > w->off_then_ns ? off - w->off_then_ns : 0;
	int n;

	if (!w->then_ns || then_ns <= w->then_ns)
		return;
	n = gc_ledger__estimate(&w->collections, more_ns, then_ns - w->then_ns, gc);
	for (int i = 0; i < n; i++)
		gc[i].time_ns = then_ns;
	put_collections(tr, gc, n, GC_TRIGGER_NOT_COUNTED, p);
	w->off_then_ns = off;
	w->then_ns = then_ns;
}

static void mark(struct traced *tr, uint64_t now_ns, const struct gc_state *s)
{
	struct gc_sums counted[PROFILE_GENERATIONS] = {};

	for (int g = 0; g < PROFILE_GENERATIONS; g++) {
		counted[g].cnt = s->collections[g];
		counted[g].collected = s->collected[g];
		counted[g].uncollectable = s->uncollectable[g];
	}
	gc_ledger__mark(&tr->watch.collections, now_ns, counted);
	tr->watch.off_then_ns = off_ns(tr);
	tr->watch.then_ns = now_ns;
}

/* A collection that was counted has been told by then, 10 times over (a return probe's trap takes 0.6 us). */
#define TELLING_NS 6000
#define MARK_TRIES 8
/* A thread that waits for a processor while it collects: so many times of 1 ms. */
#define MARK_WAITS 20

/* *s: what was read just now. -EBUSY: a collection runs, and whether it is counted cannot be told. */
static int mark_here(struct traced *tr, const struct mem_reader *m, struct gc_state *s, bool running)
{
	const struct gc_state then = *s;
	uint64_t begin_ns = clock_now_ns(), now_ns;
	int err;

	do
		now_ns = clock_now_ns();
	while (now_ns - begin_ns < TELLING_NS);
	err = gc_state__read(m, tr->interp->runtime, &tr->interp->layout, s);
	if (err)
		return err;
	if (memcmp(then.collections, s->collections, sizeof(then.collections)) || ((then.collecting || s->collecting) && !running))
		return -EBUSY;
	mark(tr, now_ns, s);
	return 0;
}

/*
 * Between two looks at which no collection runs, and none was counted: so it is known which records are of those counted. There
 * is another time to come, but for the first and for the last mark; for want of better, one that runs is not counted yet.
 */
static void try_to_mark(struct traced *tr, const struct mem_reader *m, struct gc_state *s, bool last)
{
	bool must = last || !tr->watch.collections.first_ns;
	int i, err = -EBUSY;

	for (i = 0; i < MARK_TRIES && err == -EBUSY; i++)
		err = mark_here(tr, m, s, false);
	for (i = 0; i < MARK_WAITS && err == -EBUSY && must; i++) {
		usleep(1000);
		err = mark_here(tr, m, s, i == MARK_WAITS - 1);
	}
}

/* may_count_ns: how long frozen objects may still be counted; what was used is taken off. */
static void look_at_collector(struct traced *tr, struct profile *p, uint64_t *may_count_ns, bool last)
{
	struct mem_reader m = mem_reader__of_process(tr->tgid);
	uint64_t begin = clock_now_ns(), used;
	struct interp_watch *w = &tr->watch;
	struct gc_state s;
	int err;

	err = gc_state__read(&m, tr->interp->runtime, &tr->interp->layout, &s);
	/* An interpreter that has not begun yet has collected nothing. */
	if (err == -EAGAIN && !w->collections.first_ns)
		mark(tr, begin, &(struct gc_state){});
	if (err)
		return;
	try_to_mark(tr, &m, &s, last);
	if (frozen_of(w, &s) < 0 && *may_count_ns && begin >= w->count_again_ns) {
		count_frozen(w, &m, &s);
		used = clock_now_ns() - begin;
		*may_count_ns = *may_count_ns > used ? *may_count_ns - used : 0;
	}
	w->seen_cpu_ns = frozen_of(w, &s) < 0 ? 0 : tr->cpu_ns;
	put_collector(tr, &s, p);
}

void interp_watch__collected(struct traced *tr, const struct profile_gc *gc)
{
	gc_ledger__saw(&tr->watch.collections, gc);
}

void interp_watch__ended(struct traced *tr, uint64_t time_ns, struct profile *p)
{
	uint64_t off = off_ns(tr), late = tr->gc.away && tr->gc.since_ns > time_ns ? tr->gc.since_ns - time_ns : 0;

	settle(tr, p);
	estimate(tr, off > late ? off - late : 0, time_ns, p);
}

/* ---- facts ---- */

static void put_coverage(const struct traced *tr, enum signal signal, const char *basis, const struct coverage *c,
			 struct profile *p)
{
	static const char *const names[] = {
		[SIGNAL_RESIDENT] = FACT_COVERAGE "resident",
		[SIGNAL_HEAP] = FACT_COVERAGE "heap",
		[SIGNAL_EXACT] = FACT_COVERAGE "exact",
		[SIGNAL_GC] = FACT_COVERAGE "gc",
	};
	char text[COVERAGE_TEXT_BYTES + 16];
	struct profile_fact f = {.process = tr->process, .name = names[signal], .part = c->part, .whole = c->whole};

	snprintf(text, sizeof(text), "%s: %s", basis, c->text);
	f.text = text;
	profile__set_fact(p, &f);
}

/* chains: by domain; NULL: not looked at yet. */
static void put_derived(const struct traced *tr, const struct allocator_chain *chains, struct profile *p)
{
	static const struct coverage none = {.whole = 1, .text = "sees nothing: its probes could not be attached"};
	const struct interp_file_facts *file = tr->watch.file;

	for (enum signal s = 0; s < SIGNAL_MAX; s++) {
		struct coverage c = file->coverage[s];

		if (!(file->signals & 1u << s))
			continue;
		if (s != SIGNAL_RESIDENT && !tr->links) {
			c = none;
		} else if (chains) {
			coverage__with_allocator(s, &chains[DOMAIN_OBJ], &c);
			coverage__with_raw(s, &chains[DOMAIN_RAW], &c);
		}
		put_coverage(tr, s, "derived", &c, p);
	}
}

/* Of collections; where their number is not known, of the time. */
static void measure(const struct traced *tr, struct profile *p)
{
	const struct interp_watch *w = &tr->watch;
	bool away = tr->gc.watched_ns < tr->use.gc_all_ns;
	struct coverage c = {};
	size_t n;

	if (!w->file || !(w->file->signals & 1u << SIGNAL_GC))
		return;
	gc_ledger__watched(&w->collections, &c.part, &c.whole);
	if (c.whole)
		n = snprintf(c.text, sizeof(c.text), "the interpreter's own count of collections, from the first look at it to the last");
	else if (away && !w->collections.mark_ns)
		n = snprintf(c.text, sizeof(c.text), "the interpreter's own count of collections cannot be read");
	else
		return;
	if (away)
		snprintf(c.text + n, sizeof(c.text) - n, "; watched for %.1f %% of the time, the others are %s",
			 100.0 * tr->gc.watched_ns / tr->use.gc_all_ns, c.whole ? "counted" : "estimated");
	if (!c.whole) {
		c.part = tr->gc.watched_ns;
		c.whole = tr->use.gc_all_ns;
	}
	put_coverage(tr, SIGNAL_GC, "measured", &c, p);
}

/* ---- allocator ---- */

/* What stands before another domain only. */
static void append_other_domains(const struct allocator_chain chains[ALLOC_DOMAINS], char text[2 * ALLOCATOR_TEXT_BYTES])
{
	static const char *const names[] = {[DOMAIN_RAW] = "raw", [DOMAIN_MEM] = "mem"};
	char other[ALLOCATOR_TEXT_BYTES];
	size_t n;

	for (int d = DOMAIN_RAW; d < DOMAIN_OBJ; d++) {
		if (!chains[d].place[0] || !strcmp(chains[d].place, chains[DOMAIN_OBJ].place))
			continue;
		n = strlen(text);
		snprintf(text + n, 2 * ALLOCATOR_TEXT_BYTES - n, "; domain %s: %s", names[d],
			 allocator_chain__text(&chains[d], other));
	}
}

static void put_allocator(const struct traced *tr, const struct allocator_chain chains[ALLOC_DOMAINS], bool changed,
			  struct profile *p)
{
	char text[2 * ALLOCATOR_TEXT_BYTES];
	struct profile_fact f = {.process = tr->process, .name = FACT_ALLOCATOR, .text = text};
	size_t n;

	allocator_chain__text(&chains[DOMAIN_OBJ], text);
	append_other_domains(chains, text);
	n = strlen(text);
	if (changed)
		snprintf(text + n, sizeof(text) - n, " (it changed while it was recorded)");
	profile__set_fact(p, &f);
}

static void look_at_allocators(struct traced *tr, const struct proc *proc, struct profile *p)
{
	struct mem_reader m = mem_reader__of_process(tr->tgid);
	struct allocator_chain chains[ALLOC_DOMAINS] = {};
	const uint64_t bias = tr->interp->load_bias;
	struct code_places *places = NULL;
	struct interp_watch *w = &tr->watch;
	const struct allocator_file *file;
	struct allocator_words words;
	bool changed = w->knows_words;

	if (!w->file || !w->file->has_allocators)
		return;
	file = &w->file->allocators;
	if (allocator_words__read(&m, file, bias, &words) || (w->knows_words && !memcmp(&w->words, &words, sizeof(words))))
		return;
	if (allocator_words__untouched(&words, file, bias)) {
		chains[DOMAIN_OBJ].base = chains[DOMAIN_MEM].base = ALLOCATOR_PYMALLOC;
		chains[DOMAIN_RAW].base = ALLOCATOR_MALLOC;
	} else {
		if (code_places__of_process(proc, tr->tgid, tr->interp->path, &places))
			return;
		for (int d = 0; d < ALLOC_DOMAINS; d++)
			allocator_chain__follow(&m, &words, d, file, bias, places, &chains[d]);
		code_places__free(places);
	}
	w->words = words;
	w->knows_words = true;
	put_allocator(tr, chains, changed, p);
	put_derived(tr, chains, p);
}

/* ---- all of it ---- */

void interp_watch__begin(struct traced *tr, const struct interp_file_facts *file, const struct proc *proc, struct profile *p)
{
	struct interp_watch *w = &tr->watch;
	uint64_t never = 0;

	*w = (struct interp_watch){
		.file = file,
		.frozen_first = w->frozen_first,
		.frozen_last = w->frozen_last,
		.frozen_plus_1 = w->frozen_plus_1,
	};
	if (file)
		put_derived(tr, NULL, p);
	w->off_then_ns = off_ns(tr);
	w->then_ns = clock_now_ns();
	look_at_collector(tr, p, &never, false);
	look_at_allocators(tr, proc, p);
}

void interp_watch__refresh(const struct traced_table *table, const struct proc *proc, struct profile *p, bool last)
{
	uint64_t may_count_ns = last ? COUNTING_LAST_NS : COUNTING_NS;
	struct traced *tr;

	for (tr = table->alive; tr; tr = tr->hh_tgid.next) {
		if (!tr->interp || (tr->waits && !last))
			continue;
		if (tr->waits) { /* for probes, which reading its memory needs not */
			look_at_collector(tr, p, &may_count_ns, last);
			continue;
		}
		settle(tr, p);
		if (!tr->watch.collections.first_ns)
			estimate(tr, off_ns(tr), clock_now_ns(), p);
		measure(tr, p);
		if (!last && tr->cpu_ns == tr->watch.seen_cpu_ns)
			continue;
		look_at_collector(tr, p, &may_count_ns, last);
		look_at_allocators(tr, proc, p);
	}
}
