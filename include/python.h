/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel side must know of one interpreter build to walk its frames. Offsets in bytes. User space fills it from
 * the runtime's own debug offsets (3.13+) or from a table generated from CPython's headers (user/python/layout.h); the
 * kernel side reads nothing that is not named here.
 */
#ifndef PYMEMSCOPE_PYTHON_H
#define PYMEMSCOPE_PYTHON_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum py_frame_kind {
	PY_FRAME_OBJECT = 0, /* 3.8-3.10: PyThreadState.frame, a list of PyFrameObject; instr is an int (f_lasti) */
	PY_FRAME_CFRAME = 1, /* 3.11, 3.12: PyThreadState.cframe->current_frame, a list of _PyInterpreterFrame */
	PY_FRAME_CURRENT = 2, /* 3.13+: PyThreadState.current_frame */
};

/*
 * Where a frame's fields stand, when they stand as in the versions that people run: then one read of the frame fetches
 * all. A layout that fits none is read field by field.
 */
enum py_frame_shape {
	PY_SHAPE_ANY = 0,
	PY_SHAPE_311 = 1, /* code 32, previous 48, prev_instr 56; no owner to look at */
	PY_SHAPE_312 = 2, /* 3.12, 3.13: code 0, previous 8, instr 56, owner 70 */
	PY_SHAPE_314 = 3, /* code 0, previous 8, instr 56, owner 74 */
};

enum py_libc {
	PY_LIBC_GLIBC = 0,
	PY_LIBC_MUSL = 1,
};

struct py_walk {
	__u8 frame_kind; /* enum py_frame_kind */
	__u8 libc; /* enum py_libc: where values by key, and blocks of thread-local variables, are */
	__u8 skip_owner; /* frames whose owner is >= this are C-stack shims without code; 0: none are */
	__u8 code_tag_mask; /* low bits to clear from the code pointer (3.14+: tagged _PyStackRef) */
	/* _PyRuntime: Py_tss_t autoTSSkey {int _is_initialized; pthread_key_t _key}; all bits set: 3.15 has none */
	__u32 tss_key;
	__u32 tstate_frame; /* PyThreadState: frame, cframe or current_frame */
	__u32 cframe_current; /* _PyCFrame: current_frame (PY_FRAME_CFRAME) */
	__u32 frame_code;
	__u32 frame_previous;
	__u32 frame_instr;
	__u32 frame_owner; /* one byte; read only where skip_owner is not 0 */
	/*
	 * PyCodeObject: first of the four words of the check. 3.11+: co_filename. Before, one word earlier, because the
	 * fourth word from co_filename on is co_zombieframe, which changes with every call.
	 */
	__u32 code_filename;
	__u32 frame_shape; /* enum py_frame_shape */
	/*
	 * 3.15: where the variable _Py_tss_gilstate is: from the thread pointer, or, where tls_module is not 0, in that module's
	 * block of the thread's dynamic thread vector. Both 0: tss_key tells the thread state.
	 */
	__s32 tstate_tls;
	__u32 tls_module;
	__u32 musl_specific; /* in musl's struct pthread: the pointer to the values by key */
	/*
	 * The collector's struct gc_generation_stats[3]: so far into what PyThreadState's word tstate_interp points to. 3.8 has
	 * one for all interpreters: gc_stats is an offset into _PyRuntime then, and tstate_interp is PY_WALK_NONE. gc_stats
	 * is PY_WALK_NONE where they are kept otherwise.
	 */
	__u32 tstate_interp;
	__u32 gc_stats;
	/* From there, too; PY_WALK_NONE where not known. */
	__u32 gc_enabled; /* int */
	__u32 gc_collecting; /* int: a collection runs */
	__u32 gc_generation0; /* pointer to struct gc_generation[3], of PY_GENERATION_BYTES each */
	__u32 gc_garbage; /* PyObject *: the list gc.garbage, or null */
	__u32 finalizing; /* in _PyRuntime: not null once the interpreter is being finalised */
	/* Not 0: gc.callbacks run before the collector's function (Modules/gcmodule.c, up to 3.12), else inside (Python/gc.c, 3.13). */
	__u32 gc_callbacks_first;
};
/* struct gc_generation {PyGC_Head head; int threshold; int count;}, 3.8-3.15 (asserted by tools/layout_probe.c) */
#define PY_GENERATION_BYTES 24
#define PY_GENERATION_THRESHOLD 16
#define PY_GENERATION_COUNT 20
#define PY_LIST_SIZE 16 /* PyVarObject.ob_size */
#define PY_WALK_NONE 0xffffffffu /* PY_NO_FIELD of the table */

/* One step of the hash behind stack ids and code checks. Both sides use it; the constant is 2^64 / golden ratio. */
#define PY_HASH_STEP(h, x) (((h) ^ (x)) * 0x9E3779B97F4A7C15ull ^ (((h) ^ (x)) * 0x9E3779B97F4A7C15ull >> 29))

#endif
