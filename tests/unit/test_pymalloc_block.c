/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Is a block the same object: made-up objects that live, change, and are replaced at the same address. The same on live
 * interpreters: test_pymalloc_live.c.
 */
#include "pymalloc_fixture.h"

/* Types, in the interpreter's data. */
#define TYPE_AT(i) (DATA_BASE + 0x8000 + (i)*0x200u)
#define NAME_AT (DATA_BASE + 0xf000)
#define READY (1u << 12)
#define HEAPTYPE (1u << 9)
#define MANAGED_DICT (1u << 4)
#define NO_HASH UINT64_MAX

enum { TYPE, INT, FLOAT, STR, BYTES, TUPLE, LIST, PLAIN, OBJECT, LYING_BYTES, LYING_TUPLE, LYING_FLOAT, LYING_ITEMS, TYPES };

static const struct {
	const char *name;
	uint32_t basic, item, flags;
} types[TYPES] = {
	[TYPE] = { "type", 424, 40, PY_TYPE_IS_TYPE | PY_TYPE_HAS_GC },
	[INT] = { "int", 24, 4, PY_TYPE_IS_INT },
	[FLOAT] = { "float", 24, 0, 0 },
	[STR] = { "str", 80, 0, PY_TYPE_IS_STR },
	[BYTES] = { "bytes", 33, 1, PY_TYPE_IS_BYTES },
	[TUPLE] = { "tuple", 24, 8, PY_TYPE_IS_TUPLE | PY_TYPE_HAS_GC },
	[LIST] = { "list", 40, 0, PY_TYPE_HAS_GC },
	[PLAIN] = { "Plain", 16, 0, PY_TYPE_HAS_GC | MANAGED_DICT | HEAPTYPE },
	[OBJECT] = { "object", 16, 0, 0 },
	/* Their objects are smaller than their kind can be. */
	[LYING_BYTES] = { "bytes", 16, 0, PY_TYPE_IS_BYTES | HEAPTYPE },
	[LYING_TUPLE] = { "tuple", 16, 1, PY_TYPE_IS_TUPLE | PY_TYPE_HAS_GC | HEAPTYPE },
	[LYING_FLOAT] = { "float", 16, 0, 0 },
	[LYING_ITEMS] = { "items", 16, 8, 0 },
};

static void add_types(struct heap *h)
{
	for (uint64_t i = 0; i < TYPES; i++) {
		uint64_t at = TYPE_AT(i), name = NAME_AT + i * 64;

		heap__put(h, at, 5);
		heap__put(h, at + 8, TYPE_AT(TYPE));
		heap__put(h, at + 24, name);
		heap__put(h, at + 32, types[i].basic);
		heap__put(h, at + 40, types[i].item);
		heap__put(h, at + 168, types[i].flags | READY);
		strcpy(heap__at(h, name), types[i].name);
	}
}

/* Begins an object at `at`. */
static void begin(struct heap *h, uint64_t at, unsigned int type, uint64_t refcount)
{
	heap__put(h, at, refcount);
	heap__put(h, at + 8, TYPE_AT(type));
}

static unsigned int class_of(uint32_t bytes)
{
	return (bytes + 15) / 16 - 1;
}

/* A str of the characters of text, at `at`, whose hash is not computed. */
static void put_str(struct heap *h, uint64_t at, const char *text, uint64_t refcount)
{
	begin(h, at, STR, refcount);
	heap__put(h, at + h->layout->unicode.length, strlen(text));
	heap__put(h, at + 24, NO_HASH);
	heap__put(h, at + h->layout->unicode.state, 1u << 2 | 1u << 5 | 1u << 6);
	strcpy(heap__at(h, at + h->layout->unicode.ascii_data), text);
}

static uint64_t make_str(struct heap *h, const char *text, uint64_t refcount)
{
	uint64_t at = heap__alloc(h, class_of(h->layout->unicode.ascii_data + strlen(text) + 1));

	put_str(h, at, text, refcount);
	return at;
}

/* A float, which is the smallest thing that somebody can own. */
static uint64_t make_float(struct heap *h, uint64_t bits, uint64_t refcount)
{
	uint64_t at = heap__alloc(h, 1);

	begin(h, at, FLOAT, refcount);
	heap__put(h, at + 16, bits);
	return at;
}

