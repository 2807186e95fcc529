/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Maps and settings that the probe families share. Weak, so that the linker makes one of each out of all objects.
 */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "bounds.h"
#include "python.h"
#include "records.h"
#include "site_cookie.h"

/* Set by user space before load. */
const volatile bool cgroup_v1 __weak = false; /* take ids from the memory controller's hierarchy */
const volatile __u32 page_bytes __weak = 4096;
const volatile __u32 cpu_cnt __weak = 1; /* possible CPUs */
const volatile bool serves_windows __weak = false; /* the exact signal's programs serve the heap signal's windows, and only them */
struct fault_slot fault_slots[FAULT_SLOTS] __weak;

/* Traced processes by tgid. User space adds; fork copies; exec and exit remove. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TARGETS);
	__type(key, __u32);
	__type(value, struct target);
} targets SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_INTERPRETERS);
	__type(key, __u32);
	__type(value, struct py_walk);
} interpreters SEC(".maps") __weak;

/* Stack ids whose frames user space has. Forgetting one (LRU) only means that it is sent again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_KNOWN_STACKS);
	__type(key, __u64);
	__type(value, __u8);
} stacks SEC(".maps") __weak;

/* Code objects that user space has. Taken out when the object is freed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_KNOWN_CODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct code_id);
	__type(value, __u64); /* check */
} codes SEC(".maps") __weak;

/*
 * What is counted, in two maps by turns: programs count in the one that the outer map points to; user space swaps in the
 * other (the kernel waits for running programs), then reads and empties the first at leisure. No count is ever lost
 * between reading and emptying, and reading costs only what happened.
 */
struct counts_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_COUNTS);
	__type(key, struct count_key);
	__type(value, struct count_value);
};
struct counts_map counts_a SEC(".maps") __weak;
struct counts_map counts_b SEC(".maps") __weak;
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct counts_map);
} counts SEC(".maps") __weak;

/* Which of them programs count in, and which half of quick_counts; user space changes it before it swaps the maps. */
__u32 counts_turn __weak = 0;

/* Where a count goes when `counts` is full: one sum a process and kind, stack_id STACK_LOST. Never emptied. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TARGETS);
	__type(key, struct count_key);
	__type(value, struct count_value);
} overflow SEC(".maps") __weak;

/* By tgid. As long as a process is in `targets`, or shorter where there was no memory for it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TARGETS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct target_state);
} states SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CTR_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} ring SEC(".maps") __weak;

#endif
