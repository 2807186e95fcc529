/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * glibc (2.31 to 2.42): each function has one system call, then a comparison, then the branch to what sets errno, which the kernel
 * emulates. musl (1.2) hands the result to a function: its probe stands right behind the system call.
 */
#include "system/mapping_sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "system/elf_file.h"
#include "system/machine_code.h"
#include "system/unwind_table.h"

enum { RAX = 0, RDX = 2, RSI = 6, RDI = 7, R10 = 10 }; /* as insn__gpr numbers them */
#define BIT(r) (1u << (r))

/* By enum map_call; registers: what is to be read behind the call. */
static const struct {
	const char *symbol;
	unsigned int registers;
} functions[MAP_CALLS] = {
	[MAP_CALL_MMAP] = { "mmap", BIT(RAX) | BIT(RSI) | BIT(RDX) | BIT(R10) },
	[MAP_CALL_MUNMAP] = { "munmap", BIT(RAX) | BIT(RDI) | BIT(RSI) },
	[MAP_CALL_MREMAP] = { "mremap", BIT(RAX) | BIT(RDI) | BIT(RSI) | BIT(RDX) },
	[MAP_CALL_MPROTECT] = { "mprotect", BIT(RAX) | BIT(RDI) | BIT(RSI) | BIT(RDX) },
	[MAP_CALL_MADVISE] = { "madvise", BIT(RAX) | BIT(RDI) | BIT(RSI) | BIT(RDX) },
	[MAP_CALL_BRK] = { "brk", BIT(RAX) },
};

/* What a file says, by build id. */
struct library {
	char key[128];
	struct mapping_site site[MAP_CALLS];
	UT_hash_handle hh;
};

struct mapping_finder {
	struct proc *proc;
	struct library *libraries;
};

int mapping_finder__new(struct mapping_finder **ret)
{
	struct mapping_finder *f = calloc(1, sizeof(*f));

	if (!f || proc__open(NULL, &f->proc)) {
		free(f);
		return -ENOMEM;
	}
	*ret = f;
	return 0;
}

void mapping_finder__free(struct mapping_finder *f)
{
	struct library *l, *next;

	if (!f)
		return;
	HASH_ITER(hh, f->libraries, l, next) {
		HASH_DEL(f->libraries, l);
		free(l);
	}
	proc__free(f->proc);
	free(f);
}

/* ---- behind the system call ---- */

struct behind {
	unsigned int registers;
	bool called;
	uint64_t addr;
	bool emulated;
	char text[48];
};

static bool writes_any(const struct insn *insn, unsigned int registers)
{
	for (int r = 0; registers >> r; r++)
		if (registers >> r & 1 && insn__writes(insn, r))
			return true;
	return false;
}

/* The first instruction, or the first that the kernel emulates if all is there until then. */
static int look_behind(const struct insn *insn, void *arg)
{
	struct behind *b = arg;

	if (!b->called) {
		b->called = insn->i.mnemonic == ZYDIS_MNEMONIC_SYSCALL;
		return 0;
	}
	if (!b->addr || insn__emulated(insn)) {
		b->addr = insn->addr;
		b->emulated = insn__emulated(insn);
		insn__text(insn, b->text, sizeof(b->text));
	}
	return b->emulated || writes_any(insn, b->registers);
}

/* The return address stands right below what the caller's stack pointer will be. */
static int32_t caller_at(const struct elf_file *f, uint64_t addr)
{
	struct native_rule rule;

	return unwind_table__rule(f, addr, &rule) || rule.from != NATIVE_FROM_SP || rule.cfa < 8 ? -1 : rule.cfa - 8;
}

static void find_site(const struct elf_file *f, const struct machine_code *code, enum map_call call, struct mapping_site *ret)
{
	struct behind b = { .registers = functions[call].registers };
	struct elf_symbol symbol, function;

	if (elf_file__exported(f, functions[call].symbol, &symbol) && elf_file__symbol(f, functions[call].symbol, &symbol))
		return;
	if (machine_code__function(code, symbol.addr, &function) || function.addr != symbol.addr || machine_code__check(code, &function))
		return;
	if (machine_code__walk(code, &function, look_behind, &b) < 0 || !b.addr || elf_file__file_offset(f, b.addr, &ret->offset))
		return;
	ret->emulated = b.emulated;
	ret->into = b.addr - symbol.addr;
	ret->symbol = functions[call].symbol;
	memcpy(ret->insn, b.text, sizeof(ret->insn));
	ret->caller_at = caller_at(f, b.addr);
}

static void find_sites(const struct elf_file *f, struct library *l)
{
	struct machine_code *code;

	if (machine_code__open(f, &code))
		return;
	for (int call = 0; call < MAP_CALLS; call++)
		find_site(f, code, call, &l->site[call]);
	machine_code__free(code);
}

static int look_up(struct mapping_finder *finder, const char *path, struct mapping_file *ret)
{
	struct elf_file *f;
	struct library *l;
	char id[65], key[128];
	int err = elf_file__open(path, &f);

	if (err)
		return err;
	elf_file__build_id(f, id);
	snprintf(key, sizeof(key), "%.64s %.60s", id, id[0] ? "" : path);
	HASH_FIND_STR(finder->libraries, key, l);
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (l) {
			memcpy(l->key, key, sizeof(key));
			find_sites(f, l);
			HASH_ADD_STR(finder->libraries, key, l);
		}
	}
	elf_file__free(f);
	if (!l)
		return -ENOMEM;
	memcpy(ret->site, l->site, sizeof(ret->site));
	return l->site[MAP_CALL_MMAP].offset ? 0 : -ENOENT;
}

/* ---- which file ---- */

struct search {
	pid_t tgid;
	struct mapping_file *ret;
};

static int look_at_map(const struct proc_map *m, void *arg)
{
	struct search *s = arg;
	struct stat st;

	if (!m->executable || m->path[0] != '/' || !mapped_file__is_c_library(m->path) || mapped_file__path(s->tgid, m, false, s->ret->host_path, &st))
		return 0;
	snprintf(s->ret->path, sizeof(s->ret->path), "%s", m->path);
	return 1;
}

int mapping_finder__find(struct mapping_finder *f, pid_t tgid, const char *program, struct mapping_file *ret)
{
	struct mapping_file file = {};
	struct search s = { .tgid = tgid, .ret = &file };
	int err = proc__for_each_map(f->proc, tgid, look_at_map, &s);

	if (err < 0)
		return err;
	if (!err)
		snprintf(file.host_path, sizeof(file.host_path), "%s", program);
	err = look_up(f, file.host_path, &file);
	if (!err)
		*ret = file;
	return err;
}
