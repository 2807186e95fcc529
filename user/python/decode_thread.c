/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * CPython Python/pystate.c, 3.13 and later: PyThreadState_GetUnchecked returns the thread-local
 * variable _Py_tss_tstate. An executable reads it at a fixed distance from the thread pointer:
 *	endbr64; mov %fs:0xffffffffffffffe0, %rax; ret
 * A shared library calls __tls_get_addr instead, which is not followed.
 */
#include "python/decode.h"

#include <errno.h>

#define MAX_INSNS 3

int decode__thread_state(const struct elf_file *f, const struct machine_code *c, int32_t *ret)
{
	struct elf_symbol s;
	struct insn insn;
	uint64_t addr;
	int err;

	err = elf_file__symbol(f, "PyThreadState_GetUnchecked", &s);
	addr = s.addr;
	for (int i = 0; !err && i < MAX_INSNS; i++, addr += insn.i.length) {
		const ZydisDecodedOperand *from = &insn.op[1];

		err = machine_code__decode(c, addr, &insn);
		if (err || insn.i.mnemonic == ZYDIS_MNEMONIC_ENDBR64)
			continue;
		if (insn.i.mnemonic != ZYDIS_MNEMONIC_MOV ||
		    from->type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    from->mem.segment != ZYDIS_REGISTER_FS ||
		    from->mem.base != ZYDIS_REGISTER_NONE ||
		    from->mem.index != ZYDIS_REGISTER_NONE || insn__gpr(insn.op[0].reg.value) != 0 ||
		    from->mem.disp.value >= 0 || from->mem.disp.value < INT32_MIN)
			return -ENOENT;
		*ret = from->mem.disp.value;
		return 0;
	}
	return -ENOENT;
}
