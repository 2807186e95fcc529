/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Follows what compilers do to pass an argument: moves, lea, additions, shifts, spills to the stack
 * and back. Stores to one base register and displacement are told apart; a load that any other
 * store may have changed is unknown.
 */
#include "system/machine_state.h"

#include <errno.h>

#define RSP 4

static const struct machine_value unknown = {.kind = MV_UNKNOWN};

static struct machine_value constant(int64_t v)
{
	return (struct machine_value){.kind = MV_SUM,
				      .base = MV_NO_REG,
				      .index = MV_NO_REG,
				      .scale = 1,
				      .bytes = 8,
				      .disp = v};
}

void machine_state__begin(struct machine_state *s)
{
	*s = (struct machine_state){0};
	for (int i = 0; i < 16; i++) {
		s->reg[i] = constant(0);
		s->reg[i].base = i;
	}
}

bool machine_value__same(const struct machine_value *a, const struct machine_value *b)
{
	return a->kind != MV_UNKNOWN && a->kind == b->kind && a->base == b->base &&
	       a->index == b->index && a->disp == b->disp && a->bytes == b->bytes &&
	       (a->index == MV_NO_REG || a->scale == b->scale) && a->is_signed == b->is_signed;
}

static struct machine_value scaled(struct machine_value v, unsigned int scale)
{
	if (v.kind != MV_SUM || v.bytes != 8 || (v.base != MV_NO_REG && v.index != MV_NO_REG))
		return unknown;
	if (scale == 1)
		return v;
	if (v.base != MV_NO_REG) {
		v.index = v.base;
		v.base = MV_NO_REG;
		v.scale = 1;
	}
	if (v.index != MV_NO_REG && v.scale * scale > 8)
		return unknown;
	v.scale *= scale;
	v.disp = (int64_t)((uint64_t)v.disp * scale);
	return v;
}

static struct machine_value sum(struct machine_value a, struct machine_value b)
{
	if (a.kind != MV_SUM || b.kind != MV_SUM || a.bytes != 8 || b.bytes != 8)
		return unknown;
	a.disp = (int64_t)((uint64_t)a.disp + (uint64_t)b.disp);
	if (b.index != MV_NO_REG) {
		if (a.index != MV_NO_REG && a.scale == 1 && a.base == MV_NO_REG) {
			a.base = a.index;
			a.index = MV_NO_REG;
		}
		if (a.index != MV_NO_REG)
			return unknown;
		a.index = b.index;
		a.scale = b.scale;
	}
	if (b.base == MV_NO_REG)
		return a;
	if (a.base == MV_NO_REG) {
		a.base = b.base;
	} else if (a.index == MV_NO_REG) {
		a.index = b.base;
		a.scale = 1;
	} else {
		return unknown;
	}
	return a;
}

/* A result of 32 bits clears the upper half. */
static struct machine_value low_half(struct machine_value v)
{
	if (v.kind == MV_LOAD)
		return v.bytes > 4 || v.is_signed ? unknown : v;
	if (machine_value__is_constant(&v))
		return constant((uint32_t)v.disp);
	if (v.kind == MV_SUM)
		v.bytes = 4;
	return v;
}

static struct machine_value reg_value(const struct machine_state *s, ZydisRegister r)
{
	int gpr = insn__gpr(r);
	unsigned int bits = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, r);

	if (gpr < 0 || bits < 32)
		return unknown;
	return bits == 32 ? low_half(s->reg[gpr]) : s->reg[gpr];
}

static struct machine_value address(const struct machine_state *s, const struct insn *insn,
				    const ZydisDecodedOperand *op)
{
	struct machine_value v = constant(op->mem.disp.has_displacement ? op->mem.disp.value : 0);

	if (op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS)
		return unknown;
	if (op->mem.base == ZYDIS_REGISTER_RIP)
		return constant(insn->addr + insn->i.length + op->mem.disp.value);
	if (op->mem.base != ZYDIS_REGISTER_NONE)
		v = sum(v, reg_value(s, op->mem.base));
	if (op->mem.index != ZYDIS_REGISTER_NONE)
		v = sum(v, scaled(reg_value(s, op->mem.index), op->mem.scale));
	return v;
}

static bool same_registers(const struct machine_value *a, const struct machine_value *b)
{
	return a->base == b->base && a->index == b->index &&
	       (a->index == MV_NO_REG || a->scale == b->scale);
}

static struct machine_value load(const struct machine_state *s, struct machine_value at,
				 unsigned int bytes)
{
	if (at.kind != MV_SUM || at.bytes != 8 || s->memory_unknown)
		return unknown;
	for (int i = s->store_cnt; i-- > 0;) {
		const struct machine_value *to = &s->store[i].at;

		if (!same_registers(to, &at))
			return unknown;
		if (to->disp == at.disp && s->store[i].bytes == 8 && bytes == 8)
			return s->store[i].value;
		if (to->disp < at.disp + (int64_t)bytes && at.disp < to->disp + s->store[i].bytes)
			return unknown;
	}
	at.kind = MV_LOAD;
	at.bytes = bytes;
	return at;
}

