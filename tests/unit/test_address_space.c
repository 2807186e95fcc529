/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a process has mapped, by who asked for it: the rules one by one, then random calls against a model that knows each page. */
#include "model/address_space.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#define PAGE 4096ull
#define BASE 0x10000000ull
#define OWNERS 8
#define UNSEEN 7
#define REST 6
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

struct told {
	int64_t cnt[OWNERS][KIND_MAX], bytes[OWNERS][KIND_MAX];
};

static void tell(const struct map_owner *owner, uint32_t kind, const struct profile_sums *d, void *arg)
{
	struct told *told = arg;

	assert_true(owner->node < OWNERS && kind < KIND_MAX);
	told->cnt[owner->node][kind] += (int64_t)(d->alloc_cnt - d->free_cnt);
	told->bytes[owner->node][kind] += (int64_t)(d->alloc_bytes - d->free_bytes);
	assert_true(told->bytes[owner->node][kind] >= 0);
	assert_true(told->cnt[owner->node][kind] >= 0);
}

struct fixture {
	struct address_space *a;
	struct told told;
};

static int begin(void **state)
{
	static const struct map_owner rest = { .node = REST };
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return !f || address_space__new(&rest, tell, &f->told, &f->a);
}

static int end(void **state)
{
	struct fixture *f = *state;

	address_space__free(f->a);
	free(f);
	return 0;
}

static int apply(struct fixture *f, uint32_t who, struct map_event e)
{
	struct map_owner owner = { .node = who };

	return address_space__apply(f->a, &e, &owner);
}

static void map_at(struct fixture *f, uint32_t who, uint64_t page, uint64_t pages, uint64_t prot, uint64_t flags)
{
	assert_int_equal(apply(f, who, (struct map_event){ .call = MAP_CALL_MMAP, .bytes = pages * PAGE - 1, .third = prot,
							   .flags = flags, .result = BASE + page * PAGE }), 0);
}

static void unmap(struct fixture *f, uint64_t page, uint64_t pages)
{
	assert_int_equal(apply(f, 0, (struct map_event){ .call = MAP_CALL_MUNMAP, .addr = BASE + page * PAGE, .bytes = pages * PAGE }), 0);
}

static void remap(struct fixture *f, uint32_t who, uint64_t from, uint64_t was, uint64_t is, uint64_t to)
{
	assert_int_equal(apply(f, who, (struct map_event){ .call = MAP_CALL_MREMAP, .addr = BASE + from * PAGE, .bytes = was * PAGE,
							   .third = is * PAGE, .result = BASE + to * PAGE }), 0);
}

static void protect(struct fixture *f, uint32_t who, uint64_t page, uint64_t pages, uint64_t prot)
{
	assert_int_equal(apply(f, who, (struct map_event){ .call = MAP_CALL_MPROTECT, .addr = BASE + page * PAGE, .bytes = pages * PAGE,
							   .third = prot }), 0);
}

static void brk_is(struct fixture *f, uint32_t who, uint64_t page)
{
	assert_int_equal(apply(f, who, (struct map_event){ .call = MAP_CALL_BRK, .result = BASE + page * PAGE }), 0);
}

static int64_t pages_of(const struct fixture *f, uint32_t who, uint32_t kind)
{
	assert_int_equal(f->told.bytes[who][kind] % PAGE, 0);
	return f->told.bytes[who][kind] / PAGE;
}

