/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * CPython Objects/obmalloc.c: blocks of more than 512 bytes come from PyMem_RawMalloc and its like,
 * whose own pointers are compared and inlined too (_PyMem_RawMalloc is "return malloc(size ? size :
 * 1)"). So what is looked for are the calls that are left: of malloc, calloc and realloc in the
 * procedure linkage table, which are what _PyMem_RawMalloc, _PyMem_RawCalloc and _PyMem_RawRealloc
 * call themselves, of those three, and of the public functions in front of them. A realloc is mostly
 * the last thing that a function does, and becomes a jump.
 */
#include <string.h>

#include "python/guards.h"
#include "system/known_addresses.h"

#define MAX_TARGETS 16
#define MAX_STUB_INSNS 24
#define RAX 0

struct returns {
	const struct machine_code *c;
	uint64_t target[MAX_TARGETS];
	size_t target_cnt;
	struct raw_uses *ret;
	struct elf_symbol function; /* or part of one */
	int insns;
	uint64_t table; /* of the raw domain's pointers */
};

static void add_target(struct returns *r, uint64_t addr)
{
	if (addr && r->target_cnt < MAX_TARGETS)
		r->target[r->target_cnt++] = addr;
}

/* What a function of the raw domain calls outside of the interpreter's code. */
static int note_callee(const struct insn *insn, void *arg)
{
	struct returns *r = arg;
	uint64_t to = insn__target(insn);

	if (to && !machine_code__contains(r->c, to) &&
	    (insn->i.mnemonic == ZYDIS_MNEMONIC_CALL || insn->i.mnemonic == ZYDIS_MNEMONIC_JMP))
		add_target(r, to);
	return ++r->insns >= MAX_STUB_INSNS;
}

static bool is_target(const struct returns *r, uint64_t addr)
{
	for (size_t i = 0; i < r->target_cnt; i++) {
		if (addr && r->target[i] == addr)
			return true;
	}
	return false;
}

struct between {
	uint64_t after, to;
};

static int leads_between(const struct insn *insn, void *arg)
{
	const struct between *b = arg;
	uint64_t to = insn__target(insn);

	return to > b->after && to <= b->to;
}

/* The first instruction from there on that is emulated and that nothing else leads to. */
static bool place_after(const struct returns *r, uint64_t addr, struct decode_place *ret)
{
	struct between b = {.after = addr};
	struct insn first, insn;

	if (machine_code__decode(r->c, addr, &first))
		return false;
	insn = first;
	for (int i = 0; i < 4 && !insn__emulated(&insn); i++) {
		if (insn.i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
		    insn.i.meta.category == ZYDIS_CATEGORY_RET || insn__writes(&insn, RAX) ||
		    machine_code__decode(r->c, insn.addr + insn.i.length, &insn))
			break;
	}
	b.to = insn.addr;
	if (!insn__emulated(&insn) || insn.addr - r->function.addr >= r->function.size ||
	    machine_code__walk(r->c, &r->function, leads_between, &b))
		insn = first;
	*ret = (struct decode_place){.addr = insn.addr, .emulated = insn__emulated(&insn)};
	insn__text(&insn, ret->text, sizeof(ret->text));
	return true;
}

static bool is_slot(const struct returns *r, uint64_t addr)
{
	uint64_t at = addr - r->table;

	return at >= 8 && at <= 8 * (1 + ALLOC_REALLOC) && at % 8 == 0;
}

/* A call, or a jump that is one. */
static bool goes_to_raw(const struct returns *r, const struct known_addresses *known, const struct insn *insn)
{
	uint64_t from;

	if (insn->i.mnemonic != ZYDIS_MNEMONIC_CALL && insn->i.mnemonic != ZYDIS_MNEMONIC_JMP)
		return false;
	from = known_addresses__source(known, r->c, insn, &insn->op[0]);
	return is_target(r, insn__target(insn)) || is_slot(r, from);
}

static void add_return(struct returns *r, const struct insn *call)
{
	uint64_t after = call->addr + call->i.length;
	struct raw_uses *u = r->ret;

	if (u->return_cnt == MAX_RAW_RETURNS || after >= r->function.addr + r->function.size ||
	    !place_after(r, after, &u->returns[u->return_cnt]))
		return;
	/* A part that was split off is met with its function, and on its own. */
	for (size_t i = 0; i < u->return_cnt; i++) {
		if (u->returns[i].addr == u->returns[u->return_cnt].addr)
			return;
	}
	u->return_cnt++;
}

static void add_tail(struct returns *r)
{
	struct raw_uses *u = r->ret;

	for (size_t i = 0; i < u->tail_cnt; i++) {
		if (u->tails[i].addr == r->function.addr)
			return;
	}
	if (u->tail_cnt < MAX_RAW_TAILS)
		u->tails[u->tail_cnt++] = r->function;
}

static int look(const struct insn *insn, const struct known_addresses *known, void *arg)
{
	struct returns *r = arg;

	if (!goes_to_raw(r, known, insn) || machine_code__function(r->c, insn->addr, &r->function))
		return 0;
	if (insn->i.mnemonic == ZYDIS_MNEMONIC_CALL)
		add_return(r, insn);
	else
		add_tail(r);
	return 0;
}

static int look_at_function(const struct elf_symbol *function, void *arg)
{
	struct returns *r = arg;

	if (!machine_code__check(r->c, function))
		known_addresses__walk(r->c, function, look, r);
	return 0;
}

void guards__raw_uses(const struct machine_code *c, const struct alloc_table *raw, const uint64_t *public_functions,
		      size_t public_cnt, struct raw_uses *ret)
{
	struct returns r = {.c = c, .ret = ret, .table = raw->addr};
	uint64_t users[2 * MAX_TARGETS];
	struct elf_symbol function;
	size_t n;

	ret->return_cnt = ret->tail_cnt = 0;
	for (int i = ALLOC_MALLOC; i <= ALLOC_REALLOC; i++) {
		r.insns = 0;
		if (!machine_code__function(c, raw->function[i], &function))
			machine_code__walk(c, &function, note_callee, &r);
		add_target(&r, raw->function[i]);
	}
	for (size_t i = 0; i < public_cnt; i++)
		add_target(&r, public_functions[i]);
	memcpy(users, r.target, sizeof(r.target));
	n = r.target_cnt;
	/* Named as they are, or as displacements. */
	for (int i = ALLOC_MALLOC; i <= ALLOC_REALLOC; i++) {
		users[n++] = raw->addr + 8 * (1 + i);
		if (raw->within != raw->addr)
			users[n++] = raw->addr + 8 * (1 + i) - raw->within;
	}
	machine_code__for_each_user(c, users, n, look_at_function, &r);
}
