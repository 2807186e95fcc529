/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pools in made-up memory: what an allocator that plays by the rules made of it is told exactly; what is damaged,
 * hostile or random is bounded and never told as something that it can't be. Live interpreters: test_pymalloc_live.c.
 */
#include "pymalloc_fixture.h"

#define MAX_BLOCKS 60000

static const uint16_t versions[] = { PY_VERSION(3, 8),	PY_VERSION(3, 9),  PY_VERSION(3, 10), PY_VERSION(3, 11),
				     PY_VERSION(3, 12), PY_VERSION(3, 13), PY_VERSION(3, 14), PY_VERSION(3, 15) };
#define VERSIONS (sizeof(versions) / sizeof(versions[0]))

static uint64_t rng = 1;

static uint32_t random_below(uint32_t n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (rng >> 33) % n;
}

#define BASE 0x7f1234560000ull

/* A header between two calls of the allocator: `carved` blocks were handed out once, `live` of them live. */
static struct pymalloc_header header(uint32_t pool_bytes, unsigned int class, unsigned int carved, unsigned int live)
{
	uint32_t bytes = pymalloc__block_bytes(class);
	struct pymalloc_header h = { .live = live,
				     .arenaindex = 3,
				     .szidx = class,
				     .nextoffset = PYMALLOC_HEADER_BYTES + carved * bytes,
				     .maxnextoffset = pool_bytes - bytes };

	if (live < carved)
		h.freeblock = BASE + PYMALLOC_HEADER_BYTES + (carved - 1) * bytes;
	return h;
}

static void good_headers(void **state)
{
	(void)state;
	for (uint32_t pool_bytes = 4096; pool_bytes <= 16384; pool_bytes *= 4) {
		for (unsigned int class = 0; class < PYMALLOC_CLASSES; class ++) {
			unsigned int all = pymalloc__pool_block_cnt(pool_bytes, class);
			struct pymalloc_header full = header(pool_bytes, class, all, all);
			struct pymalloc_header fresh = header(pool_bytes, class, 2, 1);
			struct pymalloc_header empty = header(pool_bytes, class, all, 0);

			assert_int_equal(pymalloc__judge(&full, BASE, pool_bytes), POOL_FULL);
			assert_int_equal(pymalloc__judge(&fresh, BASE, pool_bytes), POOL_PARTIAL);
			assert_int_equal(pymalloc__judge(&empty, BASE, pool_bytes), POOL_FREE);
			assert_int_equal(pymalloc__told_pool_bytes(&full), pool_bytes);
			assert_int_equal(pymalloc__judge(&full, BASE, pool_bytes ^ 4096 ^ 16384), POOL_NONE);
			/* The free list of a copy leads elsewhere. */
			assert_int_equal(pymalloc__judge(&fresh, BASE + pool_bytes, pool_bytes), POOL_NONE);
		}
	}
}

