/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which programs and maps are loaded: only what the chosen signals and hook need, for the kernel may lack what the others
 * want.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "capture/session_impl.h"

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *text; /* the verifier's word is at the end of a long text */

	if (level == LIBBPF_DEBUG || vasprintf(&text, fmt, ap) < 0)
		return 0;
	log_debug("%s", text);
	free(text);
	return 0;
}

void session_impl__log_libbpf(void)
{
	libbpf_set_print(print_libbpf);
}

/* 5.14 */
static bool has_syscall_programs(void)
{
	return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SYSCALL, NULL) == 1;
}

/*
 * 5.19; kernels before 6.2 do not need it (bpf/rss.bpf.h). The type is asked for as well, because libbpf takes a helper
 * for supported when a program is refused for any other reason.
 */
static bool has_percpu_lookup(void)
{
	return has_syscall_programs() &&
	       libbpf_probe_bpf_helper(BPF_PROG_TYPE_SYSCALL, BPF_FUNC_map_lookup_percpu_elem, NULL) == 1;
}

enum probe_links session__links(const struct session *s)
{
	enum probe_links links = PROBE_LINKS_SINGLE;

	if (s->uprobe_multi == UPROBE_MULTI_WITH_SESSION)
		links = PROBE_LINKS_SESSION;
	/* With links that the kernel cannot confine to a process, only who traces every process may use them. */
	else if (s->uprobe_multi == UPROBE_MULTI_FULL ||
		 (s->uprobe_multi == UPROBE_MULTI_NO_PID && s->opts.every_process))
		links = PROBE_LINKS_MANY;
	return links < s->opts.max_links ? links : s->opts.max_links;
}

enum probe_links session_impl__confined_links(const struct session *s)
{
	enum probe_links links = s->uprobe_multi == UPROBE_MULTI_WITH_SESSION ? PROBE_LINKS_SESSION :
				 s->uprobe_multi == UPROBE_MULTI_FULL ? PROBE_LINKS_MANY : PROBE_LINKS_SINGLE;

	return links < s->opts.max_links ? links : s->opts.max_links;
}

static void choose_multi(struct bpf_program *p, bool load, bool multi)
{
	bpf_program__set_autoload(p, load);
	if (multi)
		bpf_program__set_expected_attach_type(p, UPROBE_MULTI_ATTACH_TYPE);
}

static void choose_exact(struct pymemscope_bpf *b, bool exact, enum probe_links links)
{
	bool multi = links != PROBE_LINKS_SINGLE, session = links == PROBE_LINKS_SESSION;
	struct bpf_program *single[] = {
		b->progs.exact_malloc, b->progs.exact_calloc, b->progs.exact_realloc, b->progs.exact_free,
		b->progs.exact_realloc_return,
	};
	size_t i;

	for (i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		bpf_program__set_autoload(single[i], exact && !multi);
	choose_multi(b->progs.exact_entry, exact && multi, true);
	choose_multi(b->progs.exact_return, exact && !session, multi);
	bpf_program__set_autoload(b->progs.exact_session, exact && session);
	bpf_program__set_expected_attach_type(b->progs.exact_session, UPROBE_SESSION_ATTACH_TYPE);
}

static void choose_large(const struct session *s)
{
	enum probe_links links = session_impl__confined_links(s);
	struct pymemscope_bpf *b = s->bpf;
	bool large = s->opts.signals & 1u << SIGNAL_HEAP, session = links == PROBE_LINKS_SESSION;

	bpf_program__set_autoload(b->progs.large_session, large && session);
	bpf_program__set_expected_attach_type(b->progs.large_session, UPROBE_SESSION_ATTACH_TYPE);
	choose_multi(b->progs.large_free, large, links != PROBE_LINKS_SINGLE);
	choose_multi(b->progs.large_entry, large && !session, links != PROBE_LINKS_SINGLE);
	choose_multi(b->progs.large_return, large && !session, links == PROBE_LINKS_MANY);
	choose_multi(b->progs.mapping_changed, large && links != PROBE_LINKS_SINGLE, true);
}

static void choose_programs(struct session *s)
{
	struct pymemscope_bpf *b = s->bpf;
	bool resident = s->opts.signals & 1u << SIGNAL_RESIDENT;
	bool gc = s->opts.signals & 1u << SIGNAL_GC, heap = s->opts.signals & 1u << SIGNAL_HEAP;
	enum probe_links links = session__links(s);
	bool multi = links != PROBE_LINKS_SINGLE;
	bool exact = s->opts.signals & 1u << SIGNAL_EXACT || (heap && multi);
	struct bpf_program *of_gc[] = {
		b->progs.gc_entry, b->progs.gc_entry_clone, b->progs.gc_return, b->progs.gc_collect_entry, b->progs.gc_api_entry,
		b->progs.gc_call_return, b->progs.gc_usdt_start, b->progs.gc_usdt_done,
	};
	size_t i;

	b->rodata->casts_work = multi && !s->opts.reads_by_calls; /* 6.6 has both */
	bpf_program__set_autoload(b->progs.find_direct_map, b->rodata->casts_work);
	choose_exact(b, exact, links);
	for (i = 0; i < sizeof(of_gc) / sizeof(of_gc[0]); i++)
		bpf_program__set_autoload(of_gc[i], gc && !multi);
	choose_multi(b->progs.code_free_site, multi, true);
	choose_multi(b->progs.heap_site, heap && multi, true);
	choose_multi(b->progs.gc_site, gc && multi, true);
	choose_multi(b->progs.gc_site_return, gc && multi, true);
	choose_large(s);
	s->moves_followed = resident && session_impl__confined_links(s) != PROBE_LINKS_SINGLE;
	choose_multi(b->progs.page_moved, s->moves_followed, true);
	bpf_program__set_autoload(b->progs.fault_fork, resident);
	bpf_program__set_autoload(b->progs.nothing, resident);
	bpf_program__set_autoload(b->progs.fault_exit, resident);
	bpf_program__set_autoload(b->progs.govern, (resident || gc) && has_syscall_programs());
	bpf_program__set_autoload(b->progs.note_pages, resident && has_syscall_programs());
	bpf_program__set_autoload(b->progs.find_percpu_offsets, resident && has_percpu_lookup());
	bpf_program__set_autoload(b->progs.fault_fentry, resident && s->fault_hook == FAULT_HOOK_FENTRY);
	bpf_program__set_autoload(b->progs.fault_kprobe, resident && s->fault_hook == FAULT_HOOK_KPROBE);
	bpf_program__set_autoload(b->progs.fault_tp, resident && s->fault_hook == FAULT_HOOK_TRACEPOINT);
	bpf_program__set_autoload(b->progs.fault_perf, resident && s->fault_hook == FAULT_HOOK_PERF);
}

/* Maps of signals that are off take no room (hash tables have their buckets from the start). */
static void size_maps(struct session *s)
{
	bool exact = s->opts.signals & 1u << SIGNAL_EXACT, heap = s->opts.signals & 1u << SIGNAL_HEAP;

	if (!exact && heap)
		bpf_map__set_max_entries(s->bpf->maps.live, MAX_WINDOW_BLOCKS);
	if (!heap) {
		bpf_map__set_max_entries(s->bpf->maps.heap_pools, 1);
		bpf_map__set_max_entries(s->bpf->maps.heap_windows, 1);
	}
	if (!exact)
		bpf_map__set_max_entries(s->bpf->maps.raw_calls, 1);
	if (!exact && !heap) {
		bpf_map__set_max_entries(s->bpf->maps.live, 1);
		bpf_map__set_max_entries(s->bpf->maps.recent_blocks, 1);
		bpf_map__set_max_entries(s->bpf->maps.quick_counts, 1);
		bpf_map__set_max_entries(s->bpf->maps.pending, 1);
		bpf_map__set_max_entries(s->bpf->maps.resizing, 1);
		bpf_map__set_max_entries(s->bpf->maps.site_specs, 1);
	}
	if (!(s->opts.signals & 1u << SIGNAL_HEAP)) {
		bpf_map__set_max_entries(s->bpf->maps.large_blocks, 1);
		bpf_map__set_max_entries(s->bpf->maps.large_calls, 1);
		bpf_map__set_max_entries(s->bpf->maps.large_watches, 1);
		bpf_map__set_max_entries(s->bpf->maps.large_moves, 1);
	}
	if (!(s->opts.signals & 1u << SIGNAL_RESIDENT))
		bpf_map__set_max_entries(s->bpf->maps.pages, 1);
	if (!(s->opts.signals & 1u << SIGNAL_GC))
		bpf_map__set_max_entries(s->bpf->maps.gc_runs, 1);
}

static void find_percpu_offsets(struct session *s)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int fd = bpf_program__fd(s->bpf->progs.find_percpu_offsets);

	if (fd >= 0 && (bpf_prog_test_run_opts(fd, &opts) || opts.retval))
		log_debug("per-CPU parts of the resident-set counters cannot be read: growth is told in steps");
}

