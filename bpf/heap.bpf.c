// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal heap: pools that pymalloc takes into use, by size class. How much, never who: the opener of a pool aliases with
 * the program's rhythm. Who allocates is seen in windows, which user space opens when as many pools were taken into use
 * as it had chosen at random, so that each pool is as likely as any other to be looked at.
 */
#include "heap.bpf.h"
#include "guard.bpf.h"

SEC("uprobe")
int heap_site(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };
	struct target *t = target_at(SIGNAL_HEAP, c.attach_id);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, class;
	struct window_state *w;
	struct heap_pools *p;
	__u64 all;

	if (!t)
		return 0;
	p = bpf_map_lookup_elem(&heap_pools, &tgid);
	if (!p)
		return 0;
	class = reg_word(ctx, c.arg_register) & (HEAP_CLASSES - 1);
	__sync_fetch_and_add(&p->opened[class], 1);
	all = __sync_fetch_and_add(&p->all, 1) + 1;
	w = bpf_map_lookup_elem(&heap_windows, &tgid);
	if (w && !w->attach_id && w->pools_goal && all >= w->pools_goal)
		ask_once(w, t, HEAP_OPEN_WINDOW);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