static void bad_headers(void **state)
{
	/* A pool of 16 KiB of blocks of 32 bytes; at: from the pool's base. */
	static const struct {
		const char *what;
		uint32_t live;
		uint64_t free_at; /* 0: no free list */
		uint32_t arenaindex, szidx, nextoffset;
		enum pymalloc_state want;
	} cases[] = {
		{ "good", 5, 48 + 32, 3, 1, 48 + 10 * 32, POOL_PARTIAL },
		{ "no class", 5, 48 + 32, 3, 32, 48 + 10 * 32, POOL_NONE },
		{ "another class", 5, 48 + 48, 3, 2, 48 + 10 * 48, POOL_NONE },
		{ "being carved", 5, 48 + 32, 3, 0xffff, 48 + 10 * 32, POOL_NONE },
		{ "absurd arena", 5, 48 + 32, 1u << 30, 1, 48 + 10 * 32, POOL_NONE },
		{ "nextoffset between blocks", 5, 48 + 32, 3, 1, 48 + 10 * 32 + 16, POOL_NONE },
		{ "nextoffset in the header", 5, 48 + 32, 3, 1, 16, POOL_NONE },
		{ "nextoffset behind the pool", 5, 48 + 32, 3, 1, 16384 + 48, POOL_NONE },
		{ "nextoffset wraps", 5, 48 + 32, 3, 1, UINT32_MAX - 15, POOL_NONE },
		{ "never opened", 5, 48 + 32, 3, 1, 48, POOL_NONE },
		{ "more live than there can be", 600, 48 + 32, 3, 1, 48 + 10 * 32, POOL_NONE },
		{ "more live than handed out", 11, 48 + 32, 3, 1, 48 + 10 * 32, POOL_TORN },
		{ "all live, and yet a free one", 10, 48 + 32, 3, 1, 48 + 10 * 32, POOL_TORN },
		{ "full, but not all handed out", 10, 0, 3, 1, 48 + 10 * 32, POOL_TORN },
		{ "free block in the header", 5, 16, 3, 1, 48 + 10 * 32, POOL_NONE },
		{ "free block between blocks", 5, 48 + 8, 3, 1, 48 + 10 * 32, POOL_NONE },
		{ "free block elsewhere", 5, 16384 + 48, 3, 1, 48 + 10 * 32, POOL_NONE },
		{ "free block before the pool", 5, -48, 3, 1, 48 + 10 * 32, POOL_NONE },
		/* Its distance is 2^32 blocks and one. */
		{ "free block far away", 5, 48 + 32 + (32ull << 32), 3, 1, 48 + 10 * 32, POOL_NONE },
		{ "free block never handed out", 5, 48 + 10 * 32, 3, 1, 48 + 10 * 32, POOL_TORN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pymalloc_header h = { .live = cases[i].live,
					     .freeblock = cases[i].free_at ? BASE + cases[i].free_at : 0,
					     .arenaindex = cases[i].arenaindex,
					     .szidx = cases[i].szidx,
					     .nextoffset = cases[i].nextoffset,
					     .maxnextoffset = 16384 - 32 };

		if (pymalloc__judge(&h, BASE, 16384) != cases[i].want)
			fail_msg("%s: %d, want %d", cases[i].what, pymalloc__judge(&h, BASE, 16384), cases[i].want);
	}
}

/* A pool of 10 carved blocks of 32 bytes, of which 7, 2, 5 are on the free list in this order; next of the last is
 * `last`. */
static enum pymalloc_doubt walk(uint32_t live, uint64_t last, struct pymalloc_live *ret)
{
	static const unsigned int list[] = { 7, 2, 5 };
	static uint8_t copy[16384];
	struct pymalloc_header h = header(16384, 1, 10, live);

	h.freeblock = BASE + 48 + 32 * list[0];
	memset(copy, 0xee, sizeof(copy));
	memcpy(copy, &h, sizeof(h));
	for (int i = 0; i < 3; i++) {
		uint64_t next = i < 2 ? BASE + 48 + 32 * list[i + 1] : last;

		memcpy(copy + 48 + 32 * list[i], &next, sizeof(next));
	}
	return pymalloc__pool_blocks(copy, BASE, sizeof(copy), ret);
}

static void free_lists(void **state)
{
	static const uint64_t wild[] = { 8,
					 BASE,
					 BASE + 16,
					 BASE + 48 + 32 * 10,
					 BASE + 48 + 32 * 3 + 8,
					 BASE + 16384 + 48,
					 BASE - 16384 + 48,
					 UINT64_MAX,
					 0xeeeeeeeeeeeeeeee,
					 BASE + 48 + (32ull << 32),
					 BASE + 48 - (32ull << 33) };
	struct pymalloc_live l = { .cnt = 12345 };

	(void)state;
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		assert_int_equal(walk(7, wild[i], &l), POOL_WILD_LINK);
	assert_int_equal(walk(7, BASE + 48 + 32 * 7, &l), POOL_CYCLE);
	assert_int_equal(walk(7, BASE + 48 + 32 * 5, &l), POOL_CYCLE);
	assert_int_equal(walk(6, 0, &l), POOL_MISCOUNT);
	assert_int_equal(walk(7, BASE + 48 + 32 * 4, &l), POOL_WILD_LINK); /* leads on to 0xee... */
	assert_int_equal(walk(10, 0, &l), POOL_BAD_HEADER);
	assert_int_equal(l.cnt, 12345);
	assert_int_equal(walk(7, 0, &l), POOL_SOUND);
	assert_int_equal(l.cnt, 7);
	for (unsigned int i = 0; i < 12; i++)
		assert_int_equal(pymalloc__is_live(&l, i), i < 10 && i != 7 && i != 2 && i != 5);
	assert_false(pymalloc__is_live(&l, UINT32_MAX));
}

/* Blocks handed out and not taken back. */
struct kept {
	uint64_t block[MAX_BLOCKS];
	size_t cnt;
};

static void run(struct heap *h, struct kept *k, unsigned int steps)
{
	for (unsigned int i = 0; i < steps; i++) {
		/* Some classes more than others, and phases of growing and of shrinking. */
		bool grow = i / 4096 % 3 != 2;

		if (k->cnt < MAX_BLOCKS && random_below(8) < (grow ? 6 : 2)) {
			uint64_t block = heap__alloc(h, random_below(1 + random_below(PYMALLOC_CLASSES)));

			if (block)
				k->block[k->cnt++] = block;
		} else if (k->cnt) {
			size_t at = random_below(k->cnt);

			heap__free(h, k->block[at]);
			k->block[at] = k->block[--k->cnt];
		}
	}
}

static void compare(const struct heap *h, const struct pymalloc_totals *t)
{
	for (int i = 0; i < PYMALLOC_CLASSES; i++) {
		assert_int_equal(t->class[i].live, h->live[i]);
		assert_int_equal(t->class[i].pools, h->pools[i]);
		assert_int_equal(t->class[i].free,
				 h->pools[i] * pymalloc__pool_block_cnt(h->pool_bytes, i) - h->live[i]);
	}
	assert_int_equal(t->free_pools, h->free_cnt);
	assert_int_equal(t->pools_read, h->carved);
	assert_int_equal(t->pools_carved, h->carved);
	assert_int_equal(t->pool_bytes, h->pool_bytes);
	assert_int_equal(t->torn_pools + t->bad_pools + t->swapped_pools + t->foreign_pools + t->left_out, 0);
}

/* Each pool's live blocks are those that are kept. */
static void check_blocks(const struct heap *h, const struct pymalloc_pools *pools, const struct kept *k)
{
	static uint8_t copy[PYMALLOC_MAX_POOL_BYTES];
	struct pymalloc_live live;
	size_t cnt = 0;

	for (size_t i = 0; i < pools->cnt; i++) {
		assert_int_equal(pymalloc__read_pool(h->a, pools->pool[i].base, copy, &live), POOL_SOUND);
		assert_int_equal(live.cnt, pools->pool[i].live);
		cnt += live.cnt;
		for (size_t b = 0; b < k->cnt; b++) {
			uint64_t at = k->block[b] - pools->pool[i].base - PYMALLOC_HEADER_BYTES;

			assert_true(at >= h->pool_bytes ||
				    pymalloc__is_live(&live, at / pymalloc__block_bytes(pools->pool[i].szidx)));
		}
	}
	assert_int_equal(cnt, k->cnt);
}

static void totals(void **state)
{
	const struct pymalloc_opts search = { .search = true };
	struct kept *k = malloc(sizeof(*k));

	(void)state;
	assert_non_null(k);
	for (size_t i = 0; i < VERSIONS; i++) {
		struct pymalloc_pools pools = { 0 };
		struct pymalloc_totals t;
		struct heap h;

		heap__new(&h, versions[i]);
		k->cnt = 0;
		for (int round = 0; round < 4; round++) {
			run(&h, k, 8000);
			assert_int_equal(pymalloc__scan(h.a, NULL, &pools, &t), 0);
			assert_null(t.why);
			assert_true(t.by_arenas);
			assert_int_equal(t.arenas, ARENAS);
			assert_int_equal(t.arena_bytes, ARENAS * h.arena_bytes);
			compare(&h, &t);
			assert_int_equal(pymalloc__scan(h.a, &search, &pools, &t), 0);
			assert_string_equal(t.why, "asked to");
			compare(&h, &t);
			check_blocks(&h, &pools, k);
		}
		pymalloc_pools__free(&pools);
		heap__free_all(&h);
	}
	free(k);
}

/* One pool in n: right on average, also where the program opens pools of two classes in turn. */
static void every_second_pool(void **state)
{
	enum { SEEDS = 200, CLASS = 28 };
	uint32_t per_pool = pymalloc__pool_block_cnt(16384, CLASS);
	struct pymalloc_totals t;
	struct heap h;
	double sum = 0;

	(void)state;
	heap__new(&h, PY_VERSION(3, 11));
	for (uint32_t i = 0; i < 100 * per_pool; i++) {
		heap__alloc(&h, CLASS);
		if (i % per_pool == 0)
			for (uint32_t k = 0; k < pymalloc__pool_block_cnt(16384, CLASS - 1); k++)
				heap__alloc(&h, CLASS - 1);
	}
	heap__alloc(&h, 0); /* a pool that is not full: it leads to the list of arenas */
	assert_int_equal(h.carved, 201);
	for (unsigned int seed = 0; seed < SEEDS; seed++) {
		const struct pymalloc_opts opts = { .every = 2, .seed = seed };
		double estimate;

		assert_int_equal(pymalloc__scan(h.a, &opts, NULL, &t), 0);
		assert_int_equal(t.pools_carved, h.carved);
		assert_in_range(t.pools_read, h.carved / 2, h.carved / 2 + 1);
		estimate = (double)t.class[CLASS].live * t.pools_carved / t.pools_read / h.live[CLASS];
		assert_true(estimate > 0.5 && estimate < 1.5);
		sum += estimate;
	}
	assert_true(sum / SEEDS > 0.97 && sum / SEEDS < 1.03);
	heap__free_all(&h);
}

/* Before the first allocation; and where another allocator is used, that is for ever. */
static void nothing_allocated(void **state)
{
	struct pymalloc_totals t;
	struct heap h;

	(void)state;
	for (size_t i = 0; i < VERSIONS; i++) {
		heap__new(&h, versions[i]);
		heap__put(&h, heap__arenas_at(&h), 0);
		heap__put(&h, heap__arenas_at(&h) + 8, 0);
		assert_int_equal(pymalloc__scan(h.a, NULL, NULL, &t), 0);
		assert_int_equal(t.pools_read + t.arenas, 0);
		assert_int_equal(t.by_arenas, versions[i] >= PY_VERSION(3, 12));
		heap__free_all(&h);
	}
}

/* The books are wrong or gone: then pools are searched for, and the reason is told. */
static void damaged_books(void **state)
{
	struct kept *k = calloc(1, sizeof(*k));
	struct pymalloc_totals t;
	struct heap h;

	(void)state;
	for (size_t i = 0; i < VERSIONS; i++) {
		bool behind = versions[i] >= PY_VERSION(3, 12);
		uint64_t arenas_at, list = heap__list(4) + 16, head;

		heap__new(&h, versions[i]);
		arenas_at = heap__arenas_at(&h);
		k->cnt = 0;
		run(&h, k, 9000);
		/* Found, and then moved. */
		assert_int_equal(pymalloc__scan(h.a, NULL, NULL, &t), 0);
		assert_true(t.by_arenas);
		heap__put(&h, arenas_at, HEAP_BASE + ARRAY_AT + 48);
		assert_int_equal(pymalloc__scan(h.a, NULL, NULL, &t), 0);
		assert_non_null(t.why);
		compare(&h, &t);
		heap__put(&h, arenas_at, HEAP_BASE + ARRAY_AT);
		if (behind) {
			heap__put(&h, arenas_at + 8, 1u << 30);
			assert_int_equal(pymalloc__scan(h.a, NULL, NULL, &t), 0);
			assert_non_null(t.why);
			compare(&h, &t);
			heap__put(&h, arenas_at + 8, 16);
		}
		assert_int_equal(pymalloc__scan(h.a, NULL, NULL, &t), 0);
		assert_true(t.by_arenas);
		compare(&h, &t);
		head = heap__get(&h, list);
		heap__put(&h, list, 12345);
		assert_int_equal(pymalloc__scan(h.a, NULL, NULL, &t), 0);
		assert_non_null(t.why);
		compare(&h, &t);
		heap__put(&h, list, head);
		heap__free_all(&h);
	}
	free(k);
}

/* An arena_object that lies: nothing is read for it, and it is counted. */
static void lying_arenas(void **state)
{
	static const struct {
		unsigned int at;
		uint64_t value;
	} lies[] = {
		{ 0, HEAP_BASE + 0x123 },
		{ 0, 1ull << 60 },
		{ 8, 0 },
		{ 8, UINT64_MAX },
		{ 8, HEAP_BASE + (1ull << 40) },
		{ 16, UINT64_MAX },
		{ 16, 1000ull << 32 | 1000 },
		{ 8, HEAP_BASE + 0x1001 },
	};
	struct kept *k = calloc(1, sizeof(*k));
	struct pymalloc_totals t;
	struct heap h;

	(void)state;
	heap__new(&h, PY_VERSION(3, 13));
	run(&h, k, 30000);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint64_t at = heap__arena_object(4) + lies[i].at, truth = heap__get(&h, at);

		heap__put(&h, at, lies[i].value);
		assert_int_equal(pymalloc__scan(h.a, NULL, NULL, &t), 0);
		assert_true(t.by_arenas);
		assert_int_equal(t.arenas, ARENAS - 1);
		assert_int_equal(t.left_out, 1);
		heap__put(&h, at, truth);
	}
	free(k);
	heap__free_all(&h);
}

