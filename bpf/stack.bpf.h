/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Python stacks. A stack is walked once to hash it; only a stack that user space has not seen is walked a second time,
 * straight into a ring-buffer record. So the common case copies nothing and needs no scratch memory, which a program
 * that can be preempted (a uprobe) could not keep to itself.
 *
 * The thread state is found as pthread_getspecific would (CPython's autoTSSkey): the slot of the key in the thread's
 * control block. glibc nptl/pthread_getspecific.c and struct pthread: specific_1stblock at 0x310 on x86-64 (unchanged
 * since 2.11), 32 keys of {seq, data} a block, block pointers at 0x510. musl src/thread/pthread_getspecific.c: a pointer in
 * struct pthread, whose place user space tells, to one word a key. 3.15 has no key but a thread-local variable: that of an
 * executable, or of a library that says so, is at a fixed distance from the thread pointer; that of any other library is where
 * __tls_get_addr finds it, in the thread's dynamic thread vector (glibc sysdeps/x86_64/nptl/tls.h, sysdeps/generic/dl-dtv.h,
 * elf/dl-tls.c; musl src/internal/pthread_impl.h, src/thread/__tls_get_addr.c).
 *
 * Truth of the frame chain: Include/internal/pycore_frame.h of each version; offsets come from user space (py_walk).
 *
 * A code object that is freed may be replaced by another at the same address, with the same file name, name and line table
 * objects at the same addresses (exec in a loop does so at once). So the freeing of known code objects is counted
 * (bpf/code.bpf.c) and the count is a part of each stack id. Where that probe is not attached, a check over four words of
 * each code object stands in for it, which costs a read a frame and may be fooled.
 *
 * Native frames beneath the leaf (native.bpf.h) are the last part of the id, where there are any: a stack without is the same one
 * for all programs.
 */
#ifndef BPF_STACK_H
#define BPF_STACK_H

#include "collector.bpf.h"
#include "native.bpf.h"

/* Whether native frames belong to a stack, too: who includes this file may say so. */
#ifndef STACKS_ARE_NATIVE
#define STACKS_ARE_NATIVE 0
#endif

#define E2BIG 7 /* what an update of a map returns that is full; asm-generic/errno-base.h */

#define GLIBC_TSD 0x310
/* specific[0] points to specific_1stblock itself. */
#define GLIBC_TSD_BLOCKS 0x510
#define GLIBC_TSD_BLOCK_KEYS 32
#define GLIBC_MAX_KEYS 1024
#define MUSL_MAX_KEYS 128
/* The second word of a thread's control block is the vector's address. glibc's has {block, to free} a module, and what the
 * vector has room for before it: for the modules that there were when the thread began, and at least 14. musl's has the
 * block, and room for all that there are. */
#define TLS_VECTOR 8
#define GLIBC_TLS_ENTRY 16
#define GLIBC_TLS_MODULES (-16)
#define GLIBC_TLS_SURPLUS 14
#define MUSL_TLS_ENTRY 8

/* No pointers in it: see walk_in_place. */
struct walk_result {
	__u64 id;
	__u64 tstate; /* 0: not found */
	__u64 first; /* the leaf frame */
	__u32 depth;
	__u16 status;
	__u16 above_collector; /* as in struct rec_stack */
};

static __always_inline __u64 thread_pointer(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

#if defined(__TARGET_ARCH_x86)
	if (has_task_btf())
		return bpf_get_current_task_btf()->thread.fsbase;
	return BPF_CORE_READ(task, thread.fsbase);
#elif defined(__TARGET_ARCH_arm64)
	if (has_task_btf())
		return bpf_get_current_task_btf()->thread.uw.tp_value;
	return BPF_CORE_READ(task, thread.uw.tp_value);
#else
#error "thread_pointer: this architecture is not known"
#endif
}

/* The runtime's pthread key, read once it exists. */
static __always_inline int tss_key_of(const struct py_walk *w, struct target *t)
{
	struct {
		__s32 is_initialized;
		__u32 key;
	} tss;

	if (t->tss_key >= 0)
		return t->tss_key;
	if (!read_user(&tss, sizeof(tss), t->runtime + w->tss_key) || !tss.is_initialized ||
	    tss.key >= GLIBC_MAX_KEYS)
		return -1;
	t->tss_key = tss.key;
	return tss.key;
}

