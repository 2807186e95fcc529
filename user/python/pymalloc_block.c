/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Shapes: CPython Include/cpython/longintrepr.h, unicodeobject.h, bytesobject.h, tupleobject.h, floatobject.h;
 * Include/internal/pycore_gc.h (PyGC_Head), pycore_object.h (_PyType_PreHeaderSize); debug hooks: Objects/obmalloc.c,
 * _PyMem_DebugRawAlloc. A block may hold anything: nothing is read beyond it whatever it says.
 */
#include "python/pymalloc_block.h"

#include <string.h>

#define OB_TYPE 8
#define OBJECT_HEADER_BYTES 16
#define OB_SIZE 16
#define VAR_HEADER_BYTES 24
#define GC_HEAD_BYTES 16
#define GC_FLAGS 7ull /* in the low bits of its links */
/* Before each block that debug hooks hand out: its size, the hook's letter, 7 bytes 0xfd. */
#define DEBUG_BYTES 16
#define DEBUG_FORBIDDEN 0xfdfdfdfdfdfdfd00ull
/* Bytes behind it that debug hooks need: 8 forbidden ones; 3.8 to 3.13 a serial number in some builds. */
#define DEBUG_BEHIND_BYTES 16
/* PyASCIIObject.state, see code.c. */
#define STATE_KIND(state) ((state) >> 2 & 7)
#define STATE_COMPACT (1u << 5)
#define STATE_ASCII (1u << 6)
#define HEAPTYPE (1u << 9)
/* Whose shape is known; none is smaller with its size, its hash or a digit, whatever its type says. */
#define KINDS (PY_TYPE_IS_INT | PY_TYPE_IS_TUPLE | PY_TYPE_IS_BYTES | PY_TYPE_IS_STR)
#define LEAST_KIND_BYTES 32
#define LEAST_STR_BYTES 48
/* 3.13+: Py_TPFLAGS_INLINE_VALUES, attributes behind the object; nothing has the bit before. */
#define INLINE_VALUES (1u << 2)
/* Weak references and dict, before the collector's links. */
#define MANAGED_WORDS 2
/* Sizes, counts and flags are below; also where no pointer is. */
#define TELLING_FROM (1ull << 20)
#define POINTER_END (1ull << 47)

static uint64_t word_at(const uint8_t *bytes, unsigned int at)
{
	uint64_t v;

	memcpy(&v, bytes + at, sizeof(v));
	return v;
}

static uint16_t fold(uint64_t word)
{
	return word * 0x9E3779B97F4A7C15ull >> 48;
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *bytes, uint32_t len)
{
	for (; len >= 8; bytes += 8, len -= 8)
		h = PY_HASH_STEP(h, word_at(bytes, 0));
	for (; len; bytes++, len--)
		h = PY_HASH_STEP(h, (uint64_t)*bytes);
	return h;
}

static uint64_t hash_fixed(const struct pymalloc_print *p, const uint8_t *bytes)
{
	uint64_t h = 0;

	for (int i = 0; i < 2; i++)
		h = hash_bytes(h, bytes + p->fixed_at[i], p->fixed_bytes[i]);
	return h;
}

static uint64_t digits(const struct py_layout *l, const uint8_t *object)
{
	uint64_t size = word_at(object, OB_SIZE);

	/* lv_tag; before, ob_size with the sign. */
	if (l->version >= PY_VERSION(3, 12))
		return size >> 3;
	return (int64_t)size < 0 ? -size : size;
}

/* Could an object of this type fill such a block? */
static bool size_fits(const struct py_layout *l, const struct py_type *type, const uint8_t *object, uint32_t room,
		      bool debug)
{
	uint32_t slack = debug ? DEBUG_BEHIND_BYTES : 0;
	uint64_t items;

	if (type->flags & KINDS && room < LEAST_KIND_BYTES)
		return false;
	/* Compact strings are shorter than their type says. */
	if (type->flags & PY_TYPE_IS_STR)
		return room >= LEAST_STR_BYTES;
	if (type->basic_bytes > room)
		return false;
	if (!type->item_bytes)
		return type->flags & HEAPTYPE || room - type->basic_bytes < 16 + slack;
	/* Generators have items, but no count of them (genobject.c). */
	if (type->flags & PY_TYPE_HAS_GC)
		return true;
	if (room < VAR_HEADER_BYTES)
		return false;
	items = type->flags & PY_TYPE_IS_INT ? digits(l, object) : word_at(object, OB_SIZE);
	return items <= room && type->basic_bytes + items * type->item_bytes <= room;
}