static void kinds_of_mappings(void **state)
{
	struct fixture *f = *state;

	map_at(f, 1, 0, 10, RW, PRIVATE);
	map_at(f, 2, 10, 5, PROT_NONE, PRIVATE | MAP_NORESERVE); /* reserved */
	map_at(f, 3, 20, 6, PROT_READ, MAP_PRIVATE); /* a file to read */
	map_at(f, 4, 30, 7, PROT_READ, MAP_SHARED);
	map_at(f, 5, 40, 8, RW, MAP_PRIVATE); /* a file to be written in private */
	protect(f, 3, 20, 2, RW);
	assert_int_equal(pages_of(f, 3, KIND_MAPPED_ANON), 2);
	assert_int_equal(apply(f, 6, (struct map_event){ .call = MAP_CALL_MMAP, .bytes = 256 * PAGE, .third = RW, .flags = PRIVATE,
							 .result = BASE + 100 * PAGE, .arena = true }), 0);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 10);
	assert_int_equal(f->told.cnt[1][KIND_MAPPED_ANON], 1);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON), 0);
	assert_int_equal(pages_of(f, 3, KIND_MAPPED_SHARED), 0);
	assert_int_equal(pages_of(f, 4, KIND_MAPPED_SHARED), 7);
	assert_int_equal(pages_of(f, 5, KIND_MAPPED_ANON), 8);
	assert_int_equal(pages_of(f, 6, KIND_MAPPED_ARENA), 256);
	unmap(f, 0, 400);
	for (int who = 0; who < OWNERS; who++)
		for (int kind = 0; kind < KIND_MAX; kind++)
			assert_true(!f->told.bytes[who][kind] && !f->told.cnt[who][kind]);
}

static void a_part_is_given_back(void **state)
{
	struct fixture *f = *state;

	map_at(f, 1, 0, 10, RW, PRIVATE);
	unmap(f, 4, 2);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 8);
	assert_int_equal(f->told.cnt[1][KIND_MAPPED_ANON], 1);
	map_at(f, 2, 2, 4, RW, PRIVATE | MAP_FIXED); /* over a part, and the hole */
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 6);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON), 4);
	unmap(f, 50, 10); /* nothing is there */
	unmap(f, 0, 100);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON) + pages_of(f, 2, KIND_MAPPED_ANON), 0);
	assert_int_equal(f->told.cnt[1][KIND_MAPPED_ANON], 0);
}

/* glibc: new_heap reserves, grow_heap makes writable; a thread's stack has a guard. */
static void reserved_memory_is_whose_makes_it_writable(void **state)
{
	struct fixture *f = *state;

	map_at(f, 1, 0, 1000, PROT_NONE, PRIVATE | MAP_NORESERVE);
	unmap(f, 0, 100);
	protect(f, 2, 100, 33, RW);
	protect(f, 3, 120, 33, RW); /* 13 of them are already */
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 0);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON), 33);
	assert_int_equal(pages_of(f, 3, KIND_MAPPED_ANON), 20);
	protect(f, 4, 110, 10, PROT_NONE);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON), 23);
	protect(f, 4, 110, 10, RW);
	assert_int_equal(pages_of(f, 4, KIND_MAPPED_ANON), 10);
	protect(f, 5, 2000, 10, RW); /* of nobody's mapping */
	assert_int_equal(pages_of(f, 5, KIND_MAPPED_ANON), 0);
}

static void what_is_moved_stays_its_owners(void **state)
{
	struct fixture *f = *state;

	map_at(f, 1, 0, 10, RW, PRIVATE);
	remap(f, 2, 0, 10, 15, 0); /* made larger in place */
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 10);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON), 5);
	map_at(f, 4, 105, 2, RW, PRIVATE); /* in the way of the next */
	remap(f, 3, 0, 15, 20, 100);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 10);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON), 5);
	assert_int_equal(pages_of(f, 3, KIND_MAPPED_ANON), 5);
	assert_int_equal(pages_of(f, 4, KIND_MAPPED_ANON), 0);
	remap(f, 4, 100, 20, 4, 200); /* smaller, elsewhere */
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 4);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON) + pages_of(f, 3, KIND_MAPPED_ANON), 0);
	unmap(f, 100, 20);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 4);
	unmap(f, 200, 4);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 0);
	remap(f, 5, 300, 4, 8, 400); /* of what was never seen: a file, say */
	assert_int_equal(pages_of(f, 5, KIND_MAPPED_ANON), 0);
}

