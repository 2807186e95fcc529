/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Probes on the guards of inlined allocations (user/python/guards.h): the jump tells in the zero flag whether the inlined
 * body follows; where the arguments are, the site's spec.
 */
#ifndef BPF_GUARD_H
#define BPF_GUARD_H

#ifdef KERNEL_WORDS_ARE_READ
#include "direct.bpf.h"
#endif
#include "maps.bpf.h"
#include "site_spec.h"

#if defined(__TARGET_ARCH_x86)
#define ZERO_FLAG 0x40
#define FLAGS(ctx) ((ctx)->flags)
#endif

/* By a load where the object may (stack.bpf.h, walk_in_place): a call takes five times as long. */
static __always_inline __u64 reg_word(const struct pt_regs *ctx, __u32 word)
{
	__u64 v = 0;

	if (word >= sizeof(*ctx) / 8)
		return 0;
#ifdef KERNEL_WORDS_ARE_READ
	if (casts_work)
		return kernel_word((__u64)ctx + word * 8);
#endif
	bpf_probe_read_kernel(&v, sizeof(v), (const void *)ctx + word * 8);
	return v;
}

/* False: memory that cannot be read. */
static __always_inline bool site_arg_value(const struct pt_regs *ctx, const struct site_arg *a, __u64 *ret)
{
	__u64 v = reg_word(ctx, a->base) + (reg_word(ctx, a->index) << (a->scale_log2 & 3)) + a->disp;
	__u32 bytes = a->load_bytes & 15, shift = 64 - 8 * bytes;

	if (bytes) {
		__u64 at = v;

		v = 0;
		if (bytes > 8 || bpf_probe_read_user(&v, bytes, (const void *)at))
			return false;
		v <<= shift & 63;
		v = a->is_signed ? (__u64)((__s64)v >> (shift & 63)) : v >> (shift & 63);
	}
	*ret = a->low_half ? (__u32)v : v;
	return true;
}

#endif
