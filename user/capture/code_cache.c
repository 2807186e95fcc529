/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/code_cache.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "python/code.h"

struct code_key {
	uint64_t addr;
	uint64_t family;
};

struct code_entry {
	struct code_key key;
	struct py_code code;
	UT_hash_handle hh;
};

/* Parts of code objects that are about to be learnt: of the few threads that send one at the same moment. */
#define MAX_PIECES 1024

struct piece {
	struct rec_code_more rec;
	struct piece *prev, *next;
};

struct code_cache {
	struct code_entry *entries; /* in order of age */
	size_t bytes, max_bytes;
	uint64_t forgotten;
	struct piece *pieces;
	unsigned int n_pieces;
};

int code_cache__new(size_t max_bytes, struct code_cache **ret)
{
	struct code_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->max_bytes = max_bytes;
	*ret = c;
	return 0;
}

static size_t bytes_of(const struct code_entry *e)
{
	return sizeof(*e) + strlen(e->code.function) + strlen(e->code.filename) + e->code.linetable_bytes;
}

static void forget(struct code_cache *c, struct code_entry *e)
{
	HASH_DEL(c->entries, e);
	c->bytes -= bytes_of(e);
	py_code__free(&e->code);
	free(e);
}

/* Half of them, lest it begins anew with each that comes. */
static void forget_oldest(struct code_cache *c)
{
	while (c->entries && c->bytes > c->max_bytes / 2) {
		forget(c, c->entries);
		c->forgotten++;
	}
}

uint64_t code_cache__forgotten(const struct code_cache *c)
{
	return c->forgotten;
}

static void drop_piece(struct code_cache *c, struct piece *p)
{
	DL_DELETE(c->pieces, p);
	c->n_pieces--;
	free(p);
}

void code_cache__free(struct code_cache *c)
{
	if (!c)
		return;
	while (c->entries)
		forget(c, c->entries);
	while (c->pieces)
		drop_piece(c, c->pieces);
	free(c);
}

static bool belongs(const struct rec_code_more *more, const struct rec_code *rec)
{
	return more->code == rec->code && more->family == rec->family;
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
	if (c->bytes > c->max_bytes)
		forget_oldest(c);
	HASH_ADD(hh, c->entries, key, sizeof(e->key), e);
	c->bytes += bytes_of(e);
	*ret = e;
	return 0;
}

/* Memory as records captured it, else of the process. */
struct captured {
	const struct rec_code *rec;
	const struct piece *pieces;
	struct mem_reader process;
};

/* How many bytes from addr on stand behind each other in one record; *ret: where. */
static size_t captured_at(const struct captured *c, uint64_t addr, const uint8_t **ret)
{
	const uint8_t *bytes[CODE_PARTS] = {
		c->rec->object, c->rec->part[0], c->rec->part[1], c->rec->part[2], c->rec->table,
	};
	const struct piece *p;
	int i;

	for (i = 0; i < CODE_PARTS; i++) {
		if (addr - c->rec->addr[i] < c->rec->got[i]) {
			*ret = bytes[i] + (addr - c->rec->addr[i]);
			return c->rec->got[i] - (addr - c->rec->addr[i]);
		}
	}
	DL_FOREACH(c->pieces, p) {
		if (belongs(&p->rec, c->rec) && addr - p->rec.addr < p->rec.got) {
			*ret = p->rec.bytes + (addr - p->rec.addr);
			return p->rec.got - (addr - p->rec.addr);
		}
	}
	return 0;
}

static int read_captured(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	const struct captured *c = m->ctx;
	const uint8_t *from;
	size_t n, done = 0;

	while (done < len) {
		n = captured_at(c, addr + done, &from);
		if (!n)
			return mem__read(&c->process, addr, buf, len);
		n = n < len - done ? n : len - done;
		memcpy((char *)buf + done, from, n);
		done += n;
	}
	return 0;
}

void code_cache__learn_more(struct code_cache *c, const struct rec_code_more *rec)
{
	struct piece *p = malloc(sizeof(*p));

	if (!p)
		return;
	p->rec = *rec;
	DL_APPEND(c->pieces, p);
	if (++c->n_pieces > MAX_PIECES)
		drop_piece(c, c->pieces);
}

static void drop_pieces_of(struct code_cache *c, const struct rec_code *rec)
{
	struct piece *p, *next;

	DL_FOREACH_SAFE(c->pieces, p, next) {
		if (belongs(&p->rec, rec))
			drop_piece(c, p);
	}
}

void code_cache__learn(struct code_cache *c, const struct rec_code *rec, pid_t tgid, const struct py_layout *l)
{
	const struct captured captured = { .rec = rec, .pieces = c->pieces, .process = mem_reader__of_process(tgid) };
	const struct mem_reader m = { .read = read_captured, .ctx = &captured };
	const struct code_key key = { .addr = rec->code, .family = rec->family };
	struct code_entry *e;

	HASH_FIND(hh, c->entries, &key, sizeof(key), e);
	if (e)
		forget(c, e);
	read_entry(c, &m, l, &key, rec->check, &e);
	drop_pieces_of(c, rec);
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
