/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The resident set of a task, as the kernel counts it: mm_struct.rss_stat, include/linux/mm_types.h: an array of
 * percpu_counter since 6.2, before that struct mm_rss_stat plus what each thread has not yet handed in
 * (task_struct.rss_stat, SPLIT_RSS_COUNTING).
 */
#ifndef BPF_RSS_H
#define BPF_RSS_H

#include "core.bpf.h"

/* CPUs whose part of a percpu_counter is added; beyond, a counter is as exact as its batch (32 pages a CPU). */
#define MAX_SUMMED_CPUS 128

/*
 * What to add to a per-CPU pointer to get a CPU's own copy (the kernel's __per_cpu_offset, which neither kallsyms nor BTF
 * tell everywhere). Found by find_percpu_offsets, from a per-CPU map whose pointer and copies we can both see.
 */
__u64 percpu_offsets[MAX_SUMMED_CPUS];
/* Written and read back: the verifier lets a map's address be computed with only as a plain number. */
__u64 percpu_sample_addr;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} percpu_sample SEC(".maps");

SEC("syscall")
int find_percpu_offsets(void *ctx)
{
	struct bpf_array *map;
	__u64 base = 0;
	__u32 cpu, zero = 0;
	void *copy;

	*(volatile __u64 *)&percpu_sample_addr = (__u64)&percpu_sample;
	map = (struct bpf_array *)*(volatile __u64 *)&percpu_sample_addr;
	bpf_core_read(&base, sizeof(base), &map->pptrs[0]);
	if (!base)
		return -1;
	for (cpu = 0; cpu < MAX_SUMMED_CPUS && cpu < cpu_cnt; cpu++) {
		copy = bpf_map_lookup_percpu_elem(&percpu_sample, &zero, cpu);
		*(volatile __u64 *)&percpu_offsets[cpu] = (__u64)copy;
		if (copy)
			*(volatile __u64 *)&percpu_offsets[cpu] -= base;
	}
	return 0;
}

struct mm_rss_stat___old {
	atomic_long_t count[4];
} __attribute__((preserve_access_index));
struct mm_struct___old {
	struct mm_rss_stat___old rss_stat;
} __attribute__((preserve_access_index));
struct task_rss_stat___old {
	int events;
	int count[4];
} __attribute__((preserve_access_index));
struct task_struct___old {
	struct task_rss_stat___old rss_stat;
} __attribute__((preserve_access_index));

/* The kernel's counters (enum in mm_types_task.h). */
#define RSS_KINDS 3
/* A resident set, in pages: anonymous, file, shmem. */
struct rss {
	__s64 of[RSS_KINDS];
};
#define MEMBER_ANON 1
#define MEMBER_FILE 0
#define MEMBER_SHMEM 3
/*
 * Since 6.2: an array of percpu_counter whose per-CPU parts stand side by side (lib/percpu_counter.c,
 * percpu_counter_init_many, 6.6), so that one read fetches a CPU's parts of all; before, each stands for itself.
 */
#define N_MEMBERS 4

static __always_inline void add_percpu_parts(__u32 cpu, void *anon, void *file, void *shmem, __s64 *sum)
{
	__u64 offset = percpu_offsets[cpu & (MAX_SUMMED_CPUS - 1)];
	__s32 part[N_MEMBERS] = {};

	if (!offset)
		return;
	if (anon == file + 4 && shmem == file + 12) {
		bpf_probe_read_kernel(part, sizeof(part), file + offset);
	} else {
		bpf_probe_read_kernel(&part[MEMBER_ANON], 4, anon + offset);
		bpf_probe_read_kernel(&part[MEMBER_FILE], 4, file + offset);
		bpf_probe_read_kernel(&part[MEMBER_SHMEM], 4, shmem + offset);
	}
	sum[0] += part[MEMBER_ANON];
	sum[1] += part[MEMBER_FILE];
	sum[2] += part[MEMBER_SHMEM];
}

static __always_inline void rss_percpu(struct mm_struct *mm, struct rss *rss)
{
	void *anon = mm->rss_stat[MEMBER_ANON].counters;
	void *file = mm->rss_stat[MEMBER_FILE].counters;
	void *shmem = mm->rss_stat[MEMBER_SHMEM].counters;
	__u32 cpu;

	rss->of[0] = mm->rss_stat[MEMBER_ANON].count;
	rss->of[1] = mm->rss_stat[MEMBER_FILE].count;
	rss->of[2] = mm->rss_stat[MEMBER_SHMEM].count;
	for (cpu = 0; cpu < MAX_SUMMED_CPUS && cpu < cpu_cnt; cpu++)
		add_percpu_parts(cpu, anon, file, shmem, rss->of);
}

static __always_inline __s64 rss_old(struct task_struct *task, struct mm_struct *mm, int member)
{
	struct task_struct___old *old_task = (void *)task;
	struct mm_struct___old *old_mm = (void *)mm;
	__s64 shared = 0;
	int own = 0;

	bpf_core_read(&shared, sizeof(shared), &old_mm->rss_stat.count[member]);
	if (bpf_core_field_exists(old_task->rss_stat.count))
		bpf_core_read(&own, sizeof(own), &old_task->rss_stat.count[member]);
	return shared + own;
}

/*
 * The resident set of a task. A function of its own: see charge_last. The task is one that can be read in place where the kernel has
 * any (5.11); percpu_counter is read so, which saves a dozen calls a fault.
 */
static __noinline int read_rss(struct task_struct *task, struct rss *rss)
{
	struct mm_struct *mm;

	if (!rss)
		return -1;
	if (bpf_core_type_exists(struct mm_rss_stat___old)) {
		mm = BPF_CORE_READ(task, mm);
		if (!mm)
			return -1;
		rss->of[0] = rss_old(task, mm, MEMBER_ANON);
		rss->of[1] = rss_old(task, mm, MEMBER_FILE);
		rss->of[2] = rss_old(task, mm, MEMBER_SHMEM);
	} else {
		mm = task->mm;
		if (!mm)
			return -1;
		rss_percpu(mm, rss);
	}
	return 0;
}

#endif
