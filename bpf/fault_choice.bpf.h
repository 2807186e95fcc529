/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which page faults are looked at, and which pages are followed; a part of fault.bpf.c.
 */
#ifndef BPF_FAULT_CHOICE_H
#define BPF_FAULT_CHOICE_H

#include "core.bpf.h"

/*
 * Sampling is by page, not by chance, so that a page's next fault is looked at when its last one was. What the others
 * brought in is charged to the last fault that was looked at: the sum stays right, the shares are right on average.
 */
static __always_inline bool page_sampled(__u64 page, __u32 shift, __u32 tgid)
{
	return !shift || PAGE_IS_CHOSEN(tgid, page_sampling_epoch, page, shift);
}

struct stratum strata[STRATA];
/* Counted up by user space. */
__u32 fault_period = 0;

/* User registers: where the kernel touches user memory, those of the system call. Before 5.15: one stratum a process. */
static __always_inline struct stratum *current_stratum(__u32 tgid)
{
	struct pt_regs *regs;
	__u64 hash = (__u64)tgid << 32;

	if (has_task_btf() && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
		hash = PY_HASH_STEP(PT_REGS_IP(regs) & 4095, PT_REGS_SP(regs) & 4095);
	}
	return &strata[PY_HASH_STEP(0, hash) >> 40 & (STRATA - 1)];
}

/* How many bits n has. */
static __always_inline __u32 bits_of(__u32 n)
{
	__u32 bits = 0, step;

#pragma unroll
	for (step = 16; step; step /= 2) {
		if (n >> step) {
			n >>= step;
			bits += step;
		}
	}
	return bits + n;
}

/* The shift for one more fault of a stratum. */
static __always_inline __u32 shift_for(struct stratum *stratum, __u32 fault_shift)
{
	__u32 period = fault_period, least = fault_shift > FAULT_EVEN_SHIFT ? fault_shift - FAULT_EVEN_SHIFT : 0, rate, bits;

	if (stratum->period != period) {
		stratum->rate = stratum->period + 1 == period ? stratum->hits : 0;
		stratum->hits = 0;
		stratum->period = period;
	}
	rate = ++stratum->hits;
	if (rate < stratum->rate)
		rate = stratum->rate;
	fault_shift = fault_shift < FAULT_QUOTA_BITS - LEAST_QUOTA_BITS ? FAULT_QUOTA_BITS - fault_shift : LEAST_QUOTA_BITS;
	bits = bits_of(rate >> fault_shift);
	if (bits < least)
		bits = least;
	return bits < MAX_LOOK_SHIFT ? bits : MAX_LOOK_SHIFT;
}

__u64 followed[2 * FOLLOWED_WORDS];
__u32 followed_half = 0;

static __always_inline void mark_followed(__u32 tgid, __u64 page)
{
	__u64 word = (followed_half & 1) * FOLLOWED_WORDS + FOLLOWED_WORD(tgid, page);

	/* 6.1 knows no bounds of what is or'ed. */
	barrier_var(word);
	followed[word & (2 * FOLLOWED_WORDS - 1)] |= FOLLOWED_BIT(page);
}

static __always_inline bool may_be_followed(__u32 tgid, __u64 page)
{
	__u32 word = FOLLOWED_WORD(tgid, page);

	return (followed[word] | followed[FOLLOWED_WORDS + word]) & FOLLOWED_BIT(page);
}

#endif
