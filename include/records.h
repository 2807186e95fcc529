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
#include "mapping.h"
#include "native.h"
#include "python.h"

/* What a count or sample measures. */
enum sample_kind {
	KIND_RESIDENT_ANON = 0, /* resident set, anonymous memory; bytes */
	KIND_RESIDENT_FILE = 1, /* resident set, file pages mapped */
	KIND_RESIDENT_SHMEM = 2, /* resident set, shared memory and tmpfs */
	KIND_EXACT = 3, /* blocks asked of the object and mem allocators; bytes as requested */
	KIND_HEAP_POOL = 4, /* pymalloc pools taken into use; bytes of the pool */
	KIND_HEAP_LARGE = 5, /* blocks over 512 bytes from the raw domain; bytes as requested */
	/* Memory that was asked of the kernel (model/address_space.h); bytes, a call each. */
	KIND_MAPPED_ARENA = 6, /* arenas of pymalloc */
	KIND_MAPPED_ANON = 7, /* other private memory that may be written */
	KIND_MAPPED_SHARED = 8, /* shared memory, and files that are mapped shared */
	KIND_MAPPED_BRK = 9, /* the C library's heap */
	KIND_ADVISED = 10, /* madvise that gives pages back in place: how long the range is */
	KIND_HEAP_PINNED = 11, /* free blocks of pools, by whose live blocks keep them (capture/pool_pins.h) */
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
	/* Resident: what the process lost, less what lines were relieved of, and what it gained while no line was watched. */
	STACK_GIVEN_BACK = 10,
	STACK_NOT_FOLLOWED = 11, /* blocks whose end would not be seen: they lived when that began */
	STACK_PASSED_OVER = 12, /* of a process that ended before one of its page faults was looked at */
	STACK_NOT_SAMPLED = 13, /* heap: live blocks of a size class, or kind, that no window has seen allocated */
	STACK_ROUNDED_UP = 14, /* heap: what blocks are larger than was asked for */
	STACK_INHERITED = 15, /* resident: what a forked process alone has left of its parent's memory */
	STACK_MAPPED_UNSEEN = 16, /* mapped: asked for where, or when, no probe was, or by too many to be told apart */
	STACK_NOT_LOOKED_AT = 17, /* resident: of a forked process, what came by page faults that were not looked at */
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
	REC_CODE_MORE = 8,
	REC_HEAP = 9,
	REC_NATIVE = 10,
	REC_MAPPING = 11,
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
	__u8 native_cnt; /* of native */
	__u8 native_end; /* enum native_end */
	/* 0: no collection runs in this thread. Else frames[0] to [above_collector - 2] were called by it, finalisers for example. */
	__u8 above_collector;
	__u32 depth; /* number of frames that follow, leaf first */
	__u32 family; /* whose code objects (struct target) */
	__u32 pad2;
	/* Beneath the Python leaf, leaf first: where execution stands, then return addresses (NATIVE_IS_RETURN). */
	__u64 native[MAX_NATIVE_FRAMES];
	struct py_frame frames[];
};
_Static_assert(sizeof(struct rec_stack) == 56 + MAX_NATIVE_FRAMES * 8, "rec_stack");

/* What is the rule of this address (native.h)? The caller's registers there, and what stands on the stack above. */
#define NATIVE_STACK_BYTES 4096
struct rec_native {
	struct rec_hdr hdr;
	__u64 at; /* struct native_key */
	__u64 sp, bp;
	__u32 proc_id;
	__u16 got; /* bytes of stack, from sp on */
	__u16 pad;
	__u8 stack[NATIVE_STACK_BYTES];
};
_Static_assert(sizeof(struct rec_native) == 48 + NATIVE_STACK_BYTES, "rec_native");

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

/*
 * What REC_CODE has no room for, of long line tables and names; sent right before it. A function of 500 lines has 2 KiB of
 * table. CODE_MORE_MAX records a pointer, so 128 KiB; of what is longer, the rest is read from the process, if it can be.
 */
