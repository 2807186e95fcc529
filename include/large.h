/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Blocks over 512 bytes, which CPython has from the process's malloc (Objects/obmalloc.c: SMALL_REQUEST_THRESHOLD),
 * and so has every extension: what both sides share of the probes on malloc and its kin (bpf/large.bpf.c).
 */
#ifndef PYMEMSCOPE_LARGE_H
#define PYMEMSCOPE_LARGE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define LARGE_MIN_BYTES 513

/* By where the arguments are; malloc(3), posix_memalign(3). */
enum large_function {
	LARGE_MALLOC, /* (bytes) */
	LARGE_CALLOC, /* (count, bytes) */
	LARGE_REALLOC, /* (block, bytes) */
	LARGE_REALLOCARRAY, /* (block, count, bytes) */
	LARGE_ALIGNED, /* (alignment, bytes): aligned_alloc, memalign */
	LARGE_POSIX_MEMALIGN, /* (where the address goes, alignment, bytes), returns an error */
	LARGE_FREE, /* (block) */
	LARGE_FUNCTIONS,
};

/* What a probe tells its program (bpf_get_attach_cookie). */
union large_cookie {
	__u64 raw;
	struct {
		__u32 watch; /* index in the map `large_watches` */
		__u32 function; /* enum large_function */
	};
};

enum large_watch_on {
	LARGE_WATCH_OFF, /* hits count for nothing any more */
	LARGE_WATCH_ALL,
	LARGE_WATCH_FREES, /* of blocks that are followed; no more are */
};

/* Map `large_watches`: one process whose large blocks are followed. Written by user space but for the counts. */
struct large_watch {
	__u32 proc_id;
	__u32 on; /* enum large_watch_on */
	__u64 hits; /* of all probes */
	__u64 blocks; /* calls for large blocks, each with its stack and a return */
};
_Static_assert(sizeof(struct large_watch) == 24, "large_watch");

/* Map `large_blocks`: from allocation to free. */
struct large_key {
	__u64 addr;
	__u32 watch;
	__u32 pad;
};
struct large_block {
	__u64 stack_id;
	__u64 bytes; /* as asked for */
};

/*
 * Map `large_moves`: who had a mapping made so many bytes large (mremap) last, by its stack: where realloc makes a large block
 * larger, malloc does so. A size is hardly that of two blocks.
 */
struct large_move {
	__u32 tgid;
	__u32 pad;
	__u64 bytes;
};

/* Map `large_calls`, by tgid << 32 | tid: the thread's call under way, if any. */
struct large_call {
	__u64 stack_id;
	__u64 bytes;
	__u64 out; /* posix_memalign: where the address goes */
	__u64 sp; /* stack pointer at the entry; 0: no call */
	__u64 old; /* realloc: the block given, which is in no map meanwhile; 0: none that was followed */
	struct large_block old_block;
	__u32 watch;
	__u32 inner; /* calls inside of it that were passed over */
};
_Static_assert(sizeof(struct large_call) == 64, "large_call");

#endif
