/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Made-up memory with a small-object allocator in it, which hands out and takes back blocks by the rules of CPython's
 * (Objects/obmalloc.c) and knows the truth about them.
 */
#ifndef TESTS_PYMALLOC_FIXTURE_H
#define TESTS_PYMALLOC_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "python/pymalloc_look.h"

#define DATA_BASE 0x600000ull
#define DATA_BYTES 65536u
#define HEAP_BASE 0x7f0000001000ull /* not aligned to a pool, as mmap's need not be */
#define USED_AT 0x2008u		    /* usedpools, in the data */
#define ARENAS_AT_OLD 0x4010u	    /* the pointer `arenas` up to 3.11; from 3.12 on it is behind usedpools */
#define ARRAY_AT 0x40u		    /* array of arena_objects, in the heap's first page */
#define ARENAS 6

struct heap {
	uint32_t pool_bytes, arena_bytes, bytes;
	uint8_t *data, *heap;
	const struct py_layout *layout;
	struct mem_reader m;
	struct pymalloc *a;
	/* The truth. */
	uint64_t carved;
	uint64_t live[PYMALLOC_CLASSES], pools[PYMALLOC_CLASSES];
	uint64_t free_pool[1024];
	size_t free_cnt;
};

static void *heap__at(const struct heap *h, uint64_t addr)
{
	if (addr >= DATA_BASE && addr < DATA_BASE + DATA_BYTES)
		return h->data + (addr - DATA_BASE);
	assert_true(addr >= HEAP_BASE && addr < HEAP_BASE + h->bytes);
	return h->heap + (addr - HEAP_BASE);
}

static uint64_t heap__get(const struct heap *h, uint64_t addr)
{
	uint64_t v;

	memcpy(&v, heap__at(h, addr), sizeof(v));
	return v;
}

static void heap__put(struct heap *h, uint64_t addr, uint64_t value)
{
	memcpy(heap__at(h, addr), &value, sizeof(value));
}

static bool inside(uint64_t addr, size_t len, uint64_t base, size_t bytes)
{
	return addr >= base && addr - base <= bytes && len <= bytes - (addr - base);
}

static int heap__read(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	const struct heap *h = m->ctx;

	if (inside(addr, len, DATA_BASE, DATA_BYTES))
		memcpy(buf, h->data + (addr - DATA_BASE), len);
	else if (inside(addr, len, HEAP_BASE, h->bytes))
		memcpy(buf, h->heap + (addr - HEAP_BASE), len);
	else
		return -EFAULT;
	return 0;
}

static struct pymalloc_header *heap__pool(const struct heap *h, uint64_t base)
{
	return heap__at(h, base);
}

static uint64_t heap__list(unsigned int class)
{
	return DATA_BASE + USED_AT + 16 * class - 16;
}

/* Words at +16 and +24 of a pool, or of a list's head: next and previous. */
static void heap__link(struct heap *h, uint64_t pool, unsigned int class)
{
	uint64_t head = heap__list(class), first = heap__get(h, head + 16);

	heap__put(h, pool + 16, first);
	heap__put(h, pool + 24, head);
	heap__put(h, head + 16, pool);
	heap__put(h, first + 24, pool);
}

static void heap__unlink(struct heap *h, uint64_t pool)
{
	uint64_t next = heap__get(h, pool + 16), previous = heap__get(h, pool + 24);

	heap__put(h, next + 24, previous);
	heap__put(h, previous + 16, next);
}

static uint64_t heap__arenas_at(const struct heap *h)
{
	return DATA_BASE + (h->layout->version >= PY_VERSION(3, 12) ? USED_AT + 512 : ARENAS_AT_OLD);
}

/* Arena i: its address, and its arena_object. */
static uint64_t heap__arena(const struct heap *h, unsigned int i)
{
	return HEAP_BASE + 0x1000 + (uint64_t)i * (h->arena_bytes + 0x1000);
}

static uint64_t heap__arena_object(unsigned int i)
{
	return HEAP_BASE + ARRAY_AT + i * 48;
}

static void heap__add_arenas(struct heap *h)
{
	for (unsigned int i = 0; i < 16; i++) {
		uint64_t at = heap__arena_object(i), address = heap__arena(h, i);
		uint64_t first = (address + h->pool_bytes - 1) / h->pool_bytes * h->pool_bytes;
		uint32_t pools = h->arena_bytes / h->pool_bytes - (first != address);

		if (i >= ARENAS) {
			heap__put(h, at + 32, i < 15 ? at + 48 : 0);
			continue;
		}
		heap__put(h, at, address);
		heap__put(h, at + 8, first);
		heap__put(h, at + 16, (uint64_t)pools << 32 | pools);
	}
	heap__put(h, heap__arenas_at(h), HEAP_BASE + ARRAY_AT);
	if (h->layout->version >= PY_VERSION(3, 12))
		heap__put(h, heap__arenas_at(h) + 8, 16);
}

