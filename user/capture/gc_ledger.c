/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/gc_ledger.h"

#include <string.h>

static void add(struct gc_sums *to, const struct gc_sums *one)
{
	to->cnt += one->cnt;
	to->collected += one->collected;
	to->uncollectable += one->uncollectable;
	to->pause_ns += one->pause_ns;
}

/* One whose generation is not known is most likely of the youngest. */
static int generation_of(const struct profile_gc *gc)
{
	return gc->generation > 0 && gc->generation < PROFILE_GENERATIONS ? gc->generation : 0;
}

void gc_ledger__saw(struct gc_ledger *l, const struct profile_gc *gc)
{
	const struct gc_sums one = {
		.cnt = 1,
		.collected = gc->collected > 0 ? gc->collected : 0,
		.uncollectable = gc->uncollectable > 0 ? gc->uncollectable : 0,
		.pause_ns = gc->pause_ns,
	};
	int g = generation_of(gc);

	if (l->first_ns && gc->time_ns <= l->first_ns)
		return;
	add(l->mark_ns && gc->time_ns <= l->mark_ns ? &l->seen[g] : &l->later[g], &one);
}

void gc_ledger__mark(struct gc_ledger *l, uint64_t now_ns, const struct gc_sums counted[PROFILE_GENERATIONS])
{
	for (int g = 0; g < PROFILE_GENERATIONS; g++) {
		if (l->first_ns)
			add(&l->seen[g], &l->later[g]);
		l->later[g] = (struct gc_sums){};
	}
	if (!l->first_ns) {
		memcpy(l->first, counted, sizeof(l->first));
		l->first_ns = l->settled_ns = now_ns;
	}
	memcpy(l->last, counted, sizeof(l->last));
	l->mark_ns = now_ns;
}

/* What a collection of the generation took that was watched lately, else ever, else one of any generation. */
static double pause_of(const struct gc_ledger *l, int generation)
{
	const struct gc_sums *seen = &l->seen[generation], *before = &l->settled[generation];
	struct gc_sums any = {};

	if (seen->cnt > before->cnt)
		return (double)(seen->pause_ns - before->pause_ns) / (seen->cnt - before->cnt);
	if (seen->cnt)
		return (double)seen->pause_ns / seen->cnt;
	for (int g = 0; g < PROFILE_GENERATIONS; g++)
		add(&any, &l->seen[g]);
	return any.cnt ? (double)any.pause_ns / any.cnt : 0;
}

static int64_t at_least_0(int64_t n)
{
	return n > 0 ? n : 0;
}

/* Less than nothing is left for the next time: a collection whose record was counted before it was. */
static struct gc_sums not_watched(const struct gc_ledger *l, int g)
{
	const struct gc_sums *first = &l->first[g], *last = &l->last[g], *seen = &l->seen[g], *told = &l->told[g];

	return (struct gc_sums){
		.cnt = at_least_0(last->cnt - first->cnt - seen->cnt - told->cnt),
		.collected = at_least_0(last->collected - first->collected - seen->collected - told->collected),
		.uncollectable = at_least_0(last->uncollectable - first->uncollectable - seen->uncollectable - told->uncollectable),
	};
}

int gc_ledger__settle(struct gc_ledger *l, struct profile_gc ret[PROFILE_GENERATIONS])
{
	int n = 0;

	if (!l->mark_ns)
		return 0;
	for (int g = 0; g < PROFILE_GENERATIONS; g++) {
		struct gc_sums one = not_watched(l, g);

		if (l->mark_ns > l->settled_ns)
			l->per_ns[g] = (double)(l->seen[g].cnt - l->settled[g].cnt + one.cnt) / (l->mark_ns - l->settled_ns);
		if (!one.cnt)
			continue;
		ret[n++] = (struct profile_gc){
			.time_ns = l->mark_ns,
			.generation = g,
			.cnt = one.cnt,
			.collected = one.collected,
			.uncollectable = one.uncollectable,
			.pause_ns = one.cnt * pause_of(l, g),
		};
		add(&l->told[g], &one);
	}
	memcpy(l->settled, l->seen, sizeof(l->settled));
	l->settled_ns = l->mark_ns;
	return n;
}

int gc_ledger__estimate(struct gc_ledger *l, uint64_t off_ns, uint64_t passed_ns, struct profile_gc ret[PROFILE_GENERATIONS])
{
	int n = 0;

	for (int g = 0; g < PROFILE_GENERATIONS; g++) {
		double per_ns = l->per_ns[g];
		uint64_t cnt;

		add(&l->seen[g], &l->later[g]);
		if (l->settled_ns == l->first_ns && passed_ns > off_ns)
			per_ns = (double)l->later[g].cnt / (passed_ns - off_ns);
		cnt = per_ns * off_ns + 0.5;
		if (cnt)
			ret[n++] = (struct profile_gc){
				.generation = g,
				.cnt = cnt,
				.collected = -1,
				.uncollectable = -1,
				.pause_ns = cnt * pause_of(l, g),
			};
		l->later[g] = (struct gc_sums){};
		l->settled[g] = l->seen[g];
	}
	return n;
}

void gc_ledger__watched(const struct gc_ledger *l, uint64_t *ret_watched, uint64_t *ret_all)
{
	*ret_watched = *ret_all = 0;
	if (!l->mark_ns)
		return;
	for (int g = 0; g < PROFILE_GENERATIONS; g++) {
		*ret_watched += l->seen[g].cnt;
		*ret_all += at_least_0(l->last[g].cnt - l->first[g].cnt);
	}
}