/* Copies of pools at other places, full ones among them, which have no free list to tell. */
static void copies(void **state)
{
	const struct pymalloc_opts search = { .search = true };
	struct kept *k = calloc(1, sizeof(*k));
	uint64_t first, to;
	struct pymalloc_totals t;
	struct heap h;

	(void)state;
	heap__new(&h, PY_VERSION(3, 11));
	for (int i = 0; i < 5000; i++)
		k->block[k->cnt++] = heap__alloc(&h, i % 8);
	first = heap__get(&h, heap__arena_object(0));
	first = (first + 16383) / 16384 * 16384;
	to = heap__arena(&h, ARENAS - 1);
	to = (to + 16383) / 16384 * 16384;
	assert_true(h.carved * 16384 < h.arena_bytes - 32768);
	memcpy(heap__at(&h, to), heap__at(&h, first), h.carved * 16384);
	assert_int_equal(pymalloc__scan(h.a, &search, NULL, &t), 0);
	assert_true(t.foreign_pools > 0);
	t.foreign_pools = 0;
	compare(&h, &t);
	assert_int_equal(pymalloc__scan(h.a, NULL, NULL, &t), 0);
	compare(&h, &t);
	free(k);
	heap__free_all(&h);
}

/* Each live block has the same chance: over many seeds, each is drawn about as often. */
static void fair_sample(void **state)
{
	enum { N = 20, ROUNDS = 4000, CLASS = 25 };
	struct kept *k = calloc(1, sizeof(*k));
	unsigned int *drawn = calloc(MAX_BLOCKS, sizeof(*drawn)), found = 0;
	struct pymalloc_pools pools = { 0 };
	struct pymalloc_totals t;
	double expected, chi2 = 0;
	struct heap h;

	(void)state;
	heap__new(&h, PY_VERSION(3, 13));
	for (int i = 0; i < 400; i++)
		k->block[k->cnt++] = heap__alloc(&h, CLASS);
	/* Pools of very different fill. */
	for (size_t i = 0; i < k->cnt;) {
		if (i / 39 % 3 == 1 && i % 39) {
			heap__free(&h, k->block[i]);
			memmove(&k->block[i], &k->block[i + 1], (--k->cnt - i) * sizeof(k->block[0]));
		}
		i++;
	}
	assert_int_equal(pymalloc__scan(h.a, NULL, &pools, &t), 0);
	for (int round = 0; round < ROUNDS; round++) {
		struct pymalloc_block *blocks;
		size_t n;

		assert_int_equal(pymalloc__sample(h.a, &pools, N, round, &blocks, &n), 0);
		assert_int_equal(n, N);
		for (size_t i = 0; i < n; i++) {
			size_t at = 0;

			while (at < k->cnt && k->block[at] != blocks[i].addr)
				at++;
			assert_true(at < k->cnt);
			found += !drawn[at]++;
		}
		free(blocks);
	}
	assert_int_equal(found, k->cnt);
	expected = (double)N * ROUNDS / k->cnt;
	for (size_t i = 0; i < k->cnt; i++)
		chi2 += (drawn[i] - expected) * (drawn[i] - expected) / expected;
	/* Strata make it even more even than chance would: the mean is below the degrees of freedom, 4 sigma above is
	 * far off. */
	assert_true(chi2 < k->cnt + 4 * 1.42 * 18);
	pymalloc_pools__free(&pools);
	free(drawn);
	free(k);
	heap__free_all(&h);
}

