/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "system/malloc_heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define HEADER_BYTES 16 /* prev_size, size */
#define PAGE_BYTES 4096ull
#define LEAST_CHUNK_BYTES 32
#define MOST_GROWTH_BYTES (1ull << 30) /* during a walk */
#define PREV_INUSE 1ull
#define IS_MMAPPED 2ull
#define NON_MAIN_ARENA 4ull
#define FLAGS 7ull
/* Read at once; where chunks are larger than that, little more than their headers. */
#define PIECE_BYTES (256u << 10)
#define SHORT_PIECE_BYTES 4096u

static int keep_heap(const struct proc_map *map, void *arg)
{
	struct malloc_heap *h = arg;

	if (strcmp(map->path, "[heap]"))
		return 0;
	h->start = map->start;
	h->end = map->end;
	return 1;
}

int malloc_heap__find(const struct proc *p, pid_t tgid, struct malloc_heap *ret)
{
	struct malloc_heap h = { .m = mem_reader__of_process(tgid) };
	int found = proc__for_each_map(p, tgid, keep_heap, &h);

	if (found < 0)
		return found;
	if (!found)
		return -ENODATA;
	*ret = h;
	return 0;
}

struct walk {
	const struct malloc_heap *h;
	uint64_t end; /* as far as is known: it may grow meanwhile */
	uint8_t *piece;
	uint64_t at, len; /* what is in the piece */
};

/* The size field of the chunk at `chunk`. */
static int size_at(struct walk *w, uint64_t chunk, uint64_t *ret)
{
	uint64_t left = w->end - chunk;
	int err;

	if (chunk < w->at || chunk + HEADER_BYTES > w->at + w->len) {
		bool far = chunk > w->at + w->len + PIECE_BYTES;

		w->len = MIN(left, far ? SHORT_PIECE_BYTES : PIECE_BYTES);
		w->at = chunk;
		err = mem__read(&w->h->m, chunk, w->piece, w->len);
		if (err) {
			w->len = 0;
			return err;
		}
	}
	memcpy(ret, w->piece + (chunk - w->at) + 8, sizeof(*ret));
	return 0;
}

static bool makes_sense(const struct malloc_heap *h, uint64_t chunk, uint64_t field)
{
	uint64_t bytes = field & ~FLAGS;

	return !(field & (IS_MMAPPED | NON_MAIN_ARENA)) && bytes >= LEAST_CHUNK_BYTES && bytes % 16 == 0 &&
	       chunk < h->end + MOST_GROWTH_BYTES && bytes <= h->end + MOST_GROWTH_BYTES - chunk;
}

/*
 * The size field of the chunk behind one; 0 in *ret: there is none, for the last chunk, up to the end, is nobody's. A chunk that goes
 * beyond the end, or a last one that does, was made since the mapping was looked up: the heap has grown, by whole pages.
 */
