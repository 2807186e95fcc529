// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal resident: which stacks make the resident set grow.
 *
 * One of the hooks at the end of this file runs at the entry of each page fault; user space loads the best that the
 * kernel has. At entry it is not known what the fault will bring (one page, a huge page, sixteen file pages, nothing),
 * so the process's own resident-set counters tell at its thread's next fault: what they gained is charged to the last fault's
 * stack, what they lost is counted as given back. The sum of both is the growth of the resident set, whatever the size
 * of pages. Where faults are thinned out, one that is looked at stands for as many as its chance was small (charge_last), and
 * what is gained until the next such one is no line's. Two threads of a process that fault at the same moment may be charged each
 * other's page.
 *
 * Who still holds a page: each charged fault is remembered by its page number in `pages`. A second fault on the same
 * page means that it had been given back; the rest user space finds by looking into pagemap.
 *
 * What it may cost: where a process faults much, few of its faults are looked at (struct stratum); how few, user space sets
 * once a second (fault_shift in struct target_state), and gives a limit to what may be spent until then; a process that comes to
 * its limit earlier is thinned out here and now, so that no burst, and no slow tracer, lets the cost run away.
 */
#include "rss.bpf.h"
#define STACKS_ARE_NATIVE 1
#include "stack.bpf.h"

#define FAULT_WRITE 1 /* FAULT_FLAG_WRITE, include/linux/mm_types.h */
#define PF_WRITE 2 /* X86_PF_WRITE, the processor's error code */

/* In the order of struct target_state.rss_pages. */
static const __u32 kind_of[RSS_KINDS] = { KIND_RESIDENT_ANON, KIND_RESIDENT_FILE, KIND_RESIDENT_SHMEM };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PAGES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct page_key);
	__type(value, struct page_value);
} pages SEC(".maps");

/*
 * Set by user space, which may take the hook away for a share of the time: how often it was put back, and for how many faults
 * one that is looked at in this turn stands because of that, in 1 / WEIGHT_ONE and as in struct page_value.
 */
__u32 hook_turn = 0;
__u32 hook_weight = 0; /* 0: it stands for itself */
__u32 hook_watch = 0;

#include "fault_choice.bpf.h"

static __always_inline void take_back(const struct target *t, const struct page_value *p)
{
	count_free(p->stack_id, t->proc_id, p->kind | COUNT_REFAULT, 1, (__u64)p->pages * page_bytes);
}

/* What is followed there has been given back. */
static __always_inline void drop_page(const struct target *t, const struct page_key *key)
{
	const struct page_value *p = bpf_map_lookup_elem(&pages, key);

	if (!p)
		return;
	take_back(t, p);
	bpf_map_delete_elem(&pages, key);
}

struct neighbours {
	const struct target *t;
	struct page_key key;
	__u64 own; /* the faulting page */
};

static long take_back_neighbour(__u32 i, void *arg)
{
	struct neighbours *n = arg;

	if (n->key.page != n->own)
		drop_page(n->t, &n->key);
	n->key.page++;
	return 0;
}

