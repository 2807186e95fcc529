/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The dynamic linker has written the address of malloc into a word of the interpreter's file: it tells the file.
 * Where that word was not filled in yet (lazy linking, a program held at its first instruction), or leads elsewhere
 * (a hook), the files that define malloc are gone through in the order in which symbols are looked up: the program,
 * what was preloaded or linked, the C library. A program that has its own malloc linked in statically has no such
 * word.
 *
 * The functions: malloc(3), posix_memalign(3), C23's free_sized, and C++'s operators new and delete, which call
 * malloc in libstdc++ and are only looked for in the file that has malloc (jemalloc, tcmalloc and mimalloc bring
 * their own).
 */
#include "python/malloc_sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "python/decode.h"
#include "python/python_file.h"
#include "system/mem.h"

static const struct {
	const char *symbol;
	enum large_function function;
	unsigned int args; /* bit 0: the first one is read */
} functions[] = {
	{ "malloc", LARGE_MALLOC, 1 },
	{ "calloc", LARGE_CALLOC, 3 },
	{ "realloc", LARGE_REALLOC, 3 },
	{ "reallocarray", LARGE_REALLOCARRAY, 7 },
	{ "aligned_alloc", LARGE_ALIGNED, 2 },
	{ "memalign", LARGE_ALIGNED, 2 },
	{ "posix_memalign", LARGE_POSIX_MEMALIGN, 5 },
	{ "valloc", LARGE_MALLOC, 1 },
	{ "pvalloc", LARGE_MALLOC, 1 },
	{ "free", LARGE_FREE, 1 },
	{ "cfree", LARGE_FREE, 1 },
	{ "free_sized", LARGE_FREE, 1 },
	{ "free_aligned_sized", LARGE_FREE, 1 },
	/* new, new[], each also nothrow and aligned; delete, delete[], each also sized and aligned */
	{ "_Znwm", LARGE_MALLOC, 1 },
	{ "_Znam", LARGE_MALLOC, 1 },
	{ "_ZnwmRKSt9nothrow_t", LARGE_MALLOC, 1 },
	{ "_ZnamRKSt9nothrow_t", LARGE_MALLOC, 1 },
	{ "_ZnwmSt11align_val_t", LARGE_MALLOC, 1 },
	{ "_ZnamSt11align_val_t", LARGE_MALLOC, 1 },
	{ "_ZdlPv", LARGE_FREE, 1 },
	{ "_ZdaPv", LARGE_FREE, 1 },
	{ "_ZdlPvm", LARGE_FREE, 1 },
	{ "_ZdaPvm", LARGE_FREE, 1 },
	{ "_ZdlPvSt11align_val_t", LARGE_FREE, 1 },
	{ "_ZdaPvSt11align_val_t", LARGE_FREE, 1 },
	{ "_ZdlPvmSt11align_val_t", LARGE_FREE, 1 },
	{ "_ZdaPvmSt11align_val_t", LARGE_FREE, 1 },
};
#define N_FUNCTIONS (sizeof(functions) / sizeof(functions[0]))
_Static_assert(N_FUNCTIONS <= MAX_MALLOC_SITES, "sites");

/* A file calls malloc through one word, or through one for calls and one for its address. */
#define MAX_SLOTS 4

/* What an interpreter's file says, by build id. */
struct caller {
	char key[128];
	uint64_t slot[MAX_SLOTS]; /* ELF addresses */
	size_t n;
	UT_hash_handle hh;
};

/* What a file that defines malloc says, by build id. */
struct definer {
	char key[128];
	struct malloc_site site[MAX_MALLOC_SITES];
	size_t n;
	bool musl; /* as in struct malloc_file */
	UT_hash_handle hh;
};

struct malloc_finder {
	struct proc *proc;
	struct caller *callers;
	struct definer *definers;
};

