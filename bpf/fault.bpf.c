// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Signal resident: which stacks make the resident set grow.
 *
 * One of the hooks at the end of this file runs at the entry of each page fault; user space loads the best that the
 * kernel has. At entry it is not known what the fault will bring (one page, a huge page, sixteen file pages, nothing),
 * so the process's own resident-set counters tell: what they gained since the last fault is charged to the last fault's
 * stack, what they lost is counted as given back. The sum of both is the growth of the resident set, whatever the size
 * of pages. Two threads of a process that fault at the same moment may be charged each other's page.
 *
 * Who still holds a page: each charged fault is remembered by its page number in `pages`. A second fault on the same
 * page means that it had been given back; the rest user space finds by looking into pagemap.
 */
#include "rss.bpf.h"
#include "stack.bpf.h"

#define FAULT_WRITE 1 /* FAULT_FLAG_WRITE, include/linux/mm_types.h */
#define PF_WRITE 2 /* X86_PF_WRITE, the processor's error code */

/* In the order of struct fault_state.rss_pages. */
static const __u32 kind_of[RSS_KINDS] = { KIND_RESIDENT_ANON, KIND_RESIDENT_FILE, KIND_RESIDENT_SHMEM };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PAGES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct page_key);
	__type(value, struct page_value);
} pages SEC(".maps");

/*
 * Sampling is by page, not by chance, so that a page's next fault is looked at when its last one was. What the others
 * brought in is charged to the last fault that was looked at: the sum stays right, the shares are right on average.
 */
static __always_inline bool page_sampled(__u64 page)
{
	__u32 shift = page_sampling_shift & 31;
	__u64 hash;

	if (!shift)
		return true;
	hash = PY_HASH_STEP(page_sampling_epoch, page);
	return !(hash >> 8 & ((1ull << shift) - 1));
}

static __always_inline void take_back(const struct target *t, const struct page_value *p)
{
	count_free(p->stack_id, t->proc_id, p->kind | COUNT_REFAULT, 1, (__u64)p->pages * page_bytes);
}

struct neighbours {
	const struct target *t;
	struct page_key key;
	__u64 own; /* the faulting page */
};

