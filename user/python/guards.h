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
	unsigned int domain; /* whose function: index into the tables that were given */
	enum alloc_function function;
	/*
	 * Arguments after the context, in terms of registers and memory at addr: size; count and
	 * size; block and size; block. MV_UNKNOWN where they cannot be told.
	 */
	struct machine_value arg[2];
	const char *why; /* GUARD_UNCLEAR: static */
};

/*
 * All comparisons with a function of one of the domains, in order of addresses; *ret is for the caller to free.
 * Functions that do not decode are left out and counted in *undecoded. Returns how many, or
 * -ENOMEM, -E2BIG.
 */
int guards__find(const struct machine_code *c, const struct alloc_table *const *domains, unsigned int domain_cnt,
		 struct guard **ret, unsigned int *undecoded);

#define MAX_RAW_RETURNS 1024
#define MAX_RAW_TAILS 32

/*
 * Where the raw allocator is used in the file's own code: called through the raw domain's table, by its functions, or by
 * what those call (malloc, ... through the PLT).
 */
struct raw_uses {
	/*
	 * Behind a call, so that a probe there has the new block in %rax. The place may be a little later, on an
	 * instruction that the kernel emulates.
	 */
	struct decode_place returns[MAX_RAW_RETURNS];
	size_t return_cnt;
	/* Functions that end in a jump to it (a tail call), so that it returns to their callers. */
	struct elf_symbol tails[MAX_RAW_TAILS];
	size_t tail_cnt;
};

/* public_functions: PyMem_RawMalloc and its like. What is beyond the limits is left out. */
void guards__raw_uses(const struct machine_code *c, const struct alloc_table *raw, const uint64_t *public_functions,
		      size_t public_cnt, struct raw_uses *ret);

#endif