/* Address of the slot that holds the thread state, or 0. */
static __always_inline __u64 tss_slot(const struct py_walk *w, __u64 tp, __u32 key)
{
	__u64 block;

	if (w->libc == PY_LIBC_MUSL) {
		if (key >= MUSL_MAX_KEYS || !read_user(&block, sizeof(block), tp + w->musl_specific) || !block)
			return 0;
		return block + key * 8;
	}
	if (key < GLIBC_TSD_BLOCK_KEYS)
		return tp + GLIBC_TSD + key * 16 + 8;
	if (!read_user(&block, sizeof(block), tp + GLIBC_TSD_BLOCKS + key / GLIBC_TSD_BLOCK_KEYS * 8) ||
	    !block)
		return 0;
	return block + key % GLIBC_TSD_BLOCK_KEYS * 16 + 8;
}

static __always_inline __u32 tls_entry_bytes(const struct py_walk *w)
{
	return w->libc == PY_LIBC_MUSL ? MUSL_TLS_ENTRY : GLIBC_TLS_ENTRY;
}

/* Address of the thread's variable, or 0: it has none of that module (glibc makes it when it is asked for; all bits set). */
static __always_inline __u64 tls_slot(const struct py_walk *w, __u64 tp)
{
	__u64 vector, block, room;

	if (!w->tls_module)
		return tp + w->tstate_tls;
	if (!read_user(&vector, sizeof(vector), tp + TLS_VECTOR))
		return 0;
	if (w->libc != PY_LIBC_MUSL && w->tls_module > GLIBC_TLS_SURPLUS &&
	    (!read_user(&room, sizeof(room), vector + GLIBC_TLS_MODULES) || w->tls_module > room))
		return 0;
	if (!read_user(&block, sizeof(block), vector + (__u64)w->tls_module * tls_entry_bytes(w)) || !block || !~block)
		return 0;
	return block + w->tstate_tls;
}

/* The current thread's PyThreadState; enum stack_status says why there is none. */
static __always_inline __u32 current_tstate(const struct py_walk *w, struct target *t, __u64 *ret)
{
	__u64 slot;
	int key;

	if (w->tstate_tls || w->tls_module) {
		slot = tls_slot(w, thread_pointer());
	} else {
		key = tss_key_of(w, t);
		if (key < 0)
			return STACK_STARTING;
		slot = tss_slot(w, thread_pointer(), key);
	}
	if (!slot || !read_user(ret, sizeof(*ret), slot) || !*ret)
		return STACK_NO_THREAD_STATE;
	return STACK_COMPLETE;
}

/* First (leaf) frame of the current thread, and its thread state; enum stack_status says why there is none. */
static __always_inline __u32 first_frame(const struct py_walk *w, struct target *t, __u64 *tstate, __u64 *frame)
{
	__u32 status = current_tstate(w, t, tstate);

	if (status != STACK_COMPLETE)
		return status;
	if (!read_user(frame, sizeof(*frame), *tstate + w->tstate_frame))
		return STACK_UNREADABLE_THREAD;
	if (w->frame_kind == PY_FRAME_CFRAME) {
		if (!*frame)
			return STACK_NO_FRAME;
		if (!read_user(frame, sizeof(*frame), *frame + w->cframe_current))
			return STACK_UNREADABLE_THREAD;
	}
	return *frame ? STACK_COMPLETE : STACK_NO_FRAME;
}

/*
 * Words of a frame that one read brings. All functions on the way to a frame share 512 bytes of stack; kernels before 6.9
 * round each function's part up to 32 (tests/cli/bpf_stack.t).
 */
#define FRAME_WORDS 10

/* Fields of a frame, by one read where the layout has a known shape (enum py_frame_shape). */
struct frame_fields {
	__u64 code;
	__u64 previous;
	__u64 instr;
	__u32 owner;
};

static __always_inline bool read_fields_any(const struct py_walk *w, __u64 at, struct frame_fields *f)
{
	__u8 owner = 0;

	if (!read_user(&f->previous, sizeof(f->previous), at + w->frame_previous) ||
	    !read_user(&f->code, sizeof(f->code), at + w->frame_code))
		return false;
	if (w->skip_owner && !read_user(&owner, sizeof(owner), at + w->frame_owner))
		return false;
	f->owner = owner;
	if (w->frame_kind == PY_FRAME_OBJECT) {
		__s32 lasti = 0;

		if (!read_user(&lasti, sizeof(lasti), at + w->frame_instr))
			return false;
		f->instr = (__u64)(__s64)lasti;
		return true;
	}
	return read_user(&f->instr, sizeof(f->instr), at + w->frame_instr);
}

