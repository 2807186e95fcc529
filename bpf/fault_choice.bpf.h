/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which page faults are looked at, and which pages are followed; a part of fault.bpf.c.
 */
#ifndef BPF_FAULT_CHOICE_H
#define BPF_FAULT_CHOICE_H

#include "core.bpf.h"

struct stratum strata[STRATA];
/* Counted up by user space. */
__u32 fault_period = 0;
/* Pages that faulted in this period and in the last, by turns: user space clears one before it counts up the period. */
__u64 fault_marks[2 * FAULT_MARK_WORDS];

/*
 * Each fault by chance, not each of some pages: of a loop over a few pages all faults, or none, would be looked at, for as long as
 * these are chosen.
 */
static __always_inline bool is_chosen(__u32 shift)
{
	return !(bpf_get_prandom_u32() & ((1u << (shift & 31)) - 1));
}

/* Whether the page faulted lately; now it has. */
static __always_inline bool faulted_lately(__u32 tgid, __u64 page)
{
	__u32 now = FAULT_MARK_WORD(tgid, page) + (fault_period & 1) * FAULT_MARK_WORDS, then = now ^ FAULT_MARK_WORDS;
	__u64 bit = 1ull << (page & 63);

	/* 6.1 knows no bounds of what is xor'ed. */
	barrier_var(now);
	barrier_var(then);
	now &= 2 * FAULT_MARK_WORDS - 1;
	then &= 2 * FAULT_MARK_WORDS - 1;
	if (fault_marks[now] & bit)
		return true;
	fault_marks[now] |= bit;
	return fault_marks[then] & bit;
}

/* User registers: where the kernel touches user memory, those of the system call. Before 5.15: one stratum a process. */
static __always_inline struct stratum *current_stratum(__u32 tgid, bool lately)
{
	struct pt_regs *regs;
	__u64 hash = (__u64)tgid << 32;

	if (has_task_btf() && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
		hash = PY_HASH_STEP(PT_REGS_IP(regs) & 4095, PT_REGS_SP(regs) & 4095);
	}
	return &strata[PY_HASH_STEP(lately, hash) >> 40 & (STRATA - 1)];
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

/* The shift for one more fault. */
static __always_inline __u32 shift_for(__u32 tgid, __u64 page, __u32 fault_shift)
{
	__u32 period = fault_period, least = fault_shift > FAULT_EVEN_SHIFT ? fault_shift - FAULT_EVEN_SHIFT : 0, rate, bits;
	bool lately = faulted_lately(tgid, page);
	struct stratum *stratum = current_stratum(tgid, lately);

	if (stratum->period != period) {
		stratum->rate = stratum->period + 1 == period ? stratum->hits : 0;
		stratum->hits = 0;
		stratum->period = period;
	}
	rate = ++stratum->hits;
	if (rate < stratum->rate)
		rate = stratum->rate;
	fault_shift = fault_shift < FAULT_QUOTA_BITS - LEAST_QUOTA_BITS ? FAULT_QUOTA_BITS - fault_shift : LEAST_QUOTA_BITS;
	bits = bits_of(rate >> (lately ? fault_shift - LATELY_QUOTA_BITS : fault_shift));
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