#define CODE_MORE_BYTES 2048
#define CODE_MORE_MAX 64
struct rec_code_more {
	struct rec_hdr hdr;
	__u64 code;
	__u64 addr; /* where the bytes stand in the process */
	__u32 family;
	__u32 got; /* bytes */
	__u8 bytes[CODE_MORE_BYTES];
};
_Static_assert(sizeof(struct rec_code_more) == 40 + CODE_MORE_BYTES, "rec_code_more");

/* What was found when a collection began, from which user space tells what triggered it (capture/gc_trigger.h). */
enum gc_evidence {
	GC_SAYS_HEAP = 1 << 0, /* the collector's argument `reason`, 3.13+: _PyGC_Reason, Include/internal/pycore_gc.h */
	GC_SAYS_SHUTDOWN = 1 << 1, /* likewise, or its argument `nofail`, before */
	GC_SAYS_MANUAL = 1 << 2,
	GC_IN_COLLECT = 1 << 3, /* called, by the frame that runs, from the C function of gc.collect() */
	GC_IN_API = 1 << 4, /* likewise from PyGC_Collect() */
	GC_FINALIZING = 1 << 5, /* the interpreter is being finalised */
	GC_DUE = 1 << 6, /* enabled, and more objects than the generation's threshold */
	GC_NOT_DUE = 1 << 7,
	GC_IN_FRAME = 1 << 8, /* the thread runs Python code */
};

/* One run of the collector; sent when it returns. */
struct rec_gc {
	struct rec_hdr hdr; /* time of the return */
	__u64 stack_id; /* where it was triggered */
	__u64 pause_ns; /* as gc.callbacks see it: with what our own program took, where they begin before it (up to 3.12, and with USDT) */
	__s64 collected; /* objects; -1 where the hook does not tell */
	__u32 proc_id;
	__u32 tid;
	__s32 generation; /* -1 where the hook does not tell */
	__u32 evidence; /* bits of enum gc_evidence */
	__s64 uncollectable; /* objects; -1 where the hook does not tell */
};
_Static_assert(sizeof(struct rec_gc) == 64, "rec_gc");

/* What our programs cost a process, by what they serve. */
enum cost_part {
	COST_FAULT = 0, /* page faults that were looked at */
	COST_GC = 1, /* collections, and calls that ask for them; an entry and a return are a run each */
	COST_CODE = 2, /* code objects being freed */
	COST_LIFE = 3, /* fork, exec, exit */
	COST_HEAP = 4,
	COST_MOVE = 5, /* memory being moved */
	COST_MAP = 6, /* memory asked of the kernel, and given back */
	COST_PART_MAX = 7,
};
/* ns: time in the program itself, to which the trap that leads to a uprobe comes; cnt: how often it ran. */
struct cost {
	__u64 ns;
	__u64 cnt;
};

/* As many pools were taken into use as were waited for (attach_id 0), or a window has seen as many allocations as it may. */
struct rec_heap {
	struct rec_hdr hdr;
	__u32 proc_id;
	__u32 attach_id; /* the window's; 0: one is asked for */
	__u64 lately; /* where one is asked for: as in struct heap_pools, without the pool that it is asked for with */
};
_Static_assert(sizeof(struct rec_heap) == 32, "rec_heap");

/* A call that changed what the process has mapped, after the kernel granted it. */
struct rec_mapping {
	struct rec_hdr hdr;
	__u64 stack_id; /* who called; 0: it is not to be known, for it only gives back */
	__u64 addr, bytes, third, flags, result; /* as in enum map_call */
	__u64 caller; /* where the function returns to; 0: not known */
	__u32 proc_id;
	__u32 call; /* enum map_call */
};
_Static_assert(sizeof(struct rec_mapping) == 80, "rec_mapping");