/* A huge page, or file pages around the fault: those that were followed there had been given back. 5.17. */
static __noinline void take_back_around(const struct target *t, const struct page_key *key, __u32 gained)
{
	__u32 window = gained > 16 ? 512 : 16;
	struct neighbours n = { .t = t, .key = *key, .own = key->page };

	if (!t || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		return;
	n.key.page &= ~(__u64)(window - 1);
	bpf_loop(window, take_back_neighbour, &n, 0);
}

/*
 * Pages followed since the hook was put back. User space looks at them as soon as it takes the hook away: what happens to them
 * from then on nobody sees, and by their page frames it can tell.
 */
struct turn_page turn_pages[TURN_PAGES];
__u32 turn_page_cnt = 0;

static __always_inline void note_turn_page(const struct page_key *key, const struct page_value *v)
{
	__u32 i;

	if (turn_page_cnt >= TURN_PAGES)
		return;
	i = __sync_fetch_and_add(&turn_page_cnt, 1);
	if (i >= TURN_PAGES)
		return;
	turn_pages[i].key = *key;
	turn_pages[i].value = *v;
}

/*
 * Remembers who brought a page in. One that is remembered already had been given back, or it could not fault again. gained: by this
 * fault alone; 1 where that is not known. Most are new, which `followed` tells for less than a lookup.
 */
static __always_inline void follow_page(const struct target *t, const struct target_state *s, const struct page_value *v,
					__u32 gained)
{
	const struct page_key key = { .page = s->page, .proc_id = t->proc_id };
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct page_value *p = may_be_followed(tgid, s->page) ? bpf_map_lookup_elem(&pages, &key) : NULL;

	if (gained > 1)
		take_back_around(t, &key, gained);
	note_turn_page(&key, v);
	mark_followed(tgid, s->page);
	if (!p) {
		if (!bpf_map_update_elem(&pages, &key, v, BPF_NOEXIST))
			return;
		p = bpf_map_lookup_elem(&pages, &key);
	}
	if (p) {
		take_back(t, p);
		*p = *v;
	} else {
		counter_add(CTR_PAGES_FULL, 1);
	}
}

/* What the resident set did since the last fault that was looked at, in pages. */
struct gains {
	__s64 of[RSS_KINDS];
	__s64 sum; /* of those that gained */
	__u32 most; /* the kind that gained most, else the one that lost most */
};

static __always_inline void find_gains(struct target_state *s, const struct rss *rss, struct gains *g)
{
	__s64 most = 0, least = 0;
	__u32 i, gainer = 0, loser = 0;

	g->sum = 0;
	for (i = 0; i < RSS_KINDS; i++) {
		__s64 gained = rss->of[i] - s->rss_pages[i];

		g->of[i] = gained;
		/* Added, not set: of two threads that race here one will see the other's gain as its own loss. */
		if (gained)
			__sync_fetch_and_add(&s->rss_pages[i], gained);
		if (gained > 0)
			g->sum += gained;
		if (gained > most) {
			most = gained;
			gainer = i;
		}
		if (gained < least) {
			least = gained;
			loser = i;
		}
	}
	g->most = most ? gainer : loser;
}

/* Writes in a sum as struct target_state has it. */
static __always_inline __u32 writes_since(__u64 now, __u64 then)
{
	return (__u32)(now >> 32) - (__u32)(then >> 32);
}

/* For how many bytes one that was seen stands. */
static __always_inline __u64 weight_of(const struct target_state *s)
{
	if (hook_weight <= WEIGHT_ONE)
		return WEIGHT_ONE;
	return s->rarer ? (__u64)hook_weight * s->rarer / WEIGHT_ONE : hook_weight;
}

static __always_inline void describe_sample(struct page_value *v, const struct target_state *s, __u64 weight)
{
	__u64 drawn_by = weight > WEIGHT_ONE ? hook_turn : s->page;

	v->stack_id = s->stack_id;
	v->shift = s->look_shift;
	v->stratum = s->look_stratum;
	v->watch = weight > WEIGHT_ONE ? hook_watch : 0;
	v->group = PY_HASH_STEP(0, drawn_by) >> 32;
}

/* Who is charged with what the resident set did since the last look, and as how many that look stands. */
struct charge {
	__u64 stack_id;
	__u64 times; /* in 1 / WEIGHT_ONE */
	__u64 faults; /* since then, that one included */
	__u64 weight; /* of the time that the hook is on */
	__u32 gained; /* pages of the kind that gained most */
};

static __always_inline void find_charge(const struct target_state *s, __u64 skipped, struct charge *c)
{
	c->stack_id = STACK_GIVEN_BACK;
	c->faults = 1;
	c->times = c->weight = WEIGHT_ONE;
	c->gained = 0;
	if (s->stack_id && s->stack_id < STACK_STATUS_MAX && !s->page) {
		c->stack_id = s->stack_id;
	} else if (s->hook_turn == hook_turn && s->stack_id) {
		c->stack_id = s->stack_id;
		c->faults += (__u32)skipped - (__u32)s->skipped_then;
		c->weight = weight_of(s);
		c->times = c->weight << (s->look_shift & 15);
	}
}

/* As count_alloc and count_free, but verified once. */
GLOBAL int add_gain(__u64 stack_id, __u32 proc_id, __u32 kind, __u64 cnt, __u64 bytes)
{
	count_alloc(stack_id, proc_id, kind, cnt, bytes);
	return 0;
}

GLOBAL int add_loss(__u64 stack_id, __u32 proc_id, __u32 kind, __u64 cnt, __u64 bytes)
{
	count_free(stack_id, proc_id, kind, cnt, bytes);
	return 0;
}

/* n / by, up or down by chance, so that on average nothing is lost: most faults bring one page, and stand for one and a half. */
static __always_inline __u64 divide(__u64 n, __u64 by)
{
	return by ? (n + bpf_get_prandom_u32() % by) / by : 0;
}

/*
 * A function of its own, because its stack must not count for the walk.
 *
 * Each write brings a page in, even when nothing was gained: a page shared since a fork was copied, or as much and more was
 * given back since. So of a loop that fills memory and unmaps it, both are counted in full, also where only a few of its
 * faults are looked at.
 *
 * One that is looked at stands for as many as its chance was small (a Horvitz-Thompson estimate), each with as much as it brought
 * in, and those on average that other threads started until its own thread's next. What the estimate has too much is taken from what is
 * no line's, so that the sum stays right. While the hook was off, nobody knows who brought in what: it is no line's. Turns come at random moments
 * (capture/hook_turns.h): on average nothing is left there.
 */
GLOBAL int charge_last(struct target *t, struct target_state *s, const struct rss *rss)
{
	struct page_value value = {};
	__s64 unseen = 0;
	struct charge c;
	struct gains g;
	__u64 skipped;
	__u32 i;

	if (!t || !s || !rss)
		return 0;
	skipped = s->skipped;
	find_gains(s, rss, &g);
	find_charge(s, skipped, &c);
	if (s->page && c.stack_id != STACK_GIVEN_BACK)
		__sync_fetch_and_add(&s->stood_for, c.times);
	if (c.stack_id >= STACK_STATUS_MAX || s->page)
		unseen = s->write + writes_since(skipped, s->skipped_then) - g.sum;
	if (unseen < 0 || c.stack_id == STACK_GIVEN_BACK)
		unseen = 0;
	s->skipped_then = skipped;
	/* 6.1 refuses a loop into whose head the compiler falls, with no jump, from the loop's end. */
#pragma unroll
	for (i = 0; i < RSS_KINDS; i++) {
		__s64 came = g.of[i] > 0 ? g.of[i] : 0, of_none = came - g.of[i], stands_for;

		if (i == g.most) {
			came += unseen;
			of_none += unseen;
		}
		stands_for = came ? divide((__u64)came * c.times, c.faults * WEIGHT_ONE) : 0;
		of_none += stands_for - came;
		if (i == g.most) {
			c.gained = came;
			value.pages = stands_for;
			value.kind = kind_of[i];
		}
		if (stands_for)
			add_gain(c.stack_id, t->proc_id, kind_of[i], i == g.most ? divide(c.times, WEIGHT_ONE) : 0,
				 (__u64)stands_for * page_bytes);
		if (of_none > 0)
			add_loss(STACK_GIVEN_BACK, t->proc_id, kind_of[i], 1, (__u64)of_none * page_bytes);
		else if (of_none < 0)
			add_gain(STACK_GIVEN_BACK, t->proc_id, kind_of[i], 0, (__u64)-of_none * page_bytes);
	}
	if (!value.pages || c.stack_id == STACK_GIVEN_BACK || !s->page)
		return 0;
	describe_sample(&value, s, c.weight);
	follow_page(t, s, &value, c.faults > 1 ? 1 : c.gained);
	return 0;
}

/*
 * Our own reads of user memory fault with faults disabled, and bring nothing in. The field is read in place, because
 * bpf_probe_read_kernel disables faults itself and so would always find them disabled. Before 5.11 there is no way to.
 */
static __always_inline bool faults_disabled(void)
{
	return has_task_btf() && bpf_get_current_task_btf()->pagefault_disabled;
}

static __always_inline void look_at_fault(struct target *t, struct target_state *s, __u64 page, __u32 choice, __u32 write)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct rss rss;
	__u64 stack_id;

	if (read_rss(current_task(), &rss))
		return;
	stack_id = stack_of_current(t);
	charge_last(t, s, &rss);
	s->stack_id = stack_id;
	s->page = page;
	s->look_shift = CHOICE_SHIFT(choice);
	s->look_stratum = CHOICE_STRATUM(choice);
	s->write = write;
	s->hook_turn = hook_turn;
	set_looker(s, pid_tgid >> 32, pid_tgid);
}