static struct pymalloc_block look_at_first(struct heap *h, uint64_t block, uint32_t bytes)
{
	struct pymalloc_block b = { .addr = block, .szidx = class_of(bytes) };

	assert_int_equal(pymalloc__look(h->a, &b, 1), 0);
	assert_int_equal(b.fate, FATE_LIVES);
	return b;
}

static enum pymalloc_fate again(struct heap *h, const struct pymalloc_block *b)
{
	struct pymalloc_block now = *b;

	assert_int_equal(pymalloc__look(h->a, &now, 1), 0);
	return now.fate;
}

static void strings(struct heap *h)
{
	uint32_t data = h->layout->unicode.ascii_data;
	uint64_t at = make_str(h, "number 12345", 1);
	struct pymalloc_block b = look_at_first(h, at, data + 13);

	assert_int_equal(b.print.type, TYPE_AT(STR));
	assert_int_equal(b.print.object_at, 0);
	heap__put(h, at, 77); /* more references */
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, at + 24, 0x123456789);					      /* its hash */
	heap__put(h, at + h->layout->unicode.state, 1u << 2 | 1u << 5 | 1u << 6 | 1); /* interned */
	assert_int_equal(again(h, &b), FATE_LIVES);
	b = look_at_first(h, at, data + 13);
	heap__put(h, at + 24, NO_HASH); /* an equal one, that nobody hashed yet */
	assert_int_equal(again(h, &b), FATE_REPLACED);
	put_str(h, at, "number 12346", 1);
	assert_int_equal(again(h, &b), FATE_REPLACED);
	put_str(h, at, "number 1234", 1);
	assert_int_equal(again(h, &b), FATE_REPLACED);
	begin(h, at, BYTES, 1);
	assert_int_equal(again(h, &b), FATE_REPLACED);
	/* Longer than its block, says one that was never a str. */
	put_str(h, at, "number 12345", 1);
	heap__put(h, at + h->layout->unicode.length, 1ull << 40);
	b = look_at_first(h, at, data + 13);
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, at + h->layout->unicode.length, 500);
	assert_int_equal(again(h, &b), FATE_REPLACED);
}

static void numbers(struct heap *h)
{
	uint64_t at = heap__alloc(h, 1), size = h->layout->version >= PY_VERSION(3, 12) ? 2 << 3 : -2ull;
	struct pymalloc_block b;

	begin(h, at, INT, 1);
	heap__put(h, at + 16, size);
	heap__put(h, at + 24, 0x1234567800005678);
	b = look_at_first(h, at, 32);
	assert_int_equal(b.print.type, TYPE_AT(INT));
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, at + 24, 0x1234567900005678);
	assert_int_equal(again(h, &b), FATE_REPLACED);
	at = make_float(h, 42, 1);
	b = look_at_first(h, at, 32);
	heap__put(h, at + 24, 99); /* behind it */
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, at + 16, 43);
	assert_int_equal(again(h, &b), FATE_REPLACED);
}

static void tuples(struct heap *h)
{
	uint32_t items = h->layout->version >= PY_VERSION(3, 14) ? 32 : 24;
	uint64_t block = heap__alloc(h, class_of(16 + items + 16)), at = block + 16, leaf = make_float(h, 1, 1);
	struct pymalloc_block b;

	begin(h, at, TUPLE, 1);
	heap__put(h, at + 16, 2);
	heap__put(h, at + 24, NO_HASH);
	heap__put(h, at + items, leaf);
	heap__put(h, at + items + 8, make_float(h, 2, 3));
	b = look_at_first(h, block, 16 + items + 16);
	assert_int_equal(b.print.type, TYPE_AT(TUPLE));
	assert_int_equal(b.print.object_at, 16);
	heap__put(h, block, HEAP_BASE); /* the collector untracks it, or moves it */
	if (items == 32)
		heap__put(h, at + 24, 1234);
	assert_int_equal(again(h, &b), FATE_LIVES);
	/* Another tuple whose item came to where the first one's was. */
	heap__put(h, leaf + 16, 7);
	assert_int_equal(again(h, &b), FATE_REPLACED);
	heap__put(h, leaf + 16, 1);
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, at + items, leaf + 32);
	assert_int_equal(again(h, &b), FATE_REPLACED);
}

