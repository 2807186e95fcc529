/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Calls by which a process asks its kernel for memory of its own, and gives it back: what both sides share of the probes on them
 * (bpf/mapping.bpf.c).
 */
#ifndef PYMEMSCOPE_MAPPING_H
#define PYMEMSCOPE_MAPPING_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* System calls, with their arguments in order. */
enum map_call {
	MAP_CALL_MMAP, /* (address, bytes, protection, flags, ...), returns where */
	MAP_CALL_MUNMAP, /* (address, bytes) */
	MAP_CALL_MREMAP, /* (address, bytes, new bytes, flags, ...), returns where */
	MAP_CALL_MPROTECT, /* (address, bytes, protection) */
	MAP_CALL_MADVISE, /* (address, bytes, advice) */
	MAP_CALL_BRK, /* (end of the heap), returns where it is now */
	MAP_CALLS,
	/* Of a link to MAP_CALL_MREMAP alone: who makes a mapping larger is noted (struct large_move), nothing is told. */
	MAP_CALL_GROWS = MAP_CALLS,
};

/* What a probe tells its program (bpf_get_attach_cookie). */
union mapping_cookie {
	__u64 raw;
	struct {
		__u32 call; /* enum map_call */
		__s32 caller_at; /* the function's return address lies so far above the stack pointer; < 0: not known */
	};
};

#endif