int malloc_finder__new(struct malloc_finder **ret)
{
	struct malloc_finder *f = calloc(1, sizeof(*f));

	if (!f || proc__open(NULL, &f->proc)) {
		free(f);
		return -ENOMEM;
	}
	*ret = f;
	return 0;
}

void malloc_finder__free(struct malloc_finder *f)
{
	struct definer *d, *next_definer;
	struct caller *c, *next_caller;

	if (!f)
		return;
	HASH_ITER(hh, f->callers, c, next_caller) {
		HASH_DEL(f->callers, c);
		free(c);
	}
	HASH_ITER(hh, f->definers, d, next_definer) {
		HASH_DEL(f->definers, d);
		free(d);
	}
	proc__free(f->proc);
	free(f);
}

static void make_key(const char *build_id, const char *path, char key[128])
{
	snprintf(key, 128, "%.64s %.60s", build_id, build_id[0] ? "" : path);
}

/* ---- sites ---- */

static void add_site(const struct elf_file *f, const struct machine_code *code, size_t function, uint64_t addr,
		     struct definer *d)
{
	struct malloc_site site = { .function = functions[function].function, .symbol = functions[function].symbol };
	struct decode_place place;
	size_t i;

	if (code && !decode__place(code, addr, functions[function].args, site.function != LARGE_FREE, &place)) {
		site.emulated = place.emulated;
		site.into = place.addr - addr;
		memcpy(site.insn, place.text, sizeof(site.insn));
		addr = place.addr;
	}
	if (elf_file__file_offset(f, addr, &site.offset))
		return;
	for (i = 0; i < d->n; i++) {
		if (d->site[i].offset == site.offset)
			return;
	}
	d->site[d->n++] = site;
}

static void find_sites(const struct elf_file *f, struct definer *d)
{
	struct machine_code *code = NULL;
	struct elf_symbol s;
	size_t i;

	if (machine_code__open(f, &code))
		code = NULL;
	for (i = 0; i < N_FUNCTIONS; i++) {
		if (!elf_file__exported(f, functions[i].symbol, &s) || !elf_file__symbol(f, functions[i].symbol, &s))
			add_site(f, code, i, s.addr, d);
	}
	machine_code__free(code);
}

/* A C library that is not glibc. A program may have musl linked in: then its pthread_getspecific tells. */
static bool is_musl(const struct elf_file *f)
{
	struct elf_symbol s;

	return elf_file__symbol(f, "gnu_get_libc_version", &s) && python_file__musl_specific(f);
}

static int look_up_sites(struct malloc_finder *finder, const struct elf_file *f, struct malloc_file *file)
{
	struct definer *d;
	char id[65], key[128];

	elf_file__build_id(f, id);
	make_key(id, file->path, key);
	HASH_FIND_STR(finder->definers, key, d);
	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		memcpy(d->key, key, sizeof(key));
		find_sites(f, d);
		d->musl = is_musl(f);
		HASH_ADD_STR(finder->definers, key, d);
	}
	file->site = d->site;
	file->n = d->n;
	file->musl = d->musl;
	return d->n ? 0 : -ENOENT;
}

/* ---- which file ---- */

/* How a file stands in the order in which symbols are looked up. */
enum rank { RANK_PROGRAM, RANK_LIBRARY, RANK_C_LIBRARY, RANK_NONE };

struct search {
	pid_t tgid;
	const char *program; /* path of the interpreter's file */
	uint64_t addr; /* where malloc is called; 0: any file that defines it */
	enum rank rank; /* of the best found yet */
	struct malloc_file *ret;
};

static enum rank rank_of(const struct search *s, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	if (!strcmp(path, s->program) && !strstr(name, ".so"))
		return RANK_PROGRAM;
	/* The dynamic linker's own is for itself. */
	if (!strncmp(name, "ld-linux", 8) || !strncmp(name, "ld-2", 4))
		return RANK_NONE;
	return mapped_file__is_c_library(path) ? RANK_C_LIBRARY : RANK_LIBRARY;
}

