/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * User memory of the current process read in place, through the kernel's own mapping of all memory: a word costs 3 ns, a
 * new page 12, where a call of bpf_probe_read_user costs 80 on a hardened kernel whatever its size. Walks of stacks are tried
 * so first, but where code objects are checked or a collection runs (stack.bpf.h, walks_in_place): of the 1.15 us that a page
 * fault that is looked at took this saves 0.25. x86-64 only, and only where user space has found that mapping and seen that
 * reading through it works (user/capture/session_direct.c); everybody else, and any page that is not plainly there, goes the
 * usual way.
 *
 * What makes it safe: loads through bpf_rdonly_cast (6.2) that meet no memory give 0, and fault nobody. Page tables are
 * freed only after a grace period (CONFIG_MMU_GATHER_RCU_TABLE_FREE), and these programs run inside one. Only entries that
 * are present and open to user space are followed, so no address from a process leads to the kernel's memory. A page may
 * be moved while we read (migration, huge pages): after use of a page its entries are looked at again, and where they have
 * changed nothing that was read is believed. Arch: Intel SDM 3A 4.5; arch/x86/include/asm/pgtable_types.h.
 */
#ifndef BPF_DIRECT_H
#define BPF_DIRECT_H

#include "stack.bpf.h"

#include "direct.h"

__u32 page_table_levels __weak = 4; /* find_direct_map sets it */

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

#define ENTRY_OPEN 5 /* present, user */
#define ENTRY_LARGE 0x80 /* no table but a page of 2 MiB */
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define LARGE_PAGE_ADDRESS 0x000fffffffe00000ull
/* What must not change while a page is in use; the processor sets the other bits (accessed, dirty). */
#define ENTRY_MEANING (ENTRY_ADDRESS | ENTRY_LARGE | ENTRY_OPEN)

/* A page of the process in use. */
struct page_view {
	__u64 page; /* user address; NO_PAGE: none */
	__u64 offset; /* from user addresses to those of the kernel's mapping */
	/* The last two entries on the way to it; for a large page the same one twice. */
	__u64 table_at, table;
	__u64 entry_at, entry;
	__u64 changed; /* a page that was used is no longer where it was */
};
#define NO_PAGE 1

/* Words of the kernel's memory. The cast needs a struct: this one is at least 18 plain words on each architecture. */
static __always_inline const __u64 *kernel_words(__u64 at)
{
	return bpf_rdonly_cast((const void *)at, bpf_core_type_id_kernel(struct pt_regs));
}

static __always_inline __u64 kernel_word(__u64 at)
{
	return casts_work ? kernel_words(at)[0] : 0;
}

/* Top of the current process's page tables, as a number: the verifier lets nobody calculate with a pointer. */
static __always_inline __u64 page_tables(void)
{
	return kernel_word((__u64)&bpf_get_current_task_btf()->mm->pgd);
}

static __always_inline void begin_view(struct page_view *v)
{
	v->page = NO_PAGE;
	v->changed = 0;
}

/* Done with the page. */
static __always_inline void leave_page(struct page_view *v)
{
	if (v->page == NO_PAGE)
		return;
	v->changed |= (kernel_word(v->table_at) ^ v->table) & ENTRY_MEANING;
	v->changed |= (kernel_word(v->entry_at) ^ v->entry) & ENTRY_MEANING;
	v->page = NO_PAGE;
}

/* Whether all that was read through the view was so. */
static __always_inline bool end_view(struct page_view *v)
{
	leave_page(v);
	return !v->changed;
}

/* The table that an entry leads to; 0: none. */
static __always_inline __u64 table_of(__u64 entry)
{
	return (entry & (ENTRY_OPEN | ENTRY_LARGE)) == ENTRY_OPEN ? direct_map + (entry & ENTRY_ADDRESS) : 0;
}

/*
 * All four entries are loaded, from the top on, each from the table that the one above it led to when last gone that way (struct
 * walk_hint), and must be as they were then, or the way is gone anew. So what is found is what the tables say now, whoever wrote
 * to the hint and whatever. But the loads need not wait for one another, nor what is read of the page for them: of a walk's time
 * that is the most, where the kernel's own pages are not in the TLB.
 */
struct walk_hint walk_hints[WALK_HINTS] __weak = {};

static __always_inline __u64 entry_in(__u64 table, __u64 at)
{
	return table ? kernel_word(at) : 0;
}

/* The table of the fourth level; 0: none. */
static __always_inline __u64 fourth_level(__u64 addr)
{
	__u64 top = page_tables();

	return page_table_levels == 5 ? table_of(entry_in(top, top + (addr >> 48 & 511) * 8)) : top;
}