static void heap__open(struct heap *h)
{
	const struct pymalloc_range data = { DATA_BASE, DATA_BASE + DATA_BYTES };
	const struct pymalloc_range anon = { HEAP_BASE, HEAP_BASE + h->bytes };

	assert_int_equal(pymalloc__open_memory(&h->m, h->layout, &data, 1, &anon, 1, &h->a), 0);
}

static void heap__new(struct heap *h, uint16_t version)
{
	bool large = version >= PY_VERSION(3, 10);

	*h = (struct heap){ .pool_bytes = large ? 16384 : 4096, .arena_bytes = large ? 1 << 20 : 256 << 10 };
	h->layout = py_layout__of_version(version);
	assert_non_null(h->layout);
	h->bytes = ARENAS * (h->arena_bytes + 0x1000) + 0x2000;
	h->data = calloc(1, DATA_BYTES);
	h->heap = calloc(1, h->bytes);
	assert_true(h->data && h->heap);
	h->m = (struct mem_reader){ .read = heap__read, .ctx = h };
	for (unsigned int i = 0; i < PYMALLOC_CLASSES; i++) {
		heap__put(h, heap__list(i) + 16, heap__list(i));
		heap__put(h, heap__list(i) + 24, heap__list(i));
	}
	heap__add_arenas(h);
	heap__open(h);
}

static void heap__free_all(struct heap *h)
{
	pymalloc__free(h->a);
	free(h->data);
	free(h->heap);
}

/* A pool that was never used, or 0. */
static uint64_t heap__carve(struct heap *h)
{
	for (unsigned int i = 0; i < ARENAS; i++) {
		uint64_t at = heap__arena_object(i), next = heap__get(h, at + 8), counts = heap__get(h, at + 16);

		if ((next - heap__get(h, at)) / h->pool_bytes >= counts >> 32)
			continue;
		heap__put(h, at + 8, next + h->pool_bytes);
		heap__put(h, at + 16, counts - 1);
		heap__pool(h, next)->arenaindex = i;
		heap__pool(h, next)->szidx = 0xffff;
		h->carved++;
		return next;
	}
	return 0;
}

static uint64_t heap__open_pool(struct heap *h, unsigned int class)
{
	uint64_t base = h->free_cnt ? h->free_pool[--h->free_cnt] : heap__carve(h);
	uint32_t bytes = pymalloc__block_bytes(class);
	struct pymalloc_header *p;

	if (!base)
		return 0;
	p = heap__pool(h, base);
	heap__link(h, base, class);
	h->pools[class]++;
	if (p->szidx == class)
		return base;
	p->szidx = class;
	p->nextoffset = PYMALLOC_HEADER_BYTES + bytes;
	p->maxnextoffset = h->pool_bytes - bytes;
	p->freeblock = base + PYMALLOC_HEADER_BYTES;
	heap__put(h, p->freeblock, 0);
	/* The first block is handed out at once, and the next one put on the list. */
	return base;
}

/* 0: all arenas are full. */
static uint64_t heap__alloc(struct heap *h, unsigned int class)
{
	uint64_t base = heap__get(h, heap__list(class) + 16), block;
	uint32_t bytes = pymalloc__block_bytes(class);
	struct pymalloc_header *p;

	if (base == heap__list(class))
		base = heap__open_pool(h, class);
	if (!base)
		return 0;
	p = heap__pool(h, base);
	block = p->freeblock;
	p->live++;
	h->live[class]++;
	p->freeblock = heap__get(h, block);
	if (!p->freeblock && p->nextoffset <= p->maxnextoffset) {
		p->freeblock = base + p->nextoffset;
		p->nextoffset += bytes;
		heap__put(h, p->freeblock, 0);
	} else if (!p->freeblock) {
		heap__unlink(h, base);
	}
	return block;
}

static void heap__free(struct heap *h, uint64_t block)
{
	uint64_t base = block & ~(uint64_t)(h->pool_bytes - 1);
	struct pymalloc_header *p = heap__pool(h, base);

	if (!p->freeblock)
		heap__link(h, base, p->szidx);
	heap__put(h, block, p->freeblock);
	p->freeblock = block;
	h->live[p->szidx]--;
	if (--p->live)
		return;
	heap__unlink(h, base);
	h->pools[p->szidx]--;
	h->free_pool[h->free_cnt++] = base;
}

#endif
