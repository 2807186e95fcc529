/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What dense arrays need to find their items again: growth, a hash from key to index, and interned strings. The hash
 * keeps indexes only (8 bytes a slot), so the arrays may move; uthash would want 56 bytes an item and fixed addresses.
 */
#ifndef MODEL_INTERN_H
#define MODEL_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INTERN_NONE UINT32_MAX

/* Makes room for item number n in an array of items of `size` bytes. Zeroes nothing. 0 or -ENOMEM. */
int array__reserve(void **items, uint32_t *capacity, uint32_t n, size_t size);

struct index_slot {
	uint32_t hash;
	uint32_t item_plus_1; /* 0: empty */
};

/* All zero is an empty one. */
struct index_table {
	struct index_slot *slots;
	uint32_t capacity; /* a power of two, or 0 */
	uint32_t n;
};

/* Is the owner's item of that index the one with this key? */
typedef bool (*index_equal_fn)(const void *owner, uint32_t item, const void *key);

uint32_t index_table__find(const struct index_table *t, uint64_t hash, index_equal_fn equal,
			   const void *owner, const void *key);
/* Makes room for one more; then put cannot fail. 0 or -ENOMEM. */
int index_table__reserve(struct index_table *t);
void index_table__put(struct index_table *t, uint64_t hash, uint32_t item);
void index_table__free(struct index_table *t);

/* All zero is an empty one. */
struct strings {
	struct index_table index;
	char **items;
	uint32_t n, capacity;
	struct strings_chunk *chunks;
	uint64_t bytes; /* of all strings */
};

/* The one copy of s; lives as long as the set, so equal strings have equal addresses. NULL counts as "". */
int strings__intern(struct strings *set, const char *s, const char **ret);
/* Its one copy, or NULL where the set does not have it. */
const char *strings__find(const struct strings *set, const char *s);
void strings__free(struct strings *set);

#endif
