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
 * page means that it had been given back; the rest user space finds by looking into pagemap. When `pages` fills up, user
 * space raises page_sampling_shift: pages are then chosen by a hash of their number, so that a page's fault and its
 * return are always seen both or neither, and a followed page stands for 2^shift.
 *
 * Counters: mm_struct.rss_stat, include/linux/mm_types.h: an array of percpu_counter since 6.2, before that
 * struct mm_rss_stat plus what each thread has not yet handed in (task_struct.rss_stat, SPLIT_RSS_COUNTING).
 */
#include "stack.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PAGES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct page_key);
	__type(value, struct page_value);
} pages SEC(".maps");

extern const void __per_cpu_offset __ksym __weak;

struct mm_rss_stat___old {
	atomic_long_t count[4];
} __attribute__((preserve_access_index));
struct mm_struct___old {
	struct mm_rss_stat___old rss_stat;
} __attribute__((preserve_access_index));
struct task_rss_stat___old {
	int events;
	int count[4];
} __attribute__((preserve_access_index));
struct task_struct___old {
	struct task_rss_stat___old rss_stat;
} __attribute__((preserve_access_index));

/* Kinds in the order of struct target.rss_pages, and the kernel's counters for them (enum in mm_types_task.h). */
#define RSS_KINDS 3
static const __u32 kind_of[RSS_KINDS] = { KIND_RESIDENT_ANON, KIND_RESIDENT_FILE, KIND_RESIDENT_SHMEM };
#define MEMBER_ANON 1
#define MEMBER_FILE 0
#define MEMBER_SHMEM 3
/* CPUs whose part of a percpu_counter is added; beyond, a counter is as exact as its batch (32 pages a CPU). */
#define MAX_SUMMED_CPUS 64

static __always_inline __s64 percpu_part(__s32 *counters, __u32 cpu)
{
	__u64 offset = 0;
	__s32 part = 0;

	bpf_probe_read_kernel(&offset, sizeof(offset), (const void *)&__per_cpu_offset + cpu * 8);
	bpf_probe_read_kernel(&part, sizeof(part), (void *)counters + offset);
	return part;
}

static __always_inline __s64 percpu_counter_value(const struct percpu_counter *c)
{
	__s64 sum = BPF_CORE_READ(c, count);
	__s32 *counters = BPF_CORE_READ(c, counters);
	__u32 cpu;

	if (!&__per_cpu_offset)
		return sum;
	for (cpu = 0; cpu < MAX_SUMMED_CPUS && cpu < cpu_cnt; cpu++)
		sum += percpu_part(counters, cpu);
	return sum;
}

static __always_inline __s64 rss_old(struct task_struct *task, struct mm_struct *mm, int member)
{
	struct task_struct___old *old_task = (void *)task;
	struct mm_struct___old *old_mm = (void *)mm;
	__s64 shared = 0;
	int own = 0;

	bpf_core_read(&shared, sizeof(shared), &old_mm->rss_stat.count[member]);
	if (bpf_core_field_exists(old_task->rss_stat.count))
		bpf_core_read(&own, sizeof(own), &old_task->rss_stat.count[member]);
	return shared + own;
}

static __noinline int read_rss(__s64 rss[RSS_KINDS])
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	if (!rss || !mm)
		return -1;
	if (bpf_core_type_exists(struct mm_rss_stat___old)) {
		rss[0] = rss_old(task, mm, MEMBER_ANON);
		rss[1] = rss_old(task, mm, MEMBER_FILE);
		rss[2] = rss_old(task, mm, MEMBER_SHMEM);
	} else {
		rss[0] = percpu_counter_value(&mm->rss_stat[MEMBER_ANON]);
		rss[1] = percpu_counter_value(&mm->rss_stat[MEMBER_FILE]);
		rss[2] = percpu_counter_value(&mm->rss_stat[MEMBER_SHMEM]);
	}
	return 0;
}

static __always_inline bool page_followed(__u64 page)
{
	__u32 shift = page_sampling_shift;

	return !(PY_HASH_STEP(0, page) & ((1ull << (shift & 31)) - 1));
}

/* A page that was followed is gone, or another fault's now. */
static __always_inline void forget_page(const struct target *t, const struct page_key *key)
{
	struct page_value *p = bpf_map_lookup_elem(&pages, key);
	struct page_value found;
	__u64 bytes;

	if (!p)
		return;
	found = *p;
	bpf_map_delete_elem(&pages, key);
	bytes = ((__u64)found.pages * page_bytes) << (page_sampling_shift & 31);
	count_free(found.stack_id, t->proc_id, found.kind, 1, bytes);
	/* What a line gives back is no longer a part of "given back, by whom is not known". */
	count_alloc(STACK_GIVEN_BACK, t->proc_id, found.kind, 1, bytes);
}

static __always_inline void charge(struct target *t, __u32 i, __s64 now)
{
	struct page_key key = { .page = t->fault_page, .proc_id = t->proc_id };
	__s64 gained;
	struct page_value value;
	__u32 kind;

	if (i >= RSS_KINDS)
		return;
	gained = now - t->rss_pages[i];
	if (!gained)
		return;
	kind = kind_of[i];
	__sync_fetch_and_add(&t->rss_pages[i], gained);
	if (gained < 0) {
		count_free(STACK_GIVEN_BACK, t->proc_id, kind, 1, -gained * page_bytes);
		return;
	}
	count_alloc(t->fault_stack, t->proc_id, kind, 1, gained * page_bytes);
	if (t->fault_stack < STACK_STATUS_MAX || !page_followed(t->fault_page))
		return;
	forget_page(t, &key);
	value.stack_id = t->fault_stack;
	value.pages = gained;
	value.kind = kind;
	if (bpf_map_update_elem(&pages, &key, &value, BPF_ANY))
		counter_add(CTR_PAGES_FULL, 1);
}

static __noinline int on_fault(__u64 addr)
{
	struct target *t = target_for(SIGNAL_RESIDENT);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__s64 rss[RSS_KINDS];

	/* Our own reads of user memory fault with faults disabled: nothing is brought in. */
	if (!t || BPF_CORE_READ(task, pagefault_disabled))
		return 0;
	counter_add(CTR_EVENTS, 1);
	if (read_rss(rss))
		return 0;
	charge(t, 0, rss[0]);
	charge(t, 1, rss[1]);
	charge(t, 2, rss[2]);
	t->fault_stack = stack_of_current(t);
	t->fault_page = addr / 4096;
	return 0;
}

SEC("fentry/handle_mm_fault")
int BPF_PROG(fault_fentry, struct vm_area_struct *vma, unsigned long address)
{
	return on_fault(address);
}

SEC("kprobe/handle_mm_fault")
int BPF_KPROBE(fault_kprobe, struct vm_area_struct *vma, unsigned long address)
{
	return on_fault(address);
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(fault_tp_user, unsigned long address)
{
	return on_fault(address);
}

/* The kernel touching user memory, as read(2) into a fresh buffer does. The upper half is the kernel's own. */
SEC("tp_btf/page_fault_kernel")
int BPF_PROG(fault_tp_kernel, unsigned long address)
{
	return (long)address < 0 ? 0 : on_fault(address);
}

SEC("perf_event")
int fault_perf(struct bpf_perf_event_data *ctx)
{
	return on_fault(ctx->addr);
}