static long take_back_neighbour(__u32 i, void *arg)
{
	struct neighbours *n = arg;
	struct page_value *p;

	if (n->key.page != n->own) {
		p = bpf_map_lookup_elem(&pages, &n->key);
		if (p) {
			take_back(n->t, p);
			bpf_map_delete_elem(&pages, &n->key);
		}
	}
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

/* Remembers who brought a page in. One that is remembered already had been given back, or it could not fault again. */
static __always_inline void follow_page(const struct target *t, const struct page_key *key, const struct page_value *v)
{
	struct page_value *p = bpf_map_lookup_elem(&pages, key);

	if (v->pages > 1 && !page_sampling_shift)
		take_back_around(t, key, v->pages);
	if (p) {
		take_back(t, p);
		*p = *v;
	} else if (bpf_map_update_elem(&pages, key, v, BPF_NOEXIST)) {
		counter_add(CTR_PAGES_FULL, 1);
	}
}

static __always_inline void charge(const struct target *t, const struct fault_state *f, __u32 kind, __u32 gained)
{
	const struct page_key key = { .page = f->page, .proc_id = t->proc_id };
	const struct page_value value = { .stack_id = f->stack_id, .pages = gained, .kind = kind };

	count_alloc(f->stack_id, t->proc_id, kind, 1, (__u64)gained * page_bytes);
	if (f->stack_id >= STACK_STATUS_MAX)
		follow_page(t, &key, &value);
}

/* Charges the last fault with what one counter gained since; true: it did gain. */
static __always_inline bool charge_gain(const struct target *t, struct fault_state *f, __u32 i, __s64 now)
{
	__s64 gained = now - f->rss_pages[i];

	if (!gained)
		return false;
	/* Added, not set: of two threads that race here one will see the other's gain as its own loss. */
	__sync_fetch_and_add(&f->rss_pages[i], gained);
	if (gained > 0)
		charge(t, f, kind_of[i], gained);
	else
		count_free(STACK_GIVEN_BACK, t->proc_id, kind_of[i], 1, -gained * page_bytes);
	return gained > 0;
}

/*
 * A function of its own, because its stack must not count for the walk that comes after it.
 *
 * A write brings a page in even when nothing was gained: a page shared since a fork was copied, or as much and more was
 * given back since.
 */
static __noinline void charge_last(const struct target *t, struct fault_state *f, const __s64 *rss)
{
	bool anon, file, shmem;

	if (!t || !f || !rss)
		return;
	anon = charge_gain(t, f, 0, rss[0]);
	file = charge_gain(t, f, 1, rss[1]);
	shmem = charge_gain(t, f, 2, rss[2]);

	if (anon || file || shmem || !f->write)
		return;
	charge(t, f, KIND_RESIDENT_ANON, 1);
	count_free(STACK_GIVEN_BACK, t->proc_id, KIND_RESIDENT_ANON, 1, page_bytes);
}

static __always_inline struct fault_state *fault_state_of(__u32 tgid)
{
	static const struct fault_state first = { .stack_id = STACK_BEFORE_ATTACH };
	struct fault_state *f = bpf_map_lookup_elem(&fault_states, &tgid);

	if (f)
		return f;
	bpf_map_update_elem(&fault_states, &tgid, &first, BPF_NOEXIST);
	return bpf_map_lookup_elem(&fault_states, &tgid);
}

/*
 * Our own reads of user memory fault with faults disabled, and bring nothing in. The field is read in place, because
 * bpf_probe_read_kernel disables faults itself and so would always find them disabled. Before 5.11 there is no way to.
 */
static __always_inline bool faults_disabled(void)
{
	return has_task_btf() && bpf_get_current_task_btf()->pagefault_disabled;
}

static __always_inline void look_at_fault(struct target *t, __u64 addr, __u64 write)
{
	struct fault_state *f = fault_state_of(bpf_get_current_pid_tgid() >> 32);
	__s64 rss[RSS_KINDS];

	if (!f || read_rss((struct task_struct *)bpf_get_current_task(), rss))
		return;
	charge_last(t, f, rss);
	f->stack_id = stack_of_current(t);
	f->page = addr / 4096;
	f->write = write;
}

static __noinline int on_fault(__u64 addr, __u64 write)
{
	struct target *t;
	__u64 begin;

	/* Cheapest first: this runs for every process of the host. */
	if (!page_sampled(addr / 4096))
		return 0;
	t = target_for(SIGNAL_RESIDENT);
	if (!t || faults_disabled())
		return 0;
	begin = bpf_ktime_get_ns();
	counter_add(CTR_EVENTS, 1);
	look_at_fault(t, addr, write);
	counter_add(CTR_FAULT_NS, bpf_ktime_get_ns() - begin);
	return 0;
}

/* What a child shares with its parent is already counted there: its own account begins at what it inherits. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(fault_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = BPF_CORE_READ(child, tgid), parent_tgid = BPF_CORE_READ(parent, tgid);
	struct fault_state f = { .stack_id = STACK_BEFORE_ATTACH };

	if (tgid == parent_tgid || !bpf_map_lookup_elem(&targets, &parent_tgid))
		return 0;
	if (!read_rss(child, f.rss_pages))
		bpf_map_update_elem(&fault_states, &tgid, &f, BPF_ANY);
	return 0;
}

SEC("fentry/handle_mm_fault")
int BPF_PROG(fault_fentry, struct vm_area_struct *vma, unsigned long address, unsigned int flags)
{
	return on_fault(address, flags & FAULT_WRITE);
}

SEC("kprobe/handle_mm_fault")
int BPF_KPROBE(fault_kprobe, struct vm_area_struct *vma, unsigned long address, unsigned int flags)
{
	return on_fault(address, flags & FAULT_WRITE);
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(fault_tp_user, unsigned long address, struct pt_regs *regs, unsigned long error)
{
	return on_fault(address, error & PF_WRITE);
}

/* The kernel touching user memory, as read(2) into a fresh buffer does. The upper half is the kernel's own. */
SEC("tp_btf/page_fault_kernel")
int BPF_PROG(fault_tp_kernel, unsigned long address, struct pt_regs *regs, unsigned long error)
{
	return (long)address < 0 ? 0 : on_fault(address, error & PF_WRITE);
}

SEC("perf_event")
int fault_perf(struct bpf_perf_event_data *ctx)
{
	return on_fault(ctx->addr, 0);
}
