/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Targets, what tracing costs each, and what it may cost.
 *
 * What the hook on page faults costs a fault that is passed over cannot be taken by the program itself: two looks at the clock would
 * be most of it. So it is measured here, on our own faults, by the kernel's run-time statistics (5.8): of short runs a fast one
 * counts, because on a busy machine many are disturbed. To time the faults themselves, with and without the hook, tells nothing
 * where a fault takes 10 us, as on some virtual machines: the difference was between 40 ns and 1,200 there.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture/session_impl.h"

static struct fault_slot *fault_slot_of(const struct session *s, pid_t tgid)
{
	return (struct fault_slot *)&s->bpf->bss->fault_slots[tgid % FAULT_SLOTS];
}

/* As the kernel side does (core.bpf.h). */
static void take_slot(struct session *s, pid_t tgid, const struct target_state *first)
{
	struct fault_slot *slot = fault_slot_of(s, tgid);

	if (slot->tgid && slot->tgid != (uint32_t)tgid) {
		slot->tgid = FAULT_SLOT_SHARED;
		return;
	}
	slot->fault_shift = first->fault_shift;
	slot->newborn = first->newborn;
	slot->looker = 0;
	slot->skipped = 0;
	__atomic_store_n(&slot->tgid, (uint32_t)tgid, __ATOMIC_RELEASE);
}

int session__add_target(struct session *s, pid_t tgid, const struct target *t, const struct govern_args *budget)
{
	struct target_state first = {
		.stack_id = STACK_BEFORE_ATTACH,
		.fault_shift = budget->fault_shift,
		.fault_limit_ns = budget->fault_limit_ns,
		.fault_step_ns = budget->fault_step_ns,
		.child_shift = budget->child_shift,
		.child_limit_ns = budget->child_limit_ns,
		.newborn = budget->newborn,
		.gc_wake_cnt = budget->gc_wake_cnt,
	};
	uint32_t key = tgid;

	if (!bpf_map_update_elem(bpf_map__fd(s->bpf->maps.states), &key, &first, BPF_NOEXIST))
		take_slot(s, tgid, &first);
	else if (errno != EEXIST)
		return -errno;
	return bpf_map_update_elem(bpf_map__fd(s->bpf->maps.targets), &key, t, BPF_ANY) ? -errno : 0;
}

void session__remove_target(struct session *s, pid_t tgid)
{
	uint32_t key = tgid;

	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.targets), &key);
	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.states), &key);
	if (fault_slot_of(s, tgid)->tgid == key)
		fault_slot_of(s, tgid)->tgid = 0;
}

int session__read_state(const struct session *s, pid_t tgid, struct target_state *ret)
{
	uint32_t key = tgid;

	if (bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.states), &key, ret))
		return -errno;
	if (fault_slot_of(s, tgid)->tgid == key)
		ret->skipped += fault_slot_of(s, tgid)->skipped - ret->skipped_in_slot;
	return 0;
}

int session__govern(struct session *s, const struct govern_args *args)
{
	int fd = bpf_program__fd(s->bpf->progs.govern);
	struct govern_args copy = *args;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &copy, .ctx_size_in = sizeof(copy));

	if (fd < 0)
		return -ENOTSUP;
	if (bpf_prog_test_run_opts(fd, &opts))
		return -errno;
	return opts.retval ? -ENOENT : 0;
}

void session__pause_faults(struct session *s)
{
	session_impl__detach_faults(s);
}

int session__watch_faults(struct session *s, double chance)
{
	int watch = lround(2 * log2(1 / chance)), err;

	/* From one to the other nothing is seen, so nothing has the wrong weight. */
	session_impl__detach_faults(s);
	s->bpf->bss->hook_turn++;
	s->bpf->bss->turn_page_cnt = 0;
	s->bpf->bss->hook_weight = lround(WEIGHT_ONE / chance);
	s->bpf->bss->hook_watch = watch < WATCH_MAX ? watch : WATCH_MAX;
	err = session_impl__attach_faults(s);
	if (err)
		session_impl__detach_faults(s);
	return err;
}

uint32_t session__hook_turn(const struct session *s)
{
	return s->bpf->bss->hook_turn;
}

double session__watch_factor(unsigned int watch)
{
	return exp2(watch / 2.0);
}

