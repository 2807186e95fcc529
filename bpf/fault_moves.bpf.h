/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Memory that moves: pages that are followed go along when a process calls mremap, with which realloc grows large blocks; a part of
 * fault.bpf.c, whose `pages` it changes.
 *
 * That takes a microsecond a page, so where it is done often it is kept within the budget by following fewer (threshold
 * sampling): of a process that moves more than it may, a page that stands for less than the threshold is kept with the chance of
 * what it stands for by the threshold, and stands for that then. On average no line gains or loses by it, and memory that stands for much stays.
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
	struct target_state *s;
	struct move m;
	__u32 tgid;
	/* What is gone through now: */
	__u32 forgets;
	__u64 first, cnt;
	__u64 word_page; /* the first page of a word of `followed` */
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

/* What a page that is moved is to stand for, at least. */
static __always_inline __u32 threshold_of(struct target_state *s)
{
	if (++s->moved_cnt > s->move_limit_cnt && s->move_shift < MAX_MOVE_SHIFT) {
		s->move_limit_cnt += s->move_step_cnt;
		s->move_step_cnt *= 2;
		s->move_shift++;
	}
	return 1u << (s->move_shift & 15);
}

/* Whether it is to be followed further. What it stands for now its line is relieved of, or of less than nothing. */
static __always_inline bool is_kept(const struct target *t, struct page_value *v, __u32 least)
{
	__u32 pages = v->pages;

	if (pages >= least || !pages)
		return true;
	if (bpf_get_prandom_u32() % least >= pages) {
		take_back(t, v);
		return false;
	}
	count_free(v->stack_id, t->proc_id, v->kind | COUNT_REFAULT, 0, ((__u64)pages - least) * page_bytes);
	v->thinned = (v->thinned ? v->thinned : THINNED_ONE) * least / pages;
	v->pages = least;
	return true;
}

static __noinline void move_page(const struct mover *m, __u64 page)
{
	struct page_key from, to;
	struct page_value *p, was;

	if (!m || !m->t || !m->s)
		return;
	from = (struct page_key){ .page = page, .proc_id = m->t->proc_id };
	to = (struct page_key){ .page = page - m->m.from + m->m.to, .proc_id = m->t->proc_id };
	p = bpf_map_lookup_elem(&pages, &from);
	if (!p)
		return;
	was = *p;
	bpf_map_delete_elem(&pages, &from);
	if (!is_kept(m->t, &was, threshold_of(m->s)))
		return;
	if (bpf_map_update_elem(&pages, &to, &was, BPF_ANY))
		counter_add(CTR_PAGES_FULL, 1);
	else if (!was.frame)
		note_turn_page(&to, &was);
	mark_followed(m->tgid, to.page);
}

/* The pages of the nth bit of a word of `followed`. */
static long take_bit(__u32 n, void *arg)
{
	const struct mover *m = arg;
	__u64 page = m->word_page + 2 * n;
	__u32 i;

	if (!may_be_followed(m->tgid, page))
		return 0;
#pragma unroll
	for (i = 0; i < 2; i++, page++) {
		if (!is_within(page, m->first, m->cnt))
			continue;
		if (m->forgets)
			forget_page(m, page);
		else
			move_page(m, page);
	}
	return 0;
}

static long take_word(__u32 n, void *arg)
{
	struct mover *m = arg;

	m->word_page = ((m->first >> 7) + n) << 7;
	if (followed_near(m->tgid, m->word_page))
		bpf_loop(64, take_bit, m, 0);
	return 0;
}

#define MOST_MOVED_WORDS (1u << 17) /* 64 GiB */

static __always_inline void take_pages(struct mover *m, __u64 first, __u64 cnt, bool forgets)
{
	__u64 words = (cnt >> 7) + 2;

	m->first = first;
	m->cnt = cnt;
	m->forgets = forgets;
	if (cnt)
		bpf_loop(words < MOST_MOVED_WORDS ? words : MOST_MOVED_WORDS, take_word, m, 0);
}

/* The kernel moves nothing to where it was, not even in part (mm/mremap.c, EINVAL). */
static __noinline void move_followed(struct mover *m)
{
	if (!m || !m->s || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		return;
	take_pages(m, m->m.fresh, m->m.fresh_cnt, true);
	if (m->m.from == m->m.to)
		return;
	take_pages(m, m->m.from, m->m.cnt, false);
	if (is_within(m->s->page, m->m.from, m->m.cnt))
		m->s->page += m->m.to - m->m.from;
}

/* Behind the system call of mremap(old, old_bytes, new_bytes, ...) in the C library, whose registers are as it left them. */
SEC("uprobe")
int page_moved(struct pt_regs *ctx)
{
	__u64 from = PT_REGS_PARM1(ctx) / 4096, to = PT_REGS_RC(ctx) / 4096;
	__u64 was = PT_REGS_PARM2(ctx) / 4096, is = PT_REGS_PARM3(ctx) / 4096, cnt = was < is ? was : is;
	struct mover m = { .t = target_for(SIGNAL_RESIDENT), .tgid = bpf_get_current_pid_tgid() >> 32 };
	struct stopwatch w = stopwatch_start();

	m.s = bpf_map_lookup_elem(&states, &m.tgid);
	if (!m.t || !m.s)
		return 0;
	m.m = (struct move){ .from = from, .to = to, .cnt = cnt, .fresh = to, .fresh_cnt = is };
	if (from == to) {
		m.m.fresh = from + cnt;
		m.m.fresh_cnt = was + is - 2 * cnt;
	}
	if ((__s64)PT_REGS_RC(ctx) >= 0 && cnt)
		move_followed(&m);
	cost_add(m.s, COST_MOVE, &w);
	return 0;
}

#endif
