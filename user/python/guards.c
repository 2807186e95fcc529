/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Each function that names an allocator function is walked from its start. Position-dependent code
 * compares with an immediate; position-independent code loads the address (lea) before, possibly
 * far before (system/known_addresses.h).
 *
 * A comparison is taken for a guard only if the side of the jump where the pointer differs ends in
 * an indirect call through the very value that was compared: then it is the call that was made
 * direct on the other side.
 */
#include "python/guards.h"

#include <errno.h>
#include <stdlib.h>

#include "system/known_addresses.h"

/* How far a comparison may be from its jump, and a jump from the call. */
#define MAX_TO_JUMP 6
#define MAX_TO_CALL 40
#define MAX_FUNCTIONS (ALLOC_DOMAINS * ALLOC_FUNCTIONS)

struct search {
	const struct machine_code *c;
	size_t function_cnt;
	uint64_t function[MAX_FUNCTIONS], body[MAX_FUNCTIONS]; /* domain after domain */
	struct guard *guards;
	size_t cnt;
	unsigned int undecoded;
};

static int function_of(const struct search *s, uint64_t addr)
{
	for (size_t i = 0; i < s->function_cnt; i++) {
		if (addr && s->function[i] == addr)
			return (int)i;
	}
	return -1;
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

struct side {
	const struct search *s;
	size_t which;
};

static bool is_call_of(const struct code_way *end, void *arg)
{
	const struct side *side = arg;
	const struct search *s = side->s;

	size_t of_domain = side->which - side->which % ALLOC_FUNCTIONS;
	bool is_realloc = side->which % ALLOC_FUNCTIONS == ALLOC_REALLOC;

	return end->to && (end->to == s->function[side->which] || end->to == s->body[side->which] ||
			   (is_realloc && end->to == s->function[of_domain + ALLOC_MALLOC]));
}

/* The side where the pointers are equal calls the function, or goes on in it. */
static bool calls_function(const struct search *s, uint64_t addr, size_t which)
{
	struct side side = {.s = s, .which = which};

	return decode__each_way(s->c, (struct code_way){.at = addr}, is_call_of, &side);
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
	g->kind = calls_function(s, equal, ALLOC_FUNCTIONS * g->domain + g->function) ? GUARD_CALLS : GUARD_INLINED;
	for (int i = 0; i < 2; i++)
		g->arg[i] = state.reg[argument[i]];
	return NULL;
}

static int look(const struct insn *insn, const struct known_addresses *known, void *arg)
{
	struct search *s = arg;
	int function = -1, side;

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_CMP) {
		for (side = 0; side < 2 && function < 0; side++)
			function = function_of(s, known_addresses__value(known, s->c, insn, &insn->op[side]));
	}
	if (function >= 0) {
		struct guard *g = &s->guards[s->cnt];

		if (s->cnt == MAX_GUARDS)
			return -E2BIG;
		*g = (struct guard){
			.addr = insn->addr, .kind = GUARD_UNCLEAR, .domain = function / ALLOC_FUNCTIONS,
			.function = function % ALLOC_FUNCTIONS};
		/* side is one beyond the operand that names the function */
		g->why = examine(s, insn, &insn->op[side == 1], g);
		s->cnt++;
	}
	return 0;
}

static int look_at_function(const struct elf_symbol *function, void *arg)
{
	struct search *s = arg;
	int err = machine_code__check(s->c, function);

	if (!err)
		err = known_addresses__walk(s->c, function, look, s);
	if (err == -EILSEQ) {
		s->undecoded++;
		err = 0;
	}
	return err;
}

static int by_address(const void *a, const void *b)
{
	const struct guard *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* A part that was split off is met with its function, and on its own if it names an address itself. */
static void keep_each_once(struct search *s)
{
	size_t n = 0;

	qsort(s->guards, s->cnt, sizeof(*s->guards), by_address);
	for (size_t i = 0; i < s->cnt; i++) {
		if (!n || s->guards[n - 1].addr != s->guards[i].addr)
			s->guards[n++] = s->guards[i];
	}
	s->cnt = n;
}

int guards__find(const struct machine_code *c, const struct alloc_table *const *domains, unsigned int domain_cnt,
		 struct guard **ret, unsigned int *undecoded)
{
	struct search s = {.c = c};
	int err;

	if (domain_cnt > ALLOC_DOMAINS)
		return -E2BIG;
	s.guards = calloc(MAX_GUARDS, sizeof(*s.guards));
	if (!s.guards)
		return -ENOMEM;
	for (unsigned int domain = 0; domain < domain_cnt; domain++) {
		for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
			s.function[s.function_cnt] = domains[domain]->function[i];
			s.body[s.function_cnt++] = decode__body(c, domains[domain]->function, i);
		}
	}
	err = machine_code__for_each_user(c, s.function, s.function_cnt, look_at_function, &s);
	if (err) {
		free(s.guards);
		return err;
	}
	keep_each_once(&s);
	*undecoded = s.undecoded;
	*ret = s.guards;
	return (int)s.cnt;
}