/* A list of n floats that are its own, at `at`; their values from `value` on. */
static void put_list(struct heap *h, uint64_t at, unsigned int n, uint64_t value, uint64_t refcount)
{
	uint64_t items = heap__alloc(h, class_of(8 * n + 40));

	begin(h, at, LIST, 1);
	heap__put(h, at + 16, n);
	heap__put(h, at + 24, items);
	heap__put(h, at + 32, n);
	for (unsigned int i = 0; i < n; i++)
		heap__put(h, items + 8 * i, make_float(h, value + i, refcount));
}

static void lists(struct heap *h)
{
	uint64_t block = heap__alloc(h, 3), at = block + 16, items, old;
	struct pymalloc_block b;

	put_list(h, at, 3, 100, 1);
	heap__put(h, block, HEAP_BASE + 0x5000);
	heap__put(h, block + 8, HEAP_BASE + 0x6000);
	heap__put(h, block + 56, HEAP_BASE + 0x7000); /* behind the object: of who was there before */
	b = look_at_first(h, block, 64);
	assert_int_equal(b.print.type, TYPE_AT(LIST));
	assert_int_equal(b.print.leaf_cnt, 3);
	assert_int_equal(again(h, &b), FATE_LIVES);
	/* It grows: its items move, and the collector has other neighbours for it. */
	old = heap__get(h, at + 24);
	items = heap__alloc(h, 20);
	memcpy(heap__at(h, items), heap__at(h, old), 24);
	heap__put(h, at + 24, items);
	heap__put(h, at + 16, 4);
	heap__put(h, at + 32, 30);
	heap__put(h, items + 24, make_float(h, 5000, 1));
	heap__put(h, block, HEAP_BASE + 0x5500);
	heap__put(h, block + 8, HEAP_BASE + 0x6600);
	assert_int_equal(again(h, &b), FATE_LIVES);
	/* Freed and made anew: all addresses the same, all values others. */
	for (int i = 0; i < 4; i++)
		heap__put(h, heap__get(h, items + 8 * i) + 16, 9000 + i);
	assert_int_equal(again(h, &b), FATE_REPLACED);
	/* One owned value alone may have been set anew. */
	put_list(h, at, 1, 300, 1);
	b = look_at_first(h, block, 64);
	heap__put(h, heap__get(h, heap__get(h, at + 24)) + 16, 301);
	assert_int_equal(again(h, &b), FATE_UNSURE);
	/* Values that others have too prove nothing when they stay, but their change shows. */
	put_list(h, at, 2, 300, 2);
	b = look_at_first(h, block, 64);
	assert_int_equal(b.print.leaf_cnt, 0);
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, heap__get(h, heap__get(h, at + 24)) + 16, 301);
	assert_int_equal(again(h, &b), FATE_UNSURE);
	/* Empty, and elsewhere in the collector's list. */
	heap__put(h, at + 24, 0);
	b = look_at_first(h, block, 64);
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, block, HEAP_BASE + 0x5000);
	heap__put(h, block + 8, HEAP_BASE + 0x6000);
	assert_int_equal(again(h, &b), FATE_UNSURE);
}

/* 3.11+: the type is at +40, and the attributes are reached from before the collector's links. */
static void instances(struct heap *h)
{
	uint64_t block = heap__alloc(h, 2), at = block + 32, values = heap__alloc(h, 3);
	uint64_t dict_at = h->layout->version == PY_VERSION(3, 11) ? 0 : 8;
	uint64_t tag = h->layout->version == PY_VERSION(3, 12);
	struct pymalloc_block b;

	if (h->layout->version < PY_VERSION(3, 11))
		return;
	begin(h, at, PLAIN, 1);
	heap__put(h, block + dict_at, values - tag);
	heap__put(h, values + 8, make_float(h, 1, 1));
	heap__put(h, values + 16, make_float(h, 2, 1));
	b = look_at_first(h, block, 48);
	assert_int_equal(b.print.type, TYPE_AT(PLAIN));
	assert_int_equal(b.print.object_at, 32);
	assert_int_equal(b.print.leaf_cnt, 2);
	heap__put(h, values + 8, make_float(h, 77, 1));
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, values + 16, make_float(h, 78, 1));
	assert_int_equal(again(h, &b), FATE_REPLACED);
}

