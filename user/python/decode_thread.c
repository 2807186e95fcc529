/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * CPython Python/pystate.c, 3.15: PyGILState_GetThisThreadState returns the thread-local variable _Py_tss_gilstate, which the
 * thread keeps while it has released the GIL (_Py_tss_tstate, of PyThreadState_GetUnchecked, is NULL then).
 * How it gets there (U. Drepper, ELF Handling For Thread-Local Storage; System V ABI, AMD64):
 *
 *	an executable		mov %fs:-0x20, %rax
 *	initial-exec		mov A(%rip), %rax; mov %fs:(%rax), %rax		A: distance from the thread pointer
 *	a shared library	lea A(%rip), %rdi; call __tls_get_addr; mov 8(%rax), %rax	A: module and offset in it
 *	the same, GCC 16	lea A(%rip), %rax; call *(%rax); mov %fs:8(%rax), %rax	A: a descriptor
 *
 * What the word or the two words at A are, their relocation tells; the dynamic linker fills them in.
 *
 * musl's pthread_getspecific (src/thread/pthread_getspecific.c) is __pthread_self()->tsd[key]; where in struct pthread that
 * is differs between its versions:
 *
 *	mov %fs:0, %rax; mov 0x80(%rax), %rax; mov %edi, %edi; mov (%rax,%rdi,8), %rax; ret
 */
#include "python/decode.h"

#include <elf.h>
#include <errno.h>

#define MAX_INSNS 12
/* More than what all modules of a program keep by thread, and more than struct pthread. */
#define MAX_OFFSET (1 << 20)
#define RAX 0
#define RDI 7

struct reading {
	const struct elf_file *f;
	struct thread_variable v;
	bool called; /* __tls_get_addr, or the descriptor's function */
};

static bool is_base(const ZydisDecodedOperand *op, int gpr)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.index == ZYDIS_REGISTER_NONE &&
	       op->mem.base != ZYDIS_REGISTER_NONE && insn__gpr(op->mem.base) == gpr;
}

static bool from_thread_pointer(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.segment == ZYDIS_REGISTER_FS;
}

static bool is_fixed(const ZydisDecodedOperand *op)
{
	return from_thread_pointer(op) && op->mem.base == ZYDIS_REGISTER_NONE && op->mem.index == ZYDIS_REGISTER_NONE;
}

static bool is_register(const ZydisDecodedOperand *op, int gpr)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && insn__gpr(op->reg.value) == gpr;
}

/* What the dynamic linker puts at that address. */
static enum thread_access access_of(const struct elf_file *f, uint64_t word)
{
	switch (elf_file__relocation(f, word)) {
	case R_X86_64_TPOFF64:
		return THREAD_DISTANCE;
	case R_X86_64_DTPMOD64:
		return THREAD_MODULE;
	case R_X86_64_TLSDESC:
		return THREAD_DESCRIPTOR;
	default:
		return THREAD_UNKNOWN;
	}
}

/* The address of the words: lea A(%rip), %rdi or %rax; mov A(%rip), %rax. */
static bool read_words_address(struct reading *r, const struct insn *insn)
{
	uint64_t word = insn__memory(insn, &insn->op[1]);
	enum thread_access access = word ? access_of(r->f, word) : THREAD_UNKNOWN;
	bool lea = insn->i.mnemonic == ZYDIS_MNEMONIC_LEA;

	if (r->v.access != THREAD_UNKNOWN || access == THREAD_UNKNOWN || lea == (access == THREAD_DISTANCE) ||
	    !is_register(&insn->op[0], access == THREAD_MODULE ? RDI : RAX))
		return false;
	r->v.access = access;
	r->v.word = word;
	return true;
}

static bool read_offset(struct reading *r, const ZydisDecodedOperand *from)
{
	if (from->mem.disp.value > MAX_OFFSET || from->mem.disp.value < -MAX_OFFSET)
		return false;
	r->v.offset = from->mem.disp.value;
	return true;
}

/* The load of the variable into %rax: the last step. */
static bool read_load(struct reading *r, const struct insn *insn)
{
	const ZydisDecodedOperand *from = &insn->op[1];

	if (!is_register(&insn->op[0], RAX) || insn->i.operand_width != 64)
		return false;
	switch (r->v.access) {
	case THREAD_UNKNOWN:
		r->v.access = THREAD_FIXED;
		return is_fixed(from) && from->mem.disp.value < 0 && read_offset(r, from);
	case THREAD_DISTANCE:
		return from_thread_pointer(from) && is_base(from, RAX) && read_offset(r, from);
	case THREAD_MODULE:
		return r->called && !from_thread_pointer(from) && is_base(from, RAX) && read_offset(r, from);
	case THREAD_DESCRIPTOR:
		return r->called && from_thread_pointer(from) && is_base(from, RAX) && read_offset(r, from);
	default:
		return false;
	}
}

