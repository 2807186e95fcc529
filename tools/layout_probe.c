/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Prints one row of user/python/layout_table.inc: where the CPython whose headers it is compiled
 * against keeps what we read. Never part of the program; tools/gen-layouts compiles and runs it
 * once per set of headers. What the row means is told by user/python/layout.h; what must hold in
 * every version and can't be written as an offset is asserted here, so that a version which breaks
 * it does not compile.
 */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <frameobject.h>
#include <internal/pycore_pystate.h>
#if PY_VERSION_HEX >= 0x03090000
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#include <internal/pycore_gc.h>
#else
#include <internal/pycore_pymem.h>
#endif
#if PY_VERSION_HEX >= 0x030b0000
#include <internal/pycore_frame.h>
#endif
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interpframe_structs.h>
#include <internal/pycore_stackref.h>
#endif

#ifdef Py_GIL_DISABLED
#error "the table describes builds with a GIL"
#endif

#define AT(field, type, member) printf("\t.layout." #field " = %zu,\n", offsetof(type, member))
#define SIZE(field, type) printf("\t.layout." #field " = %zu,\n", sizeof(type))
#define NUMBER(field, value) printf("\t.layout." #field " = %d,\n", (int)(value))
#define NONE(field) printf("\t.layout." #field " = PY_NO_FIELD,\n")
#define TOLD(field, member)                                                                        \
	printf("\t.told." #field " = %zu,\n", offsetof(_Py_DebugOffsets, member))

#if PY_VERSION_HEX >= 0x030a0000
#define LINETABLE co_linetable
#else
#define LINETABLE co_lnotab
#endif
/*
 * The four words of the check (include/records.h, struct py_frame) must not change while the code
 * object lives. Before 3.11 the fourth word from co_filename on is co_zombieframe, which does:
 * there they begin one word earlier.
 */
#if PY_VERSION_HEX >= 0x030b0000
#define CHECK_WORDS co_filename
#define CHECK_WORD(n, member)                                                                      \
	(offsetof(PyCodeObject, member) == offsetof(PyCodeObject, CHECK_WORDS) + 8 * (n))
_Static_assert(CHECK_WORD(1, co_name) && CHECK_WORD(2, co_qualname) && CHECK_WORD(3, LINETABLE),
	       "check");
#else
#define CHECK_WORDS co_cell2arg
#define CHECK_WORD(n, member)                                                                      \
	(offsetof(PyCodeObject, member) == offsetof(PyCodeObject, CHECK_WORDS) + 8 * (n))
_Static_assert(CHECK_WORD(1, co_filename) && CHECK_WORD(2, co_name) && CHECK_WORD(3, LINETABLE),
	       "check");
#endif
/* The kernel side reads the key behind the flag: include/python.h, tss_key. */
_Static_assert(offsetof(Py_tss_t, _key) == 4 && sizeof(((Py_tss_t *)0)->_key) == 4, "Py_tss_t");

static void print_runtime(void)
{
	AT(runtime.interpreters_head, _PyRuntimeState, interpreters.head);
	AT(runtime.allocator_asked, _PyRuntimeState, preconfig.allocator);
#if PY_VERSION_HEX >= 0x030c0000
	NONE(runtime.tstate_current);
	AT(runtime.allocators, _PyRuntimeState, allocators.standard.raw);
#else
	AT(runtime.tstate_current, _PyRuntimeState, gilstate.tstate_current);
	NONE(runtime.allocators);
#endif
#if PY_VERSION_HEX >= 0x03090000
	AT(runtime.finalizing, _PyRuntimeState, _finalizing);
	NONE(runtime.gc);
	AT(interp.gc, PyInterpreterState, gc);
#else
	AT(runtime.finalizing, _PyRuntimeState, finalizing);
	AT(runtime.gc, _PyRuntimeState, gc);
	NONE(interp.gc);
#endif
	AT(interp.next, PyInterpreterState, next);
	AT(interp.id, PyInterpreterState, id);
#if PY_VERSION_HEX >= 0x030b0000
	AT(interp.threads_head, PyInterpreterState, threads.head);
	AT(tstate.native_thread_id, PyThreadState, native_thread_id);
#else
	AT(interp.threads_head, PyInterpreterState, tstate_head);
	NONE(tstate.native_thread_id);
#endif
	AT(tstate.next, PyThreadState, next);
	AT(tstate.interp, PyThreadState, interp);
	AT(tstate.thread_id, PyThreadState, thread_id);
}

static void print_tss_key(void)
{
#if PY_VERSION_HEX >= 0x030f0000
	NONE(walk.tss_key);
#elif PY_VERSION_HEX >= 0x030c0000
	AT(walk.tss_key, _PyRuntimeState, autoTSSkey);
#else
	AT(walk.tss_key, _PyRuntimeState, gilstate.autoTSSkey);
#endif
}

static void print_walk_of_gc(void)
{
#if PY_VERSION_HEX >= 0x030f0000
	NONE(walk.gc_stats);
#elif PY_VERSION_HEX >= 0x03090000
	AT(walk.gc_stats, PyInterpreterState, gc.generation_stats);
#else
	AT(walk.gc_stats, _PyRuntimeState, gc.generation_stats);
#endif
#if PY_VERSION_HEX >= 0x03090000
	AT(walk.tstate_interp, PyThreadState, interp);
#define GC_OWNER PyInterpreterState
#define FINALIZING _finalizing
#else
	NONE(walk.tstate_interp);
#define GC_OWNER _PyRuntimeState
#define FINALIZING finalizing
#endif
	AT(walk.gc_enabled, GC_OWNER, gc.enabled);
	AT(walk.gc_collecting, GC_OWNER, gc.collecting);
	AT(walk.gc_generation0, GC_OWNER, gc.generation0);
	AT(walk.gc_garbage, GC_OWNER, gc.garbage);
	AT(walk.finalizing, _PyRuntimeState, FINALIZING);
	NUMBER(walk.gc_callbacks_first, PY_VERSION_HEX < 0x030d0000);
	/* include/python.h */
	_Static_assert(sizeof(struct gc_generation) == 24, "gc_generation");
	_Static_assert(offsetof(struct gc_generation, threshold) == 16, "gc_generation");
	_Static_assert(offsetof(struct gc_generation, count) == 20, "gc_generation");
	_Static_assert(offsetof(PyVarObject, ob_size) == 16, "PyVarObject");
#if PY_VERSION_HEX < 0x030f0000
	/* bpf/gc.bpf.c, struct gc_stats */
	_Static_assert(sizeof(struct gc_generation_stats) == 24, "gc_generation_stats");
	_Static_assert(offsetof(struct gc_generation_stats, collected) == 8, "gc_generation_stats");
#endif
}

static void print_walk(void)
{
	print_tss_key();
	print_walk_of_gc();
	AT(walk.code_filename, PyCodeObject, CHECK_WORDS);
#if PY_VERSION_HEX >= 0x030d0000
	NUMBER(walk.frame_kind, 2);
	AT(walk.tstate_frame, PyThreadState, current_frame);
	NONE(walk.cframe_current);
	AT(walk.frame_code, _PyInterpreterFrame, f_executable);
	AT(walk.frame_instr, _PyInterpreterFrame, instr_ptr);
#elif PY_VERSION_HEX >= 0x030b0000
	NUMBER(walk.frame_kind, 1);
	AT(walk.tstate_frame, PyThreadState, cframe);
	AT(walk.cframe_current, _PyCFrame, current_frame);
	AT(walk.frame_code, _PyInterpreterFrame, f_code);
	AT(walk.frame_instr, _PyInterpreterFrame, prev_instr);
#else
	NUMBER(walk.frame_kind, 0);
	AT(walk.tstate_frame, PyThreadState, frame);
	NONE(walk.cframe_current);
	AT(walk.frame_code, PyFrameObject, f_code);
	AT(walk.frame_previous, PyFrameObject, f_back);
	AT(walk.frame_instr, PyFrameObject, f_lasti);
#endif
#if PY_VERSION_HEX >= 0x030b0000
	AT(walk.frame_previous, _PyInterpreterFrame, previous);
	AT(walk.frame_owner, _PyInterpreterFrame, owner);
#else
	NONE(walk.frame_owner);
#endif
#if PY_VERSION_HEX >= 0x030e0000
	NUMBER(walk.skip_owner, FRAME_OWNED_BY_INTERPRETER);
	NUMBER(walk.code_tag_mask, Py_INT_TAG);
#elif PY_VERSION_HEX >= 0x030c0000
	NUMBER(walk.skip_owner, FRAME_OWNED_BY_CSTACK);
	NUMBER(walk.code_tag_mask, 0);
#else
	NUMBER(walk.skip_owner, 0);
	NUMBER(walk.code_tag_mask, 0);
#endif
}

static void print_code(void)
{
	AT(code.argcount, PyCodeObject, co_argcount);
	AT(code.flags, PyCodeObject, co_flags);
	AT(code.firstlineno, PyCodeObject, co_firstlineno);
	AT(code.filename, PyCodeObject, co_filename);
	AT(code.name, PyCodeObject, co_name);
	AT(code.linetable, PyCodeObject, LINETABLE);
#if PY_VERSION_HEX >= 0x030b0000
	AT(code.qualname, PyCodeObject, co_qualname);
	AT(code.instructions, PyCodeObject, co_code_adaptive);
#else
	NONE(code.qualname);
	NONE(code.instructions);
#endif
	AT(unicode.length, PyASCIIObject, length);
	AT(unicode.state, PyASCIIObject, state);
	SIZE(unicode.ascii_data, PyASCIIObject);
	SIZE(unicode.compact_data, PyCompactUnicodeObject);
	AT(bytes.size, PyVarObject, ob_size);
	AT(bytes.data, PyBytesObject, ob_sval);
}

static void print_gc_stats(void)
{
	SIZE(gc.stats_size, struct gc_generation_stats);
	AT(gc.stats_collections, struct gc_generation_stats, collections);
	/* user/python/gc_state.c, bpf/gc.bpf.c: three words in a row */
	_Static_assert(offsetof(struct gc_generation_stats, collected) ==
			       offsetof(struct gc_generation_stats, collections) + 8,
		       "gc_generation_stats");
	_Static_assert(offsetof(struct gc_generation_stats, uncollectable) ==
			       offsetof(struct gc_generation_stats, collections) + 16,
		       "gc_generation_stats");
#if PY_VERSION_HEX >= 0x030f0000
	NONE(gc.stats);
	AT(gc.rings, struct _gc_runtime_state, generation_stats);
	AT(gc.ring[0].items, struct gc_stats, young.items);
	AT(gc.ring[0].index, struct gc_stats, young.index);
	NUMBER(gc.ring[0].cnt, GC_YOUNG_STATS_SIZE);
	AT(gc.ring[1].items, struct gc_stats, old[0].items);
	AT(gc.ring[1].index, struct gc_stats, old[0].index);
	NUMBER(gc.ring[1].cnt, GC_OLD_STATS_SIZE);
	AT(gc.ring[2].items, struct gc_stats, old[1].items);
	AT(gc.ring[2].index, struct gc_stats, old[1].index);
	NUMBER(gc.ring[2].cnt, GC_OLD_STATS_SIZE);
#else
	AT(gc.stats, struct _gc_runtime_state, generation_stats);
	NONE(gc.rings);
#endif
}

static void print_gc(void)
{
	AT(gc.enabled, struct _gc_runtime_state, enabled);
	/*
	 * A pointer to generations[0].head. PyGC_Head lost alignment between 3.13.0 and 3.13.5: the array moved from 24 to 20,
	 * nothing else did.
	 */
	AT(gc.generation0, struct _gc_runtime_state, generation0);
	SIZE(gc.generation_size, struct gc_generation);
	AT(gc.generation_threshold, struct gc_generation, threshold);
	AT(gc.generation_count, struct gc_generation, count);
	AT(gc.permanent, struct _gc_runtime_state, permanent_generation);
	print_gc_stats();
	AT(gc.garbage, struct _gc_runtime_state, garbage);
	AT(gc.collecting, struct _gc_runtime_state, collecting);
	SIZE(gc.size, struct _gc_runtime_state);
}

/* Where in _Py_DebugOffsets the running interpreter tells these: user/python/layout.c, struct told.
 */
static void print_told(void)
{
#if PY_VERSION_HEX >= 0x030d0000
	TOLD(runtime_size, runtime_state.size);
	TOLD(runtime_finalizing, runtime_state.finalizing);
	TOLD(runtime_interpreters_head, runtime_state.interpreters_head);
	TOLD(interp_size, interpreter_state.size);
	TOLD(interp_id, interpreter_state.id);
	TOLD(interp_next, interpreter_state.next);
	TOLD(interp_threads_head, interpreter_state.threads_head);
	TOLD(interp_gc, interpreter_state.gc);
	TOLD(tstate_size, thread_state.size);
	TOLD(tstate_next, thread_state.next);
	TOLD(tstate_interp, thread_state.interp);
	TOLD(tstate_current_frame, thread_state.current_frame);
	TOLD(tstate_thread_id, thread_state.thread_id);
	TOLD(tstate_native_thread_id, thread_state.native_thread_id);
	TOLD(frame_size, interpreter_frame.size);
	TOLD(frame_previous, interpreter_frame.previous);
	TOLD(frame_executable, interpreter_frame.executable);
	TOLD(frame_instr_ptr, interpreter_frame.instr_ptr);
	TOLD(frame_owner, interpreter_frame.owner);
	TOLD(code_size, code_object.size);
	TOLD(code_filename, code_object.filename);
	TOLD(code_name, code_object.name);
	TOLD(code_qualname, code_object.qualname);
	TOLD(code_linetable, code_object.linetable);
	TOLD(code_firstlineno, code_object.firstlineno);
	TOLD(code_argcount, code_object.argcount);
	TOLD(code_instructions, code_object.co_code_adaptive);
	TOLD(bytes_size, bytes_object.size);
	TOLD(bytes_ob_size, bytes_object.ob_size);
	TOLD(bytes_ob_sval, bytes_object.ob_sval);
	TOLD(unicode_size, unicode_object.size);
	TOLD(unicode_state, unicode_object.state);
	TOLD(unicode_length, unicode_object.length);
	TOLD(unicode_ascii_size, unicode_object.asciiobject_size);
	TOLD(gc_size, gc.size);
	TOLD(gc_collecting, gc.collecting);
	printf("\t.told.bytes = %zu,\n", sizeof(_Py_DebugOffsets));
#endif
}

/* user/python/code.c reads kind, compact and ascii from these bits; bit fields have no offsetof. */
static int state_bits_differ(void)
{
	PyASCIIObject o;
	unsigned int kind, compact, ascii;

	memset(&o.state, 0, sizeof(o.state));
	o.state.kind = 7;
	memcpy(&kind, &o.state, sizeof(kind));
	memset(&o.state, 0, sizeof(o.state));
	o.state.compact = 1;
	memcpy(&compact, &o.state, sizeof(compact));
	memset(&o.state, 0, sizeof(o.state));
	o.state.ascii = 1;
	memcpy(&ascii, &o.state, sizeof(ascii));
	return kind != 7u << 2 || compact != 1u << 5 || ascii != 1u << 6;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "version")) {
		printf("%d %d %s\n", PY_MAJOR_VERSION, PY_MINOR_VERSION, PY_VERSION);
		return 0;
	}
	if (state_bits_differ()) {
		fprintf(stderr, "%s: the state bits of str are not where code.c reads them\n",
			PY_VERSION);
		return 1;
	}
	printf("{\n\t.layout.version = PY_VERSION(%d, %d),\n", PY_MAJOR_VERSION, PY_MINOR_VERSION);
	print_walk();
	print_runtime();
	print_code();
	print_gc();
	print_told();
	printf("},\n");
	return 0;
}
