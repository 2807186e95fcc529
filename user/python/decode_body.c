/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * CPython Objects/obmalloc.c: _PyObject_Realloc begins with "if (ptr == NULL) return _PyObject_Malloc(ctx, nbytes)",
 * _PyObject_Free with "if (p == NULL) return". GCC's partial inlining (-fpartial-inlining) puts such a beginning into the
 * callers, and what follows into a function of its own, _PyObject_Realloc.part.0, that they call. The official images of
 * 3.11 and 3.13 do so.
 */
#include "python/decode.h"

#define MAX_INSNS 24
#define MAX_FORKS 3
/* rdi, rsi, rdx: the context and two more; rsp */
static const int at_entry[] = {7, 6, 2, 4};

bool decode__each_way(const struct machine_code *c, struct code_way way,
		      bool (*fn)(const struct code_way *end, void *arg), void *arg)
{
	struct elf_symbol callee;
	struct insn insn;

	for (; way.insns < MAX_INSNS && !machine_code__decode(c, way.at, &insn); way.insns++) {
		uint64_t to = insn__target(&insn);

		if (insn.i.meta.category == ZYDIS_CATEGORY_COND_BR && to && way.forks < MAX_FORKS) {
			struct code_way taken = way;

			way.at += insn.i.length;
			taken.at = to;
			taken.forks = ++way.forks;
			taken.insns = ++way.insns;
			return decode__each_way(c, taken, fn, arg) && decode__each_way(c, way, fn, arg);
		}
		if (to && insn.i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
		    !machine_code__function(c, to, &callee) && callee.addr == to && !machine_code__is_part(c, to)) {
			way.to = to;
			return fn(&way, arg);
		}
		if (insn.i.meta.category == ZYDIS_CATEGORY_RET)
			return fn(&way, arg);
		if (insn.i.mnemonic == ZYDIS_MNEMONIC_JMP && to) {
			way.at = to;
			continue;
		}
		if (insn.i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
			return false;
		for (int i = 0; i < 4; i++)
			way.changed |= insn__writes(&insn, at_entry[i]);
		way.at += insn.i.length;
	}
	return false;
}

struct search {
	const uint64_t *functions;
	enum alloc_function which;
	uint64_t body;
};

static bool look_at_end(const struct code_way *end, void *arg)
{
	struct search *s = arg;

	if (!end->to)
		return s->which == ALLOC_FREE;
	if (s->which == ALLOC_REALLOC && end->to == s->functions[ALLOC_MALLOC])
		return true;
	if (end->changed || end->to == s->functions[s->which] || (s->body && s->body != end->to))
		return false;
	s->body = end->to;
	return true;
}

uint64_t decode__body(const struct machine_code *c, const uint64_t functions[ALLOC_FUNCTIONS], enum alloc_function which)
{
	struct search s = {.functions = functions, .which = which};
	struct code_way start = {.at = functions[which]};

	return decode__each_way(c, start, look_at_end, &s) && s.body ? s.body : functions[which];
}
