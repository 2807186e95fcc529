/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Each function that names an allocator function is walked from its start. Position-dependent code
 * compares with an immediate; position-independent code loads the address (lea) before, possibly
 * far before, so each register's last such address is remembered until something else writes the
 * register.
 *
 * A comparison is taken for a guard only if the side of the jump where the pointer differs ends in
 * an indirect call through the very value that was compared: then it is the call that was made
 * direct on the other side.
 */
#include "python/guards.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How far a comparison may be from its jump, a jump from the call, and a jump from a direct call.
 */
#define MAX_TO_JUMP 6
#define MAX_TO_CALL 40
#define MAX_TO_DIRECT 24

struct search {
	const struct machine_code *c;
	const uint64_t *functions;
	uint64_t holds[16]; /* the function whose address a register holds, or 0 */
	struct guard *guards;
	size_t cnt;
	unsigned int undecoded;
};

static int function_of(const struct search *s, uint64_t addr)
{
	for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
		if (addr && s->functions[i] == addr)
			return i;
	}
	return -1;
}

/* The function that an operand of a comparison is, or -1. */
static int named_by(const struct search *s, const ZydisDecodedOperand *op)
{
	int gpr;

	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return function_of(s, op->imm.value.s);
	gpr = op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->size == 64 ? insn__gpr(op->reg.value)
									: -1;
	return gpr >= 0 ? function_of(s, s->holds[gpr]) : -1;
}

/* The jump that the comparison decides: nothing between may touch the flags. */
static int find_jump(const struct machine_code *c, const struct insn *cmp, struct insn *jump)
{
	uint64_t addr = cmp->addr + cmp->i.length;

	for (int i = 0; i < MAX_TO_JUMP; i++) {
		int err = machine_code__decode(c, addr, jump);

		if (err)
			return err;
		if (jump->i.mnemonic == ZYDIS_MNEMONIC_JZ || jump->i.mnemonic == ZYDIS_MNEMONIC_JNZ)
			return 0;
		if (jump->i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
		    (jump->i.cpu_flags &&
		     (jump->i.cpu_flags->modified | jump->i.cpu_flags->set_0 |
		      jump->i.cpu_flags->set_1 | jump->i.cpu_flags->undefined)))
			return -ENOENT;
		addr += jump->i.length;
	}
	return -ENOENT;
}

/* The side where the pointers are equal calls the function, or goes on in it. */
static bool calls_function(const struct machine_code *c, uint64_t addr, uint64_t function)
{
	struct insn insn;

	for (int i = 0; i < MAX_TO_DIRECT && !machine_code__decode(c, addr, &insn); i++) {
		uint64_t target = insn__target(&insn);

		if (target == function)
			return true;
		if (insn.i.mnemonic == ZYDIS_MNEMONIC_JMP && target) {
			addr = target;
			continue;
		}
		if (insn.i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
			return false;
		addr += insn.i.length;
	}
	return false;
}

static bool is_indirect_call(const struct insn *insn)
{
	return (insn->i.mnemonic == ZYDIS_MNEMONIC_CALL ||
		insn->i.mnemonic == ZYDIS_MNEMONIC_JMP) &&
	       !insn__target(insn);
}

static const char *examine(struct search *s, const struct insn *cmp,
			   const ZydisDecodedOperand *compared, struct guard *g)
{
	static const int argument[] = {6, 2}; /* rsi, rdx: after the context */
	struct machine_value pointer, called;
	struct machine_state state;
	struct insn jump, call;
	uint64_t equal, other;

	if (find_jump(s->c, cmp, &jump))
		return "no jump after the comparison";
	equal = insn__target(&jump);
	other = jump.addr + jump.i.length;
	if (jump.i.mnemonic == ZYDIS_MNEMONIC_JNZ) {
		uint64_t swap = equal;

		equal = other;
		other = swap;
	}
	machine_state__begin(&state);
	pointer = machine_state__operand(&state, cmp, compared);
	if (machine_state__run(&state, s->c, other, MAX_TO_CALL, &call))
		return "no call where the pointer differs";
	if (!is_indirect_call(&call))
		return "another branch before the call where the pointer differs";
	called = machine_state__operand(&state, &call, &call.op[0]);
	if (!machine_value__same(&pointer, &called))
		return "the call where the pointer differs is through another pointer";
	g->addr = jump.addr;
	g->kind = calls_function(s->c, equal, s->functions[g->function]) ? GUARD_CALLS
									 : GUARD_INLINED;
	for (int i = 0; i < 2; i++)
		g->arg[i] = state.reg[argument[i]];
	return NULL;
}

static void remember_address(struct search *s, const struct insn *insn)
{
	int gpr;

	for (gpr = 0; gpr < 16; gpr++) {
		if (s->holds[gpr] && insn__writes(insn, gpr))
			s->holds[gpr] = 0;
	}
	/* rax, rcx, rdx, rsi, rdi, r8-r11 are lost in a call */
	if (insn->i.mnemonic == ZYDIS_MNEMONIC_CALL) {
		for (gpr = 0; gpr < 12; gpr++) {
			if (gpr != 3 && gpr != 4 && gpr != 5)
				s->holds[gpr] = 0;
		}
	}
	if (insn->op[0].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return;
	gpr = insn__gpr(insn->op[0].reg.value);
	if (gpr >= 0 && insn->i.mnemonic == ZYDIS_MNEMONIC_LEA)
		s->holds[gpr] = insn__memory(insn, &insn->op[1]);
	else if (gpr >= 0 && insn->i.mnemonic == ZYDIS_MNEMONIC_MOV &&
		 insn->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		s->holds[gpr] = insn->op[1].imm.value.u;
}

static int look(const struct insn *insn, void *arg)
{
	struct search *s = arg;
	int function = -1, side;

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_CMP) {
		for (side = 0; side < 2 && function < 0; side++)
			function = named_by(s, &insn->op[side]);
	}
	if (function >= 0) {
		struct guard *g = &s->guards[s->cnt];

		if (s->cnt == MAX_GUARDS)
			return -E2BIG;
		*g = (struct guard){
			.addr = insn->addr, .kind = GUARD_UNCLEAR, .function = function};
		/* side is one beyond the operand that names the function */
		g->why = examine(s, insn, &insn->op[side == 1], g);
		s->cnt++;
	}
	remember_address(s, insn);
	return 0;
}

static int look_at_function(const struct elf_symbol *function, void *arg)
{
	struct search *s = arg;
	int err = machine_code__check(s->c, function);

	if (err == -EILSEQ) {
		s->undecoded++;
		return 0;
	}
	if (err)
		return err;
	memset(s->holds, 0, sizeof(s->holds));
	return machine_code__walk(s->c, function, look, s);
}

int guards__find(const struct machine_code *c, const uint64_t functions[ALLOC_FUNCTIONS],
		 struct guard **ret, unsigned int *undecoded)
{
	struct search s = {.c = c, .functions = functions};
	int err;

	s.guards = calloc(MAX_GUARDS, sizeof(*s.guards));
	if (!s.guards)
		return -ENOMEM;
	err = machine_code__for_each_user(c, functions, ALLOC_FUNCTIONS, look_at_function, &s);
	if (err) {
		free(s.guards);
		return err;
	}
	*undecoded = s.undecoded;
	*ret = s.guards;
	return (int)s.cnt;
}
