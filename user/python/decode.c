/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Allocators: CPython Objects/obmalloc.c. Up to 3.11 three globals of type PyMemAllocatorEx,
 * _PyMem_Raw, _PyMem and _PyObject, which only .symtab names; from 3.12 on
 * _PyRuntime.allocators.standard.{raw, mem, obj} (Include/internal/pycore_runtime.h). Both are set
 * up at build time, so the file tells the functions: as they are, or as relative relocations. What
 * a running process has there instead is for who reads its memory.
 *
 * Every pointer of a table must be the start of a function that .eh_frame knows; that is the proof
 * that a place is one.
 */
#include "python/decode.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/layout.h"
#include "system/machine_state.h"

/* Relocations of an interpreter are below 1 MiB. */
#define MAX_RELOCATION_BYTES (16ull << 20)
/* How far into a public function its table is looked for; the longest way seen is ten instructions.
 */
#define MAX_STUB_INSNS 24
#define MAX_STUB_CANDIDATES 8
/* Prologues are shorter. */
#define MAX_PROLOGUE_INSNS 16

static const char *const tables[ALLOC_DOMAINS] = {"_PyMem_Raw", "_PyMem", "_PyObject"};
static const char *const public_malloc[ALLOC_DOMAINS] = {"PyMem_RawMalloc", "PyMem_Malloc",
							 "PyObject_Malloc"};
static const char *const public_free[ALLOC_DOMAINS] = {"PyMem_RawFree", "PyMem_Free",
						       "PyObject_Free"};

static bool is_function_start(const struct machine_code *c, uint64_t addr)
{
	struct elf_symbol s;

	return !machine_code__function(c, addr, &s) && s.addr == addr;
}

/* The words of a table as the loader leaves them; at most 64 of them. */
static int read_pointers(const struct elf_file *f, uint64_t addr, uint64_t *words, size_t n)
{
	struct elf_symbol section;
	Elf64_Rela *rela;
	int err;

	err = elf_file__read(f, addr, words, n * sizeof(*words));
	if (err || elf_file__section(f, ".rela.dyn", &section))
		return err;
	if (section.size > MAX_RELOCATION_BYTES)
		return -E2BIG;
	rela = malloc(section.size + 1);
	if (!rela)
		return -ENOMEM;
	err = elf_file__read(f, section.addr, rela, section.size);
	for (size_t i = 0; !err && i < section.size / sizeof(*rela); i++) {
		uint64_t at = rela[i].r_offset - addr;

		if (ELF64_R_TYPE(rela[i].r_info) == R_X86_64_RELATIVE && at % sizeof(*words) == 0 &&
		    at / sizeof(*words) < n)
			words[at / sizeof(*words)] = rela[i].r_addend;
	}
	free(rela);
	return err;
}

static bool read_table(const struct elf_file *f, const struct machine_code *c, uint64_t addr,
		       struct alloc_table *ret)
{
	uint64_t words[1 + ALLOC_FUNCTIONS];

	/* Release builds have no context. */
	if (read_pointers(f, addr, words, 1 + ALLOC_FUNCTIONS) || words[0])
		return false;
	for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
		ret->function[i] = words[1 + i];
		if (!is_function_start(c, words[1 + i]))
			return false;
	}
	ret->addr = ret->within = addr;
	return true;
}

struct stub {
	uint64_t memory[MAX_STUB_CANDIDATES];
	size_t n;
	int insns;
};

static int note_memory(const struct insn *insn, void *arg)
{
	struct stub *s = arg;

	for (int i = 0; i < insn->i.operand_count_visible; i++) {
		uint64_t addr = insn__memory(insn, &insn->op[i]);

		if (addr && insn->op[i].size == 64 && s->n < MAX_STUB_CANDIDATES)
			s->memory[s->n++] = addr;
	}
	return ++s->insns >= MAX_STUB_INSNS;
}

/* The words of memory that a public function uses first. */
static void look_at_stub(const struct elf_file *f, const struct machine_code *c, const char *name,
			 struct stub *ret)
{
	struct elf_symbol symbol, function;

	*ret = (struct stub){0};
	if (!elf_file__symbol(f, name, &symbol) &&
	    !machine_code__function(c, symbol.addr, &function) && function.addr == symbol.addr)
		machine_code__walk(c, &function, note_memory, ret);
}

static bool stub_uses(const struct stub *s, uint64_t addr)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->memory[i] == addr)
			return true;
	}
	return false;
}

/* A table whose `malloc` one public function uses and whose `free` the other. */
static bool find_table(const struct elf_file *f, const struct machine_code *c, int domain,
		       struct alloc_table *ret)
{
	struct stub of_malloc, of_free;

	look_at_stub(f, c, public_malloc[domain], &of_malloc);
	look_at_stub(f, c, public_free[domain], &of_free);
	for (size_t i = 0; i < of_malloc.n; i++) {
		uint64_t addr = of_malloc.memory[i] - 8;

		if (stub_uses(&of_free, addr + 8 * (1 + ALLOC_FREE)) && read_table(f, c, addr, ret))
			return true;
	}
	return false;
}

int decode__allocators(const struct elf_file *f, const struct machine_code *c, uint16_t version,
		       struct alloc_table ret[ALLOC_DOMAINS])
{
	const struct py_layout *layout = py_layout__of_version(version);
	struct elf_symbol symbol, runtime = {0};
	struct alloc_table t[ALLOC_DOMAINS] = {0};
	bool in_runtime = layout && layout->runtime.allocators != PY_NO_FIELD;

