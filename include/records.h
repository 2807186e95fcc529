/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel side tells user space: records on the ring buffer, and the keys and values of the maps it counts in.
 *
 * The way of one event: a probe fires, the Python stack is walked and hashed to a stack id. A stack id not sent before
 * goes out once as REC_STACK with its frames. The event itself is only counted, in the map `counts` under (stack id,
 * process, kind); user space reads and empties that map every second. So totals stay right even when the ring is full:
 * what is lost then is the name of a stack, and that loss is counted (enum counter).
 *
 * Kinds, reasons and counters are append-only: recordings hold their numbers. All structs are packed by hand (no
 * implicit padding) and asserted, because both compilers must agree.
 */
#ifndef PYMEMSCOPE_RECORDS_H
#define PYMEMSCOPE_RECORDS_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif
#include "bounds.h"

/* What a count or sample measures. */
enum sample_kind {
	KIND_RESIDENT_ANON = 0, /* resident set, anonymous memory; bytes */
	KIND_RESIDENT_FILE = 1, /* resident set, file pages mapped */
	KIND_RESIDENT_SHMEM = 2, /* resident set, shared memory and tmpfs */
	KIND_EXACT = 3, /* blocks asked of the object and mem allocators; bytes as requested */
	KIND_HEAP_POOL = 4, /* pymalloc pools taken into use; bytes of the pool */
	KIND_HEAP_LARGE = 5, /* blocks over 512 bytes from the raw domain; bytes as requested */
	KIND_MAX,
};

/* Why a stack ends where it ends. All but the first two mean "[no python stack: ...]" when depth is 0. */
enum stack_status {
	STACK_COMPLETE = 0,
	STACK_CUT = 1, /* deeper than MAX_FRAMES: the leaf's side is kept */
	STACK_NOT_PYTHON = 2, /* the process runs no Python interpreter we know of */
	STACK_STARTING = 3, /* the interpreter has not made its thread-state key yet */
	STACK_NO_THREAD_STATE = 4, /* this thread is not known to Python */
	STACK_NO_FRAME = 5, /* the thread runs no Python code at the moment */
	STACK_UNREADABLE_THREAD = 6, /* thread state or its frame pointer could not be read */
	STACK_UNREADABLE_FRAME = 7, /* a frame could not be read; the frames before it are kept */
	STACK_LOST = 8, /* the record with the frames was dropped (made by user space) */
	STACK_BEFORE_ATTACH = 9, /* memory that was there when tracing began */
	STACK_GIVEN_BACK = 10, /* memory that left the resident set */
	STACK_NOT_SAMPLED = 11, /* heap: live blocks of a size class that no window has seen allocated */
	STACK_ROUNDED_UP = 12, /* heap: what blocks are larger than was asked for */
	STACK_STATUS_MAX,
};

enum record_kind {
	REC_STACK = 1,
	REC_GC = 2,
	REC_EXEC = 3,
	REC_FORK = 4,
	REC_EXIT = 5,
	REC_ENTRY = 6, /* a held program has reached its first own instruction */
	REC_CODE = 7,
	REC_HEAP = 8,
	REC_KIND_MAX,
};

/* First in every record. `len` is the whole record's length in bytes and is checked against its kind. */
struct rec_hdr {
	__u16 kind;
	__u16 len;
	__u32 tgid;
	__u64 time_ns; /* CLOCK_MONOTONIC */
};
_Static_assert(sizeof(struct rec_hdr) == 16, "rec_hdr");

/*
 * One frame: the code object's address and where in it execution stands.
 * instr: 3.11+: address of the (previous or current) instruction; 3.8-3.10: f_lasti as stored.
 * check: hash over the four words from walk.code_filename on (py_code__check). It tells user space that a code object
 * read later is another one. The kernel side tells by it, too, where it is not told of code objects being freed.
 */
struct py_frame {
	__u64 code;
	__u64 instr;
	__u64 check;
};
_Static_assert(sizeof(struct py_frame) == 24, "py_frame");

struct rec_stack {
	struct rec_hdr hdr;
	__u64 stack_id; /* hash over process, thread, cgroup and frames */
	__u64 cgroup_id; /* cgroup v2 id, or the memory controller's on v1 and hybrid hosts */
	__u32 proc_id; /* see struct target */
	__u32 tid;
	__u8 status; /* enum stack_status */
	__u8 pad[3];
	__u32 depth; /* number of frames that follow, leaf first */
	__u32 family; /* whose code objects (struct target) */
	__u32 pad2;
	struct py_frame frames[];
};
_Static_assert(sizeof(struct rec_stack) == 56, "rec_stack");

