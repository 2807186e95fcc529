/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Collections under way, by thread: gc.bpf.c notes them at the collector's entry and forgets them at its return. Who walks a stack
 * meanwhile marks what the collector called. A return may be missed, where the probes were taken off before it; so what is noted
 * counts only while the runtime itself says that this collection still runs.
 */
#ifndef BPF_COLLECTOR_H
#define BPF_COLLECTOR_H

#include "core.bpf.h"

#define GENERATIONS 3

/* struct gc_generation_stats, Include/internal/pycore_gc.h */
struct gc_stats {
	__s64 collections;
	__s64 collected;
	__s64 uncollectable;
};

struct gc_run {
	__u64 stack_id;
	__u64 start_ns; /* 0: it is being noted */
	__s32 generation;
	__u32 evidence;
	__u64 sp;
	__u64 frame; /* that ran when it began; 0: none did */
	__u64 collecting_at; /* address of the runtime's flag, int; 0: not known */
	__u64 stats_at; /* 0: not known */
	__u64 garbage_at; /* address of the pointer to gc.garbage; 0: not known */
	__s64 garbage_cnt;
	struct gc_stats stats[GENERATIONS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, __u64); /* tgid << 32 | tid */
	__type(value, struct gc_run);
} gc_runs SEC(".maps") __weak;

/* The generation whose count changed since the run began: then *gained is what it brought. -1: none. */
static __noinline int gc_generation_of(const struct gc_run *run, struct gc_stats *gained)
{
	struct gc_stats now[GENERATIONS];
	int i;

	if (!run || !gained || !read_user(now, sizeof(now), run->stats_at))
		return -1;
	for (i = 0; i < GENERATIONS; i++) {
		gained->collections = now[i].collections - run->stats[i].collections;
		if (gained->collections) {
			gained->collected = now[i].collected - run->stats[i].collected;
			gained->uncollectable = now[i].uncollectable - run->stats[i].uncollectable;
			return i;
		}
	}
	return -1;
}

/* False: not, or it cannot be told. */
static __always_inline bool reads_as_set(__u64 flag_at)
{
	__s32 flag;

	return flag_at && read_user(&flag, sizeof(flag), flag_at) && flag;
}

#define NO_COLLECTOR (~0ull)

/*
 * The frame at which this thread's collection began, 0: there was none; NO_COLLECTOR: no collection runs in it that is known of.
 * To be asked while t->collecting_at says that there may be one.
 */
static __noinline __u64 collector_frame(struct target *t)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct gc_run *run = bpf_map_lookup_elem(&gc_runs, &pid_tgid);
	struct gc_stats gained;
	__s32 flag;

	if (!t)
		return NO_COLLECTOR;
	if (!run || !run->start_ns) {
		/* Some other thread's, or one that is over: then nobody asks again. */
		if (read_user(&flag, sizeof(flag), t->collecting_at) && !flag)
			t->collecting_at = 0;
		return NO_COLLECTOR;
	}
	if (!reads_as_set(run->collecting_at) || (run->stats_at && gc_generation_of(run, &gained) >= 0))
		return NO_COLLECTOR;
	return run->frame;
}

#endif
