/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Native frames of the current thread, by the rules of include/native.h. Like the Python stack they are walked once to be hashed,
 * and again, into the record, only where user space has not seen the stack. The verifier looks at the walk once, on its own.
 *
 * Where a function's return is probed, the kernel has put the address of a trampoline in place of its return address; what it was
 * is in the list of those that are under way (kernel/events/uprobes.c, prepare_uretprobe), innermost first.
 *
 * x86-64, Linux 5.17 (bpf_loop; the user registers of a task are to be had since 5.15). Elsewhere there are no native frames.
 */
#ifndef BPF_NATIVE_H
#define BPF_NATIVE_H

#include "core.bpf.h"

#include "native.h"

/* Addresses of each process that are known, or asked about. User space writes, and takes out those of who has ended. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NATIVE_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct native_key);
	__type(value, struct native_rule);
} native_rules SEC(".maps") __weak;

struct native_result {
	__u64 hash; /* over the functions and the end */
	__u32 cnt;
	__u32 end; /* enum native_end */
};

/* A walk under way, at one frame. */
struct native_walk {
	__u64 at; /* key of the address */
	__u64 sp, bp; /* as they were in that frame; */
	__u64 bp_at; /* not 0: the base pointer is there */
	__u64 text_begin, text_bytes; /* the interpreter's */
	__u64 returns; /* innermost struct return_instance that was not passed yet; 0: none */
	struct native_result r;
	__u32 proc_id;
	__u32 asks; /* the rule is missing, and nobody has asked for it */
};

/* One that may store addresses. The walk itself has no pointers, for step_to_caller is GLOBAL. */
struct native_steps {
	struct native_walk k;
	struct rec_stack *rec; /* NULL: they are only hashed */
};

static __always_inline bool takes_native(void)
{
#if defined(__TARGET_ARCH_x86)
	return has_task_btf() && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop) &&
	       bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs);
#else
	return false;
#endif
}

#if defined(__TARGET_ARCH_x86)
static __always_inline bool begin_native(struct native_walk *k, const struct target *t)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	k->at = regs->ip;
	k->sp = regs->sp;
	k->bp = regs->bp;
	k->text_begin = t->text_begin;
	k->text_bytes = t->text_bytes;
	k->proc_id = t->proc_id;
	/* The interpreter itself, as most often; a kernel thread that serves the process; or nonsense. */
	if (k->at - k->text_begin < k->text_bytes || !k->at || k->at & NATIVE_IS_RETURN)
		return false;
	k->returns = 0;
	if (bpf_core_field_exists(task->utask) && task->utask)
		k->returns = (__u64)task->utask->return_instances;
	return true;
}
#else
static __always_inline bool begin_native(struct native_walk *k, const struct target *t)
{
	return false;
}
#endif

/* One function may have several probes on its return, and a frame that was passed may have had one. */
#define MAX_PASSED_RETURNS 3

/* What stood at `slot` before the kernel put its trampoline there. */
static __always_inline __u64 original_return(struct native_walk *k, __u64 slot, __u64 found)
{
	struct return_instance *ri;
	int i;

#pragma unroll
	for (i = 0; i < MAX_PASSED_RETURNS; i++) {
		__u64 stack;

		ri = (struct return_instance *)k->returns;
		if (!ri)
			return found;
		stack = BPF_CORE_READ(ri, stack);
		if (stack == slot)
			return BPF_CORE_READ(ri, orig_ret_vaddr);
		if (stack > slot)
			return found;
		k->returns = (__u64)BPF_CORE_READ(ri, next);
	}
	return found;
}

/* The base pointer in this frame; false: not readable. */
static __always_inline bool fetch_bp(struct native_walk *k)
{
	if (k->bp_at && !read_user(&k->bp, sizeof(k->bp), k->bp_at))
		return false;
	k->bp_at = 0;
	return true;
}

/* The caller's stack pointer, likewise. */
static __always_inline bool find_cfa(struct native_walk *k, const struct native_rule *rule, __u64 *ret)
{
	if (rule->from == NATIVE_FROM_SP) {
		*ret = k->sp + rule->cfa;
		return true;
	}
	if (!fetch_bp(k))
		return false;
	*ret = k->bp + rule->cfa;
	return rule->from != NATIVE_FROM_BP_MEMORY || read_user(ret, sizeof(*ret), *ret);
}

/* Where the caller's base pointer is: most callers do without, and then it is not read. */
static __always_inline bool find_bp(struct native_walk *k, const struct native_rule *rule, __u64 cfa)
{
	switch (rule->bp) {
	case NATIVE_BP_AT_CFA:
		k->bp_at = cfa + rule->bp_offset;
		return true;
	case NATIVE_BP_AT_BP:
		if (!fetch_bp(k))
			return false;
		k->bp_at = k->bp + rule->bp_offset;
		return true;
	case NATIVE_BP_LOST:
		k->bp = k->bp_at = 0;
		return true;
	}
	return true;
}

