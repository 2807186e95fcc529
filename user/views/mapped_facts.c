/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/mapped_facts.h"

static struct facts_mapped_kind *kind_of(struct facts_mapped *m, uint32_t kind)
{
	switch (kind) {
	case KIND_MAPPED_ARENA:
		return &m->arenas;
	case KIND_MAPPED_ANON:
		return &m->anon;
	case KIND_MAPPED_SHARED:
		return &m->shared;
	case KIND_MAPPED_BRK:
		return &m->brk;
	default:
		return NULL;
	}
}

struct facts_mapped facts__mapped(const struct selection *s)
{
	struct facts_mapped ret = {0};

	for (uint32_t i = 0; i < profile__n_cells(s->p); i++) {
		const struct profile_cell *cell = profile__cell(s->p, i);
		struct facts_mapped_kind *k = kind_of(&ret, cell->kind);
		uint32_t frame = profile__node(s->p, cell->node)->frame;

		if ((!k && cell->kind != KIND_ADVISED) || !s->wanted[select__container(s, cell->process)] ||
		    select__nobody(s->p, frame) != SOMEBODY)
			continue;
		if (k && select__is_unseen(s->p, frame)) {
			ret.unseen_bytes += profile_cell__value(cell, VIEW_LIVE);
		} else if (k) {
			k->calls += cell->sums.alloc_cnt;
			k->taken_bytes += cell->sums.alloc_bytes;
			k->given_back_bytes += cell->sums.free_bytes;
		} else {
			ret.advised_calls += cell->sums.alloc_cnt;
			ret.advised_bytes += cell->sums.alloc_bytes;
		}
	}
	return ret;
}

bool facts_mapped__is_empty(const struct facts_mapped *m)
{
	return !m->unseen_bytes && !m->arenas.taken_bytes && !m->anon.taken_bytes && !m->shared.taken_bytes && !m->brk.taken_bytes && !m->advised_calls;
}
