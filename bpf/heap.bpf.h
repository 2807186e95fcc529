/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Windows of the heap signal: while one is open for a process, the programs of the exact signal (alloc.bpf.c) serve it.
 */
#ifndef BPF_HEAP_H
#define BPF_HEAP_H

#include "core.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TARGETS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct heap_pools);
} heap_pools SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TARGETS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct window_state);
} heap_windows SEC(".maps") __weak;

static __always_inline struct window_state *current_window(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&heap_windows, &tgid);
}

/* 0: none is open. */
static __always_inline __u32 current_window_id(void)
{
	struct window_state *w = current_window();

	return w ? w->attach_id : 0;
}

/* When the ring is full user space finds out by the clock. */
static __always_inline void tell_once(struct window_state *w, const struct target *t, __u64 lately)
{
	struct rec_heap *r;

	if (w->told)
		return;
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r)
		return;
	w->told = 1;
	r->hdr.kind = REC_HEAP;
	r->hdr.len = sizeof(*r);
	r->hdr.tgid = bpf_get_current_pid_tgid() >> 32;
	r->hdr.time_ns = bpf_ktime_get_ns();
	r->proc_id = t->proc_id;
	r->attach_id = w->attach_id;
	r->lately = lately;
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

static __always_inline struct window_state *window_with_room(void)
{
	struct window_state *w = current_window();

	return w && w->attach_id && w->left > 0 ? w : NULL;
}

#endif