/* What was spent since user space looked is more than it allowed: half as much from now on. */
static __always_inline void keep_limit(struct target_state *s)
{
	__u64 spent = s->cost[COST_FAULT].ns;

	if (spent < s->fault_limit_ns || s->fault_shift >= MAX_FAULT_SHIFT)
		return;
	s->fault_limit_ns = spent + s->fault_step_ns;
	set_fault_shift(s, bpf_get_current_pid_tgid() >> 32, s->fault_shift + 1, s->newborn);
}

/* It came again, and is not looked at: whoever is followed there has given it back. */
static __noinline void notice_fault(__u64 page)
{
	struct target *t = target_for(SIGNAL_RESIDENT);
	struct page_key key = { .page = page };

	if (!t || faults_disabled())
		return;
	key.proc_id = t->proc_id;
	drop_page(t, &key);
}

/* What was passed over since the last look. */
static __always_inline void take_skipped(struct target_state *s, __u32 tgid)
{
	__u64 more = skipped_in_slot(s, tgid);

	if (!more)
		return;
	__sync_fetch_and_add(&s->skipped, more);
	__sync_fetch_and_add(&s->skipped_in_slot, more);
}

/* Its thread faults again, so the last fault that was looked at has brought in what it does: huge pages, too, are its alone then. */
static __noinline void tell_last_look(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tgid = pid_tgid >> 32;
	struct target_state *s = bpf_map_lookup_elem(&states, &tgid);
	struct stopwatch w = stopwatch_start();
	struct target *t = target_for(SIGNAL_RESIDENT);
	struct rss rss;

	if (!s || !t || s->looker != (__u32)pid_tgid || faults_disabled() || read_rss(current_task(), &rss))
		return;
	take_skipped(s, tgid);
	charge_last(t, s, &rss);
	s->stack_id = STACK_GIVEN_BACK;
	s->page = 0;
	set_looker(s, tgid, 0);
	__sync_fetch_and_add(&s->cost[COST_FAULT].ns, stopwatch_ns(&w));
}