static void the_heap_grows_and_shrinks(void **state)
{
	struct fixture *f = *state;
	struct map_range heap = { .begin = BASE, .end = BASE + 10 * PAGE, .writable = true, .heap = true };
	struct map_owner unseen = { .node = UNSEEN };

	brk_is(f, 1, 5); /* how large it was is not known */
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_BRK), 0);
	assert_int_equal(address_space__settle(f->a, &heap, 1, &unseen), 0);
	assert_int_equal(pages_of(f, UNSEEN, KIND_MAPPED_BRK), 10);
	brk_is(f, 2, 43);
	brk_is(f, 3, 76);
	brk_is(f, 3, 76);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_BRK), 33);
	assert_int_equal(pages_of(f, 3, KIND_MAPPED_BRK), 33);
	assert_int_equal(f->told.cnt[3][KIND_MAPPED_BRK], 1);
	brk_is(f, 4, 20);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_BRK), 10);
	assert_int_equal(pages_of(f, 3, KIND_MAPPED_BRK), 0);
	assert_int_equal(pages_of(f, 4, KIND_MAPPED_BRK), 0);
}

static void advice_is_counted_and_changes_nothing(void **state)
{
	struct fixture *f = *state;

	map_at(f, 1, 0, 10, RW, PRIVATE);
	assert_int_equal(apply(f, 2, (struct map_event){ .call = MAP_CALL_MADVISE, .addr = BASE, .bytes = 4 * PAGE,
							 .third = MADV_DONTNEED }), 0);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 10);
	assert_int_equal(pages_of(f, 2, KIND_ADVISED), 4);
}

static void it_is_brought_up_to_what_is_there(void **state)
{
	struct fixture *f = *state;
	struct map_owner unseen = { .node = UNSEEN };
	struct map_range there[] = {
		{ .begin = BASE + 2 * PAGE, .end = BASE + 6 * PAGE, .writable = true },
		{ .begin = BASE + 8 * PAGE, .end = BASE + 12 * PAGE, .writable = true },
		{ .begin = BASE + 12 * PAGE, .end = BASE + 14 * PAGE }, /* reserved now */
		{ .begin = BASE + 14 * PAGE, .end = BASE + 20 * PAGE, .shared = true },
		{ .begin = BASE + 20 * PAGE, .end = BASE + 30 * PAGE }, /* a library */
		{ .begin = BASE + 30 * PAGE, .end = BASE + 32 * PAGE, .writable = true },
	};
	struct map_range wrong[] = { there[1], there[0] };

	map_at(f, 1, 0, 14, RW, PRIVATE);
	map_at(f, 2, 25, 10, RW, PRIVATE);
	assert_int_equal(address_space__settle(f->a, wrong, 2, &unseen), -EINVAL);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 14);
	assert_int_equal(address_space__settle(f->a, there, 6, &unseen), 0);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 4 + 4);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON), 2);
	assert_int_equal(pages_of(f, UNSEEN, KIND_MAPPED_ANON), 0);
	assert_int_equal(pages_of(f, UNSEEN, KIND_MAPPED_SHARED), 6);
	protect(f, 3, 12, 2, RW);
	assert_int_equal(pages_of(f, 3, KIND_MAPPED_ANON), 2);
	assert_int_equal(address_space__settle(f->a, NULL, 0, &unseen), 0);
	for (int who = 0; who < OWNERS; who++)
		for (int kind = 0; kind < KIND_MAX; kind++)
			assert_int_equal(f->told.bytes[who][kind], 0);
}

/* What is told late was looked at meanwhile: it does not go. */
static void a_move_told_after_it_was_looked_at(void **state)
{
	struct fixture *f = *state;
	struct map_owner unseen = { .node = UNSEEN };
	struct map_range there = { .begin = BASE + 100 * PAGE, .end = BASE + 115 * PAGE, .writable = true };

	map_at(f, 1, 0, 10, RW, PRIVATE);
	assert_int_equal(address_space__settle(f->a, &there, 1, &unseen), 0);
	remap(f, 2, 0, 10, 15, 100);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), 0);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON) + pages_of(f, UNSEEN, KIND_MAPPED_ANON), 15);
}

