/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * union bpf_attr, link_create.uprobe_multi: include/uapi/linux/bpf.h, 6.6; BPF_TRACE_UPROBE_SESSION: 6.13.
 * bpf_uprobe_multi_link_attach and
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
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* BPF_F_UPROBE_MULTI_RETURN */
#define MULTI_RETURN 1u

/* The part of union bpf_attr that BPF_LINK_CREATE reads. */
struct multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid;
	uint32_t pad;
};

static int attach(int prog_fd, uint32_t attach_type, const char *path, pid_t tgid, bool at_return,
		  const struct uprobe_multi_site *sites, size_t n)
{
	uint64_t offsets[UPROBE_MULTI_MAX_SITES], semaphores[UPROBE_MULTI_MAX_SITES], cookies[UPROBE_MULTI_MAX_SITES];
	struct multi_attr attr = {
		.prog_fd = prog_fd,
		.attach_type = attach_type,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)offsets,
		.ref_ctr_offsets = (uintptr_t)semaphores,
		.cookies = (uintptr_t)cookies,
		.cnt = n,
		.multi_flags = at_return ? MULTI_RETURN : 0,
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

int uprobe_multi__attach(int prog_fd, const char *path, pid_t tgid, bool at_return, const struct uprobe_multi_site *sites,
			 size_t n)
{
	return attach(prog_fd, UPROBE_MULTI_ATTACH_TYPE, path, tgid, at_return, sites, n);
}

int uprobe_multi__attach_session(int prog_fd, const char *path, pid_t tgid, const struct uprobe_multi_site *sites, size_t n)
{
	return attach(prog_fd, UPROBE_SESSION_ATTACH_TYPE, path, tgid, false, sites, n);
}

/* ---- what the kernel can do ---- */

/* Where the probe hits. Not inlined, and not empty, so that calls stay. */
static __attribute__((noinline)) void *hit_me(void *arg)
{
	__asm__ volatile("" : : "r"(arg) : "memory");
	return arg;
}

/* File offset of an address of this program. */
static int own_offset(const void *addr, uint64_t *ret)
{
	unsigned long long start, end, offset, at = (uintptr_t)addr;
	char line[512];
	int err = -ENOENT;
	FILE *f;

	f = fopen("/proc/self/maps", "re");
	if (!f)
		return -errno;
	while (err && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx %*s %llx", &start, &end, &offset) == 3 && at >= start && at < end) {
			*ret = at - start + offset;
			err = 0;
		}
	}
	fclose(f);
	return err;
}

/* A program that sets the word of an array map; its descriptor. */
static int load_marker(int map_fd, uint32_t attach_type)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_VALUE, .imm = map_fd },
		{},
		{ .code = BPF_ST | BPF_DW | BPF_MEM, .dst_reg = BPF_REG_1, .imm = 1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type);

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

static int try(int map_fd, int prog_fd)
{
	enum uprobe_multi_support ret = UPROBE_MULTI_NONE;
	struct uprobe_multi_site site = {};
	pthread_t thread;
	int link;

	if (own_offset(hit_me, &site.offset))
		return ret;
	link = uprobe_multi__attach(prog_fd, "/proc/self/exe", getpid(), false, &site, 1);
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

static int try_session(int map_fd, int prog_fd)
{
	struct uprobe_multi_site site = {};
	bool hit;
	int link;

	if (own_offset(hit_me, &site.offset))
		return false;
	link = uprobe_multi__attach_session(prog_fd, "/proc/self/exe", getpid(), &site, 1);
	if (link < 0)
		return false;
	hit_me(NULL);
	hit = was_hit(map_fd);
	close(link);
	return hit;
}

/* Calls fn with a marker program and its map; 0 where there are none. */
static int with_marker(uint32_t attach_type, int (*fn)(int map_fd, int prog_fd))
{
	int map_fd, prog_fd, ret = 0;

	map_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "pms_probe", sizeof(uint32_t), sizeof(uint64_t), 1, NULL);
	if (map_fd < 0)
		return 0;
	prog_fd = load_marker(map_fd, attach_type);
	if (prog_fd >= 0) {
		ret = fn(map_fd, prog_fd);
		close(prog_fd);
	}
	close(map_fd);
	return ret;
}

enum uprobe_multi_support uprobe_multi__probe(void)
{
	return with_marker(UPROBE_MULTI_ATTACH_TYPE, try);
}

bool uprobe_multi__has_sessions(void)
{
	return with_marker(UPROBE_SESSION_ATTACH_TYPE, try_session);
}
