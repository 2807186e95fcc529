/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What registers hold further down a straight piece of code, in terms of what they held at its
 * start. So a probe at the start can tell an argument of a call that comes later. What is not
 * followed becomes MV_UNKNOWN, never a guess.
 */
#ifndef SYSTEM_MACHINE_STATE_H
#define SYSTEM_MACHINE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "system/machine_code.h"

#define MV_NO_REG 0xff

enum machine_value_kind {
	MV_UNKNOWN,
	MV_SUM,	 /* base + index * scale + disp; a constant has neither register */
	MV_LOAD, /* what memory holds there at the start */
};

struct machine_value {
	uint8_t kind;
	uint8_t base, index; /* registers as insn__gpr() numbers them, or MV_NO_REG */
	uint8_t scale;
	uint8_t bytes;	/* SUM: 8, or 4: the low half, zero-extended; LOAD: bytes loaded */
	bool is_signed; /* LOAD: sign-extended */
	int64_t disp;
};

#define MAX_STORES 16

struct machine_state {
	struct machine_value reg[16];
	struct {
		struct machine_value at, value;
		uint8_t bytes;
	} store[MAX_STORES];
	uint8_t store_cnt;
	bool memory_unknown; /* a store was not followed */
};

/* Each register holds itself. */
void machine_state__begin(struct machine_state *s);
/* The effect of one instruction that is not a jump or call. */
void machine_state__step(struct machine_state *s, const struct insn *insn);
/* The effect of a call: callee-saved registers and our own stack remain. System V ABI, AMD64, 3.2.1. */
void machine_state__call(struct machine_state *s);
/* What an operand of the instruction would read. */
struct machine_value machine_state__operand(const struct machine_state *s, const struct insn *insn,
					    const ZydisDecodedOperand *op);
/*
 * Steps from addr on, along direct jumps, until an instruction that branches in another way or max
 * have been made. That instruction is *ret. -E2BIG: max; else as machine_code__decode.
 */
int machine_state__run(struct machine_state *s, const struct machine_code *c, uint64_t addr,
		       int max, struct insn *ret);

bool machine_value__same(const struct machine_value *a, const struct machine_value *b);
static inline bool machine_value__is_constant(const struct machine_value *v)
{
	return v->kind == MV_SUM && v->base == MV_NO_REG && v->index == MV_NO_REG;
}

#endif