/*
 * A code object as it stood in memory when a stack first went through it, so that it can be named after it was freed or
 * its process has ended. Raw bytes: the object itself, then what its four words of the check point to (file name, name,
 * qualified name, line table; one of them may be no pointer). Sent before the stack. What could not be read has got 0.
 */
#define CODE_BYTES 256
#define CODE_PARTS 5
#define CODE_NAME_BYTES 320
#define CODE_TABLE_BYTES 2048
struct rec_code {
	struct rec_hdr hdr;
	__u64 code;
	__u64 check;
	__u32 proc_id;
	__u32 family; /* whose code object (struct target) */
	__u64 addr[CODE_PARTS];
	__u16 got[CODE_PARTS]; /* bytes of each part */
	__u8 pad2[6];
	__u8 object[CODE_BYTES];
	__u8 part[3][CODE_NAME_BYTES]; /* addr[1..3] */
	__u8 table[CODE_TABLE_BYTES]; /* addr[4] */
};
_Static_assert(sizeof(struct rec_code) == 96 + CODE_BYTES + 3 * CODE_NAME_BYTES + CODE_TABLE_BYTES, "rec_code");

/* One run of the collector; sent when it returns. */
struct rec_gc {
	struct rec_hdr hdr; /* time of the return */
	__u64 stack_id; /* where it was triggered */
	__u64 pause_ns;
	__s64 collected; /* objects; -1 where the hook does not tell */
	__u32 proc_id;
	__u32 tid;
	__s32 generation; /* -1 where the hook does not tell */
	__u32 pad;
};
_Static_assert(sizeof(struct rec_gc) == 56, "rec_gc");

/* A window of the heap signal has seen as many allocations as it may. */
struct rec_heap {
	struct rec_hdr hdr;
	__u32 proc_id;
	__u32 attach_id; /* the window's */
};
_Static_assert(sizeof(struct rec_heap) == 24, "rec_heap");

/* Process life cycle. REC_FORK: hdr.tgid is the child, already traced as proc_id when its parent was. */
struct rec_proc {
	struct rec_hdr hdr;
	__u64 cgroup_id;
	__u32 proc_id; /* 0: not a target */
	__u32 parent_tgid; /* REC_FORK */
	__u32 parent_proc_id; /* REC_FORK */
	__s32 exit_code; /* REC_EXIT, as in wait(2) */
	__u64 cpu_ns; /* REC_EXIT, REC_EXEC: CPU time that the process used since its fork */
};
_Static_assert(sizeof(struct rec_proc) == 48, "rec_proc");

/* Map `counts`: what happened under one stack since user space read it last. */
struct count_key {
	__u64 stack_id;
	__u32 proc_id;
	__u32 kind; /* enum sample_kind */
};
/*
 * Added to a kind: free_* are pages of this stack that another fault was seen on. Whether they had been given back, or were
 * moved elsewhere (mremap), user space tells by what the resident set lost.
 */
#define COUNT_REFAULT 0x100u
/* Added to KIND_HEAP_POOL: seen in a window of the heap signal. */
#define COUNT_WINDOW 0x200u
struct count_value {
	__u64 alloc_cnt;
	__u64 alloc_bytes;
	__u64 free_cnt;
	__u64 free_bytes;
};
/* Stack ids below STACK_STATUS_MAX are no hashes but the reason itself (enum stack_status). */

/*
 * Map `live`: blocks of the exact signal between allocation and free; of the heap signal, what was allocated in an open
 * window, the newest at each address (frees are not probed then).
 */
struct block_key {
	__u64 addr;
	__u32 proc_id;
	__u32 pad;
};
struct block_value {
	__u64 stack_id;
	__u64 bytes;
};

/*
 * Map `heap_pools`, by tgid: pools taken into use (pymalloc, allocate_from_new_pool) by size class. Made by user space,
 * counted up by the kernel side.
 */
#define HEAP_CLASSES 32 /* Objects/obmalloc.c: blocks of 16, 32, ... 512 bytes */
struct heap_pools {
	__u64 opened[HEAP_CLASSES];
	__u64 all;
};

/*
 * Map `heap_windows`, by tgid: attach_id and left are written by user space, the rest is the kernel side's. A hit is a run of a
 * program at an allocation's site. What lies between the end of one and the next is the process's own time and that of a
 * trap, unless its thread slept; waiting for a processor does not count.
 */