/* Process life cycle. REC_FORK: hdr.tgid is the child, already traced as proc_id when its parent was. */
struct rec_proc {
	struct rec_hdr hdr;
	__u64 cgroup_id;
	__u32 proc_id; /* 0: not a target */
	__u32 parent_tgid; /* REC_FORK */
	__u32 parent_proc_id; /* REC_FORK */
	__s32 exit_code; /* REC_EXIT, as in wait(2) */
	/* The rest only in REC_EXIT and REC_EXEC: sums over the process's life since its fork. */
	__u64 cpu_ns; /* CPU time that it used */
	__u64 faults; /* its page faults, seen by us or not */
	__u64 skipped; /* as in struct target_state; since it was traced, as is cost */
	struct cost cost[COST_PART_MAX];
};
_Static_assert(sizeof(struct rec_proc) == 64 + COST_PART_MAX * sizeof(struct cost), "rec_proc");

/* Map `codes`: code objects that user space has. */
struct code_id {
	__u64 code;
	__u64 family; /* struct target */
};

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
struct count_value {
	__u64 alloc_cnt;
	__u64 alloc_bytes;
	__u64 free_cnt;
	__u64 free_bytes;
};
/* Stack ids below STACK_STATUS_MAX are no hashes but the reason itself (enum stack_status). */

/*
 * Map `quick_counts`: the same for stacks that allocate all the time, without a hash table: each in the slot that its id
 * names, if no other had it before. Two halves by turns, as `counts` has two maps.
 */
struct quick_count {
	struct count_key key; /* stack_id 0: free */
	struct count_value value;
	__u64 told; /* user space has the stack */
};

/*
 * Map `live`: blocks of the exact signal between allocation and free; of the heap signal, what was allocated in an open
 * window, the newest at each address (frees are not probed then).
 */
struct block_key {
	__u64 addr;
	__u32 proc_id;
	__u32 is_raw; /* of the raw domain by itself (bpf/raw.bpf.h) */
};
struct block_value {
	__u64 stack_id;
	__u64 bytes;
};

/*
 * Map `recent_blocks`: the youngest block of those whose addresses share a slot; `live` has the others. Most blocks are freed
 * while they lie here. One row of slots a process; it and no other process uses it, and only one thread at a time, for
 * who allocates holds the GIL.
 */
struct recent_block {
	__u64 addr; /* 0: none */
	__u64 stack_id;
	__u32 bytes;
	__u32 others; /* blocks of the same slot in `live` */
};

/*
 * What the exact signal's programs add to CTR_EVENTS and CTR_EXACT_BYTES, by row of recent_blocks; 0: of all processes without
 * one. Look-ups in the map `counters` cost more.
 */
struct exact_sum {
	__u64 events;
	__u64 bytes;
	__u64 pad[6]; /* a cache line each: processes run on different processors */
};

/*
 * Map `heap_pools`, by tgid: pools taken into use (pymalloc, allocate_from_new_pool) by size class. Made by user space,
 * counted up by the kernel side.
 */
#define HEAP_CLASSES 32 /* Objects/obmalloc.c: blocks of 16, 32, ... 512 bytes */
/*
 * Pools of a class by the time since the last one: cnt[0] in less than POOL_PACE_NS, each next one in less than twice as much, the last
 * one all that took longer. One while a window was open is not counted.
 */
#define POOL_PACES 16
#define POOL_PACE_NS 8192 /* the last one: longer than 134 ms */
struct pool_pace {
	__u64 last_ns; /* when the last one was taken; 0: none was */
	__u32 cnt[POOL_PACES];
};
/* Pools that were taken lately, of all classes: one counts half of it for each POOLS_HALF_NS that it is old. */
#define POOLS_HALF_LOG2_NS 24
#define POOLS_HALF_NS (1 << POOLS_HALF_LOG2_NS) /* 17 ms: windows open about as much later than they are due */
#define POOLS_ONE 4096
struct heap_pools {
	struct pool_pace pace[HEAP_CLASSES];
	__u64 lately, lately_ns; /* in 1 / POOLS_ONE, as of then */
	__u64 all;
	__u64 strays; /* hits at the sites of windows while none was open, or it was full */
};

/*
 * Map `heap_windows`, by tgid: a window ends when it has seen as much of the process's own time as it may, or as many
 * allocations; then or before, user space closes it. A hit is a run of a program at an allocation's site. What lies between the
 * end of one and the next is the process's own time and that of a trap, unless its thread slept; waiting for a processor does
 * not count.
 */
