/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reads the arenas of one allocator: an array of arena_objects, 16 at first, doubled when it is full
 * (Objects/obmalloc.c, new_arena). Where its length is not known (up to 3.11), what stands behind its end is no arena.
 * The process may replace the array while it is read, and each entry is checked against what an arena can be.
 */
#include <errno.h>
#include <stdlib.h>

#include "python/pymalloc_impl.h"

#define INITIAL_ARENAS 16
/* 512 GiB of arenas of 1 MiB; an array of 24 MiB. */
#define MAX_ARENAS (1u << 19)
#define PAGE RESIDENCY_PAGE_BYTES

/* Where the length stands too, it must be one that the array can have (new_arena). */
bool arena_objects__length_fits(uint32_t cnt)
{
	return cnt <= MAX_ARENAS && cnt >= INITIAL_ARENAS && !(cnt & (cnt - 1));
}

static bool entry_fits(const struct arena_object *o, uint64_t array)
{
	/* Those not associated are a list, in any order. */
	if (!o->address)
		return !o->nextarena ||
		       (o->nextarena - array < MAX_ARENAS * sizeof(*o) && (o->nextarena - array) % sizeof(*o) == 0);
	return o->address % PAGE == 0 && o->address < USER_SPACE_END && o->nfreepools <= o->ntotalpools &&
	       o->ntotalpools <= MAX_POOLS_IN_ARENA &&
	       o->pool_address - o->address <= (MAX_POOLS_IN_ARENA + 1ull) * 16384;
}

static bool all_fit(const struct arena_object *o, size_t n, uint64_t array)
{
	for (size_t i = 0; i < n; i++) {
		if (!entry_fits(&o[i], array))
			return false;
	}
	return true;
}

/* Doubles an array of *cnt entries as long as what follows could be more of it. */
static int read_unbounded(const struct pymalloc *a, uint64_t array, struct arena_object **o, uint32_t *cnt)
{
	bool more = true;

	while (more && *cnt < MAX_ARENAS) {
		struct arena_object *wider = realloc(*o, 2ull * *cnt * sizeof(*wider));
		uint64_t bytes = *cnt * sizeof(*wider);

		if (!wider)
			return -ENOMEM;
		*o = wider;
		more = false;
		for (int i = 0; !more && i < LOOKS; i++)
			more = !mem__read(&a->m, array + bytes, wider + *cnt, bytes) &&
			       all_fit(wider + *cnt, *cnt, array);
		*cnt <<= more;
	}
	return 0;
}

/* -EAGAIN: the array was replaced meanwhile. */
static int read_array(const struct pymalloc *a, const struct pymalloc_books *b, struct arena_object **ret,
		      uint32_t *ret_cnt)
{
	uint32_t cnt = INITIAL_ARENAS;
	struct arena_object *o;
	uint64_t array, after;
	int err = mem__read_u64(&a->m, b->arenas_at, &array);

	if (!err && b->arena_cnt_at)
		err = mem__read_u32(&a->m, b->arena_cnt_at, &cnt);
	if (err)
		return err;
	if (array ? !arena_objects__length_fits(cnt) : b->arena_cnt_at && cnt)
		return -EAGAIN;
	cnt = array ? cnt : 0;
	o = calloc(cnt + 1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	if (cnt)
		err = mem__read(&a->m, array, o, cnt * sizeof(*o));
	if (!err && cnt && !b->arena_cnt_at)
		err = read_unbounded(a, array, &o, &cnt);
	if (!err || err == -EFAULT)
		err = mem__read_u64(&a->m, b->arenas_at, &after) || after != array ? -EAGAIN : err;
	if (err) {
		free(o);
		return err;
	}
	*ret = o;
	*ret_cnt = cnt;
	return 0;
}

/* Checked against what an arena can be; nothing else of it is used. */
static bool take_arena(const struct pymalloc *a, const struct arena_object *o, struct pymalloc_arena *ret)
{
	uint64_t first = (o->address + a->pool_bytes - 1) & ~(uint64_t)(a->pool_bytes - 1);
	uint64_t carved = (o->pool_address - first) / a->pool_bytes;

	if (!entry_fits(o, 0) || o->pool_address < first || (o->pool_address - first) % a->pool_bytes ||
	    carved > o->ntotalpools)
		return false;
	*ret = (struct pymalloc_arena){ .first = first,
					.carved = carved,
					.virgin = o->ntotalpools - carved,
					.bytes = o->ntotalpools * a->pool_bytes +
						 (first != o->address) * a->pool_bytes };
	return true;
}

int pymalloc__read_arenas(const struct pymalloc *a, const struct pymalloc_books *b, struct pymalloc_arena **ret,
			  size_t *ret_cnt, uint64_t *odd)
{
	struct pymalloc_arena *arenas;
	struct arena_object *o = NULL;
	uint32_t cnt = 0;
	size_t n = 0;
	int err = -EAGAIN;

	for (int i = 0; err == -EAGAIN && i < LOOKS; i++)
		err = read_array(a, b, &o, &cnt);
	if (err)
		return err;
	arenas = calloc(cnt + 1, sizeof(*arenas));
	if (!arenas) {
		free(o);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < cnt; i++) {
		if (o[i].address && take_arena(a, &o[i], &arenas[n]))
			n++;
		else if (o[i].address)
			++*odd;
	}
	free(o);
	*ret = arenas;
	*ret_cnt = n;
	return 0;
}
