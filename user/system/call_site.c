/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "system/call_site.h"

#include <Zydis/Zydis.h>

/* call *%rax */
#define SHORTEST 2

bool call_site__ends(const uint8_t *code, size_t n)
{
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;
	size_t len;

	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return false;
	for (len = SHORTEST; len <= n && len <= CALL_SITE_MAX_BYTES; len++) {
		if (ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, code + n - len, len, &insn)) &&
		    insn.length == len && insn.mnemonic == ZYDIS_MNEMONIC_CALL &&
		    insn.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
			return true;
	}
	return false;
}
