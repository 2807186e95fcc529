/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/human.h"

void facts__gc(const struct selection *s, struct facts_gc ret[FACTS_GENERATIONS])
{
	memset(ret, 0, FACTS_GENERATIONS * sizeof(*ret));
	for (uint32_t i = 0; i < profile__n_gc(s->p); i++) {
		const struct profile_gc *gc = profile__gc(s->p, i);
		bool known = gc->generation >= 0 && gc->generation < FACTS_GENERATIONS - 1;
		struct facts_gc *sum = &ret[known ? gc->generation + 1 : 0];

		if (!s->wanted[select__container(s, gc->process)])
			continue;
		sum->cnt += gc->cnt;
		sum->pause_ns += gc->pause_ns;
		if (gc->longest_ns > sum->longest_ns)
			sum->longest_ns = gc->longest_ns;
		if (gc->collected < 0)
			sum->collected_unknown_cnt += gc->cnt;
		else
			sum->collected += (uint64_t)gc->collected;
	}
}

static int compare_texts(const void *va, const void *vb)
{
	const struct facts_note *a = va, *b = vb;

	return strcmp(a->text, b->text);
}

static int compare_frequency(const void *va, const void *vb)
{
	const struct facts_note *a = va, *b = vb;

	if (a->processes != b->processes)
		return a->processes > b->processes ? -1 : 1;
	return strcmp(a->text, b->text);
}

int facts__notes(const struct selection *s, struct facts_note **ret, size_t *ret_cnt)
{
	uint32_t n = profile__n_processes(s->p);
	struct facts_note *notes = calloc((size_t)n + 1, sizeof(*notes));
	size_t cnt = 0, kept = 0;

	if (!notes)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct profile_process *process = profile__process(s->p, i);

		if (process->note[0] && s->wanted[select__container(s, i)])
			notes[cnt++] = (struct facts_note){process->note, 1};
	}
	qsort(notes, cnt, sizeof(*notes), compare_texts);
	for (size_t i = 0; i < cnt; i++) {
		if (kept && strcmp(notes[kept - 1].text, notes[i].text) == 0)
			notes[kept - 1].processes++;
		else
			notes[kept++] = notes[i];
	}
	qsort(notes, kept, sizeof(*notes), compare_frequency);
	*ret = notes;
	*ret_cnt = kept;
	return 0;
}

bool facts__is_loss(const char *counter, uint64_t value)
{
	return value && strncmp(counter, "dropped.", strlen("dropped.")) == 0;
}

uint64_t facts__duration_ns(const struct profile *p)
{
	const char *text = profile__meta(p, "duration_ns");
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	value = strtoull(text, &end, 10);
	return errno || *end ? 0 : value;
}

uint64_t facts__time_to_limit_ns(const struct profile_container *c, const struct row *row,
				 uint64_t duration_ns)
{
	unsigned __int128 ns;

	if (c->limit_bytes == 0 || c->limit_bytes == UINT64_MAX || c->usage_bytes == 0 ||
	    c->usage_bytes >= c->limit_bytes || row->growth_bytes <= 0)
		return 0;
	ns = (unsigned __int128)(c->limit_bytes - c->usage_bytes) * duration_ns /
	     (uint64_t)row->growth_bytes;
	return ns > UINT64_MAX ? 0 : (uint64_t)ns;
}

const char *facts__usage(const struct profile_container *c, char *buf, size_t len)
{
	char usage[32] = "usage not known", limit[32], percent[32];

	if (c->usage_bytes)
		human__bytes(c->usage_bytes, usage, sizeof(usage));
	human__bytes(c->limit_bytes, limit, sizeof(limit));
	human__percent(c->usage_bytes, c->limit_bytes, percent, sizeof(percent));
	if (c->limit_bytes == UINT64_MAX)
		snprintf(buf, len, "%s, no limit", usage);
	else if (!c->limit_bytes)
		snprintf(buf, len, "%s, limit not known", usage);
	else if (!c->usage_bytes)
		snprintf(buf, len, "%s, limit %s", usage, limit);
	else
		snprintf(buf, len, "%s of %s (%s)", usage, limit, percent);
	return buf;
}