static __always_inline bool read_fields(const struct py_walk *w, __u64 at, struct frame_fields *f,
					__u64 raw[FRAME_WORDS])
{
	f->owner = 0;
	switch (w->frame_shape) {
	case PY_SHAPE_311:
		if (!read_user(raw, 32, at + 32))
			return false;
		f->code = raw[0];
		f->previous = raw[2];
		f->instr = raw[3];
		return true;
	case PY_SHAPE_312:
	case PY_SHAPE_314:
		if (!read_user(raw, FRAME_WORDS * sizeof(*raw), at))
			return false;
		f->code = raw[0];
		f->previous = raw[1];
		f->instr = raw[7];
		f->owner = w->frame_shape == PY_SHAPE_312 ? raw[8] >> 48 & 0xff : raw[9] >> 16 & 0xff;
		return true;
	default:
		return read_fields_any(w, at, f);
	}
}

/*
 * Steps of a walk: a shim (a C-stack frame without code, one for each call from C into Python) is a step, but no frame. A
 * stack that has more of them is cut before it has MAX_FRAMES.
 */
#define MAX_STEPS (MAX_FRAMES + 128)

/* Reads one frame. Shims come out as all zero. */
static __always_inline bool read_frame(const struct py_walk *w, __u64 at, bool check, struct py_frame *f,
					__u64 *previous)
{
	struct frame_fields fields;
	__u64 words[FRAME_WORDS]; /* one buffer for frame and code object: see FRAME_WORDS */

	f->code = f->instr = f->check = 0;
	if (!read_fields(w, at, &fields, words))
		return false;
	*previous = fields.previous;
	if (w->skip_owner && fields.owner >= w->skip_owner)
		return true;
	f->code = fields.code & ~(__u64)w->code_tag_mask;
	f->instr = fields.instr;
	if (!check)
		return true;
	/*
	 * A code object that cannot be read is a frame without a name, and the walk goes on: what cannot be read comes out as
	 * zeros, and so does their hash. Without a branch, which would have the verifier go each way at each frame.
	 */
	read_user(words, 4 * sizeof(*words), f->code + w->code_filename);
	f->check = PY_HASH_STEP(0, words[0]);
	f->check = PY_HASH_STEP(f->check, words[1]);
	f->check = PY_HASH_STEP(f->check, words[2]);
	f->check = PY_HASH_STEP(f->check, words[3]);
	return true;
}

/* Where the current thread stands: what a walk found, and how to find it again. */
struct thread_stack {
	const struct py_walk *w; /* NULL: no Python that we know of */
	__u64 cgroup_id;
	__u64 python_id; /* without native frames */
	__u64 collector; /* collector_frame */
	struct walk_result r;
	/* The walk under way. */
	struct py_frame *out; /* where frames are stored; NULL: they are only hashed */
	__u64 frame;
	__u32 shims;
	bool check; /* the check is a part of the id */
};

/* Without a branch, which would have the verifier go each way at each frame. */
static __always_inline void note_collector(struct thread_stack *k, __u32 depth)
{
	__u64 differs = k->frame ^ k->collector;

	differs = (differs | -differs) >> 63;
	barrier_var(differs);
	k->r.above_collector += (__u16)(differs - 1) & (depth + 1);
}

/*
 * Step i. True: the walk ends here. How many frames there were is told by i, which the verifier takes for any number: what
 * we count ourselves it would follow number by number.
 */
static __always_inline bool walk_step(struct thread_stack *k, __u32 i, bool store)
{
	__u32 depth = i - k->shims;
	struct py_frame f;

	if (!k->frame || depth >= MAX_FRAMES)
		return true;
	note_collector(k, depth);
	if (!read_frame(k->w, k->frame, k->check || store, &f, &k->frame)) {
		k->r.status = STACK_UNREADABLE_FRAME;
		return true;
	}
	if (!f.code) {
		k->shims++;
		return false;
	}
	k->r.id = PY_HASH_STEP(k->r.id, f.code);
	k->r.id = PY_HASH_STEP(k->r.id, f.instr);
	if (k->check)
		k->r.id = PY_HASH_STEP(k->r.id, f.check);
	k->r.depth++;
	if (store)
		k->out[depth] = f;
	return false;
}

