/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The probes are perf events of the kernel's uprobe unit (Documentation/trace/uprobetracer.rst; kernel/events/core.c,
 * perf_uprobe), which count and do nothing else. Of many short runs the median counts: on a busy machine some are disturbed.
 */
#include "system/probe_cost.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "system/own_code.h"

#define UNIT "/sys/bus/event_source/devices/uprobe/"
#define RUNS 31
#define CALLS 8
/* Least and most that is believed. */
#define LEAST_NS 50
#define MOST_NS 100000

const struct probe_costs probe_costs__usual = { .emulated_ns = 400, .stepped_ns = 5300, .return_ns = 250 };

#if defined(__x86_64__)
static __attribute__((naked, noinline)) void begins_emulated(void)
{
	__asm__("push %rbp\n\tpop %rbp\n\tret");
}

static __attribute__((naked, noinline)) void begins_stepped(void)
{
	__asm__("lea 8(%rax), %rcx\n\tret");
}
#else
static __attribute__((noinline)) void begins_emulated(void)
{
	__asm__ volatile("" ::: "memory");
}

#define begins_stepped begins_emulated
#endif

static int compare_ns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double call_ns(void (*fn)(void))
{
	uint64_t took[RUNS];
	int run, i;

	for (run = 0; run < RUNS; run++) {
		took[run] = clock_now_ns();
		for (i = 0; i < CALLS; i++)
			fn();
		took[run] = clock_now_ns() - took[run];
	}
	qsort(took, RUNS, sizeof(took[0]), compare_ns);
	return (double)took[RUNS / 2] / CALLS;
}

static int read_number(const char *path, const char *format, unsigned int *ret)
{
	FILE *f = fopen(path, "re");
	int n = f ? fscanf(f, format, ret) : 0;

	if (f)
		fclose(f);
	return n == 1 ? 0 : -ENOENT;
}

static int open_probe(uint64_t offset, bool at_return)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	unsigned int type, bit = 0;

	if (read_number(UNIT "type", "%u", &type) || read_number(UNIT "format/retprobe", "config:%u", &bit))
		return -ENOENT;
	attr.type = type;
	attr.config = at_return ? 1ull << bit : 0;
	attr.uprobe_path = (uintptr_t)"/proc/self/exe";
	attr.probe_offset = offset;
	return syscall(SYS_perf_event_open, &attr, getpid(), -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* ns of a call with the probe there; 0: it cannot be had. */
static double probed_call_ns(void (*fn)(void), bool at_return, struct closer *closer)
{
	uint64_t offset;
	double ns;
	int fd;

	if (own_code__offset((void *)fn, &offset))
		return 0;
	fd = open_probe(offset, at_return);
	if (fd < 0)
		return 0;
	ns = call_ns(fn);
	if (closer)
		closer__close(closer, fd);
	else
		close(fd);
	return ns;
}

static uint32_t believed(double ns)
{
	return ns < LEAST_NS ? LEAST_NS : ns > MOST_NS ? MOST_NS : (uint32_t)ns;
}

void probe_costs__measure(struct closer *closer, struct probe_costs *ret)
{
	double plain = call_ns(begins_emulated), returns, stepped, emulated;

	*ret = probe_costs__usual;
	/* In this order: one that is on its way out still has the next one's calls trap. */
	emulated = probed_call_ns(begins_emulated, false, closer);
	returns = probed_call_ns(begins_emulated, true, closer);
	stepped = probed_call_ns(begins_stepped, false, closer);
	if (emulated <= 0 || returns <= 0 || stepped <= 0)
		return;
	ret->emulated_ns = believed(emulated - plain);
	ret->stepped_ns = believed(stepped - plain);
	ret->return_ns = believed(returns - emulated);
}
