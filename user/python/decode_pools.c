/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * CPython Objects/obmalloc.c, pymalloc_alloc, unchanged in substance from 3.8 to 3.15:
 *	uint size = (uint)(nbytes - 1) >> ALIGNMENT_SHIFT;
 *	poolp pool = usedpools[size + size];
 *	if (pool != pool->nextpool) { take a block } else { bp = allocate_from_new_pool([state,]
 *size); } In code: a shift by four; a load with an index scaled by eight; a load from 16 bytes into
 *what was loaded (struct pool_header, nextpool); the two compared; a jump if equal. 3.8 has the
 *rest in the same function.
 *
 * usedpools is a static array up to 3.11, `obmalloc.pools.used` in PyInterpreterState in 3.12 (an
 *interpreter without its own allocator uses the main one's), and first in what `interp->obmalloc`
 *points to from 3.13 on.
 */
#include <errno.h>
#include <string.h>

#include "python/decode.h"
#include "python/layout.h"
#include "system/machine_state.h"

/* Instructions from the shift to the comparison; the longest seen is nine. */
#define MAX_PATTERN 24
#define MAX_TO_OPENER 24
/* Callees of _PyObject_Malloc that are looked into. */
#define MAX_CALLEES 8
#define ALIGNMENT_SHIFT 4
#define NEXTPOOL 16

#define RDI 7
#define RSI 6

/* The instructions before the one that is looked at, the newest last. */
struct window {
	const struct machine_code *c;
	uint16_t version;
	struct insn last[MAX_PATTERN];
	size_t cnt;
	struct decode_pools *ret;
	uint64_t callee[MAX_CALLEES];
	size_t callee_cnt;
};

static bool loads(const struct insn *insn, int gpr)
{
	return insn->i.mnemonic == ZYDIS_MNEMONIC_MOV &&
	       insn->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && insn->op[0].size == 64 &&
	       insn__gpr(insn->op[0].reg.value) == gpr &&
	       insn->op[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

/* Index of what last wrote the register before `before`, or -1. */
static int writer_of(const struct window *w, int gpr, size_t before)
{
	for (size_t i = before; i-- > 0;) {
		if (insn__writes(&w->last[i], gpr))
			return (int)i;
	}
	return -1;
}

/* pool->nextpool of a register: its pool's register, or -1. */
static int nextpool_of(const struct insn *insn, const ZydisDecodedOperand *op)
{
	(void)insn;
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.index == ZYDIS_REGISTER_NONE &&
			       op->mem.disp.value == NEXTPOOL
		       ? insn__gpr(op->mem.base)
		       : -1;
}

/* cmp of a register with nextpool of what it points to, loaded or in memory: the register, or -1.
 */
static int pool_compared(const struct window *w, const struct insn *cmp)
{
	for (int side = 0; side < 2; side++) {
		const ZydisDecodedOperand *pool = &cmp->op[side], *next = &cmp->op[!side];
		int gpr = pool->type == ZYDIS_OPERAND_TYPE_REGISTER ? insn__gpr(pool->reg.value)
								    : -1,
		    by;

		if (gpr < 0 || pool->size != 64)
			continue;
		if (nextpool_of(cmp, next) == gpr)
			return gpr;
		if (next->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		by = writer_of(w, insn__gpr(next->reg.value), w->cnt);
		if (by >= 0 && loads(&w->last[by], insn__gpr(next->reg.value)) &&
		    nextpool_of(&w->last[by], &w->last[by].op[1]) == gpr)
			return gpr;
	}
	return -1;
}

/* Where the array is, from the load of a pool. */
static bool find_used(const struct window *w, size_t load, struct decode_pools *ret)
{
	const ZydisDecodedOperandMem *mem = &w->last[load].op[1].mem;
	const struct insn *base;
	int by;

	ret->used_at = mem->disp.value;
	if (mem->base == ZYDIS_REGISTER_NONE) {
		ret->used = USED_POOLS_STATIC;
		return w->version < PY_VERSION(3, 12);
	}
	if (w->version == PY_VERSION(3, 12)) {
		ret->used = USED_POOLS_IN_INTERP;
		return true;
	}
	by = writer_of(w, insn__gpr(mem->base), load);
	if (by < 0)
		return false;
	base = &w->last[by];
	if (w->version < PY_VERSION(3, 12)) {
		ret->used = USED_POOLS_STATIC;
		ret->used_at += insn__memory(base, &base->op[1]);
		return base->i.mnemonic == ZYDIS_MNEMONIC_LEA && insn__memory(base, &base->op[1]);
	}
	ret->used = USED_POOLS_BEHIND_INTERP;
	ret->used_at = base->op[1].mem.disp.value;
	return !mem->disp.value && loads(base, insn__gpr(mem->base)) &&
	       !insn__memory(base, &base->op[1]);
}

/* The newest shift by four before the load. */
static int find_shift(const struct window *w, size_t load)
{
	for (size_t i = load; i-- > 0;) {
		const struct insn *insn = &w->last[i];

		if (insn->i.mnemonic == ZYDIS_MNEMONIC_SHR &&
		    insn->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    insn->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		    insn->op[1].imm.value.u == ALIGNMENT_SHIFT)
			return (int)i;
	}
	return -1;
}

static int register_with(const struct machine_state *s, int gpr, const int *among, int n)
{
	for (int i = 0; i < n; i++) {
		const struct machine_value *v = &s->reg[among[i]];

		if (v->kind == MV_SUM && v->base == gpr && v->index == MV_NO_REG && !v->disp)
			return among[i];
	}
	return -1;
}

/* From the shift on, what holds its result; then where the class goes when it has no pool. */
static void follow_class(const struct window *w, size_t shift, struct decode_pools *ret)
{
	static const int all[] = {0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
			 args[] = {RDI, RSI};
	int class = insn__gpr(w->last[shift].op[0].reg.value);
	struct machine_state s;
	struct elf_symbol function;
	struct insn call;

	machine_state__begin(&s);
	for (size_t i = shift + 1; i < w->cnt; i++)
		machine_state__step(&s, &w->last[i]);
	ret->class_at_empty = register_with(&s, class, all, 15);
	ret->class_at_opener = -1;
	if (machine_state__run(&s, w->c, ret->empty, MAX_TO_OPENER, &call) ||
	    call.i.mnemonic != ZYDIS_MNEMONIC_CALL ||
	    machine_code__function(w->c, insn__target(&call), &function) ||
	    function.addr != insn__target(&call))
		return;
	ret->opener = function.addr;
	ret->class_at_opener = register_with(&s, class, args, 2);
}

/* 1: the comparison is the one that is looked for. */
static int match(const struct window *w, const struct insn *cmp, struct decode_pools *ret)
{
	int pool = pool_compared(w, cmp), load, shift;
	struct insn jump;

	load = pool < 0 ? -1 : writer_of(w, pool, w->cnt);
	if (load < 0 || !loads(&w->last[load], pool) ||
	    w->last[load].op[1].mem.index == ZYDIS_REGISTER_NONE ||
	    w->last[load].op[1].mem.scale != 8)
		return 0;
	shift = find_shift(w, load);
	if (shift < 0 || machine_code__decode(w->c, cmp->addr + cmp->i.length, &jump) ||
	    (jump.i.mnemonic != ZYDIS_MNEMONIC_JZ && jump.i.mnemonic != ZYDIS_MNEMONIC_JNZ))
		return 0;
	*ret = (struct decode_pools){.jump = jump.addr};
	ret->empty = jump.i.mnemonic == ZYDIS_MNEMONIC_JZ ? insn__target(&jump)
							  : jump.addr + jump.i.length;
	if (!find_used(w, load, ret))
		return 0;
	follow_class(w, shift, ret);
	return 1;
}

static int look(const struct insn *insn, void *arg)
{
	struct window *w = arg;
	uint64_t target = insn__target(insn);

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_CMP && match(w, insn, w->ret))
		return 1;
	if (insn->i.meta.category == ZYDIS_CATEGORY_CALL && target && w->callee_cnt < MAX_CALLEES)
		w->callee[w->callee_cnt++] = target;
	if (w->cnt == MAX_PATTERN)
		memmove(w->last, w->last + 1, --w->cnt * sizeof(w->last[0]));
	w->last[w->cnt++] = *insn;
	return 0;
}

/* 1: found. */
static int look_in(struct window *w, uint64_t addr)
{
	struct elf_symbol function;

	w->cnt = 0;
	if (machine_code__function(w->c, addr, &function) || function.addr != addr ||
	    machine_code__check(w->c, &function))
		return 0;
	return machine_code__walk(w->c, &function, look, w) == 1;
}

int decode__pools(const struct machine_code *c, uint16_t version, uint64_t malloc_function,
		  struct decode_pools *ret)
{
	struct decode_pools found;
	struct window w = {.c = c, .version = version, .ret = &found};
	size_t own;

	if (!look_in(&w, malloc_function)) {
		own = w.callee_cnt;
		while (own && !look_in(&w, w.callee[own - 1]))
			own--;
		if (!own)
			return -ENOENT;
	}
	*ret = found;
	return 0;
}
