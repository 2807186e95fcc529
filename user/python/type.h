/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Type objects of a running process: is a word the address of one, what do its objects look like, what is it called?
 * PyTypeObject (CPython Include/cpython/object.h) has its first fields at the same places in 3.8 to 3.15. A type proves
 * itself by its own type, whose tp_flags say that its objects are types.
 */
#ifndef PYTHON_TYPE_H
#define PYTHON_TYPE_H

#include <stdbool.h>

#include "python/layout.h"

#define PY_TYPE_NAME_BYTES 64

/* Bits of tp_flags, the same in all these versions (Include/object.h). */
#define PY_TYPE_HAS_GC (1u << 14)
#define PY_TYPE_IS_INT (1u << 24)
#define PY_TYPE_IS_TUPLE (1u << 26)
#define PY_TYPE_IS_BYTES (1u << 27)
#define PY_TYPE_IS_STR (1u << 28)
#define PY_TYPE_IS_DICT (1u << 29)
#define PY_TYPE_IS_TYPE (1u << 31)

struct py_type {
	uint64_t addr;
	uint32_t flags;		       /* the lower half of tp_flags */
	uint32_t basic_bytes;	       /* tp_basicsize */
	uint32_t item_bytes;	       /* tp_itemsize */
	uint32_t before_bytes;	       /* what stands in the block before the object: links of the collector, dict, weak
					  references */
	char name[PY_TYPE_NAME_BYTES]; /* tp_name, cut; bytes that are not printable ASCII are '?' */
};

struct py_types;

/* Whether a word could be the reference count of an object, which it begins with. An address of a heap could not. */
bool py_type__is_refcount(uint16_t version, uint64_t word);

/* m and l are borrowed. Bounded: at most 1 MiB. -ENOMEM. */
int py_types__new(const struct mem_reader *m, const struct py_layout *l, struct py_types **ret);
void py_types__free(struct py_types *t);

/*
 * The type at addr, or NULL: not a type, or it can't be read. Valid until the next look. Answers are kept, but
 * addresses are used again: take a new table for each snapshot.
 */
const struct py_type *py_types__look(struct py_types *t, uint64_t addr);

#endif