static int64_t pages_of_all(const struct fixture *f)
{
	int64_t all = 0;

	for (uint32_t who = 0; who < OWNERS; who++)
		all += pages_of(f, who, KIND_MAPPED_ANON);
	return all;
}

/* Neighbours become nobody's; the sum stays right. */
static void more_than_are_told_apart(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 3 * ADDRESS_SPACE_MAX;

	for (uint64_t i = 0; i < n; i++)
		map_at(f, 1 + i % 2, i, 1, RW, PRIVATE);
	map_at(f, 3, n, 4096, RW, PRIVATE);
	assert_int_equal(pages_of_all(f), n + 4096);
	assert_true(pages_of(f, REST, KIND_MAPPED_ANON) > 0);
	assert_int_equal(pages_of(f, 3, KIND_MAPPED_ANON), 4096);
	unmap(f, 10, n - 20);
	assert_int_equal(pages_of_all(f), 4096 + 20);
	unmap(f, 0, 2 * n);
	assert_int_equal(pages_of_all(f), 0);
}

/* No neighbours: no more is taken, but all that is given back goes. */
static void more_than_it_may_keep(void **state)
{
	struct fixture *f = *state;
	struct map_owner unseen = { .node = UNSEEN };
	struct map_range there = { .begin = BASE, .end = BASE + PAGE, .writable = true };
	int64_t had;
	uint64_t n;

	for (n = 0; n <= ADDRESS_SPACE_MAX; n++)
		if (apply(f, 1, (struct map_event){ .call = MAP_CALL_MMAP, .bytes = 2 * PAGE, .third = RW, .flags = PRIVATE,
						    .result = BASE + 4 * n * PAGE }))
			break;
	had = pages_of(f, 1, KIND_MAPPED_ANON);
	assert_true(had / 2 > ADDRESS_SPACE_MAX - 16 && n < ADDRESS_SPACE_MAX);
	assert_int_equal(apply(f, 1, (struct map_event){ .call = MAP_CALL_MREMAP, .addr = BASE, .bytes = PAGE, .third = 2 * PAGE,
							 .result = BASE - 16 * PAGE }), -ENOSPC);
	for (uint64_t i = 0; i < n; i += 2)
		unmap(f, 4 * i, 1);
	assert_int_equal(pages_of(f, 1, KIND_MAPPED_ANON), had - (int64_t)((n + 1) / 2));
	assert_true(apply(f, 1, (struct map_event){ .call = MAP_CALL_MMAP, .bytes = PAGE, .third = RW, .flags = PRIVATE,
						    .result = BASE - 16 * PAGE }) == -ENOSPC);
	assert_int_equal(address_space__settle(f->a, &there, 1, &unseen), 0);
	assert_int_equal(pages_of_all(f), 1);
	map_at(f, 2, 50, 7, RW, PRIVATE);
	assert_int_equal(pages_of(f, 2, KIND_MAPPED_ANON), 7);
}

/* Cut in the middle they become more still: then what lies around what is given back goes, too, but no more is left than there is. */
static void cut_where_there_are_too_many(void **state)
{
	struct fixture *f = *state;
	int64_t there = 0;
	uint64_t n;

	for (n = 0; n <= ADDRESS_SPACE_MAX; n++)
		if (apply(f, 1, (struct map_event){ .call = MAP_CALL_MMAP, .bytes = 7 * PAGE, .third = RW, .flags = PRIVATE,
						    .result = BASE + 8 * n * PAGE }))
			break;
	for (uint64_t k = 1; k < 7; k += 2)
		for (uint64_t i = 0; i < n; i++)
			unmap(f, 8 * i + k, 1);
	there = 4 * (int64_t)n;
	assert_true(pages_of_all(f) <= there && pages_of_all(f) > 0);
	unmap(f, 0, 8 * n);
	assert_int_equal(pages_of_all(f), 0);
}

