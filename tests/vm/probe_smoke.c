/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Proves on a running kernel that each hook pymemscope may choose exists and fires, as TAP. Needs root, BTF and a
 * memory cgroup of version 2 in which it runs (for the cgroup id). Does not use pymemscope.
 * Usage: probe_smoke COMMAND, where COMMAND is known to be killed for lack of memory (for the OOM hooks).
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "tests/vm/probe_smoke.skel.h"

#define PAGES 256
#define PAGE 4096

struct hook {
	const char *name;
	const char *program;
	const char *kind; /* how it is attached: "auto", "perf" or "uprobe" */
	const char *trigger; /* what makes it fire: "touch", "call" or "oom" */
	uint64_t min_hits; /* at least so many after the trigger */
};

/* rss_stat: counters are batched per task up to Linux 6.1 (SPLIT_RSS_COUNTING, 64 faults; mm/memory.c). */
static const struct hook hooks[] = {
	{ "kprobe handle_mm_fault", "kprobe_fault", "auto", "touch", PAGES },
	{ "fentry handle_mm_fault", "fentry_fault", "auto", "touch", PAGES },
	{ "tracepoint page_fault_user", "tracepoint_fault", "auto", "touch", PAGES },
	{ "tracepoint rss_stat", "tracepoint_rss_stat", "auto", "touch", PAGES / 64 },
	{ "perf event page-faults", "perf_fault", "perf", "touch", PAGES },
	{ "uprobe", "uprobe_function", "uprobe", "call", PAGES },
	{ "kprobe oom_kill_process", "kprobe_oom", "auto", "oom", 1 },
	{ "tracepoint mark_victim", "tracepoint_oom", "auto", "oom", 1 },
};
#define HOOK_CNT (sizeof(hooks) / sizeof(hooks[0]))

static char libbpf_log[4096];

/* The last messages only: they are shown when a hook fails. */
static int keep_log(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	if (strlen(libbpf_log) + strlen(line) + 1 > sizeof(libbpf_log))
		libbpf_log[0] = '\0';
	strncat(libbpf_log, line, sizeof(libbpf_log) - strlen(libbpf_log) - 1);
	return 0;
}

__attribute__((noinline)) int probe_smoke_called(int n);

int probe_smoke_called(int n)
{
	__asm__ volatile("");
	return n + 1;
}

static int attach_perf(struct bpf_program *prog, struct bpf_link **ret)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = 1,
	};
	int fd;

	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = bpf_program__attach_perf_event(prog, fd);
	if (!*ret) {
		close(fd);
		return -errno;
	}
	return 0;
}

static int attach(const struct hook *hook, struct bpf_program *prog, struct bpf_link **ret)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "probe_smoke_called");

	if (strcmp(hook->kind, "perf") == 0)
		return attach_perf(prog, ret);
	if (strcmp(hook->kind, "uprobe") == 0)
		*ret = bpf_program__attach_uprobe_opts(prog, getpid(), "/proc/self/exe", 0, &opts);
	else
		*ret = bpf_program__attach(prog);
	return *ret ? 0 : -errno;
}

static int trigger(const struct hook *hook, const char *oom_command)
{
	volatile int sum = 0;
	char *mem;

	if (strcmp(hook->trigger, "oom") == 0)
		return system(oom_command) == -1 ? -errno : 0;
	if (strcmp(hook->trigger, "call") == 0) {
		for (int i = 0; i < PAGES; i++)
			sum = probe_smoke_called(sum);
		return 0;
	}
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return -errno;
	madvise(mem, PAGES * PAGE, MADV_NOHUGEPAGE);
	for (int i = 0; i < PAGES; i++)
		mem[i * PAGE] = 1;
	munmap(mem, PAGES * PAGE);
	return 0;
}

/* Loads one program, lets it fire, tells hits and the cgroup id it saw. */
static int measure(const struct hook *hook, const char *oom_command, uint64_t *ret_hits, uint64_t *ret_cgroup)
{
	struct probe_smoke_bpf *skel;
	struct bpf_program *prog;
	struct bpf_link *link = NULL;
	int err;

	skel = probe_smoke_bpf__open();
	if (!skel)
		return -errno;
	bpf_object__for_each_program(prog, skel->obj)
		bpf_program__set_autoload(prog, strcmp(bpf_program__name(prog), hook->program) == 0);
	skel->rodata->target_tgid = getpid();
	err = probe_smoke_bpf__load(skel);
	if (err)
		goto out;
	prog = bpf_object__find_program_by_name(skel->obj, hook->program);
	err = attach(hook, prog, &link);
	if (err)
		goto out;
	err = trigger(hook, oom_command);
	if (err)
		goto out;
	*ret_hits = skel->bss->hit_cnt;
	*ret_cgroup = skel->bss->last_cgroup_id;
out:
	bpf_link__destroy(link);
	probe_smoke_bpf__destroy(skel);
	return err;
}

/* Inode of the own cgroup v2 directory. */
static int own_cgroup_id(uint64_t *ret)
{
	char path[4096], line[4000];
	struct stat st;
	FILE *f;
	int err = -ENOENT;

	f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s", line + 3);
		err = stat(path, &st) ? -errno : 0;
		if (!err)
			*ret = st.st_ino;
	}
	fclose(f);
	return err;
}

static void show_log(void)
{
	for (char *line = strtok(libbpf_log, "\n"); line; line = strtok(NULL, "\n"))
		printf("# %s\n", line);
	libbpf_log[0] = '\0';
}

int main(int argc, char **argv)
{
	uint64_t cgroup_id = 0, seen_cgroup = 0;
	int failed = 0, err;

	if (argc != 2) {
		fprintf(stderr, "usage: probe_smoke COMMAND\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(keep_log);
	printf("1..%zu\n", HOOK_CNT + 1);
	for (size_t i = 0; i < HOOK_CNT; i++) {
		uint64_t hits = 0, cgroup = 0;
		int ok;

		err = measure(&hooks[i], argv[1], &hits, &cgroup);
		ok = !err && hits >= hooks[i].min_hits;
		printf("%sok %zu - hook: %s\n", ok ? "" : "not ", i + 1, hooks[i].name);
		printf("# %s: %llu hits, at least %llu expected%s%s\n", hooks[i].name,
		       (unsigned long long)hits, (unsigned long long)hooks[i].min_hits, err ? ": " : "",
		       err ? strerror(-err) : "");
		if (!ok)
			show_log();
		failed += !ok;
		if (cgroup)
			seen_cgroup = cgroup;
	}
	err = own_cgroup_id(&cgroup_id);
	if (err || seen_cgroup != cgroup_id)
		failed++;
	printf("%sok %zu - the cgroup id in BPF is the inode of the cgroup directory\n",
	       err || seen_cgroup != cgroup_id ? "not " : "", HOOK_CNT + 1);
	printf("# BPF saw %llu, the directory is %llu\n", (unsigned long long)seen_cgroup,
	       (unsigned long long)cgroup_id);
	return failed ? 1 : 0;
}
