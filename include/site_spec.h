/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a probe of the exact signal must know of its place: where the arguments of an allocation are that was inlined there,
 * and how to tell the block that it will get. Map `site_specs`, under the number that the site's cookie carries.
 */
#ifndef PYMEMSCOPE_SITE_SPEC_H
#define PYMEMSCOPE_SITE_SPEC_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define SITE_NO_REG 0xff

/* base + (index << scale_log2) + disp, or the memory there. A constant has no registers. */
struct site_arg {
	__u8 base, index; /* words in struct pt_regs, or SITE_NO_REG */
	__u8 scale_log2;
	__u8 load_bytes; /* 0: the sum itself */
	__u8 is_signed; /* of what is loaded */
	__u8 low_half; /* only the lower 32 bits count */
	__u8 pad[2];
	__s64 disp;
};

/* Where the first pool with a free block of each size class is found (python/decode.h, enum used_pools). */
enum site_pools {
	SITE_POOLS_UNKNOWN = 0,
	SITE_POOLS_STATIC = 1, /* pools_at from _PyRuntime */
	SITE_POOLS_IN_INTERP = 2, /* pools_at in the main interpreter's state */
	SITE_POOLS_BEHIND_INTERP = 3, /* behind the pointer there */
};

struct site_spec {
	struct site_arg arg[2]; /* PROBE_GUARD, and of the raw domain: size; count, size; block, size; block */
	__u8 function; /* PROBE_MALLOC to PROBE_FREE */
	__u8 pools; /* enum site_pools */
	/* The function's return tells the address. 0: allocate_from_new_pool and the raw allocator, which have probes, do. */
	__u8 returns;
	__u8 is_raw; /* of the raw domain: what calls it for itself, with the GIL or without (bpf/raw.bpf.h) */
	__u32 main_interp; /* in _PyRuntime: pointer to the main interpreter's state */
	__s64 pools_at;
};
_Static_assert(sizeof(struct site_spec) == 48, "site_spec");

/* pymalloc: Include/internal/pycore_obmalloc.h, Objects/obmalloc.c; 3.8-3.15 on 64-bit machines. */
#define PYMALLOC_MAX_BYTES 512
#define PYMALLOC_CLASS_SHIFT 4
#define PYMALLOC_USED_STRIDE 16 /* usedpools[2 * class] */

#endif