/* The type of the object at object_at, where there is one. */
static const struct py_type *object_at(const struct leaf_reader *r, const uint8_t *bytes, uint32_t block_bytes,
				       uint32_t at, bool debug)
{
	const struct py_type *type;
	uint32_t before = debug ? at - DEBUG_BYTES : at;

	if (at + OBJECT_HEADER_BYTES > block_bytes || !py_type__is_refcount(r->layout->version, word_at(bytes, at)))
		return NULL;
	type = py_types__look(r->types, word_at(bytes, at + OB_TYPE));
	if (!type || type->before_bytes != before || !size_fits(r->layout, type, bytes + at, block_bytes - at, debug))
		return NULL;
	return type;
}

static const struct py_type *find_object(const struct leaf_reader *r, const uint8_t *bytes, uint32_t block_bytes,
					 uint8_t *at)
{
	bool debug = (word_at(bytes, 8) & ~0xffull) == DEBUG_FORBIDDEN;
	const struct py_type *type = NULL;

	for (uint32_t before = 0; !type && before <= 32; before += 16) {
		*at = before + (debug ? DEBUG_BYTES : 0);
		type = object_at(r, bytes, block_bytes, *at, debug);
	}
	return type;
}

static uint32_t object_end(const struct pymalloc_print *p, const struct py_type *type, const uint8_t *object)
{
	uint64_t end = p->object_at + type->basic_bytes;

	if (type->flags & PY_TYPE_IS_TUPLE)
		end += word_at(object, OB_SIZE) < PYMALLOC_MAX_BLOCK_BYTES ? word_at(object, OB_SIZE) * 8
									   : p->block_bytes;
	else if (type->flags & INLINE_VALUES || type->item_bytes)
		end = p->block_bytes;
	return end < p->block_bytes ? end : p->block_bytes;
}

/* Adds `len` bytes at `at`, counted from the object, to what never changes, as far as the block goes. */
static void fix(struct pymalloc_print *p, int i, uint32_t at, uint64_t len)
{
	at += p->object_at;
	if (at >= p->block_bytes)
		return;
	p->fixed_at[i] = at;
	p->fixed_bytes[i] = len < p->block_bytes - at ? len : p->block_bytes - at;
}

static void print_str(struct pymalloc_print *p, const struct py_layout *l, const uint8_t *object)
{
	uint32_t state = word_at(object, l->unicode.state);
	uint64_t length = word_at(object, l->unicode.length);

	fix(p, 0, l->unicode.length, 8);
	if (!(state & STATE_COMPACT))
		fix(p, 1, l->unicode.compact_data, 8);
	else if (length < PYMALLOC_MAX_BLOCK_BYTES)
		fix(p, 1, state & STATE_ASCII ? l->unicode.ascii_data : l->unicode.compact_data,
		    length * STATE_KIND(state));
	p->once_at = p->object_at + VAR_HEADER_BYTES;
}

/* What is immutable is told by its contents. False: it is not. */
static bool print_immutable(struct pymalloc_print *p, const struct py_layout *l, const struct py_type *type,
			    const uint8_t *object)
{
	uint64_t size = type->flags & KINDS ? word_at(object, OB_SIZE) : 0;

	size = size < PYMALLOC_MAX_BLOCK_BYTES ? size : PYMALLOC_MAX_BLOCK_BYTES;
	if (type->flags & PY_TYPE_IS_STR) {
		print_str(p, l, object);
	} else if (type->flags & PY_TYPE_IS_BYTES) {
		fix(p, 0, OB_SIZE, 8);
		fix(p, 1, l->bytes.data, size);
		p->once_at = p->object_at + VAR_HEADER_BYTES;
	} else if (type->flags & PY_TYPE_IS_INT) {
		uint64_t cnt = digits(l, object);

		fix(p, 0, OB_SIZE, 8 + 4 * (cnt < PYMALLOC_MAX_BLOCK_BYTES ? cnt : PYMALLOC_MAX_BLOCK_BYTES));
	} else if (type->flags & PY_TYPE_IS_TUPLE) {
		/* 3.14 keeps the hash between size and items. */
		bool hashed = l->version >= PY_VERSION(3, 14);

		p->leads = true;
		fix(p, 0, OB_SIZE, 8);
		fix(p, 1, hashed ? VAR_HEADER_BYTES + 8 : VAR_HEADER_BYTES, size * 8);
		p->once_at = hashed ? p->object_at + VAR_HEADER_BYTES : 0;
	} else if (!(type->flags & (HEAPTYPE | PY_TYPE_HAS_GC)) &&
		   (!strcmp(type->name, "float") || !strcmp(type->name, "complex"))) {
		fix(p, 0, OBJECT_HEADER_BYTES, type->basic_bytes - OBJECT_HEADER_BYTES);
	} else {
		return false;
	}
	return true;
}

