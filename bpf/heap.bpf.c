// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal heap: pools that pymalloc takes into use, by size class. How much, never who: the opener of a pool aliases with
 * the program's rhythm. Who allocates is seen in windows that user space opens at random times; those that saw pools taken into use
 * too often or too rarely are set right by these counts (user/model/heap_windows.h).
 */
#include "heap.bpf.h"
#include "guard.bpf.h"

/* Another processor may have looked at the clock later, and been here before. */
static __always_inline __u64 since(__u64 then, __u64 now)
{
	return now > then ? now - then : 0;
}

/* slowed: a window has the program take its pools later than it would. */
static __always_inline void count_pace(struct pool_pace *pace, __u64 now, bool slowed)
{
	__u64 units = since(pace->last_ns, now) / POOL_PACE_NS;
	__u32 at = 0;
	int i;

	for (i = 0; i < POOL_PACES - 1; i++)
		at += units >> i != 0;
	if (pace->last_ns && !slowed)
		pace->cnt[at & (POOL_PACES - 1)]++;
	pace->last_ns = now;
}

/* What is left of v after a while. Between whole halves 2^-x is 1 - 0.693 x + 0.193 x^2, to 0.3 %. */
static __always_inline __u64 fade(__u64 v, __u64 passed_ns)
{
	__u64 halves = passed_ns >> POOLS_HALF_LOG2_NS, rest = passed_ns & (POOLS_HALF_NS - 1);

	if (halves > 40)
		return 0;
	v >>= halves;
	return v - ((v * rest >> POOLS_HALF_LOG2_NS) * (710 - (198 * rest >> POOLS_HALF_LOG2_NS)) >> 10);
}

SEC("uprobe")
int heap_site(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };
	struct target *t = target_at(SIGNAL_HEAP, c.attach_id);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, class;
	struct window_state *w = current_window();
	struct heap_pools *p;
	__u64 all, now, lately;

	if (w && w->attach_id && w->left > 0)
		w->pools++;
	if (!t)
		return 0;
	p = bpf_map_lookup_elem(&heap_pools, &tgid);
	if (!p)
		return 0;
	class = reg_word(ctx, c.arg_register) & (HEAP_CLASSES - 1);
	now = bpf_ktime_get_ns();
	count_pace(&p->pace[class], now, w && (w->attach_id || p->pace[class].last_ns < w->opened_ns));
	lately = fade(p->lately, since(p->lately_ns, now));
	p->lately = lately + POOLS_ONE;
	p->lately_ns = now;
	all = __sync_fetch_and_add(&p->all, 1) + 1;
	if (w && !w->attach_id && w->pools_goal && all >= w->pools_goal)
		tell_once(w, t, lately);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