/* Whether the file defines malloc, and, where its address is known, there. */
static bool defines_malloc(const struct search *s, const struct proc_map *m, const char *host_path)
{
	struct elf_symbol symbol;
	struct elf_file *f;
	uint64_t addr;
	bool found;

	if (elf_file__open(host_path, &f))
		return false;
	found = !elf_file__exported(f, "malloc", &symbol);
	if (found && s->addr)
		found = !elf_file__addr_of_offset(f, s->addr - m->start + m->offset, &addr) && addr == symbol.addr;
	elf_file__free(f);
	return found;
}

static int look_at_map(const struct proc_map *m, void *arg)
{
	char host_path[MAPPED_FILE_PATH_BYTES];
	struct search *s = arg;
	struct stat st;
	enum rank rank;

	if (!m->executable || m->path[0] != '/' || (s->addr && (s->addr < m->start || s->addr >= m->end)))
		return 0;
	rank = s->addr ? RANK_PROGRAM : rank_of(s, m->path);
	if (rank >= s->rank || mapped_file__path(s->tgid, m, false, host_path, &st) || !defines_malloc(s, m, host_path))
		return 0;
	s->rank = rank;
	memcpy(s->ret->host_path, host_path, sizeof(host_path));
	snprintf(s->ret->path, sizeof(s->ret->path), "%s", m->path);
	return rank == RANK_PROGRAM;
}

static int search_maps(struct malloc_finder *f, pid_t tgid, const struct interp *in, uint64_t addr,
		       struct malloc_file *ret)
{
	struct search s = { .tgid = tgid, .program = in->path, .addr = addr, .rank = RANK_NONE, .ret = ret };
	int err = proc__for_each_map(f->proc, tgid, look_at_map, &s);

	return err < 0 ? err : s.rank == RANK_NONE ? -ENOENT : 0;
}

static int look_up_caller(struct malloc_finder *finder, const struct interp *in, struct caller **ret)
{
	struct elf_file *f;
	struct caller *c;
	char key[128];
	int err;

	make_key(in->build_id, in->path, key);
	HASH_FIND_STR(finder->callers, key, c);
	if (c) {
		*ret = c;
		return 0;
	}
	err = elf_file__open(in->host_path, &f);
	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (c) {
		memcpy(c->key, key, sizeof(key));
		c->n = elf_file__import_slots(f, "malloc", c->slot, MAX_SLOTS);
		HASH_ADD_STR(finder->callers, key, c);
		*ret = c;
	}
	elf_file__free(f);
	return c ? 0 : -ENOMEM;
}

static int find_file(struct malloc_finder *f, pid_t tgid, const struct interp *in, struct malloc_file *ret)
{
	struct mem_reader m = mem_reader__of_process(tgid);
	struct caller *c;
	uint64_t addr;
	size_t i;
	int err;

	err = look_up_caller(f, in, &c);
	if (err)
		return err;
	for (i = 0; i < c->n; i++) {
		if (mem__read_u64(&m, in->load_bias + c->slot[i], &addr) || !addr)
			continue;
		if (!search_maps(f, tgid, in, addr, ret))
			return 0;
	}
	if (c->n)
		return search_maps(f, tgid, in, 0, ret);
	memcpy(ret->host_path, in->host_path, sizeof(ret->host_path));
	snprintf(ret->path, sizeof(ret->path), "%.*s", (int)sizeof(ret->path) - 1, in->path);
	return 0;
}

int malloc_finder__find(struct malloc_finder *finder, pid_t tgid, const struct interp *in, struct malloc_file *ret)
{
	struct malloc_file file = {};
	struct elf_file *f;
	int err;

	err = find_file(finder, tgid, in, &file);
	err = err ? err : elf_file__open(file.host_path, &f);
	if (err)
		return err;
	err = look_up_sites(finder, f, &file);
	elf_file__free(f);
	if (!err)
		*ret = file;
	return err;
}