static void all_of_a_class(void **state)
{
	struct pymalloc_pools pools = { 0 };
	struct pymalloc_block *blocks;
	struct pymalloc_totals t;
	struct heap h;
	size_t n;

	(void)state;
	heap__new(&h, PY_VERSION(3, 9));
	for (int i = 0; i < 50; i++)
		heap__alloc(&h, 30);
	assert_int_equal(pymalloc__scan(h.a, NULL, &pools, &t), 0);
	assert_int_equal(pymalloc__sample(h.a, &pools, 1000, 7, &blocks, &n), 0);
	assert_int_equal(n, 50);
	for (size_t i = 0; i < n; i++)
		assert_true(blocks[i].weight == 1);
	free(blocks);
	pymalloc_pools__free(&pools);
	heap__free_all(&h);
}

static enum pymalloc_fate fate_of(const struct heap *h, uint64_t addr, unsigned int class)
{
	struct pymalloc_block b = { .addr = addr, .szidx = class };

	assert_int_equal(pymalloc__look(h->a, &b, 1), 0);
	return b.fate;
}

static void fates(void **state)
{
	uint64_t block[200];
	struct heap h;

	(void)state;
	heap__new(&h, PY_VERSION(3, 11));
	for (int i = 0; i < 200; i++)
		block[i] = heap__alloc(&h, 9);
	for (int i = 0; i < 200; i++)
		assert_int_equal(fate_of(&h, block[i], 9), FATE_LIVES);
	heap__free(&h, block[3]);
	heap__free(&h, block[150]);
	assert_int_equal(fate_of(&h, block[3], 9), FATE_FREED);
	assert_int_equal(fate_of(&h, block[4], 9), FATE_LIVES);
	assert_int_equal(fate_of(&h, block[4], 8), FATE_FREED);
	assert_int_equal(fate_of(&h, block[4] + 16, 9), FATE_FREED);
	assert_int_equal(fate_of(&h, block[0] - 8, 9), FATE_FREED);
	assert_int_equal(fate_of(&h, 0x1000, 9), FATE_FREED);
	assert_int_equal(fate_of(&h, block[199] + 160, 9), FATE_FREED); /* on the list */
	assert_int_equal(fate_of(&h, block[199] + 320, 9), FATE_FREED); /* never handed out */
	/* A free list that makes no sense: not known, and not guessed. */
	heap__put(&h, block[150], 0x1234);
	assert_int_equal(fate_of(&h, block[149], 9), FATE_UNKNOWN);
	heap__put(&h, block[150], 0);
	for (int i = 0; i < 102; i++) {
		if (i != 3)
			heap__free(&h, block[i]);
	}
	/* The whole pool was given up. */
	assert_int_equal(fate_of(&h, block[4], 9), FATE_FREED);
	heap__free_all(&h);
}

