/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the hook on page faults costs a fault that it passes over, on this machine: as all do that are not looked at.
 *
 * The kernel's run-time statistics tell what the program takes, to some nanoseconds; but not the way from the fault to the program and
 * back, which goes through code that a fault has long displaced from the nearest caches: 20 ns where it is warm, and 80 to 100
 * where a program touches new memory (Xeon of 2023, Linux 6.18). So faults are timed as well, with the hook and without by turns, and
 * the middle of the differences counts. Where a fault takes 10 us because a hypervisor takes part, those are 40 to 1,200 ns by luck: they
 * are believed from what the statistics tell to thrice of it.
 *
 * What our program takes depends on what a process has left of the caches: 200 ns where it does nothing but touch memory, 260 where it
 * makes objects between two faults. So it takes its own time now and then (struct target_state.passed_ns), here too: what is more
 * than that is the way to it.
 */
#include "capture/session_impl.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"

#define RUN_BYTES (1u << 17)
#define RUNS 40
#define QUICK_RUN (RUNS / 10)
/* From the fault to our program and back, at least. */
#define DISPATCH_NS 20
/* Least and most that is believed. */
#define MIN_HOOK_NS 40
#define MAX_HOOK_NS 2000
/* Where there are no statistics. */
#define USUAL_HOOK_NS 150
/* Turns of with the hook and without, and how long they may take: to take it away may wait for the kernel. */
#define MOST_TURNS 7
#define TURNS_NS 100000000ull
/* How often what the statistics tell is believed: the way to a perf event's program, or a kprobe's, is longer than the program. */
#define MOST_TIMES 3
#define MOST_TIMES_INDIRECT 10

static int compare_ns(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void fault_in(volatile char *memory)
{
	size_t at, page_bytes = sysconf(_SC_PAGESIZE);

	for (at = 0; at < RUN_BYTES; at += page_bytes)
		memory[at] = 1;
}

static void give_back(volatile char *memory, size_t bytes)
{
	madvise((void *)memory, bytes, MADV_DONTNEED);
}

/* ---- by the kernel's statistics ---- */

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
	int64_t took[RUNS];
	uint64_t cnt;
	uint32_t len = sizeof(was);
	int i, fd = bpf_program__fd(prog);

	if (bpf_obj_get_info_by_fd(fd, &was, &len))
		return 0;
	for (i = 0; i < RUNS; i++, was = is) {
		if (memory) {
			fault_in(memory);
			give_back(memory, RUN_BYTES);
		} else {
			run_nothing(s);
		}
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

/* 0: they tell nothing. */
static uint64_t counted_ns(struct session *s, volatile char *memory)
{
	int stats = s->stats_fd < 0 ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1;
	uint64_t clock_ns = quick_run_ns(s, s->bpf->progs.nothing, NULL);
	uint64_t cost = quick_run_ns(s, session_impl__fault_program(s), memory);

	if (stats >= 0)
		close(stats);
	if (!cost)
		return 0;
	return cost > clock_ns + MIN_HOOK_NS - DISPATCH_NS ? cost - clock_ns + DISPATCH_NS : MIN_HOOK_NS;
}

/* ---- by the clock ---- */

static int64_t usual_fault_ns(volatile char *memory)
{
	size_t cnt = RUN_BYTES / sysconf(_SC_PAGESIZE);
	int64_t took[RUNS];
	int i;

	for (i = 0; i < RUNS; i++) {
		took[i] = clock_now_ns();
		fault_in(memory + i * RUN_BYTES);
		took[i] = (clock_now_ns() - took[i]) / cnt;
	}
	give_back(memory, RUNS * RUN_BYTES);
	qsort(took, RUNS, sizeof(took[0]), compare_ns);
	return took[RUNS / 2];
}

/* Finds the hook attached, and leaves it so. 0 or -errno. */
static int time_hook(struct session *s, volatile char *memory, int64_t *ret)
{
	uint64_t end = clock_now_ns() + TURNS_NS;
	int64_t longer[MOST_TURNS];
	int n = 0, err;

	do {
		longer[n] = usual_fault_ns(memory);
		session_impl__detach_faults(s);
		longer[n++] -= usual_fault_ns(memory);
		err = session_impl__attach_faults(s);
		if (err)
			return err;
	} while (n < MOST_TURNS && clock_now_ns() < end);
	qsort(longer, n, sizeof(longer[0]), compare_ns);
	*ret = longer[n / 2];
	return 0;
}

/* What a fault costs beside what our program says that it takes; 0: it said nothing. */
static uint64_t way_of(const struct session *s)
{
	struct target_state state;
	uint64_t own_ns;

	if (session__read_state(s, getpid(), &state) || !state.passed_cnt)
		return 0;
	own_ns = state.passed_ns / state.passed_cnt;
	return s->hook_ns > own_ns + DISPATCH_NS ? s->hook_ns - own_ns : DISPATCH_NS;
}

static int measure(struct session *s, volatile char *memory)
{
	bool indirect = s->fault_hook == FAULT_HOOK_PERF || s->fault_hook == FAULT_HOOK_KPROBE;
	int64_t counted = counted_ns(s, memory), ns = counted ? counted : USUAL_HOOK_NS, timed, most;
	int err = time_hook(s, memory, &timed);

	if (err)
		return err;
	most = ns * (indirect ? MOST_TIMES_INDIRECT : MOST_TIMES);
	if (timed > ns)
		ns = timed < most ? timed : most;
	s->hook_ns = ns < MAX_HOOK_NS ? ns : MAX_HOOK_NS;
	s->way_ns = way_of(s);
	return 0;
}

int session_impl__begin_faults(struct session *s)
{
	void *memory = mmap(NULL, RUNS * RUN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (memory == MAP_FAILED)
		return -ENOMEM;
	madvise(memory, RUNS * RUN_BYTES, MADV_NOHUGEPAGE);
	err = session_impl__pass_over(s, getpid());
	err = err ? err : session_impl__attach_faults(s);
	err = err ? err : measure(s, memory);
	session__remove_target(s, getpid());
	munmap(memory, RUNS * RUN_BYTES);
	return err;
}