static long hash_frame(__u32 i, void *arg)
{
	return walk_step(arg, i, false);
}

static long store_frame(__u32 i, void *arg)
{
	struct thread_stack *k = arg;

	return k->out ? walk_step(k, i, true) : 1;
}

/*
 * Before 5.17. Functions of their own: what a step keeps on the stack must not count for the callers, who share 512 bytes
 * with all they call.
 */
static __noinline void hash_frames(struct thread_stack *k)
{
	__u32 i;

	for (i = 0; i < MAX_STEPS; i++) {
		if (walk_step(k, i, false))
			break;
	}
}

static __noinline void store_frames(struct thread_stack *k)
{
	__u32 i;

	for (i = 0; i < MAX_STEPS; i++) {
		if (walk_step(k, i, true))
			break;
	}
}

/* The verifier goes through a loop step by step, but only once through the body of bpf_loop (5.17): loads are fast. */
static __always_inline void walk_frames(struct thread_stack *k, bool store)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		bpf_loop(MAX_STEPS, store ? store_frame : hash_frame, k, 0);
	else if (store)
		store_frames(k);
	else
		hash_frames(k);
	if (k->frame && k->r.status == STACK_COMPLETE)
		k->r.status = STACK_CUT;
	if (!k->collector && k->r.status == STACK_COMPLETE)
		k->r.above_collector = k->r.depth + 1;
}

/* Nobody tells when this process frees code objects. */
static __always_inline bool checks(const struct target *t)
{
	return !t || !t->attach_id[SIGNAL_CODE];
}

/* Stack ids are told apart by process, thread and cgroup, so that a count's stack tells all of them. */
static __always_inline __u64 stack_seed(const struct target *t, __u32 tid, __u64 cgroup_id)
{
	__u64 h = PY_HASH_STEP(0, (__u64)t->proc_id << 32 | tid);

	h = PY_HASH_STEP(h, (__u64)t->family << 32 | t->code_frees);
	return PY_HASH_STEP(h, cgroup_id);
}

static __always_inline void fill_stack(struct rec_stack *rec, __u16 len, const struct target *t, __u64 cgroup_id,
				       const struct walk_result *r)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	rec->hdr.kind = REC_STACK;
	rec->hdr.len = len;
	rec->hdr.tgid = pid_tgid >> 32;
	rec->hdr.time_ns = bpf_ktime_get_ns();
	rec->stack_id = r->id;
	rec->cgroup_id = cgroup_id;
	rec->proc_id = t->proc_id;
	rec->tid = (__u32)pid_tgid;
	rec->status = r->status;
	rec->native_cnt = rec->native_end = 0;
	rec->above_collector = r->above_collector;
	rec->depth = r->depth;
	rec->family = t->family;
	rec->pad2 = 0;
}

/*
 * What became of a code object that user space does not have. One that is not remembered could be freed unnoticed, and the next at
 * its address would be taken for it: seen once in 4,000 samples while `codes` got its memory from an allocator that runs dry
 * for a moment. So the process's stack ids end with it (CODE_NOT_KEPT): the next stack of the same frames is sent anew, and so is the
 * code. Not so where the map is full, for that lasts: then the names of code objects that are freed may be wrong, and it is counted.
 */
enum code_sent { CODE_KEPT, CODE_NOT_KEPT, CODE_MAP_FULL };

static __always_inline bool code_is_known(const struct target *t, const struct py_frame *f)
{
	struct code_id id = { .code = f->code, .family = t->family };
	__u64 *known = bpf_map_lookup_elem(&codes, &id);

	return known && *known == f->check;
}

/* Words of an object: PyVarObject.ob_size, or PyASCIIObject.length and .state, bits 2-4 of it the bytes of a character. */
#define OBJECT_LENGTH 2
#define STR_STATE 4
#define STR_CHAR_BYTES(state) ((state) >> 2 & 7)
/* More than what stands before the characters (72 at most) and after them. */
#define OBJECT_EXTRA 80

struct long_object {
	__u64 code, family, at, end;
};

