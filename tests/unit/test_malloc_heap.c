/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * glibc's heap, read from outside: of this very process, whose blocks are known, and of memory that is no heap.
 */
#include "system/malloc_heap.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define BLOCKS 300
#define BYTES 5000

/* Blocks made and dropped before main, by a process that runs nothing else: cmocka's are in the heap, too. */
static void *block[BLOCKS];

struct seen {
	uint64_t addr[100000];
	size_t n;
	uint64_t last;
};

static void keep(uint64_t addr, uint64_t bytes, void *arg)
{
	struct seen *s = arg;

	assert_true(addr > s->last && bytes >= 528);
	s->last = addr;
	if (s->n < sizeof(s->addr) / sizeof(s->addr[0]))
		s->addr[s->n++] = addr;
}

static bool has(const struct seen *s, uintptr_t at)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->addr[i] == at)
			return true;
	return false;
}

static void open_heap(struct malloc_heap *h)
{
	struct proc *p;

	assert_int_equal(proc__open(NULL, &p), 0);
	assert_int_equal(malloc_heap__find(p, getpid(), h), 0);
	proc__free(p);
}

static void test_chunks_in_use(void **state)
{
	static struct seen s;
	struct malloc_heap h;

	(void)state;
	for (int i = 0; i < BLOCKS; i++)
		block[i] = malloc(BYTES);
	for (int i = 0; i < BLOCKS; i += 3)
		free(block[i]);
	open_heap(&h);
	assert_int_equal(malloc_heap__walk(&h, 528, keep, &s), 0);
	for (int i = 0; i < BLOCKS; i++)
		assert_int_equal(has(&s, (uintptr_t)block[i]), i % 3 != 0);
	for (int i = 0; i < BLOCKS; i++)
		if (i % 3)
			free(block[i]);
}

static void test_what_became_of_blocks(void **state)
{
	enum { LIVES, FREED, SMALLER, MAPPED, UNMAPPED, CASES };
	struct malloc_block b[CASES] = {};
	void *at[CASES], *fence;
	struct malloc_heap h;

	(void)state;
	at[LIVES] = malloc(3000);
	at[FREED] = malloc(5000);
	at[SMALLER] = malloc(7000);
	fence = malloc(3000);
	at[MAPPED] = malloc(8 << 20);
	at[UNMAPPED] = malloc(9 << 20);
	open_heap(&h);
	for (int i = 0; i < CASES; i++)
		b[i].addr = (uintptr_t)at[i];
	assert_int_equal(malloc_heap__look(&h, b, CASES), 0);
	for (int i = 0; i < CASES; i++) {
		assert_true(b[i].chunk_bytes >= malloc_usable_size(at[i]));
		assert_int_equal(b[i].in_heap, i < MAPPED);
	}
	free(at[FREED]);
	free(at[UNMAPPED]);
	free(at[SMALLER]);
	at[SMALLER] = malloc(4500); /* at the same place, or before it */
	assert_int_equal(malloc_heap__look(&h, b, CASES), 0);
	for (int i = 0; i < CASES; i++)
		assert_int_equal(b[i].chunk_bytes != 0, i == LIVES || i == MAPPED);
	free(at[LIVES]);
	free(at[SMALLER]);
	free(at[MAPPED]);
	free(fence);
}

static void test_blocks_mapped_by_themselves(void **state)
{
	static struct seen s;
	void *at[3];
	uintptr_t last;
	struct proc *p;

	(void)state;
	assert_int_equal(proc__open(NULL, &p), 0);
	for (int i = 0; i < 3; i++)
		at[i] = malloc((20 << 20) + i * 4096);
	last = (uintptr_t)at[2];
	s = (struct seen){};
	assert_int_equal(malloc_heap__mapped(p, getpid(), keep, &s), 0);
	/* The last is the lowest: nothing stands before it. */
	assert_true(has(&s, last));
	for (int i = 0; i < 3; i++)
		free(at[i]);
	s = (struct seen){};
	assert_int_equal(malloc_heap__mapped(p, getpid(), keep, &s), 0);
	assert_false(has(&s, last));
	proc__free(p);
}

