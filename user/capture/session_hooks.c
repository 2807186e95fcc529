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

bool session_impl__has_fault_hook(enum fault_hook hook)
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

	session_impl__log_libbpf();
	for (hook = FAULT_HOOK_FENTRY; hook < FAULT_HOOK_PERF; hook++) {
		if (session_impl__has_fault_hook(hook))
			return hook;
	}
	return FAULT_HOOK_PERF;
}

enum fault_hook session__fault_hook(const struct session *s)
{
	return s->fault_hook;
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
