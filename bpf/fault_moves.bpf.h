/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Memory that moves: pages that are followed go along when a process calls mremap, with which realloc grows large blocks; a part of
 * fault.bpf.c, whose `pages` it changes.
 */
#ifndef BPF_FAULT_MOVES_H
#define BPF_FAULT_MOVES_H

struct move {
	__u64 from, to; /* pages */
	__u64 cnt;
	__u64 fresh, fresh_cnt; /* pages at the new place that are none of the old one's */
};

struct mover {
	const struct target *t;
	struct move m;
	__u32 tgid;
};

static __always_inline bool is_within(__u64 page, __u64 from, __u64 cnt)
{
	return page >= from && page < from + cnt;
}

/* What was followed where there was nothing, as mremap saw it, had been given back. */
static __noinline void forget_page(const struct mover *m, __u64 page)
{
	struct page_key key;

	if (!m || !m->t)
		return;
	key = (struct page_key){ .page = page, .proc_id = m->t->proc_id };
	drop_page(m->t, &key);
}

/* The pages of the nth bit of `followed`. */
static long forget_pages_of_bit(__u32 n, void *arg)
{
	const struct mover *m = arg;
	__u64 page = ((m->m.fresh >> 1) + n) << 1;

	if (!may_be_followed(m->tgid, page))
		return 0;
	if (is_within(page, m->m.fresh, m->m.fresh_cnt))
		forget_page(m, page);
	if (is_within(page + 1, m->m.fresh, m->m.fresh_cnt))
		forget_page(m, page + 1);
	return 0;
}

static __noinline void move_page(const struct mover *m, __u64 page)
{
	struct page_key from, to;
	struct page_value *p, was;

	if (!m || !m->t)
		return;
	from = (struct page_key){ .page = page, .proc_id = m->t->proc_id };
	to = (struct page_key){ .page = page - m->m.from + m->m.to, .proc_id = m->t->proc_id };
	p = bpf_map_lookup_elem(&pages, &from);
	if (!p)
		return;
	was = *p;
	bpf_map_delete_elem(&pages, &from);
	if (bpf_map_update_elem(&pages, &to, &was, BPF_ANY))
		counter_add(CTR_PAGES_FULL, 1);
	else if (!was.frame)
		note_turn_page(&to, &was);
	mark_followed(m->tgid, to.page);
}

/* As above. The kernel moves nothing to where it was, not even in part (mm/mremap.c, EINVAL). */
static long move_pages_of_bit(__u32 n, void *arg)
{
	const struct mover *m = arg;
	__u64 page = ((m->m.from >> 1) + n) << 1;

	if (!may_be_followed(m->tgid, page))
		return 0;
	if (is_within(page, m->m.from, m->m.cnt))
		move_page(m, page);
	if (is_within(page + 1, m->m.from, m->m.cnt))
		move_page(m, page + 1);
	return 0;
}

#define MOST_MOVED_BITS (1u << 22) /* 32 GiB */

static __always_inline __u32 bits_for(__u64 cnt)
{
	return cnt / 2 + 1 < MOST_MOVED_BITS ? cnt / 2 + 1 : MOST_MOVED_BITS;
}

static __noinline void move_followed(struct mover *m, struct target_state *s)
{
	if (!m || !s || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		return;
	if (m->m.fresh_cnt)
		bpf_loop(bits_for(m->m.fresh_cnt), forget_pages_of_bit, m, 0);
	if (m->m.from == m->m.to)
		return;
	bpf_loop(bits_for(m->m.cnt), move_pages_of_bit, m, 0);
	if (is_within(s->page, m->m.from, m->m.cnt))
		s->page += m->m.to - m->m.from;
}

/* Behind the system call of mremap(old, old_bytes, new_bytes, ...) in the C library, whose registers are as it left them. */
SEC("uprobe")
int page_moved(struct pt_regs *ctx)
{
	__u64 from = PT_REGS_PARM1(ctx) / 4096, to = PT_REGS_RC(ctx) / 4096;
	__u64 was = PT_REGS_PARM2(ctx) / 4096, is = PT_REGS_PARM3(ctx) / 4096, cnt = was < is ? was : is;
	struct mover m = { .t = target_for(SIGNAL_RESIDENT), .tgid = bpf_get_current_pid_tgid() >> 32 };
	struct target_state *s = bpf_map_lookup_elem(&states, &m.tgid);
	struct stopwatch w = stopwatch_start();

	if (!m.t || !s)
		return 0;
	m.m = (struct move){ .from = from, .to = to, .cnt = cnt, .fresh = to, .fresh_cnt = is };
	if (from == to) {
		m.m.fresh = from + cnt;
		m.m.fresh_cnt = was + is - 2 * cnt;
	}
	if ((__s64)PT_REGS_RC(ctx) >= 0 && cnt)
		move_followed(&m, s);
	cost_add(s, COST_MOVE, &w);
	return 0;
}

#endif
