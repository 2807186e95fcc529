/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/collector_facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_settings(const struct profile_collector *a, const struct profile_collector *b)
{
	if (a->enabled != b->enabled)
		return a->enabled ? -1 : 1;
	if (a->has_counts != b->has_counts)
		return a->has_counts ? -1 : 1;
	for (int g = 0; g < PROFILE_GENERATIONS && a->has_counts; g++)
		if (a->threshold[g] != b->threshold[g])
			return a->threshold[g] < b->threshold[g] ? -1 : 1;
	return 0;
}

static int compare_groups(const void *va, const void *vb)
{
	const struct facts_collector *a = va, *b = vb;

	return compare_settings(a->like, b->like);
}

static int compare_frequency(const void *va, const void *vb)
{
	const struct facts_collector *a = va, *b = vb;

	if (a->processes != b->processes)
		return a->processes > b->processes ? -1 : 1;
	return compare_settings(a->like, b->like);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static struct facts_collector group_of_one(const struct profile_collector *c)
{
	struct facts_collector one = {.like = c, .processes = 1};

	if (c->frozen < 0)
		one.frozen_unknown = 1;
	else
		one.frozen = (uint64_t)c->frozen;
	for (int g = 0; g < PROFILE_GENERATIONS; g++)
		one.uncollectable = sum(one.uncollectable, (uint64_t)c->uncollectable[g]);
	return one;
}

static void merge(struct facts_collector *to, const struct facts_collector *one)
{
	to->processes += one->processes;
	to->frozen = sum(to->frozen, one->frozen);
	to->frozen_unknown += one->frozen_unknown;
	to->uncollectable = sum(to->uncollectable, one->uncollectable);
}

int facts__collectors(const struct selection *s, struct facts_collector **ret, size_t *ret_cnt)
{
	uint32_t n = profile__n_collectors(s->p);
	struct facts_collector *all = calloc((size_t)n + 1, sizeof(*all));
	size_t cnt = 0, kept = 0;

	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct profile_collector *c = profile__collector(s->p, i);

		if (s->wanted[select__container(s, c->process)])
			all[cnt++] = group_of_one(c);
	}
	qsort(all, cnt, sizeof(*all), compare_groups);
	for (size_t i = 0; i < cnt; i++) {
		if (kept && !compare_groups(&all[kept - 1], &all[i]))
			merge(&all[kept - 1], &all[i]);
		else
			all[kept++] = all[i];
	}
	qsort(all, kept, sizeof(*all), compare_frequency);
	*ret = all;
	*ret_cnt = kept;
	return 0;
}

const char *collector__setting(const struct profile_collector *c, char *buf, size_t len)
{
	int n = snprintf(buf, len, c->enabled ? "enabled" : "disabled (gc.disable)");

	if (!c->has_counts || n < 0 || (size_t)n >= len)
		return buf;
	if (c->enabled && !c->threshold[0])
		snprintf(buf, len, "off (threshold 0)");
	else
		snprintf(buf + n, len - (size_t)n, ", thresholds %d, %d, %d", c->threshold[0], c->threshold[1],
			 c->threshold[2]);
	return buf;
}
