/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the session's files share: the loaded programs and maps, and the hooks that are attached. Only session*.c
 * include this, and with it the skeleton.
 *
 * session.c: life, records. session_load.c: which programs and maps. session_hooks.c: hooks of the whole host.
 * session_probes.c: targets and probes of one process. session_maps.c: what the kernel side counts and follows.
 * session_direct.c: how it may read user memory.
 * session_large.c: probes on a process's malloc.
 * session_budget.c: what tracing costs. session_hook_cost.c: what the hook on page faults does.
 * session_gone.c: what of processes that have ended is forgotten.
 * session_mapping.c: probes on what a process maps.
 * session_heap.c: pools and windows of the heap signal. session_native.c: rules of native code.
 */
#ifndef CAPTURE_SESSION_IMPL_H
#define CAPTURE_SESSION_IMPL_H

#include <bpf/bpf.h>

#include "capture/attach.h"
#include "base/closer.h"
#include "bounds.h"
#include "capture/session.h"
#include "direct.h" /* for the skeleton */
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
	struct closer *closer; /* of links on malloc */
	bool moves_followed; /* the programs for it are there */
	uint32_t next_large; /* number of a watch to try first */
	uint64_t large_used[MAX_LARGE_WATCHES / 64]; /* bit per number */
	struct bpf_link *host_links[5]; /* life of processes */
	size_t n_host_links;
	struct bpf_link **fault_links; /* perf events: one a CPU; else one or two; none while paused */
	size_t n_fault_links;
	uint64_t hook_ns, way_ns; /* session__hook_ns, session__hook_way_ns */
	struct probe_costs probe_costs;
	uint32_t *dead_families; /* session__forget_codes: none of their processes lived in the last pass */
	uint32_t n_dead_families;
	int stats_fd; /* keeps the kernel's run-time statistics on */
	int counts_fd[2];
	int active; /* which of counts_fd, and half of quick_counts, programs count in */
	struct quick_count *quick_counts; /* the map's memory; NULL: not used */
	bool marks_begun; /* session__begin_marks, and not ended since */
	struct recent_block *recent_blocks; /* likewise */
	int cpu_cnt;
	uint64_t bad_records;
};

/* A map to go through, and what is done with each entry: true takes it out. Keys up to 16 bytes, values up to 64. */
struct map_walk {
	int fd;
	size_t key_bytes, value_bytes;
	bool (*fn)(const void *key, const void *value, void *arg);
	void *arg;
	/* bpf_map_lookup_batch, or bpf_map_lookup_and_delete_batch, after which fn takes out nothing any more */
	int (*read)(int fd, void *in, void *out, void *keys, void *values, __u32 *n, const struct bpf_map_batch_opts *opts);
};
int session_impl__walk_map(const struct map_walk *w);

/* Has libbpf write to our log. */
void session_impl__log_libbpf(void);
/* Whether the hook is to be had on this kernel. */
bool session_impl__has_fault_hook(enum fault_hook hook);
/* Opens the skeleton and loads what the options ask for. 0 or -errno; what is half done is left to session__free. */
int session_impl__load(struct session *s);
void session_impl__unload(struct session *s);
/* Programs read user memory faster from now on, where that works. */
void session_impl__find_direct_map(struct session *s);
/* Makes the attacher, where the kernel takes many sites in one link. 0 or -errno. */
int session_impl__new_attacher(struct session *s);
/* The best links to be had that meet one process only. */
enum probe_links session_impl__confined_links(const struct session *s);
/* Programs count in the other map from now on. 0 or -errno. */
int session_impl__swap_counts(struct session *s);

/* The hook on page faults. Attaching: 0 or -errno, what was attached stays so. */
struct bpf_program *session_impl__fault_program(const struct session *s);
int session_impl__attach_faults(struct session *s);
void session_impl__detach_faults(struct session *s);
/*
 * Faults of a process of ours that is no target are passed over, to measure what that takes; until session__remove_target. 0 or -errno.
 */
int session_impl__pass_over(struct session *s, pid_t tgid);
/* Attaches the hook on page faults and measures what it costs. 0 or -errno. */
int session_impl__begin_faults(struct session *s);

#endif