static long send_more(__u32 i, void *arg)
{
	struct long_object *o = arg;
	struct rec_code_more *rec;

	if (o->at >= o->end)
		return 1;
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		counter_add(CTR_RING_FULL_CODE, 1);
		return 1;
	}
	rec->hdr.kind = REC_CODE_MORE;
	rec->hdr.len = sizeof(*rec);
	rec->hdr.tgid = bpf_get_current_pid_tgid() >> 32;
	rec->hdr.time_ns = bpf_ktime_get_ns();
	rec->code = o->code;
	rec->addr = o->at;
	rec->family = o->family;
	rec->got = read_some(rec->bytes, CODE_MORE_BYTES, o->at);
	o->at += CODE_MORE_BYTES;
	bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Sends what REC_CODE will have no room for. */
static __noinline void send_long_parts(const struct py_walk *w, const struct target *t, const struct py_frame *f)
{
	struct long_object o;
	__u64 head[STR_STATE + 1];
	int i;

	if (!w || !t || !f)
		return;
	for (i = 0; i < 4; i++) {
		__u32 room = i == 3 ? CODE_TABLE_BYTES : CODE_NAME_BYTES;

		if (!read_user(&o.at, sizeof(o.at), f->code + w->code_filename + i * 8) ||
		    !read_user(head, sizeof(head), o.at))
			continue;
		if (i < 3)
			head[OBJECT_LENGTH] *= STR_CHAR_BYTES(head[STR_STATE]);
		o.end = o.at + head[OBJECT_LENGTH] + OBJECT_EXTRA;
		o.at += room;
		o.code = f->code;
		o.family = t->family;
		if (o.at < o.end)
			bpf_loop(CODE_MORE_MAX, send_more, &o, 0);
	}
}

/* Its freeing is to be noticed. */
static __always_inline enum code_sent keep_code(const struct code_id *id, const struct py_frame *f)
{
	long err = bpf_map_update_elem(&codes, id, &f->check, BPF_ANY);

	if (err != -E2BIG)
		return err ? CODE_NOT_KEPT : CODE_KEPT;
	counter_add(CTR_CODES_FULL, 1);
	return CODE_MAP_FULL;
}

/* Sends a code object in the raw. Kernels before 5.17 leave that to user space: their verifier counts every step. */
static __noinline enum code_sent send_code(const struct py_walk *w, const struct target *t, const struct py_frame *f)
{
	struct code_id id = { .code = f->code, .family = t->family };
	struct rec_code *rec;

	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		counter_add(CTR_RING_FULL_CODE, 1);
		return CODE_NOT_KEPT;
	}
	rec->hdr.kind = REC_CODE;
	rec->hdr.len = sizeof(*rec);
	rec->hdr.tgid = bpf_get_current_pid_tgid() >> 32;
	rec->hdr.time_ns = bpf_ktime_get_ns();
	rec->code = rec->addr[0] = f->code;
	rec->check = f->check;
	rec->proc_id = t->proc_id;
	rec->family = t->family;
	__builtin_memset(rec->pad2, 0, sizeof(rec->pad2));
	if (!read_user(&rec->addr[1], 32, f->code + w->code_filename))
		rec->addr[1] = rec->addr[2] = rec->addr[3] = rec->addr[4] = 0;
	rec->got[0] = read_some(rec->object, CODE_BYTES, rec->addr[0]);
	rec->got[1] = read_some(rec->part[0], CODE_NAME_BYTES, rec->addr[1]);
	rec->got[2] = read_some(rec->part[1], CODE_NAME_BYTES, rec->addr[2]);
	rec->got[3] = read_some(rec->part[2], CODE_NAME_BYTES, rec->addr[3]);
	rec->got[4] = read_some(rec->table, CODE_TABLE_BYTES, rec->addr[4]);
	bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP);
	return keep_code(&id, f);
}

/* A walk that sends the code objects on its way. */
struct code_walk {
	const struct py_walk *w;
	const struct target *t;
	__u64 frame;
	struct py_frame f;
	bool ends_ids; /* one was CODE_NOT_KEPT */
};

/* Of its own: what it keeps on the stack must not count for those who send (512 bytes for a whole chain of calls). */
static __noinline bool next_code(struct code_walk *k)
{
	return k && k->frame && read_frame(k->w, k->frame, true, &k->f, &k->frame);
}