#define WINDOW_PLACES 64
struct window_state {
	/* Written by user space. */
	__u32 attach_id; /* whose hits count (union site_cookie); 0: no window is open */
	__u32 trap_ns; /* what a hit takes outside of our program */
	__u64 pools_goal; /* with as many pools taken into use (heap_pools.all) one is asked for; 0: not */
	__u64 opened_ns; /* where none is open: when the last one was closed */
	__u64 limit_ns; /* own time until the window ends */
	__s64 left; /* allocations until it ends; the kernel side's from then on, as all that follows */
	__u64 own_ns; /* until the last hit, or the end */
	__u64 hits, pools; /* pools: taken into use */
	__u64 least_ns, usual_ns; /* between two hits: the least; about their median, in steps of trap_ns / 128 */
	__u64 inside_ns; /* in programs */
	__u64 hit_ns, end_ns; /* the last program began, ended */
	/* The last one's thread, before the first the main thread: how long it had waited for a processor, how often slept. */
	__u64 waited_ns, slept;
	__u32 tid;
	__u32 told; /* the request was sent */
	__u64 at[WINDOW_PLACES]; /* instructions of the last hits; that of hit h is h % WINDOW_PLACES */
};
_Static_assert(sizeof(struct window_state) == 128 + 8 * WINDOW_PLACES, "window_state");

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
	__u32 kind : 4; /* enum sample_kind */
	/* For how many it stands: 1 << shift with those passed over, and watch_factor(watch) for the time that the hook is off. */
	__u32 shift : 4;
	__u32 watch : 4;
	__u32 group : 4; /* of the sample: the turn of the hook it was seen in, or the page where the hook is always on */
	__u32 frame : 16; /* which page frame it was in when user space looked, hashed; 0: it did not; see page_note */
	__u16 stratum; /* that it was looked at in; NO_STRATUM: all were looked at */
	/* For how many of those that were followed it stands, as they were moved too often (struct target_state); in 1 / THINNED_ONE, 0: itself. */
	__u16 thinned;
	__u16 pad[2];
};
_Static_assert(sizeof(struct page_value) == 24, "page_value");
#define PAGE_GROUPS 16
#define WATCH_MAX 15 /* steps of the square root of two */
#define THINNED_ONE 16
/* What user space found when it looked for a page; the program `note_pages` takes it over, where nothing was changed since. */
struct page_note {
	struct page_key key;
	struct page_value was, is;
};
#define PAGE_NOTES 256

/* A page that is followed since the hook was put back. */
struct turn_page {
	struct page_key key;
	struct page_value value; /* as it was then */
};
#define TURN_PAGES 8192 /* most that are told */


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
	__u32 alloc_seq; /* allocations seen; kernel side */
	__u32 recent_row; /* in the map recent_blocks, from 1 on; 0: none */
	__u32 native_asked; /* addresses asked about (native.h); kernel side */
	__u32 pad;
	/* Address of the runtime's flag that a collection runs, where one began whose end is not known; kernel side. */
	__u64 collecting_at;
	/* The interpreter's code, where native frames end; 0 bytes: not known. */
	__u64 text_begin, text_bytes;
};
_Static_assert(sizeof(struct target) == 96, "target");
#define INTERP_NONE 0xffffffffu
/*
 * proc_ids that the kernel side hands out at fork have this bit set; user space's do not, and are never reused. One handed
 * out at fork is made of tgid and count of forks modulo 512: it can come round only when the tgid does, and then one time
 * in 512.
 */
#define PROC_ID_FORKED 0x80000000u

/*
 * Map `states`, by tgid: what the kernel side keeps of a traced process. It alone writes; user space reads, and sets the
 * budget through the program `govern`.
 */
