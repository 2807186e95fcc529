/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Life of a session, and the way of a record from the ring buffer to its handler. See session_impl.h for the rest.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/event.h"
#include "capture/session_impl.h"

static int on_record(void *arg, void *data, size_t len)
{
	const struct rec_hdr *hdr = data;
	struct session *s = arg;

	if (record__check(data, len)) {
		s->bad_records++;
		return 0;
	}
	switch (hdr->kind) {
	case REC_STACK:
		s->handlers.stack(data, s->handlers.arg);
		break;
	case REC_CODE:
		s->handlers.code(data, s->handlers.arg);
		break;
	case REC_CODE_MORE:
		s->handlers.code_more(data, s->handlers.arg);
		break;
	case REC_HEAP:
		s->handlers.heap(data, s->handlers.arg);
		break;
	case REC_NATIVE:
		s->handlers.native(data, s->handlers.arg);
		break;
	case REC_MAPPING:
		s->handlers.mapping(data, s->handlers.arg);
		break;
	case REC_GC:
		s->handlers.gc(data, s->handlers.arg);
		break;
	default:
		s->handlers.proc(data, s->handlers.arg);
		break;
	}
	return 0;
}

int session__new(const struct session_opts *opts, const struct session_handlers *handlers, struct session **ret)
{
	struct session *s;
	int err;

	session_impl__log_libbpf();
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return -ENOENT;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->opts = *opts;
	s->handlers = *handlers;
	s->stats_fd = -1;
	s->fault_hook = opts->fault_hook;
	err = -ENOTSUP;
	if (opts->fault_hook == FAULT_HOOK_AUTO)
		s->fault_hook = session__probe_fault_hook();
	else if (!session_impl__has_fault_hook(opts->fault_hook))
		goto out;
	if (opts->max_links != PROBE_LINKS_SINGLE)
		s->uprobe_multi = uprobe_multi__probe();
	err = closer__new(&s->closer);
	if (!err)
		probe_costs__measure(s->closer, &s->probe_costs);
	err = err ? err : session_impl__load(s);
	err = err ? err : session_impl__new_attacher(s);
	err = err ? err : session_impl__swap_counts(s);
	if (err)
		goto out;
	s->ring = ring_buffer__new(bpf_map__fd(s->bpf->maps.ring), on_record, s, NULL);
	err = s->ring ? 0 : -errno;
	if (err)
		goto out;
	/* They cost each run of any program on the host some 70 ns: the other programs take their own time. */
	if (opts->signals & 1u << SIGNAL_EXACT)
		s->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	*ret = s;
	return 0;
out:
	session__free(s);
	return err;
}

void session__free(struct session *s)
{
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->n_host_links; i++)
		bpf_link__destroy(s->host_links[i]);
	session_impl__detach_faults(s);
	free(s->fault_links);
	free(s->dead_families);
	attacher__free(s->attacher);
	closer__free(s->closer);
	ring_buffer__free(s->ring);
	session_impl__unload(s);
	if (s->stats_fd >= 0)
		close(s->stats_fd);
	free(s);
}

int session__poll(struct session *s, int timeout_ms)
{
	int n = ring_buffer__poll(s->ring, timeout_ms);

	/* Not all that is written wakes us. */
	return n ? n : ring_buffer__consume(s->ring);
}

uint64_t session__bad_records(const struct session *s)
{
	return s->bad_records;
}