/*
 * Whether to take the time of a fault, should it be passed over: what that takes depends on what the program has left of the nearest
 * caches. Of the multiples of the golden ratio one in 128 falls here, and whatever rhythm a program has, it does not keep step.
 */
static __always_inline bool is_timed(const struct fault_slot *slot)
{
	return (__u32)slot->skipped * 0x9e3779b9u < 1u << 25;
}

/* One that was interrupted tells nothing of us. No stopwatch: on_fault has no stack left for one more (6.1). */
#define MOST_PASSED_NS 4000

static __noinline void note_passed(__u64 begin_ns)
{
	__u64 ns = bpf_ktime_get_ns() - begin_ns;
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target_state *s = bpf_map_lookup_elem(&states, &tgid);

	if (!s || ns > MOST_PASSED_NS)
		return;
	__sync_fetch_and_add(&s->passed_ns, ns);
	__sync_fetch_and_add(&s->passed_cnt, 1);
}

static __always_inline void pass_over(__u64 *skipped, __u32 tgid, __u64 page, __u32 write)
{
	__sync_fetch_and_add(skipped, 1 + ((__u64)write << 32));
	if (may_be_followed(tgid, page))
		notice_fault(page);
}

static __noinline int on_fault(__u64 addr, __u32 write)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tgid = pid_tgid >> 32;
	struct fault_slot *slot = fault_slot_of(tgid);
	__u32 fault_shift = slot->fault_shift, newborn = slot->newborn, looker, choice = NO_CHOICE;
	struct target_state *s = NULL;
	__u64 page = addr / 4096, timed_ns = 0;
	struct stopwatch w;
	struct target *t;

	/* Cheapest first: this runs for every process of the host. */
	if (!slot->tgid)
		return 0;
	if (slot->tgid != tgid) {
		s = bpf_map_lookup_elem(&states, &tgid);
		if (!s)
			return 0;
		fault_shift = s->fault_shift;
		newborn = s->newborn;
	} else if (fault_shift && is_timed(slot)) {
		timed_ns = bpf_ktime_get_ns();
	}
	if (fault_shift && !choose(tgid, page, fault_shift, newborn, &choice)) {
		looker = s ? s->looker : slot->looker;
		if (looker && !((looker ^ (__u32)pid_tgid) & 0xffff)) {
			tell_last_look(); /* which takes its own time */
			timed_ns = 0;
		}
		pass_over(s ? &s->skipped : &slot->skipped, tgid, page, write);
		if (timed_ns)
			note_passed(timed_ns);
		return 0;
	}
	w = stopwatch_start();
	if (!s)
		s = bpf_map_lookup_elem(&states, &tgid);
	if (!s)
		return 0;
	take_skipped(s, tgid);
	t = target_for(SIGNAL_RESIDENT);
	if (!t || faults_disabled())
		return 0;
	counter_add(CTR_EVENTS, 1);
	look_at_fault(t, s, page, choice, write);
	counter_add(CTR_FAULT_NS, cost_add(s, COST_FAULT, &w));
	keep_limit(s);
	return 0;
}

