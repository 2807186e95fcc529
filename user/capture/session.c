/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/session.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "capture/attach.h"
#include "capture/event.h"
#include "pymemscope.skel.h"
#include "system/uprobe_multi.h"

/* Entries read with one call. */
#define BATCH 1024

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

struct session_links {
	struct attachment *attachment; /* or */
	size_t n;
	struct bpf_link *link[];
};

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char text[8192];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), fmt, ap);
	log_debug("%s", text);
	return 0;
}

const char *fault_hook__name(enum fault_hook hook)
{
	static const char *const names[] = { "auto", "fentry", "kprobe", "tracepoint", "perf" };

	return names[hook];
}

/* fentry may be compiled out or refused (lockdown): only loading and attaching a program tells. */
static bool fentry_works(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FENTRY);
	int id = libbpf_find_vmlinux_btf_id("handle_mm_fault", BPF_TRACE_FENTRY);
	int prog, link;

	if (id <= 0)
		return false;
	opts.attach_btf_id = id;
	prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "pms_probe", "Dual BSD/GPL", insns, 2, &opts);
	if (prog < 0)
		return false;
	link = bpf_raw_tracepoint_open(NULL, prog);
	close(prog);
	if (link < 0)
		return false;
	close(link);
	return true;
}

static bool fault_hook_works(enum fault_hook hook)
{
	switch (hook) {
	case FAULT_HOOK_FENTRY:
		return fentry_works();
	case FAULT_HOOK_KPROBE:
		return access("/sys/bus/event_source/devices/kprobe/type", F_OK) == 0;
	case FAULT_HOOK_TRACEPOINT:
		return libbpf_find_vmlinux_btf_id("page_fault_user", BPF_TRACE_RAW_TP) > 0;
	case FAULT_HOOK_PERF:
		return true;
	default:
		return false;
	}
}

enum fault_hook session__probe_fault_hook(void)
{
	enum fault_hook hook;

	libbpf_set_print(print_libbpf);
	for (hook = FAULT_HOOK_FENTRY; hook < FAULT_HOOK_PERF; hook++) {
		if (fault_hook_works(hook))
			return hook;
	}
	return FAULT_HOOK_PERF;
}

enum fault_hook session__fault_hook(const struct session *s)
{
	return s->fault_hook;
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
static bool uses_multi(const struct session *s)
{
	return s->uprobe_multi == UPROBE_MULTI_FULL ||
	       (s->uprobe_multi == UPROBE_MULTI_NO_PID && s->opts.every_process);
}

bool session__takes_many_sites(const struct session *s)
{
	return uses_multi(s);
}

static void choose_multi(struct bpf_program *p, bool load, bool multi)
{
	bpf_program__set_autoload(p, load);
	if (multi)
		bpf_program__set_expected_attach_type(p, UPROBE_MULTI_ATTACH_TYPE);
}

/* Loads only what the chosen signals and hook need: the kernel may lack what the others want. */
static void choose_programs(struct session *s)
{
	struct pymemscope_bpf *b = s->bpf;
	bool resident = s->opts.signals & 1u << SIGNAL_RESIDENT;
	bool exact = s->opts.signals & 1u << SIGNAL_EXACT, gc = s->opts.signals & 1u << SIGNAL_GC;
	bool multi = uses_multi(s);
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
	if (!(s->opts.signals & 1u << SIGNAL_EXACT)) {
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

static int open_and_load(struct session *s)
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
	s->bpf->rodata->page_bytes = sysconf(_SC_PAGESIZE);
	s->bpf->rodata->cpu_cnt = s->cpu_cnt;
	s->bpf->rodata->tell_every_exec = s->opts.tell_every_exec;
	err = pymemscope_bpf__load(s->bpf);
	if (err)
		return err;
	malloc_trim(0); /* the kernel's type information, no longer needed */
	s->counts_fd[0] = bpf_map__fd(s->bpf->maps.counts_a);
	s->counts_fd[1] = bpf_map__fd(s->bpf->maps.counts_b);
	return 0;
}

static void find_percpu_offsets(struct session *s)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int fd = bpf_program__fd(s->bpf->progs.find_percpu_offsets);

	if (fd >= 0 && (bpf_prog_test_run_opts(fd, &opts) || opts.retval))
		log_debug("per-CPU parts of the resident-set counters cannot be read: growth is told in steps");
}

static int new_attacher(struct session *s)
{
	struct pymemscope_bpf *b = s->bpf;
	struct attach_programs p = {
		.at_site = { -1, -1, bpf_program__fd(b->progs.exact_entry), bpf_program__fd(b->progs.gc_site),
			     bpf_program__fd(b->progs.code_free_site) },
		.at_return = { -1, -1, bpf_program__fd(b->progs.exact_return), bpf_program__fd(b->progs.gc_return), -1 },
		.site_specs = bpf_map__fd(b->maps.site_specs),
	};

	_Static_assert(SIGNAL_EXACT == 2 && SIGNAL_GC == 3 && SIGNAL_CODE == 4 && SIGNAL_MAX == 5, "at_site, at_return");
	if (!uses_multi(s))
		return 0;
	return attacher__new(&p, bpf_map__fd(b->maps.targets), s->opts.every_process, &s->attacher);
}

static int swap_counts(struct session *s)
{
	uint32_t zero = 0;
	int next = !s->active;

	/* Returns only when no program uses the old map any more (kernel/bpf/syscall.c, maybe_wait_bpf_programs). */
	if (bpf_map_update_elem(bpf_map__fd(s->bpf->maps.counts), &zero, &s->counts_fd[next], BPF_ANY))
		return -errno;
	s->active = next;
	return 0;
}

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