static long send_code_of_frame(__u32 i, void *arg)
{
	struct code_walk *k = arg;

	if (!next_code(k))
		return 1;
	if (!k->f.code || code_is_known(k->t, &k->f))
		return 0;
	send_long_parts(k->w, k->t, &k->f);
	if (send_code(k->w, k->t, &k->f) != CODE_NOT_KEPT)
		return 0;
	k->ends_ids = true;
	return 1;
}

/* False: the freeing of one of them may pass unnoticed. */
GLOBAL int send_codes(const struct py_walk *w, struct target *t, __u64 frame)
{
	struct code_walk k = { .w = w, .t = t, .frame = frame };

	if (w && t && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		bpf_loop(MAX_STEPS, send_code_of_frame, &k, 0);
	return !k.ends_ids;
}

/* Native frames tell nothing of a program that is none of ours, or not yet. */
static __always_inline bool wants_native(__u32 status)
{
	return STACKS_ARE_NATIVE && takes_native() && status != STACK_NOT_PYTHON && status != STACK_STARTING;
}

static __always_inline __u64 add_native(__u64 id, const struct native_result *n)
{
	if (!n->cnt)
		return id;
	id = PY_HASH_STEP(id, n->hash);
	return id < STACK_STATUS_MAX ? STACK_STATUS_MAX : id;
}

/*
 * Fills a record's native frames, which are walked again. User space may have given us more rules since the first time: then they
 * are others, and no less right, and the stack has the id that says so.
 */
static __noinline void store_native(struct target *t, struct rec_stack *rec, struct thread_stack *s)
{
	struct native_result r = {};

	if (!t || !rec || !s)
		return;
	walk_native(t, &r, rec);
	rec->native_cnt = r.cnt;
	rec->native_end = r.end;
	rec->stack_id = s->r.id = add_native(s->python_id, &r);
}

/* Of the Python frames, from the first one on. */
static __always_inline void begin_walk(const struct target *t, struct thread_stack *s)
{
	s->r.id = stack_seed(t, (__u32)bpf_get_current_pid_tgid(), s->cgroup_id);
	s->r.depth = 0;
	s->r.status = STACK_COMPLETE;
	s->r.above_collector = 0;
	s->frame = s->r.first;
	s->shims = 0;
	s->check = checks(t);
}

/* The last part of a stack's id is how it ends, and where the collector stands in it. */
static __always_inline __u64 last_step(const struct walk_result *r)
{
	return PY_HASH_STEP(r->id, r->status | (__u32)r->above_collector << 16);
}

/*
 * A record of the stack with its frames, walked again. False: the ring was full, or the Python stack changed meanwhile. Not told by
 * a null pointer: the verifier of 6.1 does not know of one that a function returns that it is not null.
 */
static __noinline bool begin_record(struct target *t, struct thread_stack *s, struct rec_stack **ret)
{
	const __u32 len = sizeof(struct rec_stack) + MAX_FRAMES * sizeof(struct py_frame);
	struct rec_stack *rec;
	__u64 id;

	if (!t || !s || !ret)
		return false;
	rec = bpf_ringbuf_reserve(&ring, len, 0);
	if (!rec)
		return false;
	id = s->r.id;
	begin_walk(t, s);
	s->out = rec->frames;
	walk_frames(s, true);
	s->out = NULL;
	s->r.id = last_step(&s->r);
	if (s->r.id != s->python_id) {
		s->r.id = id;
		bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
		return false;
	}
	fill_stack(rec, len, t, s->cgroup_id, &s->r);
	*ret = rec;
	return true;
}

/* The same of a stack without Python frames. */
static __noinline bool begin_record_empty(struct target *t, struct thread_stack *s, struct rec_stack **ret)
{
	struct rec_stack *rec;

	if (!t || !s || !ret)
		return false;
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec)
		return false;
	fill_stack(rec, sizeof(*rec), t, s->cgroup_id, &s->r);
	*ret = rec;
	return true;
}

/*
 * Native frames are stored here, not by who walks the Python frames: what that keeps on the stack does not count for them then.
 * Kernels before 6.9 have no room for both.
 */
