/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which programs and maps are loaded: only what the chosen signals and hook need, for the kernel may lack what the others
 * want.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <unistd.h>

#include "base/log.h"
#include "capture/session_impl.h"

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char text[8192];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), fmt, ap);
	log_debug("%s", text);
	return 0;
}

void session_impl__log_libbpf(void)
{
	libbpf_set_print(print_libbpf);
}

/*
 * 5.19; kernels before 6.2 do not need it (bpf/rss.bpf.h). The type is asked for as well, because libbpf takes a helper
 * for supported when a program is refused for any other reason.
 */
static bool has_percpu_lookup(void)
{
	return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SYSCALL, NULL) == 1 &&
	       libbpf_probe_bpf_helper(BPF_PROG_TYPE_SYSCALL, BPF_FUNC_map_lookup_percpu_elem, NULL) == 1;
}

/* With links that the kernel cannot confine to a process, only who traces every process may use them. */
bool session__takes_many_sites(const struct session *s)
{
	return s->uprobe_multi == UPROBE_MULTI_FULL ||
	       (s->uprobe_multi == UPROBE_MULTI_NO_PID && s->opts.every_process);
}

static void choose_multi(struct bpf_program *p, bool load, bool multi)
{
	bpf_program__set_autoload(p, load);
	if (multi)
		bpf_program__set_expected_attach_type(p, UPROBE_MULTI_ATTACH_TYPE);
}

static void choose_programs(struct session *s)
{
	struct pymemscope_bpf *b = s->bpf;
	bool resident = s->opts.signals & 1u << SIGNAL_RESIDENT;
	bool gc = s->opts.signals & 1u << SIGNAL_GC, heap = s->opts.signals & 1u << SIGNAL_HEAP;
	bool multi = session__takes_many_sites(s);
	bool exact = s->opts.signals & 1u << SIGNAL_EXACT || (heap && multi);
	struct bpf_program *of_exact[] = {
		b->progs.exact_malloc,	   b->progs.exact_calloc,     b->progs.exact_realloc,
		b->progs.exact_free,	   b->progs.exact_ctx_malloc, b->progs.exact_ctx_calloc,
		b->progs.exact_ctx_realloc, b->progs.exact_ctx_free,
	};
	struct bpf_program *of_gc[] = {
		b->progs.gc_entry, b->progs.gc_entry_clone, b->progs.gc_usdt_start, b->progs.gc_usdt_done,
	};
	size_t i;

	for (i = 0; i < sizeof(of_exact) / sizeof(of_exact[0]); i++)
		bpf_program__set_autoload(of_exact[i], exact && !multi);
	for (i = 0; i < sizeof(of_gc) / sizeof(of_gc[0]); i++)
		bpf_program__set_autoload(of_gc[i], gc && !multi);
	choose_multi(b->progs.code_free_site, multi, true);
	choose_multi(b->progs.exact_entry, exact && multi, true);
	choose_multi(b->progs.exact_return, exact, multi);
	choose_multi(b->progs.heap_site, heap && multi, true);
	choose_multi(b->progs.gc_site, gc && multi, true);
	choose_multi(b->progs.gc_return, gc, multi);
	bpf_program__set_autoload(b->progs.fault_fork, resident);
	bpf_program__set_autoload(b->progs.find_percpu_offsets, resident && has_percpu_lookup());
	bpf_program__set_autoload(b->progs.fault_fentry, resident && s->fault_hook == FAULT_HOOK_FENTRY);
	bpf_program__set_autoload(b->progs.fault_kprobe, resident && s->fault_hook == FAULT_HOOK_KPROBE);
	bpf_program__set_autoload(b->progs.fault_tp_user, resident && s->fault_hook == FAULT_HOOK_TRACEPOINT);
	bpf_program__set_autoload(b->progs.fault_tp_kernel, resident && s->fault_hook == FAULT_HOOK_TRACEPOINT);
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
	if (!exact && !heap) {
		bpf_map__set_max_entries(s->bpf->maps.live, 1);
		bpf_map__set_max_entries(s->bpf->maps.pending, 1);
		bpf_map__set_max_entries(s->bpf->maps.site_specs, 1);
	}
	if (!(s->opts.signals & 1u << SIGNAL_RESIDENT)) {
		bpf_map__set_max_entries(s->bpf->maps.pages, 1);
		bpf_map__set_max_entries(s->bpf->maps.fault_states, 1);
	}
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
	s->bpf->rodata->serves_windows = s->opts.signals & 1u << SIGNAL_HEAP && !(s->opts.signals & 1u << SIGNAL_EXACT);
	s->bpf->rodata->exact_serves_heap = s->opts.exact_serves_heap;
	s->bpf->rodata->page_bytes = sysconf(_SC_PAGESIZE);
	s->bpf->rodata->cpu_cnt = s->cpu_cnt;
	s->bpf->rodata->tell_every_exec = s->opts.tell_every_exec;
	err = pymemscope_bpf__load(s->bpf);
	if (err)
		return err;
	malloc_trim(0); /* the kernel's type information, no longer needed */
	s->counts_fd[0] = bpf_map__fd(s->bpf->maps.counts_a);
	s->counts_fd[1] = bpf_map__fd(s->bpf->maps.counts_b);
	find_percpu_offsets(s);
	return 0;
}