/*
 * Small numbers and pointers that everybody has tell nothing, and larger numbers neither in memory without an object or
 * with attributes in it: they may be sizes, packed.
 */
static bool tells(const struct pymalloc_print *p, uint64_t word, const struct leaf_reader *r)
{
	if (word < TELLING_FROM || -word < TELLING_FROM)
		return false;
	if (!p->numbers_tell && (word % 8 || word >= POINTER_END))
		return false;
	return !leaf_reader__is_shared(r, word);
}

static uint32_t word_place(const struct pymalloc_print *p, unsigned int i)
{
	return p->words_at + i * 8 + (i < p->head_cnt ? 0 : GC_HEAD_BYTES + OBJECT_HEADER_BYTES);
}

/* Two pointers to one place are one fact. */
static bool is_printed(const struct pymalloc_print *p, uint16_t folded)
{
	for (int i = 0; i < p->word_cnt; i++) {
		if (p->word[i] == folded)
			return true;
	}
	return false;
}

static void print_words(struct pymalloc_print *p, const uint8_t *bytes, const struct leaf_reader *r)
{
	for (; p->word_cnt < PYMALLOC_PRINT_WORDS && word_place(p, p->word_cnt) + 8 <= p->end; p->word_cnt++) {
		uint64_t word = word_at(bytes, word_place(p, p->word_cnt));

		p->telling |= (tells(p, word, r) && !is_printed(p, fold(word))) << p->word_cnt;
		p->word[p->word_cnt] = fold(word);
	}
}

/* Words that may change, of an object or of memory without one. */
static void print_mutable(struct pymalloc_print *p, const struct py_type *type, const uint8_t *bytes,
			  const struct leaf_reader *r)
{
	p->head_cnt = PYMALLOC_PRINT_WORDS;
	p->numbers_tell = type && !(type->flags & INLINE_VALUES);
	if (type) {
		bool managed = type->before_bytes > GC_HEAD_BYTES;

		p->head_cnt = managed ? MANAGED_WORDS : 0;
		p->words_at = p->object_at - (managed ? type->before_bytes : GC_HEAD_BYTES);
	}
	print_words(p, bytes, r);
	/* ma_version_tag (to 3.11), watchers and version (3.12, 3.13): new with each change. */
	if (type && type->flags & PY_TYPE_IS_DICT)
		p->telling &= ~(1u << (p->head_cnt + 1));
}

static bool has_links(const struct pymalloc_print *p, const struct py_type *type)
{
	return type->flags & PY_TYPE_HAS_GC && p->object_at >= GC_HEAD_BYTES;
}

static uint16_t link(const struct pymalloc_print *p, const uint8_t *bytes, int i)
{
	return fold(word_at(bytes, p->object_at - GC_HEAD_BYTES + i * 8) & ~GC_FLAGS);
}

void pymalloc__take_print(const struct leaf_reader *r, const void *block, uint32_t block_bytes,
			  struct pymalloc_print *ret)
{
	struct pymalloc_print p = { .block_bytes = block_bytes };
	const uint8_t *bytes = block;
	const struct py_type *type = find_object(r, bytes, block_bytes, &p.object_at);

	p.type = type ? type->addr : 0;
	p.end = type ? object_end(&p, type, bytes + p.object_at) : block_bytes;
	if (!type) {
		print_mutable(&p, NULL, bytes, r);
	} else if (print_immutable(&p, r->layout, type, bytes + p.object_at)) {
		p.fixed = hash_fixed(&p, bytes);
		p.once = p.once_at ? word_at(bytes, p.once_at) : 0;
	} else {
		print_mutable(&p, type, bytes, r);
		for (int i = 0; has_links(&p, type) && i < 2; i++)
			p.link[i] = link(&p, bytes, i);
	}
	*ret = p;
}

struct pymalloc_kind pymalloc__kind(const struct pymalloc_print *p)
{
	uint64_t hash = PY_HASH_STEP(p->type, p->object_at);

	return (struct pymalloc_kind){
		.type = p->type ? (uint32_t)(hash >> 32) | 2 : 1,
		.shape = p->fixed_bytes[0] ? 1 + p->fixed_bytes[0] + p->fixed_bytes[1] : 0,
	};
}

