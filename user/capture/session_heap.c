/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pools and windows of the heap signal, by process.
 */
#include <bpf/bpf.h>
#include <errno.h>

#include "base/clock.h"
#include "capture/session_impl.h"

bool session__takes_windows(const struct session *s)
{
	return s->attacher && session_impl__confined_links(s) != PROBE_LINKS_SINGLE;
}

static int put_window(struct session *s, pid_t tgid, const struct window_state *w, uint64_t flags)
{
	uint32_t key = tgid;

	return bpf_map_update_elem(bpf_map__fd(s->bpf->maps.heap_windows), &key, w, flags) ? -errno : 0;
}

int session__watch_pools(struct session *s, pid_t tgid)
{
	const struct window_state none = {};
	const struct heap_pools zero = {};
	uint32_t key = tgid;

	if (bpf_map_update_elem(bpf_map__fd(s->bpf->maps.heap_pools), &key, &zero, BPF_ANY))
		return -errno;
	return put_window(s, tgid, &none, BPF_ANY);
}

void session__unwatch_pools(struct session *s, pid_t tgid)
{
	uint32_t key = tgid;

	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.heap_windows), &key);
	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.heap_pools), &key);
}

int session__read_pools(const struct session *s, pid_t tgid, struct heap_pools *ret)
{
	uint32_t key = tgid;

	return bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.heap_pools), &key, ret) ? -errno : 0;
}

int session__ask_for_window(struct session *s, pid_t tgid, uint64_t pools_goal)
{
	const struct window_state w = { .pools_goal = pools_goal, .opened_ns = clock_now_ns() };

	return put_window(s, tgid, &w, BPF_EXIST);
}

int session__begin_window(struct session *s, pid_t tgid, const struct window_state *w)
{
	struct window_state now = *w;

	now.opened_ns = clock_now_ns();
	return put_window(s, tgid, &now, BPF_EXIST);
}

int session__close_window(struct session *s, pid_t tgid, struct session_links *l, struct window_state *ret)
{
	const struct window_state closed = {};
	uint32_t key = tgid;
	int err;

	err = bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.heap_windows), &key, ret) ? -errno : 0;
	if (!err)
		err = put_window(s, tgid, &closed, BPF_EXIST);
	session_links__free(l);
	return err;
}
