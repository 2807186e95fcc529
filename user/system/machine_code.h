/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The machine code of an ELF file: its .text, the functions that .eh_frame tells of, and a decoder
 * (Zydis) over both. An instruction is only believed when it was reached from the start of a
 * function, and every direct jump of that function lands on an instruction that was. x86-64 only.
 */
#ifndef SYSTEM_MACHINE_CODE_H
#define SYSTEM_MACHINE_CODE_H

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/elf_file.h"

struct machine_code;

struct insn {
	uint64_t addr;
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT]; /* the first i.operand_count are set */
};

/* Reads .text, the table of functions and the global offset table. -ENOENT: it has none; -E2BIG; -ENOTSUP: not x86-64. Keeps
 * no pointer to f. */
int machine_code__open(const struct elf_file *f, struct machine_code **ret);
void machine_code__free(struct machine_code *c);

bool machine_code__contains(const struct machine_code *c, uint64_t addr);
/* The address that the loader will have put into the global offset table there (system/got.h), or 0. */
uint64_t machine_code__pointer(const struct machine_code *c, uint64_t at);
/* The function, or part of one that was split, that covers addr. -ENOENT. */
int machine_code__function(const struct machine_code *c, uint64_t addr, struct elf_symbol *ret);
/*
 * True for the start of a part that other code jumps into: what is on top of the stack there is no return address, and a
 * return probe would overwrite something else with that of its trampoline.
 */
bool machine_code__is_part(const struct machine_code *c, uint64_t addr);
/* -ENOENT: not in .text; -EILSEQ: no instruction, or one that goes beyond .text. */
int machine_code__decode(const struct machine_code *c, uint64_t addr, struct insn *ret);
/* -EILSEQ: the function does not decode from its start to its end, or a jump in it leads into an
 * instruction. */
int machine_code__check(const struct machine_code *c, const struct elf_symbol *function);
/* Calls fn for each instruction in order, until it returns other than 0, which is then returned.
 * -EILSEQ. */
int machine_code__walk(const struct machine_code *c, const struct elf_symbol *function,
		       int (*fn)(const struct insn *insn, void *arg), void *arg);
/*
 * Calls fn once for each function that may name one of the addresses: as an immediate or displacement
 * of 32 bits, or relative to the instruction pointer. May be wrong about it, but misses none.
 */
int machine_code__for_each_user(const struct machine_code *c, const uint64_t *addrs, size_t n,
				int (*fn)(const struct elf_symbol *function, void *arg), void *arg);

/* Where a direct jump or call leads, or 0. */
uint64_t insn__target(const struct insn *insn);
/* Address that a memory operand without registers but %rip names, or 0. */
uint64_t insn__memory(const struct insn *insn, const ZydisDecodedOperand *op);
/* The kernel emulates it under a uprobe instead of stepping through it (arch/x86/kernel/uprobes.c).
 */
bool insn__emulated(const struct insn *insn);
/* As people read it (AT&T). */
void insn__text(const struct insn *insn, char *buf, size_t len);
/* 0-15: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8-r15, of any width; -1: none of them. */
int insn__gpr(ZydisRegister r);
bool insn__writes(const struct insn *insn, int gpr);

#endif