	if (!layout)
		return -ENOENT;
	if (in_runtime && elf_file__symbol(f, "_PyRuntime", &runtime) &&
	    elf_file__section(f, ".PyRuntime", &runtime))
		return -ENOENT;
	for (int i = 0; i < ALLOC_DOMAINS; i++) {
		bool found;

		if (in_runtime)
			found = read_table(f, c, runtime.addr + layout->runtime.allocators + i * 40,
					   &t[i]);
		else if (!elf_file__symbol(f, tables[i], &symbol))
			found = read_table(f, c, symbol.addr, &t[i]);
		else
			found = find_table(f, c, i, &t[i]);
		if (!found)
			return -ENOENT;
		if (in_runtime)
			t[i].within = runtime.addr;
	}
	memcpy(ret, t, sizeof(t));
	return 0;
}

/* rdi, rsi, rdx, rcx, r8, r9: System V ABI, AMD64, 3.2.3 */
static const uint8_t argument_reg[] = {7, 6, 2, 1, 8, 9};

static bool spoils_argument(const struct insn *insn, unsigned int args)
{
	for (size_t i = 0; i < sizeof(argument_reg); i++) {
		if (args & 1u << i && insn__writes(insn, argument_reg[i]))
			return true;
	}
	return false;
}

struct place_search {
	uint64_t start;
	unsigned int args;
	bool with_return;
	int insns;
	bool moved_stack;
	struct machine_state *state; /* NULL: arguments have to stay in their registers */
	struct decode_place *ret;
};

static void make_place(const struct insn *insn, bool whole_stack, struct decode_place *ret)
{
	*ret = (struct decode_place){
		.addr = insn->addr, .emulated = insn__emulated(insn), .whole_stack = whole_stack};
	memcpy(ret->arg, argument_reg, sizeof(ret->arg));
	insn__text(insn, ret->text, sizeof(ret->text));
}

static bool find_argument(const struct machine_state *state, int which, uint8_t *ret)
{
	for (uint8_t reg = 0; reg < 16; reg++) {
		const struct machine_value *v = &state->reg[reg];

		if (v->kind == MV_SUM && v->base == argument_reg[which] && v->index == MV_NO_REG && !v->disp && v->bytes == 8) {
			*ret = reg;
			return true;
		}
	}
	return false;
}

static void make_emulated_place(const struct insn *insn, struct place_search *p)
{
	uint8_t arg[DECODE_PLACE_ARGS];

	memcpy(arg, argument_reg, sizeof(arg));
	for (int i = 0; p->state && i < DECODE_PLACE_ARGS; i++) {
		if (p->args & 1u << i && !find_argument(p->state, i, &arg[i]))
			return;
	}
	make_place(insn, !p->moved_stack, p->ret);
	memcpy(p->ret->arg, arg, sizeof(arg));
}

static int try_place(const struct insn *insn, void *arg)
{
	struct place_search *p = arg;

	if (!p->insns)
		make_place(insn, true, p->ret);
	if (insn__emulated(insn)) {
		make_emulated_place(insn, p);
		return 1;
	}
	if (insn->i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
	    insn->i.meta.category == ZYDIS_CATEGORY_RET || (!p->state && spoils_argument(insn, p->args)) ||
	    ++p->insns == MAX_PROLOGUE_INSNS)
		return 1;
	if (p->state)
		machine_state__step(p->state, insn);
	p->moved_stack |= insn__writes(insn, 4);
	return p->with_return && p->moved_stack;
}

/* A loop that leads back behind the start would make hits that are no calls. */
static int find_loop(const struct insn *insn, void *arg)
{
	struct place_search *p = arg;
	uint64_t to = insn__target(insn);

	return to > p->start && to <= p->ret->addr;
}

static int find_place(const struct machine_code *c, struct place_search p, struct decode_place *ret)
{
	const uint64_t function = p.start;
	struct decode_place place;
	struct elf_symbol s;
	struct insn first;
	int err;

	if (machine_code__function(c, function, &s) || s.addr != function)
		return -ENOENT;
	if (p.with_return && machine_code__is_part(c, function))
		return -EPERM;
	err = machine_code__check(c, &s);
	if (err)
		return err;
	p.ret = &place;
	machine_code__walk(c, &s, try_place, &p);
	err = machine_code__walk(c, &s, find_loop, &p);
	if (err < 0)
		return err;
	if (err || !place.emulated) {
		err = machine_code__decode(c, function, &first);
		if (err)
			return err;
		make_place(&first, true, &place);
	}
	*ret = place;
	return 0;
}

int decode__place(const struct machine_code *c, uint64_t function, unsigned int args,
		  bool with_return, struct decode_place *ret)
{
	return find_place(c, (struct place_search){.start = function, .args = args, .with_return = with_return}, ret);
}

int decode__place_with_moved(const struct machine_code *c, uint64_t function, unsigned int args, bool with_return,
			     struct decode_place *ret)
{
	struct place_search p = {.start = function, .args = args, .with_return = with_return};
	struct machine_state state;

	machine_state__begin(&state);
	p.state = &state;
	return find_place(c, p, ret);
}