#define RUN_BYTES (1u << 17)
#define RUNS 40
#define QUICK_RUN (RUNS / 10)
/* From the fault to our program and back, which the kernel's run-time statistics do not count. */
#define DISPATCH_NS 20
/* Least and most that is believed. */
#define MIN_HOOK_NS 40
#define MAX_HOOK_NS 2000
/* Where there are no statistics. */
#define USUAL_HOOK_NS 150

static int compare_ns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void fault_in(volatile char *memory, size_t page_bytes)
{
	size_t at;

	for (at = 0; at < RUN_BYTES; at += page_bytes)
		memory[at] = 1;
	madvise((void *)memory, RUN_BYTES, MADV_DONTNEED);
}

static void run_nothing(const struct session *s)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int i;

	for (i = 0; i < 32; i++)
		bpf_prog_test_run_opts(bpf_program__fd(s->bpf->progs.nothing), &opts);
}

/* What a program takes, in ns a run, as quick as one turn of runs in ten is. memory: has the hook run; NULL: `nothing` runs. */
static uint64_t quick_run_ns(const struct session *s, const struct bpf_program *prog, volatile char *memory)
{
	struct bpf_prog_info was = {}, is;
	uint64_t took[RUNS], cnt;
	size_t page_bytes = sysconf(_SC_PAGESIZE);
	uint32_t len = sizeof(was);
	int i, fd = bpf_program__fd(prog);

	if (bpf_obj_get_info_by_fd(fd, &was, &len))
		return 0;
	for (i = 0; i < RUNS; i++, was = is) {
		if (memory)
			fault_in(memory, page_bytes);
		else
			run_nothing(s);
		memset(&is, 0, sizeof(is));
		len = sizeof(is);
		if (bpf_obj_get_info_by_fd(fd, &is, &len))
			return 0;
		cnt = is.run_cnt - was.run_cnt;
		took[i] = cnt ? (is.run_time_ns - was.run_time_ns) / cnt : 0;
	}
	qsort(took, RUNS, sizeof(took[0]), compare_ns);
	return took[QUICK_RUN];
}

/* How long the hook takes of a fault that is passed over, as it does with all of ours. */
static uint64_t measure_hook_ns(struct session *s)
{
	int stats = s->stats_fd < 0 ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1;
	uint64_t cost = 0, clock_ns = quick_run_ns(s, s->bpf->progs.nothing, NULL);
	void *memory;

	memory = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory != MAP_FAILED) {
		madvise(memory, RUN_BYTES, MADV_NOHUGEPAGE);
		cost = quick_run_ns(s, session_impl__fault_program(s), memory);
		munmap(memory, RUN_BYTES);
	}
	if (stats >= 0)
		close(stats);
	if (!cost)
		return USUAL_HOOK_NS;
	cost = cost > clock_ns ? cost - clock_ns + DISPATCH_NS : 0;
	return cost < MIN_HOOK_NS ? MIN_HOOK_NS : cost > MAX_HOOK_NS ? MAX_HOOK_NS : cost;
}

int session_impl__begin_faults(struct session *s)
{
	const struct target_state passed_over = { .fault_shift = FAULT_QUOTA_BITS, .fault_limit_ns = UINT64_MAX };
	uint32_t self = getpid();
	int err;

	bpf_map_update_elem(bpf_map__fd(s->bpf->maps.states), &self, &passed_over, BPF_ANY);
	err = session_impl__attach_faults(s);
	if (!err)
		s->hook_ns = measure_hook_ns(s);
	session__remove_target(s, self);
	return err;
}

uint64_t session__hook_ns(const struct session *s)
{
	return s->hook_ns;
}

const struct probe_costs *session__probe_costs(const struct session *s)
{
	return &s->probe_costs;
}

uint64_t session__exact_ns(const struct session *s)
{
	uint64_t sum = 0;
	struct bpf_program *p;
	struct bpf_prog_info info;
	uint32_t len;

	bpf_object__for_each_program(p, s->bpf->obj) {
		if (bpf_program__fd(p) < 0 || strncmp(bpf_program__name(p), "exact_", 6))
			continue;
		memset(&info, 0, sizeof(info));
		len = sizeof(info);
		if (!bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			sum += info.run_time_ns;
	}
	return sum;
}