/* Whatever stands there: an end, and no read beyond it. */
static void test_no_heap(void **state)
{
	static struct seen s;
	static _Alignas(4096) uint64_t words[4096];
	struct malloc_heap h = { .m = mem_reader__of_process(getpid()),
				 .start = (uintptr_t)words,
				 .end = (uintptr_t)words + sizeof(words) };
	static const uint64_t fields[] = { 0, 1, 16, 33 | 2, 33 | 4, 40, ~0ull, 1ull << 62, sizeof(words) + 16 };

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		for (size_t k = 1; k < 4096; k += 2)
			words[k] = fields[i];
		s = (struct seen){};
		assert_int_equal(malloc_heap__walk(&h, 528, keep, &s), -EILSEQ);
	}
	srandom(1);
	for (int i = 0; i < 2000; i++) {
		for (size_t k = 0; k < 4096; k++)
			words[k] = random() % 7 ? (uint64_t)random() % 100 * 16 + 1 : (uint64_t)random() << 20;
		s = (struct seen){};
		malloc_heap__walk(&h, 528, keep, &s);
	}
	/* It goes on where nothing is. */
	for (size_t k = 0; k < 4096; k++)
		words[k] = 0;
	h.end += 1ull << 40;
	words[1] = (1ull << 40) + 16 + 1;
	assert_int_equal(malloc_heap__walk(&h, 528, keep, &s), -EFAULT);
}

/* It grows between the look at its mapping and the walk: chunks stand across its end of then, and behind it. */
static void test_heap_that_grows(void **state)
{
	enum { PAGES = 8, KNOWN = 2 };
	static struct seen s;
	uint8_t *heap = mmap(NULL, (PAGES + 1) * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct malloc_heap h = { .m = mem_reader__of_process(getpid()), .start = (uintptr_t)heap, .end = (uintptr_t)heap + KNOWN * 4096 };
	/* The last one ends with the heap, and is nobody's. */
	static const uint64_t size[] = { 3 * 1024, 8 * 1024, 1024, 4096, PAGES * 4096 - 3 * 1024 - 8 * 1024 - 1024 - 4096 };
	uint64_t at = 0;

	(void)state;
	assert_true(heap != MAP_FAILED && !munmap(heap + PAGES * 4096, 4096));
	for (int i = 0; i < 5; at += size[i++])
		*(uint64_t *)(heap + at + 8) = size[i] | 1;
	assert_int_equal(at, PAGES * 4096);
	assert_int_equal(malloc_heap__walk(&h, 528, keep, &s), 0);
	assert_int_equal(s.n, 4);
	assert_true(has(&s, (uintptr_t)heap + 16) && has(&s, (uintptr_t)heap + 3 * 1024 + 16));
	assert_true(has(&s, (uintptr_t)heap + 11 * 1024 + 16) && has(&s, (uintptr_t)heap + 12 * 1024 + 16));
	/* Only the last one has grown. */
	s = (struct seen){};
	*(uint64_t *)(heap + size[0] + 8) = (PAGES * 4096 - size[0]) | 1;
	assert_int_equal(malloc_heap__walk(&h, 528, keep, &s), 0);
	assert_int_equal(s.n, 1);
	/* Into nothing: what that is nobody knows. */
	s = (struct seen){};
	*(uint64_t *)(heap + size[0] + 8) = (PAGES * 4096 - size[0] + 16) | 1;
	assert_int_equal(malloc_heap__walk(&h, 528, keep, &s), -EILSEQ);
	munmap(heap, PAGES * 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunks_in_use),
		cmocka_unit_test(test_what_became_of_blocks),
		cmocka_unit_test(test_blocks_mapped_by_themselves),
		cmocka_unit_test(test_no_heap),
		cmocka_unit_test(test_heap_that_grows),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
