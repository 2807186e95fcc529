/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which addresses of the file a function's registers and stack hold, whichever way led there. Position-independent code
 * loads an address long before it compares with it or calls through it, keeps it in a register over loops, spills it to the
 * stack, and reaches what another file could define through the global offset table.
 */
#ifndef SYSTEM_KNOWN_ADDRESSES_H
#define SYSTEM_KNOWN_ADDRESSES_H

#include "system/machine_code.h"

struct known_addresses; /* before one instruction */

/* The address that the operand's value is, or 0: not known, or a mere number. */
uint64_t known_addresses__value(const struct known_addresses *k, const struct machine_code *c, const struct insn *insn,
				const ZydisDecodedOperand *op);
/* The address of the memory that the operand's value is loaded from, there or before, or 0. */
uint64_t known_addresses__source(const struct known_addresses *k, const struct machine_code *c, const struct insn *insn,
				 const ZydisDecodedOperand *op);

/*
 * Calls fn for each instruction of the function in order, then for those of the parts that were split off from it (which a
 * conditional jump leads to, a jump that is not to their start, or one that machine_code__is_part() tells is not to a
 * function's), until it returns other than 0, which is then returned.
 * -ENOMEM; -EILSEQ: the function does not decode, or it is too tangled to follow.
 */
int known_addresses__walk(const struct machine_code *c, const struct elf_symbol *function,
			  int (*fn)(const struct insn *insn, const struct known_addresses *before, void *arg), void *arg);

#endif
