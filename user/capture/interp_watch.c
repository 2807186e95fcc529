/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/interp_watch.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "capture/traced.h"
#include "python/gc_state.h"

#define COUNTING_NS 100000000ull
#define COUNTING_LAST_NS 1000000000ull
#define COUNTING_SHARE 1000

_Static_assert(PROFILE_GENERATIONS == GC_GENERATIONS, "generations");

/* -1: not known. */
static int64_t frozen_of(const struct interp_watch *w, const struct gc_state *s)
{
	if (s->frozen_first == s->frozen_head)
		return 0;
	return w->frozen_first == s->frozen_first && w->frozen_last == s->frozen_last ? w->frozen_plus_1 - 1 : -1;
}

static void put(const struct traced *tr, const struct gc_state *s, struct profile *p)
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

/* may_count_ns: how long frozen objects may still be counted; what was used is taken off. */
static void look(struct traced *tr, struct profile *p, uint64_t *may_count_ns)
{
	struct mem_reader m = mem_reader__of_process(tr->tgid);
	uint64_t begin = clock_now_ns(), used;
	struct interp_watch *w = &tr->watch;
	struct gc_state s;

	if (gc_state__read(&m, tr->interp->runtime, &tr->interp->layout, &s))
		return;
	if (frozen_of(w, &s) < 0 && *may_count_ns && begin >= w->count_again_ns) {
		count_frozen(w, &m, &s);
		used = clock_now_ns() - begin;
		*may_count_ns = *may_count_ns > used ? *may_count_ns - used : 0;
	}
	w->seen_cpu_ns = frozen_of(w, &s) < 0 ? 0 : tr->cpu_ns;
	put(tr, &s, p);
}

void interp_watch__begin(struct traced *tr, struct profile *p)
{
	uint64_t never = 0;

	look(tr, p, &never);
}

void interp_watch__refresh(const struct traced_table *table, struct profile *p, bool last)
{
	uint64_t may_count_ns = last ? COUNTING_LAST_NS : COUNTING_NS;
	struct traced *tr;

	for (tr = table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->interp && (last || tr->cpu_ns != tr->watch.seen_cpu_ns))
			look(tr, p, &may_count_ns);
	}
}