/*
 * Goes down by the hint, or anew, making one. Not 0: by the hint it was not the way. Entries are kept in the view at once, for
 * there is no room on the stack (stack.bpf.h, FRAME_WORDS).
 */
static __always_inline __u64 go_down(struct page_view *v, volatile struct walk_hint *h, __u64 table, __u64 addr, bool anew)
{
	__u64 differs = 0, entry, found, at;
	int i;

#pragma unroll
	for (i = 0; i < 4; i++) {
		barrier_var(addr); /* or all that is made of it is made, and kept, beforehand */
		at = table + (addr >> (39 - 9 * i) & 511) * 8;
		found = entry_in(table, at);
		if (anew)
			h->entry[i] = found;
		entry = anew ? found : h->entry[i]; /* once: another processor may write there */
		differs |= found ^ entry;
		barrier_var(differs);
		if (i == 2) {
			v->table_at = at;
			v->table = entry;
		}
		table = table_of(entry);
	}
	v->entry_at = at;
	v->entry = entry;
	return differs;
}

/* Takes another page into use. False: not plainly there. */
GLOBAL int enter_page(struct page_view *v, __u64 addr)
{
	struct walk_hint *h;
	__u64 top;

	if (!v)
		return false;
	leave_page(v);
	if (addr >> (page_table_levels == 5 ? 56 : 47))
		return false;
	top = fourth_level(addr);
	h = &walk_hints[(addr >> 12 ^ addr >> 21 ^ top >> 12) & (WALK_HINTS - 1)];
	if (go_down(v, h, top, addr, false))
		go_down(v, h, fourth_level(addr), addr, true);
	if ((v->table & ENTRY_OPEN) != ENTRY_OPEN)
		return false;
	if (v->table & ENTRY_LARGE) {
		v->entry_at = v->table_at;
		v->entry = v->table;
		v->offset = direct_map + (v->table & LARGE_PAGE_ADDRESS) - (addr & ~0x1fffffull);
	} else {
		if ((v->entry & ENTRY_OPEN) != ENTRY_OPEN)
			return false;
		v->offset = direct_map + (v->entry & ENTRY_ADDRESS) - (addr & ~4095ull);
	}
	v->page = addr & ~4095ull;
	return true;
}

/* An aligned word. False: to be read the usual way. */
static __always_inline bool view_word(struct page_view *v, __u64 addr, __u64 *ret)
{
	if (addr & 7 || ((addr & ~4095ull) != v->page && !enter_page(v, addr)))
		return false;
	*ret = kernel_word(addr + v->offset);
	return true;
}

/* ---- the walk of stack.bpf.h, through a view ---- */

/* No pointers in it, for the functions that take it are checked by the verifier on their own. */
struct direct_walk {
	__u64 frame;
	__u64 id;
	__u32 depth;
	__u32 shape; /* enum py_frame_shape */
	__u32 skip_owner; /* shims' owners are not below */
	__u32 tag_mask;
	__u32 interp;
	__u32 failed;
	struct page_view v;
};

static __always_inline __u64 bits_at(__u64 word, __u64 addr)
{
	return word >> (addr & 7) * 8;
}

static __always_inline void hash_direct(struct direct_walk *k, __u64 code, __u64 instr)
{
	__u64 id = PY_HASH_STEP(k->id, code);

	k->id = PY_HASH_STEP(id, instr);
	k->depth++;
}

/* Field by field. False: not to be read. What is known is put into the walk at once, for there is no room on the stack (FRAME_WORDS). */
static __always_inline bool direct_fields(struct direct_walk *k, const struct py_walk *w, __u64 at)
{
	__u64 word;
	bool shim;

	if (w->skip_owner && !view_word(&k->v, (at + w->frame_owner) & ~7ull, &word))
		return false;
	shim = w->skip_owner && (__u8)bits_at(word, at + w->frame_owner) >= w->skip_owner;
	if (!view_word(&k->v, at + w->frame_previous, &word))
		return false;
	k->frame = word;
	if (!view_word(&k->v, at + w->frame_code, &word))
		return false;
	word &= ~(__u64)k->tag_mask;
	if (shim || !word)
		return true;
	k->id = PY_HASH_STEP(k->id, word);
	if (!view_word(&k->v, (at + w->frame_instr) & ~7ull, &word))
		return false;
	if (w->frame_kind == PY_FRAME_OBJECT)
		word = (__u64)(__s64)(__s32)bits_at(word, at + w->frame_instr);
	k->id = PY_HASH_STEP(k->id, word);
	k->depth++;
	return true;
}

