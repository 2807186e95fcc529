/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where a build with profile-guided optimisation allocates without calling anybody. GCC turns
 *	_PyObject.malloc(_PyObject.ctx, size)
 * into "if the pointer is _PyObject_Malloc, its body inlined here; else the call". The comparison
 *is followed by a conditional jump, which the kernel emulates, and with the zero flag set at the
 *jump this allocation is made in the inlined body. The call on the other side tells where its
 *arguments are.
 */
#ifndef PYTHON_GUARDS_H
#define PYTHON_GUARDS_H

#include "python/decode.h"
#include "system/machine_state.h"

#define MAX_GUARDS 4096

enum guard_kind {
	GUARD_INLINED, /* a probe at addr sees what no function's entry sees */
	GUARD_CALLS,   /* both sides call: the probe on the function, or on its body (decode__body), sees it */
	GUARD_UNCLEAR, /* compares, but what follows is not understood: its allocations are not seen
			*/
};

struct guard {
	uint64_t addr; /* of the conditional jump; GUARD_UNCLEAR: of the comparison */
	enum guard_kind kind;
	enum alloc_function function;
	/*
	 * Arguments after the context, in terms of registers and memory at addr: size; count and
	 * size; block and size; block. MV_UNKNOWN where they cannot be told.
	 */
	struct machine_value arg[2];
	const char *why; /* GUARD_UNCLEAR: static */
};

/*
 * All comparisons with one of the functions, in order of addresses; *ret is for the caller to free.
 * Functions that do not decode are left out and counted in *undecoded. Returns how many, or
 * -ENOMEM, -E2BIG.
 */
int guards__find(const struct machine_code *c, const uint64_t functions[ALLOC_FUNCTIONS],
		 struct guard **ret, unsigned int *undecoded);

/*
 * Where calls of the raw allocator return in the file's own code, so that a probe there has the new
 * block in %rax: behind each call through the raw domain's table, of its functions, and of what
 * those call (malloc, ... through the PLT). The place may be a little later, on an instruction that
 * the kernel emulates. At most max; returns how many.
 */
size_t guards__raw_returns(const struct machine_code *c, const struct alloc_table *raw,
			   const uint64_t *public_functions, size_t public_cnt,
			   struct decode_place *ret, size_t max);

#endif