static void debug_hooks(struct heap *h)
{
	uint64_t block = heap__alloc(h, 3), at = block + 16;
	struct pymalloc_block b;

	heap__put(h, block, 0x1800000000000000);
	heap__put(h, block + 8, 0xfdfdfdfdfdfdfd6f);
	begin(h, at, FLOAT, 1);
	heap__put(h, at + 16, 12);
	heap__put(h, at + 24, 0xfdfdfdfdfdfdfdfd);
	b = look_at_first(h, block, 64);
	assert_int_equal(b.print.type, TYPE_AT(FLOAT));
	assert_int_equal(b.print.object_at, 16);
	heap__put(h, at + 16, 13);
	assert_int_equal(again(h, &b), FATE_REPLACED);
}

/* Items of a list, a table: pointers without an object. */
static void memory(struct heap *h)
{
	uint64_t block = heap__alloc(h, 7), other = heap__alloc(h, 7);
	struct pymalloc_block b;

	for (int i = 0; i < 4; i++) {
		heap__put(h, block + 8 * i, make_float(h, i, 5));
		heap__put(h, other + 8 * i, make_float(h, i, 5));
	}
	/* Looks like an int, but for what should be its size. */
	heap__put(h, other, 0x955a00);
	heap__put(h, other + 8, TYPE_AT(INT));
	b = look_at_first(h, other, 128);
	assert_int_equal(b.print.type, 0);
	b = look_at_first(h, block, 128);
	assert_int_equal(b.print.type, 0);
	assert_int_equal(again(h, &b), FATE_LIVES);
	heap__put(h, block + 32, 5); /* one more, and a size */
	assert_int_equal(again(h, &b), FATE_LIVES);
	for (int i = 0; i < 4; i++)
		heap__put(h, block + 8 * i, make_float(h, i, 5));
	assert_int_equal(again(h, &b), FATE_REPLACED);
}

static void objects(void **state)
{
	static const uint16_t versions[] = { PY_VERSION(3, 8), PY_VERSION(3, 11), PY_VERSION(3, 12),
					     PY_VERSION(3, 14) };

	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct heap h;

		heap__new(&h, versions[i]);
		add_types(&h);
		strings(&h);
		numbers(&h);
		tuples(&h);
		lists(&h);
		instances(&h);
		debug_hooks(&h);
		memory(&h);
		heap__free_all(&h);
	}
}

static struct pymalloc_kind kind_at(const struct heap *h, uint64_t at, unsigned int class)
{
	struct pymalloc_block b = { .addr = at, .szidx = class };

	assert_int_equal(pymalloc__look(h->a, &b, 1), 0);
	assert_int_equal(b.fate, FATE_LIVES);
	return pymalloc__kind(&b.print);
}

static bool same_kind(struct pymalloc_kind a, struct pymalloc_kind b)
{
	return a.type == b.type && a.shape == b.shape;
}

/* Kinds are types, and lengths that never change; drawn as often as they are there. */
static void kinds(void **state)
{
	enum { N = 400, MOST = 500 };
	struct pymalloc_pools pools = {};
	struct pymalloc_block *drawn;
	struct pymalloc_kind three, five, list, nothing;
	struct pymalloc_totals totals;
	size_t cnt, threes = 0, fives = 0, nothings = 0;
	unsigned int class;
	uint64_t at;
	struct heap h;

	(void)state;
	heap__new(&h, PY_VERSION(3, 11));
	add_types(&h);
	class = class_of(h.layout->unicode.ascii_data + 6);
	for (int i = 0; i < 4 * N; i++)
		at = i % 4 == 3 ? heap__alloc(&h, class) : make_str(&h, i % 4 ? "abc" : "abcde", 1);
	nothing = kind_at(&h, at, class);
	assert_int_equal(nothing.type, 1);
	three = kind_at(&h, make_str(&h, "abc", 1), class);
	five = kind_at(&h, make_str(&h, "fghij", 1), class);
	assert_true(three.type > 1 && three.type == five.type && three.shape != five.shape);
	assert_true(same_kind(five, kind_at(&h, make_str(&h, "klmno", 2), class)));
	at = heap__alloc(&h, class_of(16 + 40));
	begin(&h, at + 16, LIST, 1);
	list = kind_at(&h, at, class_of(16 + 40));
	assert_true(list.type > 1 && list.type != three.type && !list.shape);
	heap__put(&h, at + 16 + 16, 7);
	assert_true(same_kind(list, kind_at(&h, at, class_of(16 + 40))));

	assert_int_equal(pymalloc__scan(h.a, NULL, &pools, &totals), 0);
	assert_int_equal(pymalloc__sample_kinds(h.a, &pools, MOST, 1, &drawn, &cnt), 0);
	assert_in_range(cnt, MOST - 1, MOST + 2 * 16);
	for (size_t i = 0; i < cnt; i++) {
		threes += same_kind(pymalloc__kind(&drawn[i].print), three);
		fives += same_kind(pymalloc__kind(&drawn[i].print), five);
		nothings += same_kind(pymalloc__kind(&drawn[i].print), nothing);
	}
	assert_true(threes + fives + nothings >= cnt - 1);
	assert_in_range(threes, cnt / 2 - 50, cnt / 2 + 50);
	assert_in_range(fives, cnt / 4 - 50, cnt / 4 + 50);
	free(drawn);
	pymalloc_pools__free(&pools);
	heap__free_all(&h);
}

