/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/fact_groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_words(const void *va, const void *vb)
{
	const struct fact_group *a = va, *b = vb;
	int order = strcmp(a->name, b->name);

	return order ? order : strcmp(a->text, b->text);
}

static int compare_frequency(const void *va, const void *vb)
{
	const struct fact_group *a = va, *b = vb;
	int order = strcmp(a->name, b->name);

	if (order)
		return order;
	if (a->processes != b->processes)
		return a->processes > b->processes ? -1 : 1;
	return strcmp(a->text, b->text);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static size_t merge_alike(struct fact_group *all, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct fact_group *last = kept ? &all[kept - 1] : NULL;

		if (!last || compare_words(last, &all[i])) {
			all[kept++] = all[i];
			continue;
		}
		last->processes += all[i].processes;
		last->part = sum(last->part, all[i].part);
		last->whole = sum(last->whole, all[i].whole);
	}
	return kept;
}

int fact_groups__new(const struct selection *s, struct fact_group **ret, size_t *ret_cnt)
{
	uint32_t n = profile__n_facts(s->p);
	struct fact_group *all = calloc((size_t)n + 1, sizeof(*all));
	size_t cnt = 0;

	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct profile_fact *f = profile__fact(s->p, i);

		if (s->wanted[select__container(s, f->process)])
			all[cnt++] = (struct fact_group){f->name, f->text, 1, f->part, f->whole};
	}
	qsort(all, cnt, sizeof(*all), compare_words);
	cnt = merge_alike(all, cnt);
	qsort(all, cnt, sizeof(*all), compare_frequency);
	*ret = all;
	*ret_cnt = cnt;
	return 0;
}

const char *fact_group__signal(const struct fact_group *g)
{
	return strncmp(g->name, FACT_COVERAGE, strlen(FACT_COVERAGE)) ? NULL : g->name + strlen(FACT_COVERAGE);
}

struct coverage_sum fact_groups__coverage(const struct fact_group *groups, size_t cnt, const char *signal)
{
	struct coverage_sum all = {0};

	for (size_t i = 0; i < cnt; i++) {
		const char *of = fact_group__signal(&groups[i]);

		if (!of || strcmp(of, signal))
			continue;
		all.part = sum(all.part, groups[i].part);
		all.whole = sum(all.whole, groups[i].whole);
		if (!groups[i].whole)
			all.unknown += groups[i].processes;
	}
	return all;
}