struct window_state {
	__u32 attach_id; /* whose hits count (union site_cookie); 0: no window is open */
	__u32 told; /* the request of this window was sent */
	__s64 left; /* allocations until the window is full */
	__u64 hits, timed; /* all; those of which the time before is known */
	__u64 between_ns, least_ns; /* before those that are timed: sum, least */
	__u64 first_ns, last_ns; /* the first hit begins, the last program ends */
	/* When the last program ended: how long its thread had waited for a processor, how often slept. */
	__u64 waited_ns, slept;
	__u32 tid;
	__u32 pad;
};
_Static_assert(sizeof(struct window_state) == 88, "window_state");

/*
 * Map `pages`: who brought a page into the resident set, until user space finds it gone (pagemap) or it faults again.
 */
struct page_key {
	__u64 page; /* address / 4096 */
	__u32 proc_id;
	__u32 pad;
};
struct page_value {
	__u64 stack_id;
	__u32 pages; /* charged to this fault: 512 for a huge page of 2 MiB; under sampling, with those not looked at */
	__u32 kind; /* enum sample_kind */
};

enum signal {
	SIGNAL_RESIDENT = 0,
	SIGNAL_HEAP = 1,
	SIGNAL_EXACT = 2,
	SIGNAL_GC = 3,
	SIGNAL_CODE = 4, /* not asked for by people: code objects being freed, which keeps stacks right */
	SIGNAL_MAX,
};

/*
 * Map `targets`, by tgid: what the kernel must know of a traced process. Written by user space, copied by
 * the kernel side at fork; what the kernel side changes later is said.
 */
struct target {
	__u32 proc_id; /* number of this process in this session; 0 is none */
	__u32 interp; /* index into the map `interpreters`; INTERP_NONE: not Python */
	__u32 signals; /* bit per enum signal */
	__s32 tss_key; /* pthread key of the thread state, read at the first event; -1: not yet known */
	__u64 runtime; /* address of _PyRuntime in the process */
	__u32 attach_id[SIGNAL_MAX]; /* whose hits count (union site_cookie); 0: nobody's yet */
	/*
	 * Whose code objects it has: a number that forked processes share while they have the same ones. Changed by the
	 * kernel side when one that shares frees a code object (bpf/code.bpf.c).
	 */
	__u32 family;
	__u32 code_frees; /* how many known code objects it freed; a part of every stack id; kernel side */
	__u32 shares_family; /* it has forked, or was; kernel side */
};
_Static_assert(sizeof(struct target) == 56, "target");
#define INTERP_NONE 0xffffffffu
/*
 * proc_ids that the kernel side hands out at fork have this bit set; user space's do not, and are never reused. One handed
 * out at fork is made of tgid and count of forks modulo 512: it can come round only when the tgid does, and then one time
 * in 512.
 */
#define PROC_ID_FORKED 0x80000000u

/* Map `counters`, per CPU: every loss and every surprise has one. Names for people: user/capture/event.c. */
enum counter {
	CTR_EVENTS = 0, /* probe hits counted */
	CTR_RING_FULL_STACK, /* stack record dropped: the ring was full */
	CTR_RING_FULL_GC,
	CTR_RING_FULL_PROC, /* process life-cycle record dropped */
	CTR_COUNTS_FULL, /* event dropped: `counts` was full */
	CTR_LIVE_FULL, /* allocation counted but not followed: `live` was full */
	CTR_PENDING_FULL, /* allocation dropped: too many threads between entry and return */
	CTR_TARGETS_FULL, /* forked process not traced: `targets` was full */
	CTR_FREE_UNKNOWN, /* free of a block allocated before tracing began, or not followed */
	CTR_ADDRESS_REUSED, /* a block handed out again without a free being seen */
	CTR_ALLOC_FAILED, /* allocator returned null */
	CTR_PAGES_FULL, /* page charged but not followed: `pages` was full */
	CTR_RING_FULL_CODE, /* code object not sent: user space will read it from the process if it can */
	CTR_FAULT_NS, /* time spent on page faults of targets, ns; the programs also run, shortly, for everybody else's */
	CTR_EXACT_BYTES, /* bytes the exact signal saw allocated, to check the totals by */
	CTR_STACK_STATUS, /* first of STACK_STATUS_MAX counters, one per enum stack_status */
	CTR_MAX = CTR_STACK_STATUS + STACK_STATUS_MAX,
};

#endif