/* What stands right below the caller's frame: its return address; and, where functions have a frame pointer, that, too. */
#define FRAME_POINTER_AT (-16)

static __always_inline bool read_return(struct native_walk *k, const struct native_rule *rule, __u64 cfa, __u64 *ret)
{
	__u64 saved[2];

	if (rule->bp != NATIVE_BP_AT_CFA || rule->bp_offset != FRAME_POINTER_AT)
		return find_bp(k, rule, cfa) && read_user(ret, sizeof(*ret), cfa - 8);
	if (!read_user(saved, sizeof(saved), cfa + FRAME_POINTER_AT))
		return false;
	k->bp = saved[0];
	k->bp_at = 0;
	*ret = saved[1];
	return true;
}

/* False: there the stack is not as the rule says. */
GLOBAL int step_to_caller(struct native_walk *k, const struct native_rule *rule)
{
	__u64 cfa, found;

	if (!k || !rule)
		return false;
	/* Upwards, in words, and not farther than a frame is large: so a walk ends, whatever the registers hold. */
	if (!find_cfa(k, rule, &cfa) || cfa <= k->sp || cfa - k->sp > NATIVE_MAX_FRAME_BYTES || cfa & 7)
		return false;
	if (!read_return(k, rule, cfa, &found))
		return false;
	if (k->returns)
		found = original_return(k, cfa - 8, found);
	if (!found || found & NATIVE_IS_RETURN)
		return false;
	k->at = found | NATIVE_IS_RETURN;
	k->sp = cfa;
	return true;
}

static long native_step(__u32 i, void *arg)
{
	struct native_steps *s = arg;
	struct native_walk *k = &s->k;
	struct native_key key = { .at = k->at, .proc_id = k->proc_id };
	const struct native_rule *rule;

	if ((k->at & ~NATIVE_IS_RETURN) - k->text_begin < k->text_bytes) {
		k->r.end = NATIVE_END_PYTHON;
		return 1;
	}
	k->r.end = NATIVE_END_CUT;
	if (i >= MAX_NATIVE_FRAMES)
		return 1;
	if (s->rec)
		s->rec->native[i] = k->at;
	k->r.cnt = i + 1;
	rule = bpf_map_lookup_elem(&native_rules, &key);
	k->r.hash = PY_HASH_STEP(k->r.hash, rule ? rule->function : k->at);
	if (!rule) {
		k->r.end = NATIVE_END_ASKED;
		k->asks = true;
		return 1;
	}
	k->r.end = rule->end;
	if (rule->from == NATIVE_NO_CALLER)
		return 1;
	k->r.end = NATIVE_END_BAD;
	return !step_to_caller(k, rule);
}

/* Once for each address. User space is woken: until it has answered, callers are not known. */
static __noinline void ask_native(struct target *t, struct native_walk *k)
{
	struct native_key key = {};
	struct native_rule asked = { .end = NATIVE_END_ASKED };
	struct rec_native *rec;

	if (!t || !k)
		return;
	key.at = k->at;
	key.proc_id = k->proc_id;
	asked.function = k->at;
	if (!fetch_bp(k))
		k->bp = 0;
	if (t->native_asked++ >= MAX_NATIVE_RULES_PROCESS || bpf_map_update_elem(&native_rules, &key, &asked, BPF_NOEXIST)) {
		counter_add(CTR_NATIVE_RULES_FULL, 1);
		return;
	}
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		bpf_map_delete_elem(&native_rules, &key);
		return;
	}
	rec->hdr.kind = REC_NATIVE;
	rec->hdr.len = sizeof(*rec);
	rec->hdr.tgid = bpf_get_current_pid_tgid() >> 32;
	rec->hdr.time_ns = bpf_ktime_get_ns();
	rec->at = k->at;
	rec->sp = k->sp;
	rec->bp = k->bp;
	rec->proc_id = k->proc_id;
	rec->pad = 0;
	rec->got = read_some(rec->stack, NATIVE_STACK_BYTES, k->sp);
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}

/* *ret: all zero, and it remains so where the leaf is the interpreter's. rec: as in struct native_steps; then nothing is asked. */
GLOBAL int walk_native(struct target *t, struct native_result *ret, struct rec_stack *rec)
{
	struct native_steps s = { .rec = rec };
	struct native_walk *k = &s.k;

	/* Asked here, too: a function of its own is verified also where nobody calls it. */
	if (!takes_native() || !t || !ret || !begin_native(k, t))
		return 0;
	bpf_loop(MAX_NATIVE_FRAMES + 1, native_step, &s, 0);
	k->r.hash = PY_HASH_STEP(k->r.hash, k->r.end);
	if (k->asks && !rec)
		ask_native(t, k);
	*ret = k->r;
	return 0;
}

#endif