/* A target can have the probe tell anything. */
static void what_cannot_be_is_passed_over(void **state)
{
	static const uint64_t odd[] = { 0, 1, PAGE - 1, PAGE, BASE, BASE + 1, BASE + 8 * PAGE, 1ull << 47, (1ull << 56) - PAGE, 1ull << 56,
					1ull << 63, ~0ull - PAGE + 1, ~0ull };
	const size_t n = sizeof(odd) / sizeof(odd[0]);
	struct fixture *f = *state;

	map_at(f, 1, 0, 16, RW, PRIVATE);
	for (uint64_t i = 0; i < n * n * n * n * MAP_CALLS; i++) {
		uint64_t k = i / MAP_CALLS;
		struct map_event e = { .call = i % MAP_CALLS, .addr = odd[k % n], .bytes = odd[k / n % n], .third = odd[k / n / n % n],
				       .result = odd[k / n / n / n % n], .flags = PRIVATE };

		if (e.call == MAP_CALL_MADVISE) /* sums of these go round, which is no one's loss */
			continue;
		apply(f, 2, e);
	}
	unmap(f, 0, (1ull << 56) / PAGE - BASE / PAGE);
	assert_int_equal(apply(f, 0, (struct map_event){ .call = MAP_CALL_MUNMAP, .bytes = BASE }), 0);
	assert_int_equal(pages_of_all(f), 0);
	assert_int_equal(apply(f, 0, (struct map_event){ .call = MAP_CALLS }), -EINVAL);
}

/* ---- against a model ---- */

#define MODEL_PAGES 200
#define FREE 0xff
#define RESERVED 0xfe

struct model {
	uint8_t kind[MODEL_PAGES], owner[MODEL_PAGES];
};

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static void fill(struct model *m, uint64_t from, uint64_t pages, uint8_t kind, uint32_t owner)
{
	memset(m->kind + from, kind, pages);
	memset(m->owner + from, (int)owner, pages);
}

static void model_move(struct model *m, uint32_t who, uint64_t from, uint64_t was, uint64_t is, uint64_t to)
{
	struct model old = *m;
	uint64_t both = was < is ? was : is;

	if (old.kind[from] == FREE && old.kind[to] != FREE)
		return;
	fill(m, from, was, FREE, 0);
	if (is > both)
		fill(m, to + both, is - both, FREE, 0);
	memcpy(m->kind + to, old.kind + from, both);
	memcpy(m->owner + to, old.owner + from, both);
	if (is > both && old.kind[from] != FREE)
		fill(m, to + both, is - both, old.kind[from], who);
}

static void model_protect(struct model *m, uint32_t who, uint64_t from, uint64_t pages, bool writable)
{
	for (uint64_t i = from; i < from + pages; i++) {
		if (m->kind[i] == FREE || m->kind[i] == KIND_MAPPED_SHARED || writable == (m->kind[i] != RESERVED))
			continue;
		m->kind[i] = writable ? KIND_MAPPED_ANON : RESERVED;
		m->owner[i] = writable ? who : m->owner[i];
	}
}

static void random_settle(struct fixture *f, struct model *m)
{
	struct map_range ranges[MODEL_PAGES];
	struct map_owner unseen = { .node = UNSEEN };
	size_t n = 0;

	for (uint64_t at = 0, pages; at < MODEL_PAGES; at += pages) {
		int what = (int)random_below(5);

		pages = 1 + random_below(20);
		pages = at + pages > MODEL_PAGES ? MODEL_PAGES - at : pages;
		if (what < 3)
			ranges[n++] = (struct map_range){ .begin = BASE + at * PAGE, .end = BASE + (at + pages) * PAGE,
							  .shared = what == 0, .writable = what == 1 };
		for (uint64_t i = at; i < at + pages; i++) {
			bool known = m->kind[i] != FREE, shared = m->kind[i] == KIND_MAPPED_SHARED, reserved = m->kind[i] == RESERVED;

			if (what > 2)
				fill(m, i, 1, FREE, 0);
			else if (!known || shared != (what == 0) || (what && reserved != (what == 2)))
				fill(m, i, 1, what == 0 ? KIND_MAPPED_SHARED : what == 1 ? KIND_MAPPED_ANON : RESERVED, UNSEEN);
		}
	}
	assert_int_equal(address_space__settle(f->a, ranges, n, &unseen), 0);
}

