/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/advance.h"
#include "views/human.h"

#define LEAST_HISTORY_NS 3000000000ull

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

struct facts_nobody facts__nobody(const struct selection *s)
{
	struct facts_nobody ret = {0};

	for (uint32_t i = 0; i < profile__n_cells(s->p); i++) {
		const struct profile_cell *cell = profile__cell(s->p, i);
		const struct profile_sums *sums = &cell->sums;
		enum nobody nobody;

		if (!select__has(s, cell))
			continue;
		nobody = select__nobody(s->p, profile__node(s->p, cell->node)->frame);
		if (nobody == NOBODY_BEFORE)
			ret.before_bytes += profile_cell__value(cell, s->view);
		else if (nobody == NOBODY_GIVEN_BACK && sums->free_bytes > sums->alloc_bytes)
			ret.given_back_bytes += sums->free_bytes - sums->alloc_bytes;
		else if (nobody == NOBODY_GIVEN_BACK)
			ret.not_watched_bytes += sums->alloc_bytes - sums->free_bytes;
		else if (nobody == NOBODY_NOT_FOLLOWED)
			ret.not_followed_bytes += profile_cell__value(cell, VIEW_LIVE);
	}
	return ret;
}

static double meta_number(const struct profile *p, const char *key, double otherwise)
{
	const char *text = profile__meta(p, key);
	char *end;
	double value = text ? strtod(text, &end) : otherwise;

	return text && end != text && !*end ? value : otherwise;
}

struct facts_cost facts__cost(const struct selection *s)
{
	struct facts_cost ret = {.budget = meta_number(s->p, "budget", -1),
				 .advance_ns = ADVANCE_NS,
				 .hook_share = meta_number(s->p, "fault_hook_on", 1),
				 .dearest = PROFILE_NONE};
	double most = 0;

	for (uint32_t i = 0; i < profile__n_processes(s->p); i++) {
		const struct profile_cost *c = &profile__process(s->p, i)->cost;

		if (!s->wanted[select__container(s, i)])
			continue;
		ret.n_processes += c->cpu_ns > 0;
		ret.sum.cpu_ns += c->cpu_ns;
		ret.sum.cost_ns += c->cost_ns;
		ret.sum.faults += c->faults;
		ret.sum.faults_seen += c->faults_seen;
		if (c->cpu_ns >= FACTS_LEAST_CPU_NS && (double)c->cost_ns / c->cpu_ns > most) {
			most = (double)c->cost_ns / c->cpu_ns;
			ret.dearest = i;
		}
	}
	return ret;
}

const char *facts__cost_share(const struct profile_cost *c, char *buf, size_t len)
{
	if (c->cpu_ns < FACTS_LEAST_CPU_NS)
		snprintf(buf, len, "-");
	else
		snprintf(buf, len, "%.2f %%", 100.0 * c->cost_ns / c->cpu_ns);
	return buf;
}

/* Names: counter__name in capture/event.c, and those of cmd_record.c. */
static const struct {
	const char *counter, *text;
} losses[] = {
	{"dropped.stack_names_ring_full", "new stacks came without their frames: the ring buffer was full"},
	{"dropped.collections_ring_full", "collections were not told: the ring buffer was full"},
	{"dropped.process_events_ring_full",
	 "starts and ends of processes were not told: the ring buffer was full"},
	{"dropped.stacks_counts_full", "events found no room among the counted stacks"},
	{"dropped.blocks_not_followed", "blocks were too many to follow until they are freed"},
	{"dropped.large_blocks_not_followed", "blocks over 512 bytes were too many to follow until they are freed"},
	{"dropped.allocations_pending_full", "allocations were too many to be under way at once"},
	{"dropped.allocations_pool_unreadable", "allocations came from memory that was swapped out: they are not counted"},
	{"dropped.forked_processes", "forked processes were too many to follow"},
	{"dropped.mappings_ring_full", "calls that map memory, or give it back, were not told: the ring buffer was full"},
	{"dropped.mappings_not_followed", "mappings were too many to follow"},
	{"dropped.pages_not_followed", "pages were too many to follow until they are given back"},
	{"dropped.programs_ended_at_once", "programs ended before they could be attached to"},
	{"dropped.forked_processes_not_attached",
	 "forked processes came in a storm, and were followed without probes in their interpreter"},
	{"dropped.counts_of_unknown_processes", "sums came for processes that are not known"},
	{"dropped.bad_records", "records from the kernel were malformed"},
	{"code_objects_ring_full",
	 "code objects came without their names at first sight: the ring buffer was full"},
	{"code_objects_full", "code objects were too many to follow until they are freed: code at the address of one may have its name"},
};
#define N_LOSSES (sizeof(losses) / sizeof(losses[0]))

static const struct {
	const char *counter, *text;
} merges[] = {
	{"merged.processes", "processes that have ended are told together with others of their container and command"},
	{"merged.names_forgotten", "names of stacks and code objects, forgotten to be asked for again"},
};

const char *facts__merge(const char *counter)
{
	for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++)
		if (strcmp(counter, merges[i].counter) == 0)
			return merges[i].text;
	return NULL;
}

const char *facts__loss(const char *counter)
{
	for (size_t i = 0; i < N_LOSSES; i++)
		if (strcmp(counter, losses[i].counter) == 0)
			return losses[i].text;
	return counter;
}

bool facts__is_loss(const char *counter, uint64_t value)
{
	return value && (strncmp(counter, "dropped.", strlen("dropped.")) == 0 ||
			 facts__loss(counter) != counter);
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

static uint64_t usage_at(const struct profile_usage *at, uint32_t n, uint64_t time_ns)
{
	uint32_t i = n;

	while (i > 1 && at[i - 1].time_ns > time_ns)
		i--;
	return at[i - 1].usage_bytes;
}

/* Whether the last point is near the greatest: else its processes have ended, or it shrinks. */
static bool is_near_its_greatest(const struct profile_usage *at, uint32_t n)
{
	uint64_t last = at[n - 1].usage_bytes;

	for (uint32_t i = 0; i < n; i++)
		if (at[i].usage_bytes > last && at[i].usage_bytes - last > last / 10)
			return false;
	return true;
}

uint64_t facts__time_to_limit_ns(const struct profile *p, uint32_t container)
{
	const struct profile_container *c = profile__container(p, container);
	uint64_t end = facts__duration_ns(p), middle, half, last;
	const struct profile_usage *at;
	uint32_t n = profile__usage(p, container, &at);
	unsigned __int128 ns;

	if (n < 2 || !c->limit_bytes || c->limit_bytes == UINT64_MAX)
		return 0;
	end = at[n - 1].time_ns > end ? at[n - 1].time_ns : end;
	last = at[n - 1].usage_bytes;
	half = (end - at[0].time_ns) / 2;
	middle = usage_at(at, n, end - half);
	if (half < LEAST_HISTORY_NS / 2 || at[0].oom_kills != at[n - 1].oom_kills ||
	    last >= c->limit_bytes || middle < at[0].usage_bytes || last <= middle ||
	    !is_near_its_greatest(at, n))
		return 0;
	ns = (unsigned __int128)(c->limit_bytes - last) * half / (last - middle);
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
