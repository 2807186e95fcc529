/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Two tables: files, by device, inode and time of change, each with what it said of addresses asked about so far; and the
 * mappings of a process, which refer to files. A file is open only while it is asked about, for its symbols take memory.
 */
#include "system/mapped_code.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "system/call_site.h"
#include "system/elf_file.h"
#include "system/import_names.h"
#include "system/mapped_file.h"
#include "system/unwind_table.h"

/* Executable mappings of one process; large programs have some hundreds. */
#define MAX_MAPPINGS 8192
/* Files that no process has mapped any more, and addresses, that are remembered; about 200 bytes each. */
#define MAX_FILES 512
#define MAX_ADDRESSES 32768

struct file_key {
	uint64_t dev, ino;
	int64_t changed_s, changed_ns;
};

/* What a file says of an address. */
struct known_address {
	uint64_t at; /* ELF address; NATIVE_IS_RETURN: of a return */
	bool called; /* a call stands before it, or it is none that a call returns to */
	struct native_rule rule; /* function: ELF address */
	char *function; /* "": none is known */
	UT_hash_handle hh;
};

struct code_file {
	struct file_key key;
	struct elf_file *elf; /* NULL: closed, or no ELF file */
	bool asked; /* since the last rest */
	unsigned int mapped; /* mappings that refer to it */
	struct known_address *known;
	UT_hash_handle hh;
};

struct code_files {
	struct code_file *files;
	unsigned int n_known;
};

struct mapping {
	uint64_t start, end, offset, inode;
	bool deleted;
	bool tried; /* to find its file */
	struct code_file *file;
	char *path; /* as people are told */
};

struct mapped_code {
	const struct proc *proc;
	struct code_files *files;
	pid_t tgid;
	struct mapping *at; /* in order */
	size_t n, capacity;
	bool has_imports; /* or there are none to be had */
	struct import_names imports;
};

/* ---- files ---- */

