/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How the kernel side finds the kernel's own mapping of all memory (bpf/direct_find.bpf.h): user space gives it a page of its own,
 * and tells where in physical memory it is and what stands there.
 */
#ifndef PYMEMSCOPE_DIRECT_H
#define PYMEMSCOPE_DIRECT_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

struct direct_page {
	__u64 physical; /* address of the page */
	__u64 user; /* the same page in the process that runs the program */
	__u64 word[2]; /* what it begins with; no other page does */
};

/* The entries on the way to a page in the page tables, as they were when last gone that way; fourth level first. */
#define WALK_HINTS 256
struct walk_hint {
	__u64 entry[4];
};

#endif
