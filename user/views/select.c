/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/select.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/report.h"

#define RESIDENT_KINDS                                                                             \
	(1u << KIND_RESIDENT_ANON | 1u << KIND_RESIDENT_FILE | 1u << KIND_RESIDENT_SHMEM)
#define EXACT_KINDS (1u << KIND_EXACT)
#define HEAP_KINDS (1u << KIND_HEAP_POOL | 1u << KIND_HEAP_LARGE)
#define MAPPED_KINDS (1u << KIND_MAPPED_ARENA | 1u << KIND_MAPPED_ANON | 1u << KIND_MAPPED_SHARED | 1u << KIND_MAPPED_BRK)
#define PINNED_KINDS (1u << KIND_HEAP_PINNED)
/* What docker and runc print of an id; fewer digits could be a name. */
#define SHORT_ID 12

uint32_t select__recorded(const struct profile *p)
{
	uint32_t seen = 0, all = 0;

	for (uint32_t i = 0; i < profile__n_cells(p); i++)
		seen |= 1u << (profile__cell(p, i)->kind & 31);
	all |= seen & EXACT_KINDS ? EXACT_KINDS : 0;
	all |= seen & RESIDENT_KINDS ? RESIDENT_KINDS : 0;
	all |= seen & HEAP_KINDS ? HEAP_KINDS : 0;
	all |= seen & MAPPED_KINDS ? MAPPED_KINDS : 0;
	all |= seen & PINNED_KINDS;
	return all;
}

/* What was asked for beyond the default; else what the container is charged for. */
uint32_t report__default_kinds(const struct profile *p)
{
	uint32_t recorded = select__recorded(p);

	if (recorded & EXACT_KINDS)
		return EXACT_KINDS;
	return recorded & RESIDENT_KINDS || !recorded ? RESIDENT_KINDS : HEAP_KINDS;
}

static bool names(const struct profile_container *c, const char *text)
{
	size_t len = strlen(text);

	return strcmp(c->name, text) == 0 || strcmp(c->path, text) == 0 ||
	       (len && strcmp(c->id, text) == 0) ||
	       (len >= SHORT_ID && strncmp(c->id, text, len) == 0);
}

int select__new(const struct profile *p, uint32_t kinds, enum profile_view view,
		const char *container, struct selection *ret)
{
	uint32_t n = profile__n_containers(p), found = 0;
	bool *wanted = calloc((size_t)n + 1, sizeof(*wanted));

	if (!wanted)
		return -ENOMEM;
	wanted[n] = !container;
	for (uint32_t i = 0; i < n; i++) {
		wanted[i] = !container || names(profile__container(p, i), container);
		found += wanted[i];
	}
	if (container && !found) {
		free(wanted);
		return -ENOENT;
	}
	*ret = (struct selection){
		.p = p,
		.kinds = kinds ? kinds : report__default_kinds(p),
		.view = view,
		.n_containers = n,
		.wanted = wanted,
	};
	return 0;
}

void select__free(struct selection *s)
{
	free(s->wanted);
	s->wanted = NULL;
}

uint32_t select__container(const struct selection *s, uint32_t process)
{
	uint32_t c;

	if (process >= profile__n_processes(s->p))
		return s->n_containers;
	c = profile__process(s->p, process)->container;
	return c < s->n_containers ? c : s->n_containers;
}

bool select__has(const struct selection *s, const struct profile_cell *cell)
{
	return cell->kind < 32 && (s->kinds >> cell->kind & 1) &&
	       cell->node < profile__n_nodes(s->p) &&
	       s->wanted[select__container(s, cell->process)];
}

/* As the tracker names their frames: stack_status__text in brackets. */
enum nobody select__nobody(const struct profile *p, uint32_t frame)
{
	const struct profile_frame *f = frame == PROFILE_NONE ? NULL : profile__frame(p, frame);

	if (!f || f->kind != FRAME_REASON)
		return SOMEBODY;
	if (strcmp(f->function, "[there before tracing began]") == 0)
		return NOBODY_BEFORE;
	if (strcmp(f->function, "[given back]") == 0)
		return NOBODY_GIVEN_BACK;
	return strcmp(f->function, "[not followed any more]") == 0 ? NOBODY_NOT_FOLLOWED : SOMEBODY;
}

bool select__is_unseen(const struct profile *p, uint32_t frame)
{
	const struct profile_frame *f = frame == PROFILE_NONE ? NULL : profile__frame(p, frame);

	return f && f->kind == FRAME_REASON && strcmp(f->function, "[mapped, by whom is not known]") == 0;
}

const char *select__container_name(const struct selection *s, uint32_t container)
{
	const struct profile_container *c;

	if (container >= s->n_containers)
		return "[no container]";
	c = profile__container(s->p, container);
	return c->name[0] ? c->name : c->path;
}

uint64_t select__count(const struct selection *s, const struct profile_cell *cell)
{
	uint64_t allocs = cell->sums.alloc_cnt, frees = cell->sums.free_cnt;

	if (s->view != VIEW_LIVE)
		return allocs;
	return allocs > frees ? allocs - frees : 0;
}

const char *select__signal(uint32_t kinds, char *buf, size_t len)
{
	static const struct {
		uint32_t kinds;
		const char *name;
	} signals[] = {{EXACT_KINDS, "exact"}, {HEAP_KINDS, "heap"}, {PINNED_KINDS, "pinned"}, {MAPPED_KINDS, "mapped"}, {RESIDENT_KINDS, "resident"}};
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (!(kinds & signals[i].kinds) || used >= len)
			continue;
		used += (size_t)snprintf(buf + used, len - used, "%s%s", used ? "," : "",
					 signals[i].name);
	}
	return buf;
}

const char *select__kind_name(uint32_t kind)
{
	static const char *const kinds[KIND_MAX] = {
		[KIND_RESIDENT_ANON] = "resident_anon",	  [KIND_RESIDENT_FILE] = "resident_file",
		[KIND_RESIDENT_SHMEM] = "resident_shmem", [KIND_EXACT] = "exact",
		[KIND_HEAP_POOL] = "heap_pool",		  [KIND_HEAP_LARGE] = "heap_large",
		[KIND_MAPPED_ARENA] = "mapped_arena",	  [KIND_MAPPED_ANON] = "mapped_anon",
		[KIND_MAPPED_SHARED] = "mapped_shared",	  [KIND_MAPPED_BRK] = "mapped_brk",
		[KIND_ADVISED] = "advised",		  [KIND_HEAP_PINNED] = "heap_pinned",
	};

	return kind < KIND_MAX ? kinds[kind] : "";
}

const char *select__view_name(enum profile_view view)
{
	switch (view) {
	case VIEW_LIVE:
		return "live";
	case VIEW_ALLOC:
		return "alloc";
	case VIEW_PEAK:
		return "peak";
	}
	return "";
}
