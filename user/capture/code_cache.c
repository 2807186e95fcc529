/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/code_cache.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "python/code.h"

/* Beyond this many code objects (a program that compiles without end) all are forgotten and read again as needed. */
#define MAX_CODES 65536

struct code_key {
	uint64_t addr;
	uint64_t family;
};

struct code_entry {
	struct code_key key;
	struct py_code code;
	UT_hash_handle hh;
};

struct code_cache {
	struct code_entry *entries;
};

int code_cache__new(struct code_cache **ret)
{
	struct code_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*ret = c;
	return 0;
}

static void forget_all(struct code_cache *c)
{
	struct code_entry *e, *next;

	HASH_ITER(hh, c->entries, e, next) {
		HASH_DEL(c->entries, e);
		py_code__free(&e->code);
		free(e);
	}
}

void code_cache__free(struct code_cache *c)
{
	if (!c)
		return;
	forget_all(c);
	free(c);
}

static void forget(struct code_cache *c, struct code_entry *e)
{
	HASH_DEL(c->entries, e);
	py_code__free(&e->code);
	free(e);
}

static int read_entry(struct code_cache *c, const struct mem_reader *m, const struct py_layout *l,
		      const struct code_key *key, uint64_t check, struct code_entry **ret)
{
	struct code_entry *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->key = *key;
	err = py_code__read(m, l, key->addr, &e->code);
	if (!err && e->code.check != check) {
		py_code__free(&e->code);
		err = -ESTALE;
	}
	if (err) {
		free(e);
		return err;
	}
	if (HASH_COUNT(c->entries) >= MAX_CODES)
		forget_all(c);
	HASH_ADD(hh, c->entries, key, sizeof(e->key), e);
	*ret = e;
	return 0;
}

/* Memory as a record captured it, else of the process. */
struct captured {
	const struct rec_code *rec;
	struct mem_reader process;
};

static int read_captured(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	const struct captured *c = m->ctx;
	const uint8_t *bytes[CODE_PARTS] = {
		c->rec->object, c->rec->part[0], c->rec->part[1], c->rec->part[2], c->rec->table,
	};
	int i;

	for (i = 0; i < CODE_PARTS; i++) {
		uint64_t at = addr - c->rec->addr[i];

		if (addr >= c->rec->addr[i] && at <= c->rec->got[i] && len <= c->rec->got[i] - at) {
			memcpy(buf, bytes[i] + at, len);
			return 0;
		}
	}
	return mem__read(&c->process, addr, buf, len);
}

void code_cache__learn(struct code_cache *c, const struct rec_code *rec, pid_t tgid, const struct py_layout *l)
{
	const struct captured captured = { .rec = rec, .process = mem_reader__of_process(tgid) };
	const struct mem_reader m = { .read = read_captured, .ctx = &captured };
	const struct code_key key = { .addr = rec->code, .family = rec->family };
	struct code_entry *e;

	HASH_FIND(hh, c->entries, &key, sizeof(key), e);
	if (e)
		forget(c, e);
	read_entry(c, &m, l, &key, rec->check, &e);
}

static const char *why_unnamed(int err)
{
	switch (err) {
	case -ESTALE:
		return "[code object was replaced]";
	case -ESRCH:
		return "[process ended before its code object was read]";
	default:
		return "[code object is not readable]";
	}
}

/*
 * 3.12+: under an __init__ that a call was specialised for stands a frame of the interpreter's own, whose code has
 * __init__ for its file, too (_Py_InitCleanup, Python/specialize.c).
 */
static bool is_shim(const struct py_code *c)
{
	return !strcmp(c->filename, "__init__") && !strcmp(c->function, "__init__");
}

int64_t code_cache__frame(struct code_cache *c, const struct mem_reader *m, const struct py_layout *l, uint32_t family,
			  const struct py_frame *f, struct profile *p)
{
	const struct code_key key = { .addr = f->code, .family = family };
	struct profile_frame frame = { .kind = FRAME_REASON, .file = "" };
	struct code_entry *e;
	int err;

	HASH_FIND(hh, c->entries, &key, sizeof(key), e);
	if (e && e->code.check != f->check) {
		forget(c, e);
		e = NULL;
	}
	err = e ? 0 : read_entry(c, m, l, &key, f->check, &e);
	if (err == -ENOMEM)
		return err;
	if (err) {
		frame.function = why_unnamed(err);
		return profile__add_frame(p, &frame);
	}
	if (is_shim(&e->code))
		return -ENODATA;
	frame.kind = FRAME_PYTHON;
	frame.function = e->code.function;
	frame.file = e->code.filename;
	frame.line = py_code__line(&e->code, f->instr);
	return profile__add_frame(p, &frame);
}