struct target_state {
	struct cost cost[COST_PART_MAX];
	/* Page faults that were passed over: their number in the low half, writes among them in the high half. */
	__u64 skipped;
	/*
	 * The last fault that was looked at: what the resident set gains until its thread's next one is its, and of those that others start
	 * meanwhile. STACK_GIVEN_BACK: that is told already.
	 */
	__u64 stack_id;
	__u64 page; /* address / 4096 */
	__s64 rss_pages[3]; /* resident set as seen then: anonymous, file, shmem */
	__u64 skipped_then;
	__u64 skipped_in_slot; /* of struct fault_slot, that skipped has already */
	__u64 stood_for; /* page faults, in 1 / WEIGHT_ONE: those that were looked at, and are charged, stand for so many */
	__u32 write; /* it was a write */
	__u32 hook_turn; /* when it was looked at (hook_turn, bpf/fault.bpf.c) */
	/*
	 * 0: each page fault is looked at. Else those of a stratum that has more than 1 << (FAULT_QUOTA_BITS - fault_shift) in a period, or
	 * 1 << LEAST_QUOTA_BITS if that is more, are thinned out to about as many; above FAULT_EVEN_SHIFT all are, for a program that starts faults at many places, at each but a
	 * few times. The kernel side adds one when the cost comes to the limit.
	 */
	__u32 fault_shift;
	__u64 fault_limit_ns; /* of cost[COST_FAULT].ns */
	/*
	 * What a forked child begins with. Each fork takes an eighth from what the next child gets, and when that has come to
	 * its least, thins out the next child once more, until user space sets both again: so a storm of forks costs little
	 * more than eight children may.
	 */
	__u64 child_limit_ns;
	__u32 child_shift;
	__u32 fault_step_ns; /* what the limit grows by with each step of fault_shift */
	/* Page faults while the hook is on are so much rarer than while it is off, which pays nothing for it. */
	__u32 rarer; /* in 1 / WEIGHT_ONE; 0: it is not known */
	/*
	 * Until user space governs it, a program that has just begun is thinned out evenly: it faults at many places, at each but a few
	 * times, and does not live for the second in which strata come to tell.
	 */
	__u32 newborn;
	__u32 looker; /* the thread of the last fault that was looked at; 0: what it brought in is told already */
	__u16 look_shift, look_stratum; /* by which the last fault that was looked at was chosen */
	/* When cost[COST_GC].cnt comes to this, user space is woken, once, to take the probes on the collector away. 0: it is not. */
	__u64 gc_wake_cnt;
	/* What our program took for a page fault that was passed over: of one in some 128 of those that its slot counted (struct fault_slot). */
	__u64 passed_ns, passed_cnt;
	/*
	 * Followed pages that were looked up because they were moved. Where they are many, fewer are followed: one that is moved stands for
	 * 1 << move_shift at least, or is followed no more. The kernel side adds one where as many were moved as may be, and again
	 * for each step beyond, which are each twice as long as the one before: one large move is not to leave a few pages of all.
	 */
	__u64 moved_cnt, move_limit_cnt;
	__u32 move_shift, move_step_cnt;
};
_Static_assert(sizeof(struct target_state) == COST_PART_MAX * sizeof(struct cost) + 176, "target_state");
#define MAX_MOVE_SHIFT 11 /* 8 MiB; page_value.thinned has no room for more */
#define WEIGHT_ONE 256 /* of weights that are whole numbers */

/*
 * What a page fault that is passed over needs of struct target_state, by the low bits of tgid: most faults are, and to look up a hash
 * table takes four times as long as all else that is done for one. tgid 0: of nobody who is traced; FAULT_SLOT_SHARED: of several,
 * who are looked up, from then on.
 */