	libbpf_set_print(print_libbpf);
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
	if (!fault_hook_works(s->fault_hook))
		goto out;
	if (opts->signals & (1u << SIGNAL_EXACT | 1u << SIGNAL_GC) && !opts->no_uprobe_multi)
		s->uprobe_multi = uprobe_multi__probe();
	err = open_and_load(s);
	err = err ? err : new_attacher(s);
	if (err)
		goto out;
	find_percpu_offsets(s);
	err = swap_counts(s);
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
	ring_buffer__free(s->ring);
	pymemscope_bpf__destroy(s->bpf);
	if (s->stats_fd >= 0)
		close(s->stats_fd);
	free(s);
}

static int add_host_link(struct session *s, struct bpf_link *link)
{
	if (!link)
		return -errno;
	s->host_links[s->n_host_links++] = link;
	return 0;
}

static int attach_perf(struct session *s)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.size = sizeof(attr),
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_ADDR,
	};
	int cpu, fd, err;

	for (cpu = 0; cpu < s->cpu_cnt; cpu++) {
		fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
		if (fd < 0 && (errno == ENODEV || errno == ENXIO)) /* offline */
			continue;
		if (fd < 0)
			return -errno;
		err = add_host_link(s, bpf_program__attach_perf_event(s->bpf->progs.fault_perf, fd));
		if (err) {
			close(fd);
			return err;
		}
	}
	return 0;
}

static int attach_faults(struct session *s)
{
	struct bpf_program *p[3] = { s->bpf->progs.fault_fork };
	int i, err;

	switch (s->fault_hook) {
	case FAULT_HOOK_FENTRY:
		p[1] = s->bpf->progs.fault_fentry;
		break;
	case FAULT_HOOK_KPROBE:
		p[1] = s->bpf->progs.fault_kprobe;
		break;
	case FAULT_HOOK_TRACEPOINT:
		p[1] = s->bpf->progs.fault_tp_user;
		p[2] = s->bpf->progs.fault_tp_kernel;
		break;
	default:
		break;
	}
	for (i = 0; i < 3 && p[i]; i++) {
		err = add_host_link(s, bpf_program__attach(p[i]));
		if (err)
			return err;
	}
	return s->fault_hook == FAULT_HOOK_PERF ? attach_perf(s) : 0;
}

int session__start(struct session *s)
{
	struct bpf_program *life[] = { s->bpf->progs.proc_fork, s->bpf->progs.proc_exec, s->bpf->progs.proc_exit };
	size_t i;
	int err;

	s->host_links = calloc(s->cpu_cnt + 8, sizeof(*s->host_links));
	if (!s->host_links)
		return -ENOMEM;
	for (i = 0; i < sizeof(life) / sizeof(life[0]); i++) {
		err = add_host_link(s, bpf_program__attach(life[i]));
		if (err)
			return err;
	}
	return s->opts.signals & 1u << SIGNAL_RESIDENT ? attach_faults(s) : 0;
}

