/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the session's files share: the loaded programs and maps, and the hooks that are attached. Only session*.c include
 * this, and with it the skeleton.
 *
 * session.c: life, records. session_load.c: which programs and maps. session_hooks.c: hooks of the whole host.
 * session_probes.c: targets and probes of one process. session_maps.c: what the kernel side counts and follows.
 * session_direct.c: how it may read user memory.
 */
#ifndef CAPTURE_SESSION_IMPL_H
#define CAPTURE_SESSION_IMPL_H

#include "capture/attach.h"
#include "capture/session.h"
#include "pymemscope.skel.h"
#include "system/uprobe_multi.h"

struct session {
	struct session_opts opts;
	struct session_handlers handlers;
	struct pymemscope_bpf *bpf;
	struct ring_buffer *ring;
	enum fault_hook fault_hook;
	enum uprobe_multi_support uprobe_multi;
	struct attacher *attacher; /* NULL: probes are perf events, attached by libbpf */
	struct bpf_link **host_links; /* perf events: one a CPU; else a few */
	size_t n_host_links;
	int stats_fd; /* keeps the kernel's run-time statistics on */
	int counts_fd[2];
	int active; /* which of counts_fd programs count in */
	int cpu_cnt;
	uint64_t bad_records;
};

/* Has libbpf write to our log. */
void session_impl__log_libbpf(void);
/* Whether the hook is to be had on this kernel. */
bool session_impl__has_fault_hook(enum fault_hook hook);
/* Opens the skeleton and loads what the options ask for. 0 or -errno; what is half done is left to session__free. */
int session_impl__load(struct session *s);
/* Programs read user memory faster from now on, where that works. */
void session_impl__find_direct_map(struct session *s);
/* Makes the attacher, where the kernel takes many sites in one link. 0 or -errno. */
int session_impl__new_attacher(struct session *s);
/* Programs count in the other map from now on. 0 or -errno. */
int session_impl__swap_counts(struct session *s);

#endif
