/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Growing arrays, an open-addressing hash of indexes (linear probing, at most 3/4 full, nothing is
 * ever removed), and interned strings in chunks that never move. Knows nothing of profiles.
 */
#include "model/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)

struct strings_chunk {
	struct strings_chunk *next;
	size_t used, size;
	char data[];
};

int array__reserve(void **items, uint32_t *capacity, uint32_t n, size_t size)
{
	uint64_t want = *capacity ? (uint64_t)*capacity * 2 : 64;
	void *grown;

	if (n < *capacity)
		return 0;
	if (want > UINT32_MAX)
		want = UINT32_MAX;
	if (n >= want)
		return -ENOMEM;
	grown = reallocarray(*items, want, size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*capacity = want;
	return 0;
}

/* The low bits choose the slot, so the high bits, which multiplication mixes best, must reach them.
 */
static uint32_t fold(uint64_t hash)
{
	return (uint32_t)(hash ^ hash >> 32);
}

static void put(struct index_table *t, uint32_t hash, uint32_t item)
{
	uint32_t i = hash & (t->capacity - 1);

	while (t->slots[i].item_plus_1)
		i = (i + 1) & (t->capacity - 1);
	t->slots[i] = (struct index_slot){.hash = hash, .item_plus_1 = item + 1};
}

uint32_t index_table__find(const struct index_table *t, uint64_t hash, index_equal_fn equal,
			   const void *owner, const void *key)
{
	uint32_t h = fold(hash), i;

	if (!t->capacity)
		return INTERN_NONE;
	for (i = h & (t->capacity - 1); t->slots[i].item_plus_1; i = (i + 1) & (t->capacity - 1)) {
		uint32_t item = t->slots[i].item_plus_1 - 1;

		if (t->slots[i].hash == h && equal(owner, item, key))
			return item;
	}
	return INTERN_NONE;
}

int index_table__reserve(struct index_table *t)
{
	struct index_table grown = {.capacity = t->capacity ? t->capacity * 2 : 64, .n = t->n};

	if ((uint64_t)t->n + 1 <= (uint64_t)t->capacity / 4 * 3)
		return 0;
	if (t->capacity > UINT32_MAX / 2)
		return -ENOMEM;
	grown.slots = calloc(grown.capacity, sizeof(*grown.slots));
	if (!grown.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->capacity; i++) {
		if (t->slots[i].item_plus_1)
			put(&grown, t->slots[i].hash, t->slots[i].item_plus_1 - 1);
	}
	free(t->slots);
	*t = grown;
	return 0;
}

void index_table__put(struct index_table *t, uint64_t hash, uint32_t item)
{
	put(t, fold(hash), item);
	t->n++;
}

void index_table__free(struct index_table *t)
{
	free(t->slots);
	*t = (struct index_table){0};
}

/* FNV-1a, 64 bit (draft-eastlake-fnv). */
static uint64_t string_hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ull;
	return h;
}

static bool string_equal(const void *owner, uint32_t item, const void *key)
{
	const struct strings *set = owner;

	return !strcmp(set->items[item], key);
}

static char *store(struct strings *set, const char *s)
{
	size_t size = strlen(s) + 1, room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
	struct strings_chunk *c = set->chunks;
	char *copy;

	if (!c || c->size - c->used < size) {
		c = malloc(sizeof(*c) + room);
		if (!c)
			return NULL;
		*c = (struct strings_chunk){.next = set->chunks, .size = room};
		set->chunks = c;
	}
	copy = memcpy(c->data + c->used, s, size);
	c->used += size;
	return copy;
}

const char *strings__find(const struct strings *set, const char *s)
{
	uint32_t i = index_table__find(&set->index, string_hash(s ? s : ""), string_equal, set, s ? s : "");

	return i == INTERN_NONE ? NULL : set->items[i];
}

int strings__intern(struct strings *set, const char *s, const char **ret)
{
	uint64_t hash;
	uint32_t i;
	char *copy;
	int err;

	if (!s)
		s = "";
	hash = string_hash(s);
	i = index_table__find(&set->index, hash, string_equal, set, s);
	if (i != INTERN_NONE) {
		*ret = set->items[i];
		return 0;
	}
	err = array__reserve((void **)&set->items, &set->capacity, set->n, sizeof(*set->items));
	if (!err)
		err = index_table__reserve(&set->index);
	if (err)
		return err;
	copy = store(set, s);
	if (!copy)
		return -ENOMEM;
	set->items[set->n] = copy;
	set->bytes += strlen(copy) + 1;
	index_table__put(&set->index, hash, set->n++);
	*ret = copy;
	return 0;
}

void strings__free(struct strings *set)
{
	while (set->chunks) {
		struct strings_chunk *c = set->chunks;

		set->chunks = c->next;
		free(c);
	}
	free(set->items);
	index_table__free(&set->index);
	*set = (struct strings){0};
}