/* What a child shares with its parent is already counted there: its own account begins at what it inherits. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(fault_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = BPF_CORE_READ(child, tgid), parent_tgid = BPF_CORE_READ(parent, tgid);
	struct target_state *s;
	struct rss rss;

	if (tgid == parent_tgid || !bpf_map_lookup_elem(&targets, &parent_tgid) || read_rss(child, &rss))
		return 0;
	s = state_of(tgid);
	if (!s)
		return 0;
	__builtin_memcpy(s->rss_pages, rss.of, sizeof(rss.of));
	s->stack_id = 0;
	s->hook_turn = hook_turn;
	return 0;
}

/* What the last fault that was looked at brought in, and those since. Before 6.16 the memory is gone already by now. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(fault_exit, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct target_state *s = bpf_map_lookup_elem(&states, &tgid);
	struct target *t = target_for(SIGNAL_RESIDENT);
	struct rss rss;

	if (!s || !t || BPF_CORE_READ(task, signal, live.counter) > 0 || read_rss(task, &rss))
		return 0;
	if (!s->stack_id)
		s->stack_id = STACK_PASSED_OVER;
	take_skipped(s, tgid);
	charge_last(t, s, &rss);
	return 0;
}

SEC("fentry/handle_mm_fault")
int BPF_PROG(fault_fentry, struct vm_area_struct *vma, unsigned long address, unsigned int flags)
{
	return on_fault(address, !!(flags & FAULT_WRITE));
}

SEC("kprobe/handle_mm_fault")
int BPF_KPROBE(fault_kprobe, struct vm_area_struct *vma, unsigned long address, unsigned int flags)
{
	return on_fault(address, !!(flags & FAULT_WRITE));
}

/*
 * At page_fault_user, and at page_fault_kernel: the kernel touching user memory, as read(2) into a fresh buffer does. The
 * upper half is the kernel's own. Both have these arguments; as "tp_btf" it would have to be loaded, and verified, twice.
 */
SEC("raw_tp")
int BPF_PROG(fault_tp, unsigned long address, struct pt_regs *regs, unsigned long error)
{
	return (long)address < 0 ? 0 : on_fault(address, !!(error & PF_WRITE));
}

SEC("perf_event")
int fault_perf(struct bpf_perf_event_data *ctx)
{
	return on_fault(ctx->addr, 0);
}

struct page_note page_notes[PAGE_NOTES];
__u32 page_note_cnt = 0;

/* Run by user space, so that nothing is written over a page that has faulted again meanwhile. */
SEC("syscall")
int note_pages(void *ctx)
{
	struct page_value *p, was;
	struct page_key key;
	__u32 i;

	for (i = 0; i < PAGE_NOTES && i < page_note_cnt; i++) {
		key = page_notes[i].key;
		was = page_notes[i].was;
		p = bpf_map_lookup_elem(&pages, &key);
		if (p && p->stack_id == was.stack_id && p->pages == was.pages && p->group == was.group && p->frame == was.frame)
			*p = page_notes[i].is;
	}
	return 0;
}

#include "fault_moves.bpf.h"

/* Run by user space: what the kernel's run-time statistics say that it takes is their own reading of the clock. */
SEC("raw_tp")
int nothing(void *ctx)
{
	return 0;
}