struct fault_slot {
	__u32 tgid;
	__u8 fault_shift, newborn;
	__u16 looker; /* its low bits */
	__u64 skipped; /* as in struct target_state, which has of it what was there at the last look (skipped_in_slot) */
};
#define FAULT_SLOTS 32768 /* a power of two */
#define FAULT_SLOT_SHARED 0xffffffffu
#define MAX_FAULT_SHIFT 15
#define FAULT_QUOTA_BITS 13
#define LEAST_QUOTA_BITS 8 /* with fewer, chance leaves nothing of a line most of the time, and far too much now and then */
/* So much less of pages that faulted lately: they come and go, and those that stay are few. */
#define LATELY_QUOTA_BITS 2
#define FAULT_EVEN_SHIFT 6
/* Of a newborn. */
#define NEWBORN_SHIFT(fault_shift) ((fault_shift) <= 3 ? (fault_shift) : (fault_shift) <= 7 ? 3 : (fault_shift) - 4)
#define MAX_LOOK_SHIFT 15 /* page_value.shift has four bits */
/*
 * Page faults at one instruction and depth of the C stack, told by the low bits of both, of pages that faulted lately, or that did
 * not: so they are those of one program, its threads and the workers that it forks, which live too short to be thinned out each by
 * itself. Where they are many (as they are of memory that comes and goes) fewer are looked at, so that those who leak here and there
 * are not passed over for their sake. A period is about a second: user space counts them up.
 *
 * Of each 1 << shift in a row one is looked at, a random one, which stands for all: so one line's faults in a row are told nearly
 * right, where to draw each by itself would be off by the root of their number. It is not known before it comes, and
 * how many there are is chosen before the first.
 *
 * User space knows what stays of that which each stratum brought in, and lets more be looked at where it does, in place of others
 * (capture/strata.h).
 */
struct stratum {
	__u32 period;
	__u32 hits; /* ever */
	__u32 hits_then; /* when the period began */
	__u32 rate; /* in the period before */
	__u32 chosen, end; /* by number of hits: the one that is looked at, and that begins the next row */
	__u16 shift;
	__u16 usual; /* what it would be without favour; NOT_FAVOURED: nothing here goes by favour */
	__s32 favour; /* log2 of how many times as many are looked at */
};
#define NOT_FAVOURED 0xffff
#define MIN_FAVOUR (-4)
#define MAX_FAVOUR 5
#define NO_STRATUM 0xffff
#define STRATA 4096 /* a power of two; those of one hash are taken as one */
/* Where pages faulted lately: a bit for each; in two halves, each of which tells the pages of 2 GiB apart. */
#define FAULT_MARK_WORDS 8192 /* a power of two */
#define FAULT_MARK_WORD(tgid, page) (PY_HASH_STEP((__u64)(tgid), (page) >> 6) >> 40 & (FAULT_MARK_WORDS - 1))
/*
 * Where pages are followed: a bit for two of them, those of 512 KiB in one word, so that who touches memory in order finds it in the
 * cache. Two halves: user space clears one, writes what is followed to it, and goes on to the other.
 */
#define FOLLOWED_WORDS 4096
#define FOLLOWED_WORD(tgid, page) (PY_HASH_STEP((__u64)(tgid), (page) >> 7) >> 40 & (FOLLOWED_WORDS - 1))
#define FOLLOWED_BIT(page) (1ull << ((page) >> 1 & 63))
#define MIN_FAULT_LIMIT_NS 20000 /* some six page faults; also the least fault_step_ns */

/* What the program `govern` sets in the state of a process. */
struct govern_args {
	__u32 tgid;
	__u32 fault_shift;
	__u64 fault_limit_ns;
	__u64 child_limit_ns;
	__u32 child_shift;
	__u32 fault_step_ns;
	__u32 rarer;
	__u32 newborn;
	__u64 gc_wake_cnt;
	__u64 move_limit_cnt;
	__u32 move_shift, move_step_cnt;
};
_Static_assert(sizeof(struct govern_args) == 64, "govern_args");

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
	CTR_POOL_UNREADABLE, /* allocation dropped: its pool was not in memory, and no return probe tells the block */
	CTR_LARGE_FULL, /* block over 512 bytes counted but not followed: `large_blocks` was full */
	CTR_NATIVE_RULES_FULL, /* native frames not followed: `native_rules` was full */
	CTR_RING_FULL_MAPPING,
	CTR_CODES_FULL, /* code object sent, but not remembered, so that its freeing will not be noticed: `codes` was full */
	CTR_STACK_STATUS, /* first of STACK_STATUS_MAX counters, one per enum stack_status */
	CTR_MAX = CTR_STACK_STATUS + STACK_STATUS_MAX,
};

#endif