static int add_link(struct session_links *l, struct bpf_link *link)
{
	if (!link)
		return -errno;
	l->link[l->n++] = link;
	return 0;
}

void session__hold_execs(struct session *s, pid_t tgid)
{
	s->bpf->bss->hold_tgid = tgid;
}

int session__attach_entry(struct session *s, pid_t tgid, const char *path, uint64_t offset, struct session_links **ret)
{
	struct session_links *l = calloc(1, sizeof(*l) + sizeof(l->link[0]));
	int err;

	if (!l)
		return -ENOMEM;
	err = add_link(l, bpf_program__attach_uprobe(s->bpf->progs.proc_entry, false, tgid, path, offset));
	if (err) {
		session_links__free(l);
		return err;
	}
	*ret = l;
	return 0;
}

int session__set_interpreter(struct session *s, uint32_t interp, const struct py_walk *walk)
{
	if (bpf_map_update_elem(bpf_map__fd(s->bpf->maps.interpreters), &interp, walk, BPF_ANY))
		return -errno;
	return 0;
}

int session__add_target(struct session *s, pid_t tgid, const struct target *t)
{
	uint32_t key = tgid;

	return bpf_map_update_elem(bpf_map__fd(s->bpf->maps.targets), &key, t, BPF_ANY) ? -errno : 0;
}

int session__find_target(const struct session *s, pid_t tgid, struct target *ret)
{
	uint32_t key = tgid;

	return bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.targets), &key, ret) ? -errno : 0;
}

void session__remove_target(struct session *s, pid_t tgid)
{
	uint32_t key = tgid;

	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.targets), &key);
}

/* Program for a site's entry; NULL for USDT. */
static struct bpf_program *entry_program(struct session *s, const struct probe_site *site)
{
	bool ctx = site->takes_context;

	switch (site->kind) {
	case PROBE_MALLOC:
		return ctx ? s->bpf->progs.exact_ctx_malloc : s->bpf->progs.exact_malloc;
	case PROBE_CALLOC:
		return ctx ? s->bpf->progs.exact_ctx_calloc : s->bpf->progs.exact_calloc;
	case PROBE_REALLOC:
		return ctx ? s->bpf->progs.exact_ctx_realloc : s->bpf->progs.exact_realloc;
	case PROBE_FREE:
		return ctx ? s->bpf->progs.exact_ctx_free : s->bpf->progs.exact_free;
	case PROBE_GC:
		return site->args_unknown ? s->bpf->progs.gc_entry_clone : s->bpf->progs.gc_entry;
	default:
		return NULL;
	}
}

/* Return probe first: an entry seen without its return would leave a pending allocation. */
static int attach_site(struct session *s, pid_t tgid, const char *path, const struct probe_site *site,
		       struct session_links *l)
{
	LIBBPF_OPTS(bpf_uprobe_opts, at_return, .retprobe = true);
	struct bpf_program *ret = site->kind == PROBE_GC ? s->bpf->progs.gc_return : s->bpf->progs.exact_return;
	int err;

	if (site->kind == PROBE_CODE_FREE)
		return 0;
	if (site->kind == PROBE_GC_USDT || site->kind == PROBE_GC_USDT_DONE)
		return add_link(l, bpf_program__attach_usdt(site->kind == PROBE_GC_USDT ? s->bpf->progs.gc_usdt_start
											: s->bpf->progs.gc_usdt_done,
							    tgid, path, "python", site->symbol, NULL));
	if (site->kind != PROBE_FREE) {
		err = add_link(l, bpf_program__attach_uprobe_opts(ret, tgid, path, site->offset, &at_return));
		if (err)
			return err;
	}
	return add_link(l, bpf_program__attach_uprobe(entry_program(s, site), false, tgid, path, site->offset));
}

int session__attach(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
		    struct session_links **ret)
{
	struct session_links *l = calloc(1, sizeof(*l) + 2 * n * sizeof(l->link[0]));
	size_t i;
	int err;

	if (!l)
		return -ENOMEM;
	if (s->attacher) {
		err = attacher__attach(s->attacher, tgid, path, sites, n, &l->attachment);
		if (err)
			free(l);
		else
			*ret = l;
		return err;
	}
	for (i = 0; i < n; i++) {
		err = attach_site(s, tgid, path, &sites[i], l);
		if (err) {
			session_links__free(l);
			return err;
		}
	}
	*ret = l;
	return 0;
}