static uint64_t rng = 1;

static uint32_t random_below(uint32_t n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (rng >> 33) % n;
}

/* What stands in objects, at places where it does not belong. */
static uint64_t random_word(const struct heap *h)
{
	switch (random_below(8)) {
	case 0:
		return random_below(4);
	case 1:
		return TYPE_AT(random_below(TYPES));
	case 2:
	case 3:
		return HEAP_BASE + random_below(h->bytes) / 8 * 8;
	case 4:
		return HEAP_BASE + random_below(h->bytes);
	case 5:
		return UINT64_MAX - random_below(4);
	case 6:
		return 0xfdfdfdfdfdfdfd6f;
	default:
		return (uint64_t)random_below(UINT32_MAX) << 32 | random_below(UINT32_MAX);
	}
}

/* Prints from memory that ends where the block ends, for sanitizers to see. */
static void exact_buffers(const struct heap *h)
{
	struct py_types *table;
	struct leaf_reader *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	assert_int_equal(py_types__new(&h->m, h->layout, &table), 0);
	r->m = &h->m;
	r->layout = h->layout;
	r->types = table;
	for (int i = 0; i < 2000; i++) {
		uint32_t bytes =
			pymalloc__block_bytes(random_below(PYMALLOC_CLASSES) % (1 + random_below(PYMALLOC_CLASSES)));
		uint64_t *block = malloc(bytes);
		struct pymalloc_print print;

		assert_non_null(block);
		for (uint32_t at = 0; at < bytes / 8; at++)
			block[at] = random_word(h);
		pymalloc__take_print(r, block, bytes, &print);
		for (uint32_t at = 0; at < bytes / 8; at++)
			block[at] = random_below(4) ? block[at] : random_word(h);
		assert_in_range(pymalloc__same_block(&print, block, NULL), BLOCK_REPLACED, BLOCK_SAME);
		free(block);
	}
	py_types__free(table);
	free(r);
}

/* Blocks full of it: no read beyond them, no endless way. */
static void nonsense(void **state)
{
	enum { N = 300 };

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct pymalloc_block blocks[N] = { 0 };
		struct heap h;

		heap__new(&h, PY_VERSION(3, 8 + round % 8));
		add_types(&h);
		exact_buffers(&h);
		for (int i = 0; i < N; i++) {
			blocks[i].szidx = random_below(PYMALLOC_CLASSES);
			blocks[i].addr = heap__alloc(&h, blocks[i].szidx);
		}
		for (int look = 0; look < 3; look++) {
			for (int i = 0; i < N; i++) {
				for (uint32_t at = 0; at < pymalloc__block_bytes(blocks[i].szidx); at += 8) {
					if (look == 0 || !random_below(20))
						heap__put(&h, blocks[i].addr + at, random_word(&h));
				}
			}
			assert_int_equal(pymalloc__look(h.a, blocks, N), 0);
			for (int i = 0; i < N; i++)
				assert_in_range(blocks[i].fate, look ? FATE_REPLACED : FATE_LIVES, FATE_LIVES);
		}
		for (int i = 0; i < N; i += 3)
			heap__free(&h, blocks[i].addr);
		assert_int_equal(pymalloc__look(h.a, blocks, N), 0);
		for (int i = 0; i < N; i++)
			assert_int_equal(blocks[i].fate == FATE_FREED, i % 3 == 0);
		heap__free_all(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(objects), cmocka_unit_test(kinds), cmocka_unit_test(nonsense) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
