/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a probe tells its program about the place where it hit (bpf_get_attach_cookie): so one program, and one link,
 * serves all sites of a signal.
 */
#ifndef PYMEMSCOPE_SITE_COOKIE_H
#define PYMEMSCOPE_SITE_COOKIE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum probe_kind {
	PROBE_MALLOC,
	PROBE_CALLOC,
	PROBE_REALLOC,
	PROBE_FREE,
	PROBE_GC, /* the collector's function: entry and return */
	PROBE_GC_USDT, /* gc__start */
	PROBE_GC_USDT_DONE, /* gc__done */
	PROBE_GUARD, /* where an allocation or a free was inlined; arg_value is the number of its struct site_spec */
	PROBE_POOL_OPENER, /* return of allocate_from_new_pool */
	PROBE_RAW_RETURN, /* behind a call of the raw allocator */
	PROBE_POOL_OPEN, /* entry of allocate_from_new_pool: the size class (arg_register) */
	PROBE_CODE_FREE, /* a code object's deallocator: the object */
	PROBE_RAW_TAIL, /* return of a function that ends in a jump to the raw allocator */
	PROBE_GC_COLLECT, /* the C function of gc.collect(): entry and return */
	PROBE_GC_API, /* PyGC_Collect(): likewise */
};

enum site_arg_form {
	SITE_ARG_NONE = 0,
	SITE_ARG_REGISTER = 1,
	SITE_ARG_MEMORY = 2, /* at register + value */
	SITE_ARG_CONSTANT = 3,
};

/* Which argument of the collector's function tells why it runs; arg_value of a PROBE_GC. */
enum gc_reason_arg {
	GC_REASON_NONE = 0,
	GC_REASON_THIRD = 1, /* _PyGC_Reason, 3.13+ */
	GC_REASON_FIFTH = 2, /* nofail, before */
};

/*
 * attach_id: the attachment that the site belongs to. A target counts hits of one attachment a signal (struct target), so
 * that two attachments that reach the same process, on purpose or through two names of one file, never count twice.
 * arg_*: where the argument of a USDT site is (System V: sys/sdt.h); arg_register is an index of 8-byte words in pt_regs.
 */
union site_cookie {
	__u64 raw;
	struct {
		__u64 attach_id : 24;
		__u64 kind : 4;
		__u64 takes_context : 1;
		__u64 args_unknown : 1;
		__u64 arg_form : 2;
		__u64 arg_signed : 1;
		__u64 arg_log2_bytes : 2;
		__u64 arg_register : 6;
		__s64 arg_value : 23;
	};
};
_Static_assert(sizeof(union site_cookie) == 8, "site_cookie");
#define SITE_ATTACH_IDS (1u << 24)
#define SITE_ARG_VALUE_MAX ((1 << 22) - 1)

#endif
