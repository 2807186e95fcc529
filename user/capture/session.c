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
	s->fault_hook = opts->fault_hook == FAULT_HOOK_AUTO ? session__probe_fault_hook() : opts->fault_hook;
	err = -ENOTSUP;
	if (!session_impl__has_fault_hook(s->fault_hook))
		goto out;
	if (opts->max_links != PROBE_LINKS_SINGLE)
		s->uprobe_multi = uprobe_multi__probe();
	err = closer__new(&s->closer);
	err = err ? err : session_impl__load(s);
	err = err ? err : session_impl__new_attacher(s);
	err = err ? err : session_impl__swap_counts(s);
	if (err)
		goto out;
	s->ring = ring_buffer__new(bpf_map__fd(s->bpf->maps.ring), on_record, s, NULL);
	err = s->ring ? 0 : -errno;
	if (err)
		goto out;
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
	free(s->host_links);
	attacher__free(s->attacher);
	closer__free(s->closer);
	ring_buffer__free(s->ring);
	pymemscope_bpf__destroy(s->bpf);
	if (s->stats_fd >= 0)
		close(s->stats_fd);
	free(s);
}

int session__poll(struct session *s, int timeout_ms)
{
	return ring_buffer__poll(s->ring, timeout_ms);
}

uint64_t session__bad_records(const struct session *s)
{
	return s->bad_records;
}

void session__sample_faults(struct session *s, uint32_t shift)
{
	s->bpf->bss->page_sampling_shift = shift;
}

void session__cost(const struct session *s, struct session_cost *ret)
{
	struct bpf_program *p;
	struct bpf_prog_info info;
	uint32_t len;

	*ret = (struct session_cost){};
	bpf_object__for_each_program(p, s->bpf->obj) {
		if (bpf_program__fd(p) < 0)
			continue;
		memset(&info, 0, sizeof(info));
		len = sizeof(info);
		if (bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			continue;
		/* The hooks on page faults run for the whole host, and count their targets' share themselves. */
		if (strncmp(bpf_program__name(p), "fault_", 6))
			ret->run_ns += info.run_time_ns;
		ret->run_cnt += info.run_cnt;
	}
	ret->run_ns += session__counter(s, CTR_FAULT_NS);
}
