/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * union bpf_attr, link_create.uprobe_multi: include/uapi/linux/bpf.h, 6.6. bpf_uprobe_multi_link_attach and
 * uprobe_prog_run: kernel/trace/bpf_trace.c.
 *
 * The fault that the probe looks for: uprobe_prog_run compared `current` with the one task found for the pid, so no other
 * thread was met. Repaired by 46ba0e49b642 ("bpf: fix multi-uprobe PID filtering logic") in 6.10, 6.9.5 and 6.6.35, and
 * better by comparing thread groups in 6.12. Tried instead of told by the version: distributions carry repairs.
 */
#include "system/uprobe_multi.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/own_code.h"

/* BPF_F_UPROBE_MULTI_RETURN */
#define MULTI_RETURN 1u

/* The part of union bpf_attr that BPF_LINK_CREATE reads. */
struct multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid;
	uint32_t pad;
};

int uprobe_multi__attach(int prog_fd, const char *path, pid_t tgid, enum uprobe_multi_when when,
			 const struct uprobe_multi_site *sites, size_t n)
{
	uint64_t offsets[UPROBE_MULTI_MAX_SITES], semaphores[UPROBE_MULTI_MAX_SITES], cookies[UPROBE_MULTI_MAX_SITES];
	struct multi_attr attr = {
		.prog_fd = prog_fd,
		.attach_type = when == UPROBE_MULTI_SESSION ? UPROBE_SESSION_ATTACH_TYPE : UPROBE_MULTI_ATTACH_TYPE,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)offsets,
		.ref_ctr_offsets = (uintptr_t)semaphores,
		.cookies = (uintptr_t)cookies,
		.cnt = n,
		.multi_flags = when == UPROBE_MULTI_AT_RETURN ? MULTI_RETURN : 0,
		.pid = tgid,
	};
	size_t i;
	int fd;

	if (n > UPROBE_MULTI_MAX_SITES)
		return -E2BIG;
	for (i = 0; i < n; i++) {
		offsets[i] = sites[i].offset;
		semaphores[i] = sites[i].semaphore;
		cookies[i] = sites[i].cookie;
	}
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

/* ---- what the kernel can do ---- */

/* Where the probe hits. Not inlined, and not empty, so that calls stay. */
static __attribute__((noinline)) void *hit_me(void *arg)
{
	__asm__ volatile("" : : "r"(arg) : "memory");
	return arg;
}

/* A program that sets the word of an array map, and asks for no return; its descriptor. */
static int load_marker(int map_fd, enum uprobe_multi_when when)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_VALUE, .imm = map_fd },
		{},
		{ .code = BPF_ST | BPF_DW | BPF_MEM, .dst_reg = BPF_REG_1, .imm = 1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = when == UPROBE_MULTI_SESSION },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = UPROBE_MULTI_ATTACH_TYPE);

	if (when == UPROBE_MULTI_SESSION)
		opts.expected_attach_type = UPROBE_SESSION_ATTACH_TYPE;
	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "pms_probe", "Dual BSD/GPL", insns, sizeof(insns) / sizeof(insns[0]),
			     &opts);
}

/* Takes the mark away. */
static bool was_hit(int map_fd)
{
	uint64_t value = 0, zero = 0;
	uint32_t key = 0;

	bpf_map_lookup_elem(map_fd, &key, &value);
	bpf_map_update_elem(map_fd, &key, &zero, BPF_ANY);
	return value;
}

static enum uprobe_multi_support try(int map_fd, int prog_fd, enum uprobe_multi_when when)
{
	enum uprobe_multi_support ret = UPROBE_MULTI_NONE;
	struct uprobe_multi_site site = {};
	pthread_t thread;
	int link;

	if (own_code__offset(hit_me, &site.offset))
		return ret;
	link = uprobe_multi__attach(prog_fd, "/proc/self/exe", getpid(), when, &site, 1);
	if (link < 0)
		return ret;
	hit_me(NULL);
	if (was_hit(map_fd))
		ret = UPROBE_MULTI_NO_PID;
	if (!pthread_create(&thread, NULL, hit_me, NULL) && !pthread_join(thread, NULL) && was_hit(map_fd) &&
	    ret == UPROBE_MULTI_NO_PID)
		ret = UPROBE_MULTI_FULL;
	close(link);
	return ret;
}

static enum uprobe_multi_support load_and_try(int map_fd, enum uprobe_multi_when when)
{
	int prog_fd = load_marker(map_fd, when);
	enum uprobe_multi_support ret;

	if (prog_fd < 0)
		return UPROBE_MULTI_NONE;
	ret = try(map_fd, prog_fd, when);
	close(prog_fd);
	return ret;
}

enum uprobe_multi_support uprobe_multi__probe(void)
{
	enum uprobe_multi_support ret;
	int map_fd;

	map_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "pms_probe", sizeof(uint32_t), sizeof(uint64_t), 1, NULL);
	if (map_fd < 0)
		return UPROBE_MULTI_NONE;
	/* Session first: it has the rest, and each link takes 40 ms to close. */
	ret = load_and_try(map_fd, UPROBE_MULTI_SESSION);
	ret = ret == UPROBE_MULTI_FULL ? UPROBE_MULTI_WITH_SESSION : load_and_try(map_fd, UPROBE_MULTI_AT_SITE);
	close(map_fd);
	return ret;
}
