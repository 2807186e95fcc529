/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * CPython Modules/gcmodule.c, Python/gc.c from 3.13. PyGC_Collect, the one exported way to the
 *collector, calls collect_with_callback(tstate, NUM_GENERATIONS - 1)	3.8, 3.9
 *	gc_collect_with_callback(tstate, NUM_GENERATIONS - 1)	3.10-3.12
 *	gc_collect_main(tstate, NUM_GENERATIONS - 1, reason)	3.13
 *	_PyGC_Collect(tstate, 2, reason), gc_collect_main(...)	3.14, 3.15
 * or what the compiler made of it; in all of them the second argument is 2 and the first no
 *constant (3.8 calls invoke_gc_callback("start", 2, ...) before). What runs gc.callbacks too may be
 *inlined, so that the next one is met; where it is not, it hands its two arguments on, and the collector
 *behind it sees the collections at the end too, which run no callbacks (_PyGC_CollectNoFail). In 3.8 the
 *collector's clones may have lost their arguments: then nothing is found.
 */
#include "python/decode.h"

#include <errno.h>

#include "system/machine_state.h"

#define OLDEST_GENERATION 2
#define REASON_MANUAL 2 /* _PyGC_Reason */
#define RDX 2
#define RDI 7
#define RSI 6
#define MAX_INSNS 200
#define MAX_CALLS_BEFORE 3

struct search {
	const struct machine_code *c;
	bool passes_oldest;
	bool passes_manual;
	bool passes_constant; /* first, where the collector is given a thread state */
	uint64_t found;
	unsigned int callers;
	int insns;
};

static int look_for_call(const struct insn *insn, void *arg)
{
	struct search *s = arg;
	struct elf_symbol callee;
	uint64_t target = insn__target(insn);

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_CALL) {
		if (s->passes_oldest && !s->passes_constant && target &&
		    !machine_code__function(s->c, target, &callee) && callee.addr == target) {
			s->found = target;
			return 1;
		}
		s->passes_oldest = s->passes_constant = s->passes_manual = false;
	} else if (insn__writes(insn, RDX)) {
		s->passes_manual = insn->i.mnemonic == ZYDIS_MNEMONIC_MOV &&
				   insn->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
				   insn->op[1].imm.value.u == REASON_MANUAL;
	} else if (insn__writes(insn, RSI)) {
		s->passes_oldest = insn->i.mnemonic == ZYDIS_MNEMONIC_MOV &&
				   insn->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
				   insn->op[1].imm.value.u == OLDEST_GENERATION;
	} else if (insn__writes(insn, RDI)) {
		s->passes_constant = insn->i.mnemonic == ZYDIS_MNEMONIC_LEA ||
				     insn->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
	}
	return ++s->insns == MAX_INSNS;
}

static int count_call(const struct insn *insn, void *arg)
{
	struct search *s = arg;

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_CALL || insn->i.mnemonic == ZYDIS_MNEMONIC_JMP)
		s->callers += insn__target(insn) == s->found;
	return 0;
}

static int look_at_user(const struct elf_symbol *function, void *arg)
{
	struct search *s = arg;

	/* The function's own jumps to its start are no calls. */
	if (function->addr != s->found)
		machine_code__walk(s->c, function, count_call, s);
	return 0;
}

static bool is_at_entry(const struct machine_value *v, int gpr)
{
	return v->kind == MV_SUM && v->base == gpr && v->index == MV_NO_REG && !v->disp;
}

static bool is_function(const struct machine_code *c, uint64_t addr)
{
	struct elf_symbol function;

	return addr && !machine_code__function(c, addr, &function) && function.addr == addr &&
	       !machine_code__is_part(c, addr);
}

/* The function that is called with the same two arguments before anything else is decided, or 0. */
static uint64_t handed_on_to(const struct machine_code *c, uint64_t function)
{
	struct machine_state state;
	struct insn call;
	uint64_t addr = function;

	machine_state__begin(&state);
	for (int calls = 0; calls < MAX_CALLS_BEFORE; calls++) {
		if (machine_state__run(&state, c, addr, MAX_INSNS, &call) || call.i.mnemonic != ZYDIS_MNEMONIC_CALL)
			return 0;
		if (is_at_entry(&state.reg[RDI], RDI) && is_at_entry(&state.reg[RSI], RSI) &&
		    is_function(c, insn__target(&call)))
			return insn__target(&call);
		machine_state__call(&state);
		addr = call.addr + call.i.length;
	}
	return 0;
}

static unsigned int count_callers(struct search *s, uint64_t function)
{
	s->found = function;
	s->callers = 0;
	machine_code__for_each_user(s->c, &function, 1, look_at_user, s);
	return s->callers;
}

int decode__collector(const struct elf_file *f, const struct machine_code *c, uint64_t *ret,
		      unsigned int *callers, bool *reason)
{
	struct elf_symbol symbol, function;
	struct search s = {.c = c};
	uint64_t inner;

	if (elf_file__symbol(f, "PyGC_Collect", &symbol) ||
	    machine_code__function(c, symbol.addr, &function) || function.addr != symbol.addr ||
	    machine_code__check(c, &function) ||
	    machine_code__walk(c, &function, look_for_call, &s) != 1 || !s.found)
		return -ENOENT;
	*ret = s.found;
	*reason = s.passes_manual;
	inner = handed_on_to(c, *ret);
	*callers = count_callers(&s, *ret);
	if (inner) {
		*ret = inner;
		*reason = false; /* what else it is given is not known */
		*callers += count_callers(&s, inner) - 1;
	}
	return 0;
}