bool pymalloc__hash_immutable(const struct py_layout *l, const struct py_type *type, const void *object, uint32_t room,
			      uint64_t *ret)
{
	struct pymalloc_print p = { .block_bytes = room };

	if (type->flags & PY_TYPE_IS_TUPLE ||
	    room < (type->flags & PY_TYPE_IS_STR ? LEAST_STR_BYTES : LEAST_KIND_BYTES) ||
	    !print_immutable(&p, l, type, object))
		return false;
	*ret = PY_HASH_STEP(hash_fixed(&p, object), type->addr);
	return true;
}

bool pymalloc__wants_leaves(const struct pymalloc_print *p)
{
	return !p->fixed_bytes[0] || p->leads;
}

static uint32_t sum_leaves(const struct pymalloc_leaves *leaves)
{
	uint32_t sum = leaves->cnt;

	for (int i = 0; i < leaves->cnt; i++)
		sum += leaves->hash[i] * 0x9E3779B1u;
	return sum;
}

void pymalloc__add_leaves(struct pymalloc_print *p, const struct pymalloc_leaves *leaves)
{
	p->leaf_sum = sum_leaves(leaves);
	for (int i = 0; i < leaves->cnt && p->leaf_cnt < PYMALLOC_PRINT_LEAVES; i++) {
		if (leaves->owned >> i & 1)
			p->leaf[p->leaf_cnt++] = leaves->hash[i];
	}
}

static bool has_leaf(const struct pymalloc_leaves *leaves, uint32_t hash)
{
	for (int i = 0; i < leaves->cnt; i++) {
		if (leaves->hash[i] == hash)
			return true;
	}
	return false;
}

/* How many of the leaves it had it still has. */
static int kept_leaves(const struct pymalloc_print *p, const struct pymalloc_leaves *leaves)
{
	int kept = 0;

	for (int i = 0; i < p->leaf_cnt; i++)
		kept += has_leaf(leaves, p->leaf[i]);
	return kept;
}

static bool same_contents(const struct pymalloc_print *p, const uint8_t *now)
{
	/* -1: not computed yet (Objects/unicodeobject.c, bytesobject.c, tupleobject.c). */
	bool hash_lost = p->once_at && p->once != UINT64_MAX && word_at(now, p->once_at) != p->once;

	return hash_fixed(p, now) == p->fixed && !hash_lost;
}

static bool has_same_link(const struct pymalloc_print *p, const uint8_t *now)
{
	return (p->link[0] && link(p, now, 0) == p->link[0]) || (p->link[1] && link(p, now, 1) == p->link[1]);
}

/* A word that tells nothing where it is equal still tells something where it is not. */
static enum pymalloc_same same_words(const struct pymalloc_print *p, const uint8_t *now)
{
	unsigned int telling = 0, equal = 0, other = 0;

	for (int i = 0; i < p->word_cnt; i++) {
		bool tells_something = p->telling >> i & 1,
		     is_equal = fold(word_at(now, word_place(p, i))) == p->word[i];

		telling += tells_something;
		equal += tells_something && is_equal;
		other += !tells_something && !is_equal;
	}
	if (telling && equal == telling)
		return BLOCK_SAME;
	if (telling >= 2 && !equal)
		return BLOCK_REPLACED;
	return (equal || !(telling + other)) && has_same_link(p, now) ? BLOCK_SAME : BLOCK_UNSURE;
}

enum pymalloc_same pymalloc__same_block(const struct pymalloc_print *p, const void *block,
					const struct pymalloc_leaves *leaves)
{
	const uint8_t *now = block;
	enum pymalloc_same same;

	if (p->type && word_at(now, p->object_at + OB_TYPE) != p->type)
		return BLOCK_REPLACED;
	if (p->fixed_bytes[0] && !same_contents(p, now))
		return BLOCK_REPLACED;
	if (leaves && p->leaf_cnt) {
		if (kept_leaves(p, leaves))
			return BLOCK_SAME;
		/* One alone may have been set anew, but in a tuple. */
		return p->leaf_cnt > 1 || p->leads ? BLOCK_REPLACED : BLOCK_UNSURE;
	}
	same = p->fixed_bytes[0] ? BLOCK_SAME : same_words(p, now);
	return same == BLOCK_SAME && leaves && sum_leaves(leaves) != p->leaf_sum ? BLOCK_UNSURE : same;
}