static int size_behind(struct walk *w, uint64_t next, uint64_t *ret)
{
	int err;

	*ret = 0;
	if (next == w->h->end)
		return 0;
	if (next + HEADER_BYTES > w->end)
		w->end = (next + HEADER_BYTES + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	err = size_at(w, next, ret);
	if (err == -EFAULT && w->end > w->h->end)
		return next % PAGE_BYTES ? -EILSEQ : 0;
	return !err && !*ret ? -EILSEQ : err;
}

static int walk(struct walk *w, uint64_t least_bytes, void (*fn)(uint64_t addr, uint64_t bytes, void *arg), void *arg)
{
	uint64_t chunk = w->h->start, field, next, next_field;
	int err = size_at(w, chunk, &field);

	for (; !err; chunk = next, field = next_field) {
		if (!makes_sense(w->h, chunk, field))
			return -EILSEQ;
		next = chunk + (field & ~FLAGS);
		err = size_behind(w, next, &next_field);
		if (err || !next_field)
			return err;
		if (next_field & PREV_INUSE && (field & ~FLAGS) >= least_bytes)
			fn(chunk + HEADER_BYTES, field & ~FLAGS, arg);
	}
	return err;
}

int malloc_heap__walk(const struct malloc_heap *h, uint64_t least_bytes, void (*fn)(uint64_t addr, uint64_t bytes, void *arg),
		      void *arg)
{
	struct walk w = { .h = h, .end = h->end, .piece = malloc(PIECE_BYTES) };
	int err;

	if (!w.piece)
		return -ENOMEM;
	err = walk(&w, least_bytes, fn, arg);
	free(w.piece);
	return err;
}

struct mapped {
	struct mem_reader m;
	void (*fn)(uint64_t addr, uint64_t bytes, void *arg);
	void *arg;
};

/* A chunk of its own has no predecessor, and takes whole pages (glibc malloc/malloc.c: sysmalloc_mmap). */
static int look_for_mapped(const struct proc_map *map, void *arg)
{
	const struct mapped *k = arg;
	uint64_t at = map->start, header[2], bytes;

	if (!map->writable || map->executable || map->path[0])
		return 0;
	for (; at < map->end && !mem__read(&k->m, at, header, sizeof(header)); at += bytes) {
		bytes = header[1] & ~FLAGS;
		if (header[0] || (header[1] & FLAGS) != IS_MMAPPED || !bytes || bytes % PAGE_BYTES || bytes > map->end - at)
			break;
		k->fn(at + HEADER_BYTES, bytes, k->arg);
	}
	return 0;
}

int malloc_heap__mapped(const struct proc *p, pid_t tgid, void (*fn)(uint64_t addr, uint64_t bytes, void *arg), void *arg)
{
	struct mapped k = { .m = mem_reader__of_process(tgid), .fn = fn, .arg = arg };

	return proc__for_each_map(p, tgid, look_for_mapped, &k);
}

static void judge(const struct malloc_heap *h, struct malloc_block *b, const uint64_t *field)
{
	uint64_t bytes = field ? *field & ~FLAGS : 0;

	b->in_heap = b->addr >= h->start && b->addr < h->end;
	if (bytes < LEAST_CHUNK_BYTES || bytes % 16 || (b->chunk_bytes && b->chunk_bytes != bytes))
		bytes = 0;
	b->chunk_bytes = bytes;
}

/* At most MALLOC_BLOCKS_AT_ONCE: their headers, then those of their successors. */
static int look_at_some(const struct malloc_heap *h, struct malloc_block *blocks, size_t n)
{
	struct mem_piece piece[MALLOC_BLOCKS_AT_ONCE];
	uint64_t field[MALLOC_BLOCKS_AT_ONCE], after[MALLOC_BLOCKS_AT_ONCE];
	size_t asked[MALLOC_BLOCKS_AT_ONCE], i, cnt = 0;
	int err;

	for (i = 0; i < n; i++)
		piece[i] = (struct mem_piece){ .addr = blocks[i].addr - 8, .buf = &field[i], .len = sizeof(field[i]) };
	err = mem__read_many(&h->m, piece, n);
	for (i = 0; i < n && !err; i++) {
		judge(h, &blocks[i], piece[i].ok ? &field[i] : NULL);
		if (blocks[i].chunk_bytes && !(field[i] & IS_MMAPPED))
			asked[cnt++] = i;
	}
	for (i = 0; i < cnt; i++)
		piece[i] = (struct mem_piece){
			.addr = blocks[asked[i]].addr - 8 + blocks[asked[i]].chunk_bytes, .buf = &after[i], .len = sizeof(after[i])
		};
	err = err || !cnt ? err : mem__read_many(&h->m, piece, cnt);
	for (i = 0; i < cnt && !err; i++)
		if (!piece[i].ok || !(after[i] & PREV_INUSE))
			blocks[asked[i]].chunk_bytes = 0;
	return err;
}

int malloc_heap__look(const struct malloc_heap *h, struct malloc_block *blocks, size_t n)
{
	size_t i, some;
	int err = 0;

	for (i = 0; i < n && !err; i += some) {
		some = MIN(n - i, MALLOC_BLOCKS_AT_ONCE);
		err = look_at_some(h, blocks + i, some);
	}
	return err;
}
