/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Limits on everything that the traced side can make grow. Both sides share them: the kernel sizes its maps by them,
 * user space its tables. No functions, no libc. Not called limits.h, which is the C library's.
 */
#ifndef PYMEMSCOPE_BOUNDS_H
#define PYMEMSCOPE_BOUNDS_H

/* Python frames kept of one stack, leaf first; deeper ones are cut and marked STACK_CUT. */
#define MAX_FRAMES 128
/* Processes traced at once, forked workers included. */
#define MAX_TARGETS 16384
/* Distinct interpreter layouts (one per build) in one session. */
#define MAX_INTERPRETERS 64
/* Stacks that the kernel remembers as already sent; the least recently used is forgotten and sent again. */
#define MAX_KNOWN_STACKS 65536
/* Code objects that the kernel remembers as already sent; further ones are sent again with each new stack. */
#define MAX_KNOWN_CODES 65536
/* Stacks counted between two readings by user space, which reads every second; more go to one sum a process. */
#define MAX_COUNTS 32768
/* Stacks of the exact signal among them that are counted in a slot of their own; a power of two. */
#define QUICK_COUNTS 4096
/* Blocks that the exact signal follows from allocation to free. */
#define MAX_LIVE_BLOCKS 1048576
/* Blocks that lie in front of those, of one process at a time, and processes that have such room. */
#define RECENT_BLOCKS 2048
#define MAX_RECENT_ROWS 16
/* More than that, and a power of two. */
#define EXACT_SUMS 32
/* Page faults followed until their pages are given back. */
#define MAX_PAGES 524288
/* Processes whose large blocks are followed (include/large.h); numbers of those that ended are used again. */
#define MAX_LARGE_WATCHES 4096
/* Blocks over 512 bytes that the heap signal follows from allocation to free. */
#define MAX_LARGE_BLOCKS 262144
/* Threads whose calls of malloc and its kin are kept until they return. */
#define MAX_LARGE_CALLS 4096
/* Sizes that mappings were made to grow to, each with who did. */
#define MAX_LARGE_MOVES 1024
/* Blocks that the heap signal follows from its windows in the kernel, until each window is closed. */
#define MAX_WINDOW_BLOCKS 65536
/* Allocations between entry and return, one per thread. */
#define MAX_PENDING 16384
/* Places of inlined allocations, all interpreters together: about 300 a build. */
#define MAX_SITE_SPECS 16384
/* Bytes of the ring buffer; a power of two and a multiple of the page size. */
#define RING_BYTES (8u << 20)

#endif
