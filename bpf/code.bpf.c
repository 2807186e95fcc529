// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Code objects being freed: code_dealloc, Objects/codeobject.c, which PyCode_Type.tp_dealloc points to in every version. It
 * is seldom called, and keeps every stack right: see stack.bpf.h.
 */
#include "core.bpf.h"

/*
 * Only an object that user space knows matters. Its stacks get other ids from now on, and another object at its address
 * will be sent. Processes that share their code objects since a fork part here: the others still have this one.
 */
static __noinline int code_freed(__u64 code, __u32 attach_id)
{
	struct target *t = target_at(SIGNAL_CODE, attach_id);
	struct code_id id = { .code = code };
	struct stopwatch w;

	if (!t)
		return 0;
	w = stopwatch_start();
	id.family = t->family;
	if (!bpf_map_delete_elem(&codes, &id)) {
		t->code_frees++;
		if (t->shares_family) {
			t->shares_family = 0;
			t->family = PY_HASH_STEP((__u64)t->proc_id, t->code_frees) >> 32;
		}
	}
	cost_of_current(COST_CODE, &w);
	return 0;
}

/* With uprobe_multi, whose cookie tells the attachment. With perf events nobody sets attach_id, and the check is used. */
SEC("uprobe")
int code_free_site(struct pt_regs *ctx)
{
	union site_cookie c = { .raw = bpf_get_attach_cookie(ctx) };

	return code_freed(PT_REGS_PARM1(ctx), c.attach_id);
}