static void store(struct machine_state *s, struct machine_value at, struct machine_value value,
		  unsigned int bytes)
{
	if (at.kind != MV_SUM || at.bytes != 8 || s->store_cnt == MAX_STORES) {
		s->memory_unknown = true;
		return;
	}
	s->store[s->store_cnt].at = at;
	s->store[s->store_cnt].value = value;
	s->store[s->store_cnt++].bytes = bytes;
}

struct machine_value machine_state__operand(const struct machine_state *s, const struct insn *insn,
					    const ZydisDecodedOperand *op)
{
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		return reg_value(s, op->reg.value);
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return constant(op->imm.value.s);
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return load(s, address(s, insn, op), op->size / 8);
	default:
		return unknown;
	}
}

static struct machine_value negated(struct machine_value v)
{
	if (!machine_value__is_constant(&v))
		return unknown;
	v.disp = (int64_t)(0 - (uint64_t)v.disp);
	return v;
}

static struct machine_value extended(struct machine_value v, bool is_signed)
{
	if (v.kind != MV_LOAD)
		return is_signed ? unknown : v;
	v.is_signed = is_signed && v.bytes < 8;
	return v;
}

/* What the first operand is given. */
static struct machine_value result(const struct machine_state *s, const struct insn *insn)
{
	struct machine_value a = machine_state__operand(s, insn, &insn->op[0]);
	struct machine_value b =
		insn->i.operand_count > 1 ? machine_state__operand(s, insn, &insn->op[1]) : unknown;

	switch (insn->i.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return b;
	case ZYDIS_MNEMONIC_MOVZX:
		return extended(b, false);
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		return extended(b, true);
	case ZYDIS_MNEMONIC_LEA:
		return address(s, insn, &insn->op[1]);
	case ZYDIS_MNEMONIC_ADD:
		return sum(a, b);
	case ZYDIS_MNEMONIC_SUB:
		return sum(a, negated(b));
	case ZYDIS_MNEMONIC_SHL:
		return machine_value__is_constant(&b) && b.disp >= 0 && b.disp <= 3
			       ? scaled(a, 1u << b.disp)
			       : unknown;
	case ZYDIS_MNEMONIC_XOR:
		return insn->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
				       insn->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
				       insn->op[0].reg.value == insn->op[1].reg.value
			       ? constant(0)
			       : unknown;
	default:
		return unknown;
	}
}

static void push(struct machine_state *s, const struct insn *insn)
{
	struct machine_value v = machine_state__operand(s, insn, &insn->op[0]);

	s->reg[RSP] = sum(s->reg[RSP], constant(-8));
	store(s, s->reg[RSP], v, 8);
}

static void pop(struct machine_state *s, const struct insn *insn)
{
	struct machine_value v = load(s, s->reg[RSP], 8);
	int gpr = insn->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? insn__gpr(insn->op[0].reg.value)
								  : -1;

	s->reg[RSP] = sum(s->reg[RSP], constant(8));
	if (gpr >= 0)
		s->reg[gpr] = v;
	else
		s->memory_unknown = true;
}

static void assign(struct machine_state *s, const struct insn *insn, const ZydisDecodedOperand *op,
		   struct machine_value v)
{
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		int gpr = insn__gpr(op->reg.value);

		if (gpr >= 0)
			s->reg[gpr] = op->size == 64 ? v : op->size == 32 ? low_half(v) : unknown;
	} else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		store(s, address(s, insn, op), v, op->size / 8);
	}
}

void machine_state__step(struct machine_state *s, const struct insn *insn)
{
	struct machine_value v;

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_PUSH || insn->i.mnemonic == ZYDIS_MNEMONIC_POP) {
		if (insn->op[0].size == 64)
			insn->i.mnemonic == ZYDIS_MNEMONIC_PUSH ? push(s, insn) : pop(s, insn);
		else
			s->memory_unknown = true;
		return;
	}
	if (!insn->i.operand_count || insn->i.mnemonic == ZYDIS_MNEMONIC_NOP)
		return;
	v = result(s, insn);
	for (int i = 0; i < insn->i.operand_count; i++) {
		if (insn->op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			assign(s, insn, &insn->op[i], i ? unknown : v);
	}
}

void machine_state__call(struct machine_state *s)
{
	static const int lost[] = {0, 1, 2, 6, 7, 8, 9, 10, 11}; /* rax, rcx, rdx, rsi, rdi, r8-r11 */

	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++)
		s->reg[lost[i]] = unknown;
}

static bool branches(const struct insn *insn)
{
	switch (insn->i.meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
		return true;
	default:
		return insn->i.mnemonic == ZYDIS_MNEMONIC_UD2;
	}
}

int machine_state__run(struct machine_state *s, const struct machine_code *c, uint64_t addr,
		       int max, struct insn *ret)
{
	while (max-- > 0) {
		int err = machine_code__decode(c, addr, ret);

		if (err)
			return err;
		if (ret->i.mnemonic == ZYDIS_MNEMONIC_JMP && insn__target(ret)) {
			addr = insn__target(ret);
			continue;
		}
		if (branches(ret))
			return 0;
		machine_state__step(s, ret);
		addr += ret->i.length;
	}
	return -E2BIG;
}