static void random_call(struct fixture *f, struct model *m)
{
	uint32_t who = 1 + (uint32_t)random_below(3);
	uint64_t from = random_below(MODEL_PAGES - 40), pages = 1 + random_below(20), is = 1 + random_below(20), to;

	switch (random_below(9)) {
	case 0:
		map_at(f, who, from, pages, RW, PRIVATE);
		fill(m, from, pages, KIND_MAPPED_ANON, who);
		break;
	case 1:
		map_at(f, who, from, pages, PROT_NONE, PRIVATE);
		fill(m, from, pages, RESERVED, who);
		break;
	case 2:
		map_at(f, who, from, pages, RW, MAP_SHARED);
		fill(m, from, pages, KIND_MAPPED_SHARED, who);
		break;
	case 3:
		map_at(f, who, from, pages, PROT_READ, MAP_PRIVATE);
		fill(m, from, pages, RESERVED, who);
		break;
	case 4:
		unmap(f, from, pages);
		fill(m, from, pages, FREE, 0);
		break;
	case 5:
		is = random_below(2);
		protect(f, who, from, pages, is ? RW : PROT_READ);
		model_protect(m, who, from, pages, is);
		break;
	case 6: /* in place; */
		remap(f, who, from, pages, is, from);
		model_move(m, who, from, pages, is, from);
		break;
	case 7: /* elsewhere: the kernel moves nothing onto itself */
		to = random_below(MODEL_PAGES - 40);
		if (to < from + pages && from < to + is)
			break;
		remap(f, who, from, pages, is, to);
		model_move(m, who, from, pages, is, to);
		break;
	case 8:
		random_settle(f, m);
		break;
	}
}

static void check(const struct fixture *f, const struct model *m)
{
	int64_t pages[OWNERS][KIND_MAX] = {};

	for (int i = 0; i < MODEL_PAGES; i++)
		if (m->kind[i] < KIND_MAX)
			pages[m->owner[i]][m->kind[i]]++;
	for (uint32_t who = 0; who < OWNERS; who++)
		for (uint32_t kind = 0; kind < KIND_MAX; kind++)
			assert_int_equal(pages_of(f, who, kind), pages[who][kind]);
}

static void random_calls(void **state)
{
	struct fixture *f = *state;
	struct model m;

	random_state = 88172645463325252ull;
	fill(&m, 0, MODEL_PAGES, FREE, 0);
	for (int i = 0; i < 200000; i++) {
		random_call(f, &m);
		check(f, &m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kinds_of_mappings, begin, end),
		cmocka_unit_test_setup_teardown(a_part_is_given_back, begin, end),
		cmocka_unit_test_setup_teardown(reserved_memory_is_whose_makes_it_writable, begin, end),
		cmocka_unit_test_setup_teardown(what_is_moved_stays_its_owners, begin, end),
		cmocka_unit_test_setup_teardown(the_heap_grows_and_shrinks, begin, end),
		cmocka_unit_test_setup_teardown(advice_is_counted_and_changes_nothing, begin, end),
		cmocka_unit_test_setup_teardown(it_is_brought_up_to_what_is_there, begin, end),
		cmocka_unit_test_setup_teardown(a_move_told_after_it_was_looked_at, begin, end),
		cmocka_unit_test_setup_teardown(more_than_are_told_apart, begin, end),
		cmocka_unit_test_setup_teardown(more_than_it_may_keep, begin, end),
		cmocka_unit_test_setup_teardown(cut_where_there_are_too_many, begin, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_passed_over, begin, end),
		cmocka_unit_test_setup_teardown(random_calls, begin, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
