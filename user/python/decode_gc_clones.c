/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * CPython 3.8 Modules/gcmodule.c. gc.collect(), PyGC_Collect and the automatic runs all are
 *	invoke_gc_callback(state, "start", ...);
 *	result = collect(state, generation, ...);
 *	invoke_gc_callback(state, "stop", ...);
 * inlined; of collect the compiler made clones that have lost constant arguments. What is called between the calls of one
 * function with the two strings is one of them.
 */
#include "python/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum said {
	NOTHING,
	START,
	STOP,
};

struct search {
	const struct elf_file *f;
	const struct machine_code *c;
	enum said said; /* a string that the next call is given */
	uint64_t callback; /* what was called with "start" last, or 0 */
	uint64_t between;
	unsigned int between_cnt;
	uint64_t *ret;
	size_t n, max;
};

static enum said string_at(const struct elf_file *f, uint64_t addr)
{
	char text[6] = "";

	if (!addr || elf_file__read(f, addr, text, sizeof(text)))
		return NOTHING;
	return !memcmp(text, "start", 6) ? START : !memcmp(text, "stop", 5) ? STOP : NOTHING;
}

/* The string whose address an instruction puts into a register. */
static enum said string_of(const struct elf_file *f, const struct insn *insn)
{
	const ZydisDecodedOperand *op = &insn->op[1];

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_LEA)
		return string_at(f, insn__memory(insn, op));
	return insn->i.mnemonic == ZYDIS_MNEMONIC_MOV && op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ?
		       string_at(f, op->imm.value.u) : NOTHING;
}

static void add(struct search *s, uint64_t function)
{
	struct elf_symbol symbol;

	for (size_t i = 0; i < s->n; i++) {
		if (s->ret[i] == function)
			return;
	}
	if (s->n < s->max && !machine_code__function(s->c, function, &symbol) && symbol.addr == function)
		s->ret[s->n++] = function;
}

static void see_call(struct search *s, uint64_t to)
{
	if (s->said == STOP && to && to == s->callback && s->between_cnt == 1)
		add(s, s->between);
	if (s->said == START) {
		s->callback = to;
		s->between_cnt = 0;
	} else {
		s->between = to;
		s->between_cnt++;
	}
	s->said = NOTHING;
}

static int look(const struct insn *insn, void *arg)
{
	struct search *s = arg;

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_CALL)
		see_call(s, insn__target(insn));
	else if (s->said == NOTHING)
		s->said = string_of(s->f, insn);
	return 0;
}

static int look_at_user(const struct elf_symbol *function, void *arg)
{
	struct search *s = arg;

	s->said = NOTHING;
	s->callback = 0;
	if (!machine_code__check(s->c, function))
		machine_code__walk(s->c, function, look, s);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int decode__collector_clones(const struct elf_file *f, const struct machine_code *c, uint64_t *ret, size_t max)
{
	struct search s = {.f = f, .c = c, .ret = ret, .max = max};
	struct elf_symbol symbol, function;
	uint64_t callback;

	if (elf_file__symbol(f, "PyGC_Collect", &symbol) || machine_code__function(c, symbol.addr, &function))
		return -ENOENT;
	look_at_user(&function, &s);
	callback = s.callback;
	if (!s.n)
		return -ENOENT;
	machine_code__for_each_user(c, &callback, 1, look_at_user, &s);
	qsort(ret, s.n, sizeof(*ret), compare);
	return (int)s.n;
}
