/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Hooks that serve the whole host: life of processes, and page faults by the best hook that the kernel has.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/session_impl.h"

const char *fault_hook__name(enum fault_hook hook)
{
	static const char *const names[] = { "auto", "fentry", "kprobe", "tracepoint", "perf" };

	return names[hook];
}

/* fentry may be compiled out or refused (lockdown): only loading and attaching a program tells. */
static bool fentry_works(const struct btf *kernel)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FENTRY);
	int id = btf__find_by_name_kind(kernel, "handle_mm_fault", BTF_KIND_FUNC);
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

static bool works(enum fault_hook hook, const struct btf *kernel)
{
	switch (hook) {
	case FAULT_HOOK_FENTRY:
		return fentry_works(kernel);
	case FAULT_HOOK_KPROBE:
		return access("/sys/bus/event_source/devices/kprobe/type", F_OK) == 0;
	case FAULT_HOOK_TRACEPOINT:
		return btf__find_by_name_kind(kernel, "btf_trace_page_fault_user", BTF_KIND_TYPEDEF) > 0;
	case FAULT_HOOK_PERF:
		return true;
	default:
		return false;
	}
}

bool session_impl__has_fault_hook(enum fault_hook hook)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	bool ret = kernel && works(hook, kernel);

	btf__free(kernel);
	return ret;
}

enum fault_hook session__probe_fault_hook(void)
{
	enum fault_hook hook = FAULT_HOOK_FENTRY;
	struct btf *kernel;

	session_impl__log_libbpf();
	kernel = btf__load_vmlinux_btf(); /* 25 ms: once for all */
	if (!kernel)
		return FAULT_HOOK_PERF;
	while (hook < FAULT_HOOK_PERF && !works(hook, kernel))
		hook++;
	btf__free(kernel);
	return hook;
}

enum fault_hook session__fault_hook(const struct session *s)
{
	return s->fault_hook;
}

struct bpf_program *session_impl__fault_program(const struct session *s)
{
	switch (s->fault_hook) {
	case FAULT_HOOK_FENTRY:
		return s->bpf->progs.fault_fentry;
	case FAULT_HOOK_KPROBE:
		return s->bpf->progs.fault_kprobe;
	case FAULT_HOOK_TRACEPOINT:
		return s->bpf->progs.fault_tp;
	default:
		return s->bpf->progs.fault_perf;
	}
}

static int add_fault_link(struct session *s, struct bpf_link *link)
{
	if (!link)
		return -errno;
	s->fault_links[s->n_fault_links++] = link;
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
		err = add_fault_link(s, bpf_program__attach_perf_event(session_impl__fault_program(s), fd));
		if (err) {
			close(fd);
			return err;
		}
	}
	return 0;
}

static int attach_tracepoints(struct session *s)
{
	struct bpf_program *p = session_impl__fault_program(s);
	int err = add_fault_link(s, bpf_program__attach_raw_tracepoint(p, "page_fault_user"));

	return err ? err : add_fault_link(s, bpf_program__attach_raw_tracepoint(p, "page_fault_kernel"));
}

int session_impl__attach_faults(struct session *s)
{
	switch (s->fault_hook) {
	case FAULT_HOOK_FENTRY:
	case FAULT_HOOK_KPROBE:
		return add_fault_link(s, bpf_program__attach(session_impl__fault_program(s)));
	case FAULT_HOOK_TRACEPOINT:
		return attach_tracepoints(s);
	default:
		return attach_perf(s);
	}
}

void session_impl__detach_faults(struct session *s)
{
	while (s->n_fault_links)
		bpf_link__destroy(s->fault_links[--s->n_fault_links]);
}

int session__start(struct session *s)
{
	/* In this order they are called: proc_exit forgets what fault_exit needs. */
	struct bpf_program *life[] = { s->bpf->progs.fault_exit, s->bpf->progs.fault_fork, s->bpf->progs.proc_fork,
				       s->bpf->progs.proc_exec, s->bpf->progs.proc_exit };
	bool resident = s->opts.signals & 1u << SIGNAL_RESIDENT;
	struct bpf_link *link;
	size_t i;

	for (i = resident ? 0 : 2; i < sizeof(life) / sizeof(life[0]); i++) {
		link = bpf_program__attach(life[i]);
		if (!link)
			return -errno;
		s->host_links[s->n_host_links++] = link;
	}
	if (!resident)
		return 0;
	s->fault_links = calloc(s->cpu_cnt + 2, sizeof(*s->fault_links));
	return s->fault_links ? session_impl__begin_faults(s) : -ENOMEM;
}
