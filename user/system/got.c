/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "system/got.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>

/* An interpreter's relocations are 1 MiB, its dynamic symbols 100 KiB. */
#define MAX_SECTION_BYTES (16ull << 20)

struct word {
	uint64_t at, points_to;
};

struct got {
	struct word *words; /* sorted by at */
	size_t cnt;
};

struct input {
	struct elf_symbol table; /* .got */
	Elf64_Rela *relocations;
	size_t relocation_cnt;
	Elf64_Sym *symbols;
	size_t symbol_cnt;
};

/* A whole section as an array; one that is not there is empty. */
static int read_section(const struct elf_file *f, const char *name, size_t entry_bytes, void **ret, size_t *cnt)
{
	struct elf_symbol section;
	int err;

	*ret = NULL;
	*cnt = 0;
	if (elf_file__section(f, name, &section))
		return 0;
	if (section.size > MAX_SECTION_BYTES)
		return -E2BIG;
	*ret = malloc(section.size + 1);
	if (!*ret)
		return -ENOMEM;
	err = elf_file__read(f, section.addr, *ret, section.size);
	*cnt = err ? 0 : section.size / entry_bytes;
	return err;
}

static uint64_t points_to(const struct input *in, const Elf64_Rela *r)
{
	size_t symbol = ELF64_R_SYM(r->r_info);

	switch (ELF64_R_TYPE(r->r_info)) {
	case R_X86_64_RELATIVE:
		return r->r_addend;
	case R_X86_64_GLOB_DAT:
	case R_X86_64_64:
		if (symbol >= in->symbol_cnt || in->symbols[symbol].st_shndx == SHN_UNDEF)
			return 0;
		return in->symbols[symbol].st_value + r->r_addend;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b)
{
	const struct word *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static int fill(struct got *g, const struct input *in)
{
	g->words = calloc(in->relocation_cnt + 1, sizeof(*g->words));
	if (!g->words)
		return -ENOMEM;
	for (size_t i = 0; i < in->relocation_cnt; i++) {
		struct word w = { .at = in->relocations[i].r_offset };

		if (w.at - in->table.addr >= in->table.size)
			continue;
		w.points_to = points_to(in, &in->relocations[i]);
		if (w.points_to)
			g->words[g->cnt++] = w;
	}
	qsort(g->words, g->cnt, sizeof(*g->words), compare);
	return 0;
}

int got__open(const struct elf_file *f, struct got **ret)
{
	struct input in = { 0 };
	struct got *g;
	int err = 0;

	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	if (!elf_file__section(f, ".got", &in.table))
		err = read_section(f, ".rela.dyn", sizeof(Elf64_Rela), (void **)&in.relocations, &in.relocation_cnt);
	if (!err)
		err = read_section(f, ".dynsym", sizeof(Elf64_Sym), (void **)&in.symbols, &in.symbol_cnt);
	if (!err)
		err = fill(g, &in);
	free(in.relocations);
	free(in.symbols);
	if (err) {
		got__free(g);
		return err;
	}
	*ret = g;
	return 0;
}

void got__free(struct got *g)
{
	if (!g)
		return;
	free(g->words);
	free(g);
}

uint64_t got__pointer(const struct got *g, uint64_t at)
{
	const struct word key = { .at = at };
	const struct word *found = bsearch(&key, g->words, g->cnt, sizeof(*g->words), compare);

	return found ? found->points_to : 0;
}