static __always_inline void end_record(struct target *t, struct rec_stack *rec, struct thread_stack *s)
{
	if (wants_native(s->r.status))
		store_native(t, rec, s);
	bpf_ringbuf_submit(rec, wake_when_full());
}

static __always_inline void begin_stack(const struct target *t, struct thread_stack *s)
{
	__u32 interp = t->interp;

	s->cgroup_id = current_cgroup_id();
	s->r.tstate = s->r.first = 0;
	s->collector = NO_COLLECTOR;
	s->out = NULL;
	begin_walk(t, s);
	s->r.status = STACK_NOT_PYTHON;
	s->w = interp != INTERP_NONE ? bpf_map_lookup_elem(&interpreters, &interp) : NULL;
}

static __always_inline void end_stack(struct thread_stack *s)
{
	s->r.id = last_step(&s->r);
	if (s->r.id < STACK_STATUS_MAX)
		s->r.id = STACK_STATUS_MAX;
	s->python_id = s->r.id;
}

/*
 * The walk that reads user memory in place (direct.bpf.h), from r->id on. The verifier checks it on its own, so what it is given holds no
 * pointers; and it is in one object only, because the linker of bpftool 7.1 takes a kernel function in one only. False: nothing is known, the
 * usual way tells why.
 */
extern int walk_in_place(struct target *t, struct walk_result *r);

/* Where physical address 0 is in the kernel's mapping of all memory; 0: not known. find_direct_map sets it. */
__u64 direct_map __weak = 0;

/* The kernel has bpf_rdonly_cast (6.2): before, what calls it must be dead code. Set before loading. */
const volatile bool casts_work __weak = false;

/* Whether to try: checks of code objects and the collector's mark are the usual walk's. */
static __always_inline bool walks_in_place(const struct target *t)
{
	return casts_work && direct_map && !checks(t) && !t->collecting_at;
}

static __always_inline void walk_usually(struct target *t, struct thread_stack *s)
{
	s->r.tstate = s->r.first = 0;
	s->r.status = first_frame(s->w, t, &s->r.tstate, &s->r.first);
	s->frame = s->r.first;
	if (t->collecting_at)
		s->collector = collector_frame(t);
	if (s->r.status == STACK_COMPLETE)
		walk_frames(s, false);
	else if (s->r.status == STACK_NO_FRAME && !s->collector)
		s->r.above_collector = 1;
}

static __always_inline void walk_stack(struct target *t, struct thread_stack *s)
{
	begin_stack(t, s);
	if (s->w && !(walks_in_place(t) && walk_in_place(t, &s->r)))
		walk_usually(t, s);
	end_stack(s);
}

/* User space is told of a stack that it has not seen. False: it could not be. */
static __noinline bool tell_stack(struct target *t, struct thread_stack *s)
{
	struct rec_stack *rec;
	bool begun, kept = true;
	__u8 one = 1;

	if (!t || !s)
		return false;
	if (bpf_map_lookup_elem(&stacks, &s->r.id))
		return true;
	if (!s->w || !s->r.depth) {
		begun = begin_record_empty(t, s, &rec);
	} else {
		kept = send_codes(s->w, t, s->r.first);
		begun = begin_record(t, s, &rec);
	}
	if (!kept)
		t->code_frees++;
	if (!begun) {
		counter_add(CTR_RING_FULL_STACK, 1);
		return false;
	}
	end_record(t, rec, s);
	bpf_map_update_elem(&stacks, &s->r.id, &one, BPF_ANY);
	return true;
}

/* The first time. */
static __noinline void walk_beneath(struct target *t, struct thread_stack *s)
{
	struct native_result r = {};

	if (!t || !s)
		return;
	walk_native(t, &r, NULL);
	s->r.id = add_native(s->python_id, &r);
}

/* Of two names, for the linker keeps one of a name. */
#if STACKS_ARE_NATIVE
#define stack_of_current full_stack_of_current
#else
#define stack_of_current python_stack_of_current
#endif

GLOBAL __u64 stack_of_current(struct target *t)
{
	struct thread_stack s;

	if (!t)
		return STACK_LOST;
	walk_stack(t, &s);
	if (s.r.status != STACK_COMPLETE)
		counter_add(CTR_STACK_STATUS + (s.r.status & 15), 1);
	if (wants_native(s.r.status))
		walk_beneath(t, &s);
	tell_stack(t, &s);
	return s.r.id;
}

#endif
