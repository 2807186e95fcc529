/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What one instruction does to what is known. Taken for granted, as compilers do: a call leaves the callee-saved registers
 * and our stack alone, and nobody writes to a spilled register's place through a pointer.
 */
#include "system/known_addresses_impl.h"

#define RSP 4
#define RBP 5
/* rax, rcx, rdx, rsi, rdi, r8-r11: System V ABI, AMD64, 3.2.1 */
#define LOST_IN_CALLS 0x0fc7u

void known_addresses__at_entry(struct known_addresses *k)
{
	*k = (struct known_addresses){ .reg[RSP].kind = STACK };
}

static struct known as_address(uint64_t value)
{
	return (struct known){ .kind = value ? ADDRESS : UNKNOWN, .value = (int64_t)value };
}

static struct known plus(struct known v, int64_t by)
{
	if (v.kind != ADDRESS && v.kind != STACK)
		return (struct known){ 0 };
	v.value = (int64_t)((uint64_t)v.value + (uint64_t)by);
	return v;
}

static struct known of_register(const struct known_addresses *k, ZydisRegister r)
{
	int gpr = insn__gpr(r);

	if (gpr < 0 || ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, r) != 64)
		return (struct known){ 0 };
	return k->reg[gpr];
}

/* Where a memory operand is. */
static struct known place_of(const struct known_addresses *k, const struct insn *insn, const ZydisDecodedOperand *op)
{
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.index != ZYDIS_REGISTER_NONE ||
	    op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS)
		return (struct known){ 0 };
	if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_NONE)
		return as_address(insn__memory(insn, op));
	return plus(of_register(k, op->mem.base), op->mem.disp.value);
}

static bool is_other(const struct known_addresses *k, uint64_t word)
{
	for (unsigned int i = 0; i < k->other_cnt; i++) {
		if (k->others[i] == word)
			return true;
	}
	return false;
}

static struct known load(const struct known_addresses *k, const struct machine_code *c, struct known at, unsigned int bits)
{
	if (bits != 64)
		return (struct known){ 0 };
	if (at.kind == ADDRESS && machine_code__pointer(c, (uint64_t)at.value))
		return as_address(machine_code__pointer(c, (uint64_t)at.value));
	if (at.kind == ADDRESS)
		return (struct known){ .kind = is_other(k, (uint64_t)at.value) ? UNKNOWN : LOADED, .value = at.value };
	for (unsigned int i = 0; at.kind == STACK && i < k->slot_cnt; i++) {
		if (k->slots[i].at == at.value)
			return k->slots[i].held;
	}
	return (struct known){ 0 };
}

static void store(struct known_addresses *k, struct known at, unsigned int bytes, struct known v)
{
	if (at.kind != STACK)
		return;
	for (unsigned int i = 0; i < k->slot_cnt;) {
		if (k->slots[i].at < at.value + (int64_t)bytes && at.value < k->slots[i].at + 8)
			k->slots[i] = k->slots[--k->slot_cnt];
		else
			i++;
	}
	if (bytes == 8 && v.kind != UNKNOWN && k->slot_cnt < MAX_SLOTS)
		k->slots[k->slot_cnt++] = (struct slot){ .at = at.value, .held = v };
}

static struct known of_operand(const struct known_addresses *k, const struct machine_code *c, const struct insn *insn,
			       const ZydisDecodedOperand *op)
{
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		return of_register(k, op->reg.value);
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return as_address((uint64_t)op->imm.value.s);
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return load(k, c, place_of(k, insn, op), op->size);
	default:
		return (struct known){ 0 };
	}
}

/* What the first operand is given. */
static struct known result(const struct known_addresses *k, const struct machine_code *c, const struct insn *insn)
{
	struct known a, b;

