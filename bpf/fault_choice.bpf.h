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

static __always_inline __u32 stratum_of(__u64 what, __u64 hash)
{
	return PY_HASH_STEP(what, hash) >> 40 & (STRATA - 1);
}

/* User registers: where the kernel touches user memory, those of the system call. Before 5.15: one stratum a process. */
static __always_inline __u32 current_stratum(__u32 tgid, bool lately)
{
	struct pt_regs *regs;
	__u64 hash = (__u64)tgid << 32;

	if (has_task_btf() && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
		hash = PY_HASH_STEP(PT_REGS_IP(regs) & 4095, PT_REGS_SP(regs) & 4095);
	}
	return stratum_of(lately, hash);
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

/* One more of a stratum: how many there are in a period, as far as is known. */
static __always_inline __u32 count_hit(struct stratum *s)
{
	__u32 period = fault_period, rate;

	if (s->period != period) {
		s->rate = s->period + 1 == period ? s->hits - s->hits_then : 0;
		s->hits_then = s->hits;
		s->period = period;
	}
	rate = ++s->hits - s->hits_then;
	return rate < s->rate ? s->rate : rate;
}

/* By which shift faults of such a rate are thinned out, where none are favoured. */
static __always_inline __u32 usual_shift(__u32 rate, bool lately, __u32 fault_shift)
{
	__u32 least = fault_shift > FAULT_EVEN_SHIFT ? fault_shift - FAULT_EVEN_SHIFT : 0, quota = LEAST_QUOTA_BITS, bits;

	if (fault_shift < FAULT_QUOTA_BITS - LEAST_QUOTA_BITS)
		quota = FAULT_QUOTA_BITS - fault_shift;
	bits = bits_of(rate >> (lately ? quota - LATELY_QUOTA_BITS : quota));
	return bits < least ? least : bits;
}

static __always_inline __u32 shift_of(const struct stratum *s)
{
	__s32 bits = (__s32)s->usual - s->favour;

	return bits < 0 ? 0 : bits < MAX_LOOK_SHIFT ? bits : MAX_LOOK_SHIFT;
}

/* Whether the last hit of a stratum is looked at. More in a row than before are not taken until the row is over; fewer are, at once. */
static __always_inline bool is_chosen(struct stratum *s, __u32 shift)
{
	__u32 hit = s->hits;

	if ((__s32)(hit - s->end) >= 0 || shift < s->shift) {
		s->shift = shift;
		s->end = hit + (1u << (shift & 31));
		s->chosen = hit + (bpf_get_prandom_u32() & ((1u << (shift & 31)) - 1));
	}
	return hit == s->chosen;
}

/* By which stratum a fault was chosen, and its shift then: one in 1 << shift is looked at. One word, as stacks are short. */
#define CHOICE_OF(stratum, shift) ((stratum) << 8 | (shift))
#define CHOICE_STRATUM(choice) ((choice) >> 8)
#define CHOICE_SHIFT(choice) ((choice) & 0xff)
#define NO_CHOICE CHOICE_OF(NO_STRATUM, 0)

/* Whether a fault is looked at, where not all are. */
static __always_inline bool choose(__u32 tgid, __u64 page, __u32 fault_shift, bool newborn, __u32 *choice)
{
	bool lately = !newborn && faulted_lately(tgid, page), ret;
	struct stratum *s;
	__u32 rate, stratum;

	stratum = newborn ? stratum_of(tgid, 0) : current_stratum(tgid, lately);
	s = &strata[stratum];
	rate = count_hit(s);
	s->usual = newborn ? NOT_FAVOURED : usual_shift(rate, lately, fault_shift);
	ret = is_chosen(s, newborn ? NEWBORN_SHIFT(fault_shift) : shift_of(s));
	*choice = CHOICE_OF(stratum, s->shift);
	return ret;
}

__u64 followed[2 * FOLLOWED_WORDS];
__u32 followed_half = 0;

static __always_inline void mark_followed(__u32 tgid, __u64 page)
{
	__u64 word = (followed_half & 1) * FOLLOWED_WORDS + FOLLOWED_WORD(tgid, page);

	/* 6.1 knows no bounds of what is or'ed. */
	barrier_var(word);
	/* Others mark there, too: other processors, and user space. */
	__sync_fetch_and_or(&followed[word & (2 * FOLLOWED_WORDS - 1)], FOLLOWED_BIT(page));
}

/* The bits of all pages that share the word of one. */
static __always_inline __u64 followed_near(__u32 tgid, __u64 page)
{
	__u32 word = FOLLOWED_WORD(tgid, page);

	return followed[word] | followed[FOLLOWED_WORDS + word];
}

static __always_inline bool may_be_followed(__u32 tgid, __u64 page)
{
	return followed_near(tgid, page) & FOLLOWED_BIT(page);
}

#endif