/* Bytes changed at random, in headers, free lists and books: answers stay within bounds, and nothing crashes or hangs.
 */
static void damaged(struct heap *h, struct pymalloc_pools *pools)
{
	const struct pymalloc_opts search = { .search = random_below(2) };
	struct pymalloc_block *blocks;
	struct pymalloc_totals t;
	size_t n;

	assert_int_equal(pymalloc__scan(h->a, &search, pools, &t), 0);
	for (int i = 0; i < PYMALLOC_CLASSES; i++)
		assert_int_equal(t.class[i].live + t.class[i].free,
				 t.class[i].pools * pymalloc__pool_block_cnt(t.pool_bytes, i));
	assert_true(t.pools_read <= h->bytes / 4096);
	assert_int_equal(pymalloc__sample(h->a, pools, 50, random_below(1000), &blocks, &n), 0);
	assert_true(n <= 50 * PYMALLOC_CLASSES);
	for (size_t i = 0; i < n; i++)
		memset(heap__at(h, blocks[i].addr), random_below(256), 1 + random_below(16));
	assert_int_equal(pymalloc__look(h->a, blocks, n), 0);
	for (size_t i = 0; i < n; i++)
		assert_true(blocks[i].fate < FATES);
	free(blocks);
}

static void random_damage(void **state)
{
	struct pymalloc_pools pools = { 0 };
	struct kept *k = calloc(1, sizeof(*k));
	struct heap h;

	(void)state;
	for (int round = 0; round < 300; round++) {
		heap__new(&h, versions[round % VERSIONS]);
		k->cnt = 0;
		run(&h, k, 3000);
		for (int i = 0; i < 1 << random_below(12); i++) {
			uint32_t pool = random_below(h.bytes / h.pool_bytes) * h.pool_bytes;

			h.data[USED_AT + random_below(640)] ^= random_below(8) ? 0 : 1 << random_below(8);
			h.heap[ARRAY_AT + random_below(768)] ^= random_below(8) ? 0 : 1 << random_below(8);
			h.heap[pool + (random_below(2) ? random_below(48) : random_below(h.pool_bytes))] ^=
				1 << random_below(8);
		}
		damaged(&h, &pools);
		heap__free_all(&h);
	}
	pymalloc_pools__free(&pools);
	free(k);
}