/* What else may stand there: endbr64, a frame, its end, and what pads the call. 1: the variable was read; -1: not understood. */
static int read_insn(struct reading *r, const struct insn *insn)
{
	switch (insn->i.mnemonic) {
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		return insn__writes(insn, RAX) || insn__writes(insn, RDI) ? -1 : 0;
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_ADD:
		return is_register(&insn->op[0], 4) ? 0 : -1;
	case ZYDIS_MNEMONIC_LEA:
		return read_words_address(r, insn) ? 0 : -1;
	case ZYDIS_MNEMONIC_CALL:
		if (r->called || (r->v.access != THREAD_MODULE && r->v.access != THREAD_DESCRIPTOR))
			return -1;
		r->called = true;
		return 0;
	case ZYDIS_MNEMONIC_MOV:
		if (insn->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
			return is_register(&insn->op[0], 5) ? 0 : -1; /* mov %rsp, %rbp */
		if (r->v.access == THREAD_UNKNOWN && !from_thread_pointer(&insn->op[1]))
			return read_words_address(r, insn) ? 0 : -1;
		return read_load(r, insn) ? 1 : -1;
	default:
		return -1;
	}
}

int decode__thread_variable(const struct elf_file *f, const struct machine_code *c, struct thread_variable *ret)
{
	struct reading r = { .f = f };
	struct elf_symbol s;
	struct insn insn;
	uint64_t addr;
	int err;

	err = elf_file__symbol(f, "PyGILState_GetThisThreadState", &s);
	addr = s.addr;
	for (int i = 0, end = 0; !err && i < MAX_INSNS; i++, addr += insn.i.length) {
		err = machine_code__decode(c, addr, &insn);
		end = err ? 0 : read_insn(&r, &insn);
		if (end < 0)
			break;
		if (end) {
			*ret = r.v;
			return 0;
		}
	}
	return -ENOENT;
}

/* mov %fs:0, A; mov D(A), A; mov (A,%rdi,8), %rax: steps 0, 1, 2. Returns the next step, or -1. */
static int follow_specific(const struct insn *insn, int step, ZydisRegister *self, uint32_t *ret)
{
	const ZydisDecodedOperand *to = &insn->op[0], *from = &insn->op[1];

	if (insn->i.mnemonic == ZYDIS_MNEMONIC_ENDBR64)
		return step;
	if (insn->i.mnemonic != ZYDIS_MNEMONIC_MOV || to->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return -1;
	if (is_register(to, RDI) && is_register(from, RDI)) /* the key has 32 bits */
		return step;
	if (insn->i.operand_width != 64 || from->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return -1;
	if (step == 0 && is_fixed(from) && from->mem.disp.value == 0) {
		*self = to->reg.value;
		return 1;
	}
	if (from_thread_pointer(from) || from->mem.base != *self)
		return -1;
	if (step == 1 && from->mem.index == ZYDIS_REGISTER_NONE && from->mem.disp.value > 0 &&
	    from->mem.disp.value < MAX_OFFSET) {
		*self = to->reg.value;
		*ret = from->mem.disp.value;
		return 2;
	}
	if (step == 2 && from->mem.index != ZYDIS_REGISTER_NONE && insn__gpr(from->mem.index) == RDI && from->mem.scale == 8 &&
	    from->mem.disp.value == 0 && is_register(to, RAX))
		return 3;
	return -1;
}

int decode__musl_specific(const struct elf_file *f, const struct machine_code *c, uint32_t *ret)
{
	ZydisRegister self = ZYDIS_REGISTER_NONE;
	uint32_t offset = 0;
	struct elf_symbol s;
	struct insn insn;
	uint64_t addr;
	int err, step = 0;

	err = elf_file__symbol(f, "pthread_getspecific", &s);
	addr = s.addr;
	for (int i = 0; !err && i < MAX_INSNS && step >= 0; i++, addr += insn.i.length) {
		err = machine_code__decode(c, addr, &insn);
		if (!err && step == 3 && insn.i.mnemonic == ZYDIS_MNEMONIC_RET) {
			*ret = offset;
			return 0;
		}
		step = err ? -1 : follow_specific(&insn, step, &self, &offset);
	}
	return -ENOENT;
}
