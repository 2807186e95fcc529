/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The table, and what a running 3.13+ tells about itself. Where the offsets come from:
 * tools/layout_probe.c, compiled against CPython's headers. What the debug offsets mean: CPython
 * Include/internal/pycore_runtime.h (3.13) and pycore_debug_offsets.h (3.14, 3.15). Their shape
 * differs between minor versions, so each row of the table carries the places where its version
 * tells what.
 *
 * The process may be corrupted or hostile: a told offset that does not fit the told size of its
 * struct, is not aligned or is large beyond sense ends in -EBADMSG, and nothing told is followed
 * here.
 */
#include "python/layout.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Places in _Py_DebugOffsets, in bytes; the word there is an offset or a size. */
struct told {
	uint16_t bytes; /* sizeof(_Py_DebugOffsets); 0: this version has none */
	uint16_t runtime_size, runtime_finalizing, runtime_interpreters_head;
	uint16_t interp_size, interp_id, interp_next, interp_threads_head, interp_gc;
	uint16_t tstate_size, tstate_next, tstate_interp, tstate_current_frame, tstate_thread_id;
	uint16_t tstate_native_thread_id;
	uint16_t frame_size, frame_previous, frame_executable, frame_instr_ptr, frame_owner;
	uint16_t code_size, code_filename, code_name, code_qualname, code_linetable,
		code_firstlineno;
	uint16_t code_argcount, code_instructions;
	uint16_t bytes_size, bytes_ob_size, bytes_ob_sval;
	uint16_t unicode_size, unicode_state, unicode_length, unicode_ascii_size;
	uint16_t gc_size, gc_collecting;
};

struct row {
	struct py_layout layout;
	struct told told;
};

static const struct row rows[] = {
#ifdef __x86_64__
#include "python/layout_table.inc"
#endif
};

/* Structs are bounded by their told size, and that by these: both are many times what any version
 * has. */
#define MAX_STRUCT_BYTES (64u << 10)
#define MAX_STATE_BYTES                                                                            \
	(16u << 20) /* _PyRuntime and PyInterpreterState hold static objects and obmalloc's state  \
		     */
#define MAX_DEBUG_OFFSETS_BYTES 1024

#define COOKIE "xdebugpy"
#define VERSION_AT 8
#define FREE_THREADED_AT 16

struct field {
	uint16_t value; /* offset into struct told */
	uint16_t size;	/* offset into struct told: of the struct that the field is in */
	uint16_t to;	/* offset into struct py_layout */
	uint8_t width;	/* bytes of the field, and its alignment */
};

#define FIELD(value_, size_, to_, width_)                                                          \
	{                                                                                          \
		offsetof(struct told, value_), offsetof(struct told, size_),                       \
			offsetof(struct py_layout, to_), width_                                    \
	}

static const struct field fields[] = {
	FIELD(runtime_finalizing, runtime_size, runtime.finalizing, 8),
	FIELD(runtime_interpreters_head, runtime_size, runtime.interpreters_head, 8),
	FIELD(interp_id, interp_size, interp.id, 8),
	FIELD(interp_next, interp_size, interp.next, 8),
	FIELD(interp_threads_head, interp_size, interp.threads_head, 8),
	FIELD(interp_gc, interp_size, interp.gc, 8),
	FIELD(tstate_next, tstate_size, tstate.next, 8),
	FIELD(tstate_interp, tstate_size, tstate.interp, 8),
	FIELD(tstate_current_frame, tstate_size, walk.tstate_frame, 8),
	FIELD(tstate_thread_id, tstate_size, tstate.thread_id, 8),
	FIELD(tstate_native_thread_id, tstate_size, tstate.native_thread_id, 8),
	FIELD(frame_previous, frame_size, walk.frame_previous, 8),
	FIELD(frame_executable, frame_size, walk.frame_code, 8),
	FIELD(frame_instr_ptr, frame_size, walk.frame_instr, 8),
	FIELD(frame_owner, frame_size, walk.frame_owner, 1),
	FIELD(code_filename, code_size, code.filename, 8),
	FIELD(code_name, code_size, code.name, 8),
	FIELD(code_qualname, code_size, code.qualname, 8),
	FIELD(code_linetable, code_size, code.linetable, 8),
	FIELD(code_firstlineno, code_size, code.firstlineno, 4),
	FIELD(code_argcount, code_size, code.argcount, 4),
	FIELD(code_instructions, code_size, code.instructions, 2),
	FIELD(bytes_ob_size, bytes_size, bytes.size, 8),
	FIELD(bytes_ob_sval, bytes_size, bytes.data, 1),
	FIELD(unicode_state, unicode_size, unicode.state, 4),
	FIELD(unicode_length, unicode_size, unicode.length, 8),
	FIELD(unicode_ascii_size, unicode_size, unicode.ascii_data, 8),
	FIELD(gc_collecting, gc_size, gc.collecting, 4),
};

static const struct row *row_of(uint16_t version)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].layout.version == version)
			return &rows[i];
	return NULL;
}

const struct py_layout *py_layout__of_version(uint16_t version)
{
	const struct row *r = row_of(version);

	return r ? &r->layout : NULL;
}

static uint64_t word_at(const uint8_t *told, size_t at)
{
	uint64_t word;

	memcpy(&word, told + at, sizeof(word));
	return word;
}