int code_files__new(struct code_files **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void forget_addresses(struct code_files *files, struct code_file *f)
{
	struct known_address *a, *next;

	HASH_ITER(hh, f->known, a, next) {
		HASH_DEL(f->known, a);
		free(a->function);
		free(a);
		files->n_known--;
	}
}

static void forget_file(struct code_files *files, struct code_file *f)
{
	forget_addresses(files, f);
	HASH_DEL(files->files, f);
	elf_file__free(f->elf);
	free(f);
}

void code_files__free(struct code_files *files)
{
	struct code_file *f, *next;

	if (!files)
		return;
	HASH_ITER(hh, files->files, f, next)
		forget_file(files, f);
	free(files);
}

void code_files__rest(struct code_files *files)
{
	struct code_file *f, *next;

	HASH_ITER(hh, files->files, f, next) {
		if (f->asked) {
			f->asked = false;
			continue;
		}
		elf_file__free(f->elf);
		f->elf = NULL;
		if (!f->mapped && HASH_COUNT(files->files) > MAX_FILES)
			forget_file(files, f);
	}
}

/* path leads to the file now; what could not be opened is a file that says nothing. */
static struct code_file *file_of(struct code_files *files, const struct stat *st)
{
	struct file_key key = {
		.dev = st->st_dev,
		.ino = st->st_ino,
		.changed_s = st->st_ctim.tv_sec,
		.changed_ns = st->st_ctim.tv_nsec,
	};
	struct code_file *f;

	HASH_FIND(hh, files->files, &key, sizeof(key), f);
	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = key;
	HASH_ADD(hh, files->files, key, sizeof(f->key), f);
	return f;
}

static bool is_called(const struct elf_file *elf, uint64_t addr)
{
	uint8_t code[CALL_SITE_MAX_BYTES];
	size_t n = addr < sizeof(code) ? addr : sizeof(code);

	/* Fewer where the segment begins there. */
	while (n && elf_file__read(elf, addr - n, code, n))
		n--;
	return call_site__ends(code, n);
}

/* "name.cold" and "name.part.0" are parts of a function, "name@@VERSION" is not how it is called. */
static void cut_name(char *name)
{
	char *at;

	if ((at = strstr(name, ".cold")) || (at = strstr(name, "@")))
		*at = '\0';
}

static void examine(const struct elf_file *elf, struct known_address *a)
{
	bool is_return = a->at & NATIVE_IS_RETURN;
	/* The call may be a function's last instruction. */
	uint64_t addr = (a->at & ~NATIVE_IS_RETURN) - is_return;
	char name[MAPPED_CODE_NAME_BYTES];

	a->called = !is_return || is_called(elf, addr + 1);
	a->rule = (struct native_rule){ .function = addr, .end = NATIVE_END_NO_RULE };
	if (unwind_table__rule(elf, addr, &a->rule))
		a->rule = (struct native_rule){ .function = addr, .end = NATIVE_END_NO_RULE };
	name[0] = '\0';
	if (!elf_file__function_at(elf, addr, name, sizeof(name)))
		cut_name(name);
	a->function = strdup(name);
}

static struct known_address *look_into_file(struct code_files *files, struct code_file *f, uint64_t at)
{
	struct known_address *a;

	HASH_FIND(hh, f->known, &at, sizeof(at), a);
	if (a)
		return a;
	if (files->n_known >= MAX_ADDRESSES)
		forget_addresses(files, f);
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->at = at;
	examine(f->elf, a);
	if (!a->function) {
		free(a);
		return NULL;
	}
	HASH_ADD(hh, f->known, at, sizeof(a->at), a);
	files->n_known++;
	return a;
}

/* ---- mappings ---- */

static char *name_of(const struct proc_map *m)
{
	char *name;

	if (m->path[0] == '/' && m->deleted)
		return asprintf(&name, "%s (deleted)", m->path) < 0 ? NULL : name;
	return strdup(m->path[0] ? m->path : "[anonymous]");
}

static int add_mapping(const struct proc_map *m, void *arg)
{
	struct mapped_code *c = arg;
	size_t capacity = c->capacity ? 2 * c->capacity : 64;
	struct mapping *at;
	void *grown;

	if (!m->executable || c->n == MAX_MAPPINGS)
		return 0;
	if (c->n == c->capacity) {
		grown = reallocarray(c->at, capacity, sizeof(*c->at));
		if (!grown)
			return -ENOMEM;
		c->at = grown;
		c->capacity = capacity;
	}
	at = &c->at[c->n];
	*at = (struct mapping){ .start = m->start, .end = m->end, .offset = m->offset, .inode = m->inode, .deleted = m->deleted };
	at->path = name_of(m);
	if (!at->path)
		return -ENOMEM;
	c->n++;
	return 0;
}

static void forget_mappings(struct mapped_code *c)
{
	while (c->n) {
		struct mapping *m = &c->at[--c->n];

		if (m->file)
			m->file->mapped--;
		free(m->path);
	}
	free(c->at);
	c->at = NULL;
	c->capacity = 0;
}

int mapped_code__new(const struct proc *p, pid_t tgid, struct code_files *files, struct mapped_code **ret)
{
	struct mapped_code *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->proc = p;
	c->files = files;
	c->tgid = tgid;
	err = proc__for_each_map(p, tgid, add_mapping, c);
	if (err) {
		mapped_code__free(c);
		return err;
	}
	*ret = c;
	return 0;
}

void mapped_code__free(struct mapped_code *c)
{
	if (!c)
		return;
	forget_mappings(c);
	free(c);
}

static struct mapping *mapping_at(const struct mapped_code *c, uint64_t addr)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (addr >= c->at[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->n && addr >= c->at[low].start ? &c->at[low] : NULL;
}

static bool same_mapping(const struct mapping *a, const struct mapping *b)
{
	return a->start == b->start && a->end == b->end && a->offset == b->offset && a->inode == b->inode &&
	       a->deleted == b->deleted && !strcmp(a->path, b->path);
}

int mapped_code__refresh(struct mapped_code *c, bool *ret_stale)
{
	struct mapped_code *now;
	bool stale = false;
	int err = mapped_code__new(c->proc, c->tgid, c->files, &now);

	if (err)
		return err;
	for (size_t i = 0; i < c->n; i++) {
		struct mapping *old = &c->at[i], *m = mapping_at(now, old->start);

		if (!m || !same_mapping(old, m)) {
			stale = true;
			continue;
		}
		m->file = old->file;
		m->tried = old->tried;
		old->file = NULL;
	}
	forget_mappings(c);
	now->has_imports = c->has_imports && !stale;
	if (now->has_imports)
		now->imports = c->imports;
	*c = *now;
	free(now);
	*ret_stale = stale;
	return 0;
}

/* The file of a mapping, open. NULL: none, or it cannot be opened. */
static struct code_file *open_file(struct mapped_code *c, struct mapping *m)
{
	struct proc_map map = { .start = m->start, .end = m->end, .offset = m->offset, .inode = m->inode, .deleted = m->deleted,
				.path = m->path };
	char path[MAPPED_FILE_PATH_BYTES];
	struct stat st;

	if (m->path[0] != '/' || (m->file && m->file->elf))
		return m->file;
	if (m->tried && !m->file)
		return NULL;
	m->tried = true;
	if (mapped_file__path(c->tgid, &map, false, path, &st))
		return NULL;
	if (!m->file) {
		m->file = file_of(c->files, &st);
		if (!m->file)
			return NULL;
		m->file->mapped++;
	}
	if (!m->file->elf && elf_file__open(path, &m->file->elf))
		m->file->elf = NULL;
	return m->file->elf ? m->file : NULL;
}

/* Code without a file, or whose file cannot be opened, as when its process has ended: one function. */
static void say_mapping(const struct mapping *m, struct native_code *ret)
{
	*ret = (struct native_code){ .file = m->path, .rule = { .function = m->start, .end = NATIVE_END_NO_RULE } };
}

/* Files of a process that are asked what they import: the program, its libpython, ... */
#define MAX_IMPORTERS 8
#define IMPORTS_ENOUGH 4

static void find_imports(struct mapped_code *c)
{
	struct mem_reader mem = mem_reader__of_process(c->tgid);
	unsigned int files = 0;
	uint64_t addr;

	c->has_imports = true;
	for (size_t i = 0; i < c->n && files < MAX_IMPORTERS && c->imports.n < IMPORTS_ENOUGH; i++) {
		struct code_file *f = open_file(c, &c->at[i]);

		if (!f || elf_file__addr_of_mapping(f->elf, c->at[i].offset, true, &addr))
			continue;
		files++;
		import_names__add(&c->imports, f->elf, c->at[i].start - addr, &mem);
	}
}

/* function: address in the process. */
static void name_function(struct mapped_code *c, uint64_t function, uint64_t elf_function, struct native_code *ret)
{
	const char *name;

	if (!c->has_imports)
		find_imports(c);
	name = import_names__find(&c->imports, function);
	if (name)
		snprintf(ret->function, sizeof(ret->function), "%s", name);
	else
		snprintf(ret->function, sizeof(ret->function), "+0x%" PRIx64, elf_function);
}

int mapped_code__look(struct mapped_code *c, uint64_t at, struct native_code *ret)
{
	uint64_t addr = at & ~NATIVE_IS_RETURN, flag = at & NATIVE_IS_RETURN, elf_addr;
	struct mapping *m = mapping_at(c, addr - !!flag);
	struct known_address *a;
	struct code_file *f;

	if (!m)
		return -ENOENT;
	f = open_file(c, m);
	if (!f || elf_file__addr_of_offset(f->elf, addr - !!flag - m->start + m->offset, &elf_addr)) {
		say_mapping(m, ret);
		return 0;
	}
	f->asked = true;
	elf_addr += !!flag;
	a = look_into_file(c->files, f, elf_addr | flag);
	if (!a)
		return -ENOMEM;
	if (!a->called)
		return -EILSEQ;
	*ret = (struct native_code){ .file = m->path, .rule = a->rule };
	ret->rule.function += addr - elf_addr;
	if (a->function[0])
		snprintf(ret->function, sizeof(ret->function), "%s", a->function);
	else
		name_function(c, ret->rule.function, a->rule.function, ret);
	return 0;
}