/* The memory of an array map; NULL: it was made small because it is not used. */
static int map_memory(const struct bpf_map *map, uint32_t full_entries, void **ret)
{
	size_t bytes = (size_t)full_entries * bpf_map__value_size(map);

	*ret = NULL;
	if (bpf_map__max_entries(map) != full_entries)
		return 0;
	*ret = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (*ret != MAP_FAILED)
		return 0;
	*ret = NULL;
	return -errno;
}

void session_impl__unload(struct session *s)
{
	if (s->quick_counts)
		munmap(s->quick_counts, 2 * QUICK_COUNTS * sizeof(*s->quick_counts));
	if (s->recent_blocks)
		munmap(s->recent_blocks, MAX_RECENT_ROWS * RECENT_BLOCKS * sizeof(*s->recent_blocks));
	pymemscope_bpf__destroy(s->bpf);
}

int session_impl__load(struct session *s)
{
	int err;

	s->bpf = pymemscope_bpf__open();
	if (!s->bpf)
		return -errno;
	choose_programs(s);
	size_maps(s);
	s->cpu_cnt = libbpf_num_possible_cpus();
	if (s->cpu_cnt < 0)
		return s->cpu_cnt;
	s->bpf->rodata->cgroup_v1 = s->opts.cgroup_v1;
	s->bpf->rodata->serves_windows = s->opts.signals & 1u << SIGNAL_HEAP;
	s->bpf->rodata->page_bytes = sysconf(_SC_PAGESIZE);
	s->bpf->rodata->cpu_cnt = s->cpu_cnt;
	s->bpf->rodata->tell_every_exec = s->opts.tell_every_exec;
	err = pymemscope_bpf__load(s->bpf);
	if (err)
		return err;
	malloc_trim(0); /* the kernel's type information, no longer needed */
	s->counts_fd[0] = bpf_map__fd(s->bpf->maps.counts_a);
	s->counts_fd[1] = bpf_map__fd(s->bpf->maps.counts_b);
	err = map_memory(s->bpf->maps.quick_counts, 2 * QUICK_COUNTS, (void **)&s->quick_counts);
	err = err ? err : map_memory(s->bpf->maps.recent_blocks, MAX_RECENT_ROWS * RECENT_BLOCKS,
				     (void **)&s->recent_blocks);
	if (err)
		return err;
	find_percpu_offsets(s);
	session_impl__find_direct_map(s);
	return 0;
}