/* Nothing but random bytes: there is no pool in them. */
static void random_bytes(void **state)
{
	const struct pymalloc_opts search = { .search = true };
	struct pymalloc_totals t;
	struct heap h;

	(void)state;
	heap__new(&h, PY_VERSION(3, 9));
	for (int round = 0; round < 8; round++) {
		for (uint32_t i = 0; i < h.bytes; i += 8)
			heap__put(&h, HEAP_BASE + i,
				  (uint64_t)random_below(UINT32_MAX) << 32 | random_below(UINT32_MAX));
		assert_int_equal(pymalloc__scan(h.a, round % 2 ? &search : NULL, NULL, &t), 0);
		assert_int_equal(t.pools_read, 0);
	}
	heap__free_all(&h);
}

static int read_nothing(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	(void)m, (void)addr, (void)buf, (void)len;
	return -ESRCH;
}

static void process_gone(void **state)
{
	struct pymalloc_pools pools = { 0 };
	struct pymalloc_totals t = { .arenas = 42 };
	struct pymalloc_block b = { .addr = HEAP_BASE };
	struct heap h;

	(void)state;
	heap__new(&h, PY_VERSION(3, 11));
	pymalloc__free(h.a);
	h.m.read = read_nothing;
	heap__open(&h);
	assert_int_equal(pymalloc__scan(h.a, NULL, &pools, &t), -ESRCH);
	assert_int_equal(t.arenas, 42);
	assert_int_equal(pymalloc__look(h.a, &b, 1), -ESRCH);
	pymalloc_pools__free(&pools);
	heap__free_all(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_headers),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(free_lists),
		cmocka_unit_test(totals),
		cmocka_unit_test(every_second_pool),
		cmocka_unit_test(nothing_allocated),
		cmocka_unit_test(damaged_books),
		cmocka_unit_test(lying_arenas),
		cmocka_unit_test(copies),
		cmocka_unit_test(fair_sample),
		cmocka_unit_test(all_of_a_class),
		cmocka_unit_test(fates),
		cmocka_unit_test(random_damage),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(process_gone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
