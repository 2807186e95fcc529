/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A table of addresses that were looked at, types and others; most words that are asked for are no types. When it is
 * full all is forgotten.
 */
#include "python/type.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* PyTypeObject: PyVarObject (ob_refcnt, ob_type, ob_size), tp_name, tp_basicsize, tp_itemsize, ..., tp_flags. */
#define OB_TYPE 8
#define TP_NAME 24
#define TP_BASICSIZE 32
#define TP_ITEMSIZE 40
#define TP_FLAGS 168
#define TYPE_BYTES 176
#define READY (1u << 12) /* Py_TPFLAGS_READY */
/* 3.11+: Py_TPFLAGS_MANAGED_DICT; 3.12+: Py_TPFLAGS_MANAGED_WEAKREF, too (pycore_object.h, _PyType_PreHeaderSize). */
#define MANAGED_DICT (1u << 4)
#define MANAGED_WEAKREF (1u << 3)
#define GC_HEAD_BYTES 16
#define MANAGED_BYTES 16
/* Larger ones are not in pools or not types. */
#define MAX_BASIC_BYTES (1u << 20)
#define MAX_ITEM_BYTES 65536

#define SLOTS 16384 /* a power of two */
#define MAX_TYPES 4096

struct slot {
	uint64_t addr; /* 0: empty */
	int32_t type;  /* index, or -1: not a type */
};

struct py_types {
	const struct mem_reader *m;
	const struct py_layout *layout;
	size_t used, type_cnt;
	struct slot slot[SLOTS];
	struct py_type type[MAX_TYPES];
};

int py_types__new(const struct mem_reader *m, const struct py_layout *l, struct py_types **ret)
{
	struct py_types *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->m = m;
	t->layout = l;
	*ret = t;
	return 0;
}

void py_types__free(struct py_types *t)
{
	free(t);
}

static uint64_t word_at(const uint8_t *bytes, unsigned int at)
{
	uint64_t v;

	memcpy(&v, bytes + at, sizeof(v));
	return v;
}

static bool is_user_pointer(uint64_t word)
{
	return word % 8 == 0 && word >= 4096 && word < 1ull << 47;
}

/* 3.14: the upper half has flags and overflow (Include/refcount.h). An address has bits 32 to 47 set. */
bool py_type__is_refcount(uint16_t version, uint64_t word)
{
	return version >= PY_VERSION(3, 14) ? !(word >> 32 & 0xffff) : !(word >> 32);
}

/* Whether objects of the type at addr are types. */
static bool makes_types(const struct py_types *t, uint64_t addr)
{
	uint64_t flags;

	return is_user_pointer(addr) && !mem__read_u64(t->m, addr + TP_FLAGS, &flags) && flags & PY_TYPE_IS_TYPE &&
	       flags & READY;
}

static uint32_t before_object(uint16_t version, uint32_t flags)
{
	uint32_t managed = version >= PY_VERSION(3, 12)	  ? MANAGED_DICT | MANAGED_WEAKREF
			   : version == PY_VERSION(3, 11) ? MANAGED_DICT
							  : 0;

	return (flags & PY_TYPE_HAS_GC ? GC_HEAD_BYTES : 0) + (flags & managed ? MANAGED_BYTES : 0);
}

static void read_name(const struct py_types *t, uint64_t addr, char name[PY_TYPE_NAME_BYTES])
{
	size_t page = 4096 - addr % 4096;

	memset(name, 0, PY_TYPE_NAME_BYTES);
	/* The name may be the last thing before a page that is not mapped. */
	if (mem__read(t->m, addr, name, PY_TYPE_NAME_BYTES - 1) && page < PY_TYPE_NAME_BYTES)
		mem__read(t->m, addr, name, page);
	for (char *c = name; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

static bool read_type(const struct py_types *t, uint64_t addr, struct py_type *ret)
{
	uint8_t bytes[TYPE_BYTES];
	uint64_t basic, item;

	if (!is_user_pointer(addr) || mem__read(t->m, addr, bytes, sizeof(bytes)))
		return false;
	basic = word_at(bytes, TP_BASICSIZE);
	item = word_at(bytes, TP_ITEMSIZE);
	if (!(word_at(bytes, TP_FLAGS) & READY) || basic < 16 || basic > MAX_BASIC_BYTES || item > MAX_ITEM_BYTES ||
	    !is_user_pointer(word_at(bytes, TP_NAME) & ~7ull) || !makes_types(t, word_at(bytes, OB_TYPE)))
		return false;
	*ret = (struct py_type){
		.addr = addr, .flags = word_at(bytes, TP_FLAGS), .basic_bytes = basic, .item_bytes = item
	};
	ret->before_bytes = before_object(t->layout->version, ret->flags);
	read_name(t, word_at(bytes, TP_NAME), ret->name);
	return true;
}

const struct py_type *py_types__look(struct py_types *t, uint64_t addr)
{
	struct slot *s;

	if (!is_user_pointer(addr))
		return NULL;
	if (t->used * 4 > SLOTS * 3 || t->type_cnt == MAX_TYPES) {
		memset(t->slot, 0, sizeof(t->slot));
		t->used = t->type_cnt = 0;
	}
	for (size_t i = addr * 0x9E3779B97F4A7C15ull >> 40;; i++) {
		s = &t->slot[i % SLOTS];
		if (s->addr == addr)
			return s->type < 0 ? NULL : &t->type[s->type];
		if (!s->addr)
			break;
	}
	t->used++;
	*s = (struct slot){ .addr = addr, .type = -1 };
	if (!read_type(t, addr, &t->type[t->type_cnt]))
		return NULL;
	s->type = t->type_cnt++;
	return &t->type[s->type];
}