	switch (insn->i.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return of_operand(k, c, insn, &insn->op[1]);
	case ZYDIS_MNEMONIC_LEA:
		return place_of(k, insn, &insn->op[1]);
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
		a = of_operand(k, c, insn, &insn->op[0]);
		b = of_operand(k, c, insn, &insn->op[1]);
		if (insn->op[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return (struct known){ 0 };
		return plus(a, insn->i.mnemonic == ZYDIS_MNEMONIC_ADD ? b.value : -b.value);
	default:
		return (struct known){ 0 };
	}
}

static void set_register(struct known_addresses *k, const ZydisDecodedOperand *op, struct known v)
{
	int gpr = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? insn__gpr(op->reg.value) : -1;

	if (gpr < 0)
		return;
	/* mov $0x53d420, %esi clears the upper half. */
	if (op->size != 64 && !(op->size == 32 && v.kind == ADDRESS && v.value == (int64_t)(uint32_t)v.value))
		v.kind = UNKNOWN;
	k->reg[gpr] = v;
}

static void push(struct known_addresses *k, struct known v)
{
	if (k->reg[RSP].kind == STACK)
		k->reg[RSP].value -= 8;
	store(k, k->reg[RSP], 8, v);
}

static struct known pop(struct known_addresses *k, const struct machine_code *c)
{
	struct known v = load(k, c, k->reg[RSP], 64);

	if (k->reg[RSP].kind == STACK)
		k->reg[RSP].value += 8;
	return v;
}

/* Those that move the stack pointer unseen; false: an ordinary one. */
static bool step_stack(struct known_addresses *k, const struct machine_code *c, const struct insn *insn)
{
	switch (insn->i.mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
		for (int gpr = 0; gpr < 16; gpr++) {
			if (LOST_IN_CALLS & 1u << gpr)
				k->reg[gpr].kind = UNKNOWN;
		}
		return true;
	case ZYDIS_MNEMONIC_PUSH:
		push(k, of_operand(k, c, insn, &insn->op[0]));
		return true;
	case ZYDIS_MNEMONIC_POP:
		set_register(k, &insn->op[0], pop(k, c));
		return true;
	case ZYDIS_MNEMONIC_LEAVE:
		k->reg[RSP] = k->reg[RBP];
		k->reg[RBP] = pop(k, c);
		return true;
	default:
		return false;
	}
}

void known_addresses__step(struct known_addresses *k, const struct machine_code *c, const struct insn *insn)
{
	struct known v;

	if (step_stack(k, c, insn))
		return;
	v = result(k, c, insn);
	for (int i = 0; i < insn->i.operand_count; i++) {
		const ZydisDecodedOperand *op = &insn->op[i];

		if (!(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
			set_register(k, op, i ? (struct known){ 0 } : v);
		else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
			store(k, place_of(k, insn, op), op->size / 8, i ? (struct known){ 0 } : v);
	}
}

uint64_t known_addresses__value(const struct known_addresses *k, const struct machine_code *c, const struct insn *insn,
				const ZydisDecodedOperand *op)
{
	struct known v = of_operand(k, c, insn, op);

	return v.kind == ADDRESS ? (uint64_t)v.value : 0;
}

uint64_t known_addresses__source(const struct known_addresses *k, const struct machine_code *c, const struct insn *insn,
				 const ZydisDecodedOperand *op)
{
	struct known v = of_operand(k, c, insn, op);

	return v.kind == LOADED ? (uint64_t)v.value : 0;
}

static bool same(const struct known *a, const struct known *b)
{
	return a->kind == b->kind && (a->kind == UNKNOWN || a->value == b->value);
}

static const struct known *slot_at(const struct known_addresses *k, int64_t at)
{
	for (unsigned int i = 0; i < k->slot_cnt; i++) {
		if (k->slots[i].at == at)
			return &k->slots[i].held;
	}
	return NULL;
}

bool known_addresses__meet(struct known_addresses *k, const struct known_addresses *other)
{
	bool less = false;

	for (int gpr = 0; gpr < 16; gpr++) {
		if (k->reg[gpr].kind != UNKNOWN && !same(&k->reg[gpr], &other->reg[gpr])) {
			k->reg[gpr].kind = UNKNOWN;
			less = true;
		}
	}
	for (unsigned int i = 0; i < k->slot_cnt;) {
		const struct known *held = slot_at(other, k->slots[i].at);

		if (held && same(held, &k->slots[i].held)) {
			i++;
		} else {
			k->slots[i] = k->slots[--k->slot_cnt];
			less = true;
		}
	}
	for (unsigned int i = 0; i < k->other_cnt;) {
		if (is_other(other, k->others[i])) {
			i++;
		} else {
			k->others[i] = k->others[--k->other_cnt];
			less = true;
		}
	}
	return less;
}

uint64_t known_addresses__word_compared(const struct known_addresses *k, const struct machine_code *c,
					const struct insn *insn)
{
	for (int side = 0; insn->i.mnemonic == ZYDIS_MNEMONIC_CMP && side < 2; side++) {
		uint64_t word = known_addresses__source(k, c, insn, &insn->op[side]);

		if (word && known_addresses__value(k, c, insn, &insn->op[!side]))
			return word;
	}
	return 0;
}

void known_addresses__rule_out(struct known_addresses *k, uint64_t word)
{
	for (int gpr = 0; gpr < 16; gpr++) {
		if (k->reg[gpr].kind == LOADED && (uint64_t)k->reg[gpr].value == word)
			k->reg[gpr].kind = UNKNOWN;
	}
	for (unsigned int i = 0; i < k->slot_cnt; i++) {
		if (k->slots[i].held.kind == LOADED && (uint64_t)k->slots[i].held.value == word)
			k->slots[i].held.kind = UNKNOWN;
	}
	if (!is_other(k, word) && k->other_cnt < MAX_OTHERS)
		k->others[k->other_cnt++] = word;
}