static uint64_t told_word(const uint8_t *told, const struct told *where, uint16_t member)
{
	uint16_t at;

	memcpy(&at, (const char *)where + member, sizeof(at));
	return word_at(told, at);
}

static int believe(const uint8_t *told, const struct told *where, const struct field *f,
		   struct py_layout *l)
{
	uint64_t value = told_word(told, where, f->value);
	uint64_t size = told_word(told, where, f->size);
	bool state = f->size == offsetof(struct told, runtime_size) ||
		     f->size == offsetof(struct told, interp_size);
	uint32_t offset;

	if (size > (state ? MAX_STATE_BYTES : MAX_STRUCT_BYTES))
		return -EBADMSG;
	if (value % f->width || value >= size || value + f->width > size)
		return -EBADMSG;
	offset = (uint32_t)value;
	memcpy((char *)l + f->to, &offset, sizeof(offset));
	return 0;
}

/*
 * What was not told comes from the table. It is good only for a build whose neighbouring fields are
 * where the table has them: the code object's words of the check stand in one row, and the
 * thread-state key and the allocators stand behind the list of interpreters in _PyRuntime.
 */
static int check_untold(const struct py_layout *table, struct py_layout *l)
{
	if (l->code.name != l->code.filename + 8 || l->code.qualname != l->code.filename + 16 ||
	    l->code.linetable != l->code.filename + 24)
		return -ENOTSUP;
	l->walk.code_filename = l->code.filename;
	l->walk.tstate_interp = l->tstate.interp;
	if (l->runtime.interpreters_head != table->runtime.interpreters_head ||
	    l->runtime.finalizing != table->runtime.finalizing)
		return -ENOTSUP;
	if (l->unicode.ascii_data != table->unicode.ascii_data)
		return -ENOTSUP;
	if (l->gc.collecting != table->gc.collecting) {
		uint32_t collecting = l->gc.collecting;

		memset(&l->gc, 0xff, sizeof(l->gc));
		l->gc.collecting = collecting;
	}
	l->walk.finalizing = l->runtime.finalizing;
	return 0;
}

static uint32_t in_interp(const struct py_layout *l, uint32_t field)
{
	return field == PY_NO_FIELD ? PY_WALK_NONE : l->interp.gc + field;
}

static void lead_to_collector(struct py_layout *l)
{
	l->walk.gc_stats = in_interp(l, l->gc.stats);
	l->walk.gc_enabled = in_interp(l, l->gc.enabled);
	l->walk.gc_collecting = in_interp(l, l->gc.collecting);
	l->walk.gc_generation0 = in_interp(l, l->gc.generation0);
	l->walk.gc_garbage = in_interp(l, l->gc.garbage);
}

static int layout_told(const struct mem_reader *m, uint64_t runtime, const struct row *row,
		       struct py_layout *ret)
{
	uint8_t told[MAX_DEBUG_OFFSETS_BYTES];
	uint64_t hex;
	int err;

	err = mem__read(m, runtime, told, row->told.bytes);
	if (err)
		return err;
	if (memcmp(told, COOKIE, strlen(COOKIE)))
		return -EBADMSG;
	/* PY_VERSION_HEX: major, minor, micro, level and serial; Include/patchlevel.h */
	hex = word_at(told, VERSION_AT);
	if (hex >> 32)
		return -EBADMSG;
	if (hex >> 16 != row->layout.version)
		return -ENOTSUP;
	if (word_at(told, FREE_THREADED_AT))
		return -ENOTSUP;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		err = believe(told, &row->told, &fields[i], ret);
		if (err)
			return err;
	}
	err = check_untold(&row->layout, ret);
	/*
	 * 3.14.0 to 3.14.4 collect in increments: young and old[2] stand where later releases have
	 * generations[3], what follows is padded to stand where it stood, and the struct is shorter,
	 * without the pointer at its end.
	 */
	if (row->layout.version >= PY_VERSION(3, 14) &&
	    word_at(told, row->told.gc_size) != row->layout.gc.size)
		ret->gc.generation0 = PY_NO_FIELD;
	lead_to_collector(ret);
	return err;
}

int py_layout__of_runtime(const struct mem_reader *m, uint64_t runtime, uint16_t version,
			  struct py_layout *ret)
{
	const struct row *row = row_of(version);
	struct py_layout l;
	int err;

	if (!row)
		return -ENOTSUP;
	l = row->layout;
	if (row->told.bytes) {
		if (row->told.bytes > MAX_DEBUG_OFFSETS_BYTES)
			return -ENOTSUP;
		err = layout_told(m, runtime, row, &l);
		if (err)
			return err;
	}
	*ret = l;
	return 0;
}

uint32_t py_walk__shape(const struct py_walk *w)
{
	bool owner = w->skip_owner && w->frame_code == 0 && w->frame_previous == 8 && w->frame_instr == 56;

	if (w->frame_kind == PY_FRAME_OBJECT)
		return PY_SHAPE_ANY;
	if (!w->skip_owner && w->frame_code == 32 && w->frame_previous == 48 && w->frame_instr == 56)
		return PY_SHAPE_311;
	if (owner && w->frame_owner == 70)
		return PY_SHAPE_312;
	return owner && w->frame_owner == 74 ? PY_SHAPE_314 : PY_SHAPE_ANY;
}
