/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel side still remembers of processes that have ended, or of what user space has forgotten.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/session_impl.h"

struct gone_walk {
	bool (*is_gone)(uint32_t proc_id, void *arg);
	void *arg;
};

static bool is_of_gone(const void *key, const void *value, void *arg)
{
	const struct gone_walk *g = arg;

	(void)value;
	return g->is_gone(((const struct block_key *)key)->proc_id, g->arg);
}

int session__forget_blocks(struct session *s, bool (*is_gone)(uint32_t, void *), void *arg)
{
	struct gone_walk g = { is_gone, arg };
	struct map_walk w = {
		.fd = bpf_map__fd(s->bpf->maps.live),
		.key_bytes = sizeof(struct block_key),
		.value_bytes = sizeof(struct block_value),
		.fn = is_of_gone,
		.arg = &g,
		.read = bpf_map_lookup_batch,
	};

	return session_impl__walk_map(&w);
}

void session__forget_stack(struct session *s, uint64_t stack_id)
{
	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.stacks), &stack_id);
}

/* Families (struct target), in order once they are sorted. */
struct families {
	uint32_t *at;
	size_t n, room;
	int err;
};

static void add_family(struct families *f, uint32_t family)
{
	size_t room = f->room ? 2 * f->room : 256;
	uint32_t *more;

	if (f->n && f->at[f->n - 1] == family)
		return;
	if (f->n == f->room) {
		more = reallocarray(f->at, room, sizeof(*more));
		if (!more) {
			f->err = -ENOMEM;
			return;
		}
		f->at = more;
		f->room = room;
	}
	f->at[f->n++] = family;
}

static int compare_families(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void sort_families(struct families *f)
{
	size_t i, n = 0;

	if (f->n)
		qsort(f->at, f->n, sizeof(f->at[0]), compare_families);
	for (i = 0; i < f->n; i++) {
		if (!n || f->at[n - 1] != f->at[i])
			f->at[n++] = f->at[i];
	}
	f->n = n;
}

static bool has_family(const uint32_t *at, size_t n, uint32_t family)
{
	return n && bsearch(&family, at, n, sizeof(*at), compare_families);
}

static bool note_living(const void *key, const void *value, void *arg)
{
	(void)key;
	add_family(arg, ((const struct target *)value)->family);
	return false;
}

struct code_walk {
	const struct families *living;
	const uint32_t *dead_before;
	size_t n_dead_before;
	struct families dead;
};

/*
 * A family is dead when none of its processes lived in two passes: one that came up after the living were read may have
 * code objects here, and must keep them.
 */
static bool is_of_dead_family(const void *key, const void *value, void *arg)
{
	uint32_t family = ((const struct code_id *)key)->family;
	struct code_walk *w = arg;

	(void)value;
	if (has_family(w->living->at, w->living->n, family))
		return false;
	if (has_family(w->dead_before, w->n_dead_before, family))
		return true;
	add_family(&w->dead, family);
	return false;
}

int session__forget_codes(struct session *s)
{
	struct families living = {};
	struct code_walk codes = { &living, s->dead_families, s->n_dead_families, {} };
	struct map_walk of_targets = {
		.fd = bpf_map__fd(s->bpf->maps.targets),
		.key_bytes = sizeof(uint32_t),
		.value_bytes = sizeof(struct target),
		.fn = note_living,
		.arg = &living,
		.read = bpf_map_lookup_batch,
	};
	struct map_walk of_codes = {
		.fd = bpf_map__fd(s->bpf->maps.codes),
		.key_bytes = sizeof(struct code_id),
		.value_bytes = sizeof(uint64_t),
		.fn = is_of_dead_family,
		.arg = &codes,
		.read = bpf_map_lookup_batch,
	};
	int err = session_impl__walk_map(&of_targets);

	sort_families(&living);
	err = err ? err : living.err ? living.err : session_impl__walk_map(&of_codes);
	err = err ? err : codes.dead.err;
	free(living.at);
	if (err) {
		free(codes.dead.at);
		return err;
	}
	sort_families(&codes.dead);
	free(s->dead_families);
	s->dead_families = codes.dead.at;
	s->n_dead_families = codes.dead.n;
	return 0;
}
