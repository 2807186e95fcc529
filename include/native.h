/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Native frames beneath the Python leaf: what both sides share.
 *
 * Most code that people run was built without frame pointers, so the base pointer tells nothing. What a compiler tells of every
 * instruction, in .eh_frame, is where the caller's registers are from there: one rule an address. The kernel side steps by
 * these rules. It has none to begin with. When it comes to an address without one, it asks (REC_NATIVE), once, and the walk ends
 * there; user space finds the rule in the mapped file, and those of the callers in the piece of stack that came with the
 * question. So a process that runs the same code again is walked through to its interpreter after some milliseconds.
 *
 * A walk begins with the user registers of the current thread, and ends at the first frame in the interpreter's own file: what
 * lies there is CPython's C code, which the Python frames stand for. A return address is only read where a rule says that
 * it is; nothing is guessed.
 */
#ifndef PYMEMSCOPE_NATIVE_H
#define PYMEMSCOPE_NATIVE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Native frames kept of one stack, leaf first. */
#define MAX_NATIVE_FRAMES 16
/* Addresses with a rule, or asked about: of all processes together, and of one. */
#define MAX_NATIVE_RULES 65536
#define MAX_NATIVE_RULES_PROCESS 4096

/*
 * Map `native_rules`. A return address is another key than the same address as an instruction pointer: the rule of a call goes for
 * what comes after it only if something comes.
 */
#define NATIVE_IS_RETURN (1ull << 63)
struct native_key {
	__u64 at;
	__u32 proc_id; /* mappings are a process's own, also after a fork */
	__u32 pad;
};

enum native_from {
	NATIVE_NO_CALLER = 0, /* the walk ends: enum native_end */
	NATIVE_FROM_SP = 1,
	NATIVE_FROM_BP = 2,
	NATIVE_FROM_BP_MEMORY = 3, /* of what lies there: a function that aligns its stack */
};

/* Where the caller's base pointer is. */
enum native_bp {
	NATIVE_BP_SAME = 0,
	NATIVE_BP_AT_CFA = 1, /* saved at bp_offset from there */
	NATIVE_BP_AT_BP = 2, /* at bp_offset from the base pointer */
	NATIVE_BP_LOST = 3,
};

/* Where a walk ended. */
enum native_end {
	NATIVE_END_NONE = 0, /* there was none: the kernel cannot tell, or the leaf is the interpreter's */
	NATIVE_END_PYTHON = 1, /* at the interpreter */
	NATIVE_END_OUTERMOST = 2, /* the thread's first function */
	NATIVE_END_ASKED = 3, /* no rule yet */
	NATIVE_END_NO_RULE = 4, /* and there is none to be had: code without .eh_frame */
	NATIVE_END_CUT = 5, /* MAX_NATIVE_FRAMES */
	NATIVE_END_BAD = 6, /* the stack is not as the rules say, or not readable */
	NATIVE_END_MAX,
};

/*
 * The caller's stack pointer, the "canonical frame address", is the register that `from` says, + cfa; NATIVE_FROM_BP_MEMORY: the
 * word there. The return address stands right below it.
 */
struct native_rule {
	/* What tells stacks apart: the function's address, so that its many instructions do not make many stacks. */
	__u64 function;
	__s32 cfa;
	__s16 bp_offset;
	__u8 from : 4; /* enum native_from */
	__u8 bp : 4; /* enum native_bp */
	__u8 end; /* enum native_end, where from is NATIVE_NO_CALLER */
};
_Static_assert(sizeof(struct native_rule) == 16, "native_rule");
/* A single frame is never larger. */
#define NATIVE_MAX_FRAME_BYTES (1 << 20)

#endif
