/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "system/code_place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system/elf_file.h"

/* Executable mappings of one process; large programs have some hundreds. */
#define MAX_PLACES 8192

struct place {
	uint64_t start, end, offset;
	char *path;
	bool own;
};

struct code_places {
	pid_t tgid; /* 0: of no process */
	char root[64]; /* of /proc */
	const char *own;
	struct place *at; /* in order */
	size_t n, capacity;
};

int code_places__new(struct code_places **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void code_places__free(struct code_places *c)
{
	if (!c)
		return;
	while (c->n)
		free(c->at[--c->n].path);
	free(c->at);
	free(c);
}

int code_places__add(struct code_places *c, const struct proc_map *m, bool own)
{
	size_t capacity = c->capacity ? 2 * c->capacity : 64;
	void *grown;

	if (!m->executable || c->n == MAX_PLACES)
		return 0;
	if (c->n == c->capacity) {
		grown = reallocarray(c->at, capacity, sizeof(*c->at));
		if (!grown)
			return -ENOMEM;
		c->at = grown;
		c->capacity = capacity;
	}
	c->at[c->n] = (struct place){.start = m->start, .end = m->end, .offset = m->offset, .own = own};
	c->at[c->n].path = strdup(m->path);
	return c->at[c->n++].path ? 0 : -ENOMEM;
}

static int add_map(const struct proc_map *m, void *arg)
{
	struct code_places *c = arg;

	return code_places__add(c, m, !strcmp(m->path, c->own));
}

int code_places__of_process(const struct proc *p, pid_t tgid, const char *own, struct code_places **ret)
{
	struct code_places *c;
	int err = code_places__new(&c);

	if (err)
		return err;
	c->tgid = tgid;
	c->own = own;
	snprintf(c->root, sizeof(c->root), "%s", proc__root(p));
	err = proc__for_each_map(p, tgid, add_map, c);
	if (err) {
		code_places__free(c);
		return err;
	}
	*ret = c;
	return 0;
}

static const struct place *place_of(const struct code_places *c, uint64_t addr)
{
	for (size_t i = 0; i < c->n; i++)
		if (addr >= c->at[i].start && addr < c->at[i].end)
			return &c->at[i];
	return NULL;
}

bool code_places__has(const struct code_places *c, uint64_t addr)
{
	return place_of(c, addr);
}

static int name_function(const struct code_places *c, const struct place *p, uint64_t addr, char *name, size_t len)
{
	struct elf_file *f;
	char path[160];
	uint64_t at;
	int err;

	/* The file itself, whatever became of its name. */
	snprintf(path, sizeof(path), "%s/%d/map_files/%" PRIx64 "-%" PRIx64, c->root, (int)c->tgid, p->start, p->end);
	err = elf_file__open(path, &f);
	if (err)
		return err;
	err = elf_file__addr_of_offset(f, addr - p->start + p->offset, &at);
	err = err ? err : elf_file__function_at(f, at, name, len);
	elf_file__free(f);
	return err;
}

int code_places__find(const struct code_places *c, uint64_t addr, struct code_place *ret)
{
	const struct place *p = place_of(c, addr);
	size_t len, max = sizeof(ret->path) - 1;

	if (!p)
		return -ENOENT;
	*ret = (struct code_place){.own = p->own};
	len = strlen(p->path);
	if (p->path[0] == '/')
		snprintf(ret->path, sizeof(ret->path), "%s", len > max ? p->path + (len - max) : p->path);
	else
		snprintf(ret->path, sizeof(ret->path), "%s", p->path[0] ? p->path : "[anonymous]");
	if (c->tgid && p->path[0] == '/' && name_function(c, p, addr, ret->symbol, sizeof(ret->symbol)))
		ret->symbol[0] = '\0';
	return 0;
}
