/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/gc_facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void add_sums(struct facts_gc *to, const struct facts_gc *one)
{
	to->cnt += one->cnt;
	to->pause_ns += one->pause_ns;
	to->not_watched_cnt += one->not_watched_cnt;
	to->estimated_cnt += one->estimated_cnt;
	if (one->longest_ns > to->longest_ns)
		to->longest_ns = one->longest_ns;
	to->collected += one->collected;
	to->uncollectable += one->uncollectable;
	to->collected_unknown_cnt += one->collected_unknown_cnt;
	to->uncollectable_unknown_cnt += one->uncollectable_unknown_cnt;
}

static struct facts_gc sums_of(const struct profile_gc *gc)
{
	return (struct facts_gc){
		.cnt = gc->cnt,
		.pause_ns = gc->pause_ns,
		.not_watched_cnt = gc->trigger >= GC_TRIGGER_NOT_WATCHED ? gc->cnt : 0,
		.estimated_cnt = gc->trigger == GC_TRIGGER_NOT_COUNTED ? gc->cnt : 0,
		.longest_ns = gc->longest_ns,
		.collected = gc->collected < 0 ? 0 : (uint64_t)gc->collected,
		.uncollectable = gc->uncollectable < 0 ? 0 : (uint64_t)gc->uncollectable,
		.collected_unknown_cnt = gc->collected < 0 ? gc->cnt : 0,
		.uncollectable_unknown_cnt = gc->uncollectable < 0 ? gc->cnt : 0,
	};
}

static bool is_wanted(const struct selection *s, const struct profile_gc *gc)
{
	return s->wanted[select__container(s, gc->process)];
}

void facts__gc(const struct selection *s, struct facts_gc generations[FACTS_GENERATIONS],
	       struct facts_gc triggers[GC_TRIGGER_MAX])
{
	memset(generations, 0, FACTS_GENERATIONS * sizeof(*generations));
	memset(triggers, 0, GC_TRIGGER_MAX * sizeof(*triggers));
	for (uint32_t i = 0; i < profile__n_gc(s->p); i++) {
		const struct profile_gc *gc = profile__gc(s->p, i);
		bool known = gc->generation >= 0 && gc->generation < FACTS_GENERATIONS - 1;
		struct facts_gc one = sums_of(gc);

		if (!is_wanted(s, gc))
			continue;
		add_sums(&generations[known ? gc->generation + 1 : 0], &one);
		add_sums(&triggers[gc->trigger < GC_TRIGGER_MAX ? gc->trigger : GC_TRIGGER_UNKNOWN], &one);
	}
}

static int compare_places(const void *va, const void *vb)
{
	const struct facts_gc_call *a = va, *b = vb;

	if (a->trigger != b->trigger)
		return a->trigger < b->trigger ? -1 : 1;
	return (a->frame > b->frame) - (a->frame < b->frame);
}

static int compare_pauses(const void *va, const void *vb)
{
	const struct facts_gc_call *a = va, *b = vb;

	if (a->trigger == b->trigger && a->sums.pause_ns != b->sums.pause_ns)
		return a->sums.pause_ns > b->sums.pause_ns ? -1 : 1;
	return compare_places(va, vb);
}

static size_t merge_alike(struct facts_gc_call *all, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept && !compare_places(&all[kept - 1], &all[i]))
			add_sums(&all[kept - 1].sums, &all[i].sums);
		else
			all[kept++] = all[i];
	}
	return kept;
}

int facts__gc_calls(const struct selection *s, struct facts_gc_call **ret, size_t *ret_cnt)
{
	struct facts_gc_call *all = calloc((size_t)profile__n_gc(s->p) + 1, sizeof(*all));
	size_t n = 0;

	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile__n_gc(s->p); i++) {
		const struct profile_gc *gc = profile__gc(s->p, i);

		if ((gc->trigger != GC_TRIGGER_COLLECT && gc->trigger != GC_TRIGGER_NATIVE) || !is_wanted(s, gc))
			continue;
		all[n++] = (struct facts_gc_call){
			.frame = profile__node(s->p, gc->node)->frame,
			.trigger = (enum gc_trigger)gc->trigger,
			.sums = sums_of(gc),
		};
	}
	qsort(all, n, sizeof(*all), compare_places);
	n = merge_alike(all, n);
	qsort(all, n, sizeof(*all), compare_pauses);
	*ret = all;
	*ret_cnt = n;
	return 0;
}

const char *gc_trigger__name(enum gc_trigger trigger)
{
	static const char *const names[GC_TRIGGER_MAX] = {
		[GC_TRIGGER_AUTOMATIC] = "automatic",
		[GC_TRIGGER_COLLECT] = "gc.collect",
		[GC_TRIGGER_NATIVE] = "native",
		[GC_TRIGGER_SHUTDOWN] = "shutdown",
		[GC_TRIGGER_NOT_WATCHED] = "not watched",
		[GC_TRIGGER_NOT_COUNTED] = "not watched, estimated",
	};

	return trigger < GC_TRIGGER_MAX ? names[trigger] : NULL;
}
