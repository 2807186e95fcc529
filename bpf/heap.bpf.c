// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal heap: pools that pymalloc takes into use, by size class. How much, never who: the opener of a pool aliases with
 * the program's rhythm. Who allocates is seen in windows that user space opens at random times; those that saw pools taken into use
 * too often or too rarely are set right by these counts (user/model/heap_windows.h).
 */
#include "heap.bpf.h"
#include "guard.bpf.h"

/* slowed: a window has the program take its pools later than it would. */
static __always_inline void count_pace(struct pool_pace *pace, bool slowed)
{
	__u64 now = bpf_ktime_get_ns(), units = (now - pace->last_ns) / POOL_PACE_NS;
	__u32 at = 0;
	int i;

	for (i = 0; i < POOL_PACES - 1; i++)
		at += units >> i != 0;
	if (pace->last_ns && !slowed)
		pace->cnt[at & (POOL_PACES - 1)]++;
	pace->last_ns = slowed ? 0 : now;
}

SEC("uprobe")
int heap_site(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };
	struct target *t = target_at(SIGNAL_HEAP, c.attach_id);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, class;
	struct window_state *w = current_window();
	struct heap_pools *p;
	__u64 all;

	if (w && w->attach_id && w->left > 0)
		w->pools++;
	if (!t)
		return 0;
	p = bpf_map_lookup_elem(&heap_pools, &tgid);
	if (!p)
		return 0;
	class = reg_word(ctx, c.arg_register) & (HEAP_CLASSES - 1);
	count_pace(&p->pace[class], w && w->attach_id);
	all = __sync_fetch_and_add(&p->all, 1) + 1;
	if (w && !w->attach_id && w->pools_goal && all >= w->pools_goal)
		tell_once(w, t);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