void session_links__free(struct session_links *l)
{
	if (!l)
		return;
	attachment__free(l->attachment);
	while (l->n)
		bpf_link__destroy(l->link[--l->n]);
	free(l);
}

int session__poll(struct session *s, int timeout_ms)
{
	return ring_buffer__poll(s->ring, timeout_ms);
}

/* Empties a map of counts that no program uses now. */
static int read_and_empty(struct session *s, int fd)
{
	struct count_key keys[BATCH];
	struct count_value values[BATCH];
	uint64_t out = 0;
	void *in = NULL;
	uint32_t n, i;
	int err;

	do {
		n = BATCH;
		err = bpf_map_lookup_and_delete_batch(fd, in, &out, keys, values, &n, NULL) ? -errno : 0;
		if (err && err != -ENOENT)
			return err;
		for (i = 0; i < n; i++)
			s->handlers.count(&keys[i], &values[i], s->handlers.arg);
		in = &out;
	} while (!err);
	return 0;
}

/* The overflow sums stay in the kernel and only grow; what was there before is remembered by taking it out. */
static int read_overflow(struct session *s)
{
	int fd = bpf_map__fd(s->bpf->maps.overflow);
	struct count_value value;
	struct count_key key;

	if (!session__counter(s, CTR_COUNTS_FULL))
		return 0;
	while (!bpf_map_get_next_key(fd, NULL, &key)) {
		if (bpf_map_lookup_and_delete_elem(fd, &key, &value))
			return -errno;
		s->handlers.count(&key, &value, s->handlers.arg);
	}
	return 0;
}

int session__read_counts(struct session *s)
{
	int old = s->counts_fd[s->active];
	int err;

	err = swap_counts(s);
	if (err)
		return err;
	/* Every stack that the old map counts under was sent before it was counted. */
	err = ring_buffer__consume(s->ring);
	if (err < 0)
		return err;
	err = read_and_empty(s, old);
	err = err ? err : read_overflow(s);
	s->handlers.counted(s->handlers.arg);
	return err;
}

uint64_t session__counter(const struct session *s, enum counter counter)
{
	uint64_t sum = 0, *values = calloc(s->cpu_cnt, sizeof(*values));
	uint32_t key = counter;
	int i;

	if (values && !bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.counters), &key, values)) {
		for (i = 0; i < s->cpu_cnt; i++)
			sum += values[i];
	}
	free(values);
	return sum;
}

uint64_t session__bad_records(const struct session *s)
{
	return s->bad_records;
}

void session__sample_faults(struct session *s, uint32_t shift)
{
	s->bpf->bss->page_sampling_shift = shift;
}

int session__sweep_pages(struct session *s, bool (*fn)(const struct page_key *, const struct page_value *, void *),
			 void *arg)
{
	int fd = bpf_map__fd(s->bpf->maps.pages);
	struct page_value values[BATCH];
	struct page_key keys[BATCH];
	uint32_t n, i;
	uint64_t out = 0;
	void *in = NULL;
	int err;

	do {
		n = BATCH;
		err = bpf_map_lookup_batch(fd, in, &out, keys, values, &n, NULL) ? -errno : 0;
		if (err && err != -ENOENT)
			return err;
		for (i = 0; i < n; i++) {
			if (fn(&keys[i], &values[i], arg))
				bpf_map_delete_elem(fd, &keys[i]);
		}
		in = &out;
	} while (!err);
	s->bpf->bss->page_sampling_epoch++;
	return 0;
}

int session__forget_blocks(struct session *s, uint32_t proc_id)
{
	int fd = bpf_map__fd(s->bpf->maps.live);
	struct block_value values[BATCH];
	struct block_key keys[BATCH];
	uint64_t out = 0;
	void *in = NULL;
	uint32_t n, i;
	int err;

	do {
		n = BATCH;
		err = bpf_map_lookup_batch(fd, in, &out, keys, values, &n, NULL) ? -errno : 0;
		if (err && err != -ENOENT)
			return err;
		for (i = 0; i < n; i++) {
			if (keys[i].proc_id == proc_id)
				bpf_map_delete_elem(fd, &keys[i]);
		}
		in = &out;
	} while (!err);
	return 0;
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
		ret->run_ns += info.run_time_ns;
		ret->run_cnt += info.run_cnt;
	}
}