/* One frame. True: the walk ends here. */
GLOBAL int direct_step(struct direct_walk *k)
{
	const struct py_walk *w;
	__u32 slot;

	if (!k)
		return true;
	slot = k->interp;
	w = bpf_map_lookup_elem(&interpreters, &slot);
	if (w && direct_fields(k, w, k->frame))
		return false;
	k->failed = true;
	return true;
}

/* The same where the frame's shape is known and all that is read of it lies in the page in use. */
static __always_inline void direct_step_in_page(struct direct_walk *k)
{
	__u64 code, instr, owner = 0;
	const __u64 *word;

	if (!casts_work)
		return;
	word = kernel_words(k->frame + k->v.offset);
	instr = word[7];
	if (k->shape == PY_SHAPE_311) {
		code = word[4];
		k->frame = word[6];
	} else {
		code = word[0];
		k->frame = word[1];
		owner = k->shape == PY_SHAPE_312 ? word[8] >> 48 & 0xff : word[9] >> 16 & 0xff;
	}
	code &= ~(__u64)k->tag_mask;
	if (code && owner < k->skip_owner)
		hash_direct(k, code, instr);
}

#define STEPS_A_CALL 8

/* Some frames. True: the walk ends here. */
GLOBAL int direct_steps(struct direct_walk *k)
{
	int i;

	if (!k)
		return true;
	for (i = 0; i < STEPS_A_CALL; i++) {
		__u64 in_page = k->frame - k->v.page;

		if (!k->frame || k->depth >= MAX_FRAMES)
			return true;
		if (k->shape != PY_SHAPE_ANY && in_page <= 4096 - FRAME_WORDS * 8 && !(in_page & 7))
			direct_step_in_page(k);
		else if (direct_step(k))
			return true;
	}
	return false;
}

/* As tls_slot and tss_slot; 0: to be found the usual way. */
static __always_inline __u64 direct_slot(const struct py_walk *w, const struct target *t, struct page_view *v)
{
	bool musl = w->libc == PY_LIBC_MUSL;
	__u64 tp = thread_pointer(), at;

	if (w->tls_module) {
		if (w->tls_module > GLIBC_TLS_SURPLUS || !view_word(v, tp + TLS_VECTOR, &at) ||
		    !view_word(v, at + (__u64)w->tls_module * tls_entry_bytes(w), &at) || !at || !~at)
			return 0;
		return at + w->tstate_tls;
	}
	if (w->tstate_tls)
		return tp + w->tstate_tls;
	if (t->tss_key < 0 || t->tss_key >= GLIBC_TSD_BLOCK_KEYS)
		return 0;
	if (!musl)
		return tp + GLIBC_TSD + t->tss_key * 16 + 8;
	return view_word(v, tp + w->musl_specific, &at) && at ? at + t->tss_key * 8 : 0;
}

/* The current thread's state and first frame. False: to be found the usual way. */
static __always_inline bool direct_first(const struct py_walk *w, const struct target *t, struct page_view *v,
					 struct walk_result *r)
{
	__u64 slot = direct_slot(w, t, v);

	if (!slot)
		return false;
	if (!view_word(v, slot, &r->tstate) || !r->tstate || !view_word(v, r->tstate + w->tstate_frame, &r->first) ||
	    !r->first)
		return false;
	return w->frame_kind != PY_FRAME_CFRAME || (view_word(v, r->first + w->cframe_current, &r->first) && r->first);
}

/* See stack.bpf.h. */
GLOBAL int walk_in_place(struct target *t, struct walk_result *r)
{
	struct direct_walk k = {};
	const struct py_walk *w;
	int i;

	if (!t || !r)
		return false;
	k.interp = t->interp;
	w = bpf_map_lookup_elem(&interpreters, &k.interp);
	if (!w)
		return false;
	begin_view(&k.v);
	if (!direct_first(w, t, &k.v, r))
		return false;
	k.id = r->id;
	k.frame = r->first;
	k.shape = w->frame_shape;
	k.skip_owner = w->skip_owner ? w->skip_owner : ~0u;
	k.tag_mask = w->code_tag_mask;
	/* No bpf_loop: its callback would be one more function on the stack. */
	for (i = 0; i < MAX_STEPS / STEPS_A_CALL && !direct_steps(&k); i++)
		;
	if (k.failed || !end_view(&k.v))
		return false;
	r->id = k.id;
	r->depth = k.depth;
	r->status = k.frame ? STACK_CUT : STACK_COMPLETE;
	return true;
}

#endif
