/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Targets, what tracing costs each, and what it may cost.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "capture/session_impl.h"

static struct fault_slot *fault_slot_of(const struct session *s, pid_t tgid)
{
	return (struct fault_slot *)&s->bpf->bss->fault_slots[tgid % FAULT_SLOTS];
}

/* As the kernel side does (core.bpf.h). */
static void take_slot(struct session *s, pid_t tgid, const struct target_state *first)
{
	struct fault_slot *slot = fault_slot_of(s, tgid);

	if (slot->tgid && slot->tgid != (uint32_t)tgid) {
		slot->tgid = FAULT_SLOT_SHARED;
		return;
	}
	slot->fault_shift = first->fault_shift;
	slot->newborn = first->newborn;
	slot->looker = 0;
	slot->skipped = 0;
	__atomic_store_n(&slot->tgid, (uint32_t)tgid, __ATOMIC_RELEASE);
}

/* Its state and its slot, without which its faults are nobody's: never one without the other. 0 or -errno; one that has both keeps them. */
static int put_state(struct session *s, pid_t tgid, const struct target_state *first)
{
	uint32_t key = tgid;

	if (bpf_map_update_elem(bpf_map__fd(s->bpf->maps.states), &key, first, BPF_NOEXIST))
		return errno == EEXIST ? 0 : -errno;
	take_slot(s, tgid, first);
	return 0;
}

int session__add_target(struct session *s, pid_t tgid, const struct target *t, const struct govern_args *budget)
{
	struct target_state first = {
		.stack_id = STACK_BEFORE_ATTACH,
		.fault_shift = budget->fault_shift,
		.fault_limit_ns = budget->fault_limit_ns,
		.fault_step_ns = budget->fault_step_ns,
		.child_shift = budget->child_shift,
		.child_limit_ns = budget->child_limit_ns,
		.newborn = budget->newborn,
		.gc_wake_cnt = budget->gc_wake_cnt,
		.move_limit_cnt = budget->move_limit_cnt,
		.move_step_cnt = budget->move_step_cnt,
	};
	uint32_t key = tgid;
	int err = put_state(s, tgid, &first);

	if (err)
		return err;
	return bpf_map_update_elem(bpf_map__fd(s->bpf->maps.targets), &key, t, BPF_ANY) ? -errno : 0;
}

int session_impl__pass_over(struct session *s, pid_t tgid)
{
	const struct target_state first = {
		.fault_shift = FAULT_QUOTA_BITS,
		.fault_limit_ns = UINT64_MAX,
		.move_limit_cnt = UINT64_MAX,
	};

	return put_state(s, tgid, &first);
}

void session__remove_target(struct session *s, pid_t tgid)
{
	uint32_t key = tgid;

	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.targets), &key);
	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.states), &key);
	if (fault_slot_of(s, tgid)->tgid == key)
		fault_slot_of(s, tgid)->tgid = 0;
}

int session__read_state(const struct session *s, pid_t tgid, struct target_state *ret)
{
	uint32_t key = tgid;

	if (bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.states), &key, ret))
		return -errno;
	if (fault_slot_of(s, tgid)->tgid == key)
		ret->skipped += fault_slot_of(s, tgid)->skipped - ret->skipped_in_slot;
	return 0;
}

int session__govern(struct session *s, const struct govern_args *args)
{
	int fd = bpf_program__fd(s->bpf->progs.govern);
	struct govern_args copy = *args;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &copy, .ctx_size_in = sizeof(copy));

	if (fd < 0)
		return -ENOTSUP;
	if (bpf_prog_test_run_opts(fd, &opts))
		return -errno;
	return opts.retval ? -ENOENT : 0;
}

void session__pause_faults(struct session *s)
{
	session_impl__detach_faults(s);
}

int session__watch_faults(struct session *s, double chance)
{
	int watch = lround(2 * log2(1 / chance)), err;

	/* From one to the other nothing is seen, so nothing has the wrong weight. */
	session_impl__detach_faults(s);
	s->bpf->bss->hook_turn++;
	s->bpf->bss->turn_page_cnt = 0;
	s->bpf->bss->hook_weight = lround(WEIGHT_ONE / chance);
	s->bpf->bss->hook_watch = watch < WATCH_MAX ? watch : WATCH_MAX;
	err = session_impl__attach_faults(s);
	if (err)
		session_impl__detach_faults(s);
	return err;
}

uint32_t session__hook_turn(const struct session *s)
{
	return s->bpf->bss->hook_turn;
}

double session__watch_factor(unsigned int watch)
{
	return exp2(watch / 2.0);
}

uint64_t session__hook_ns(const struct session *s)
{
	return s->hook_ns;
}

uint64_t session__hook_way_ns(const struct session *s)
{
	return s->way_ns;
}

const struct probe_costs *session__probe_costs(const struct session *s)
{
	return &s->probe_costs;
}

uint64_t session__exact_ns(const struct session *s)
{
	uint64_t sum = 0;
	struct bpf_program *p;
	struct bpf_prog_info info;
	uint32_t len;

	bpf_object__for_each_program(p, s->bpf->obj) {
		if (bpf_program__fd(p) < 0 || strncmp(bpf_program__name(p), "exact_", 6))
			continue;
		memset(&info, 0, sizeof(info));
		len = sizeof(info);
		if (!bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			sum += info.run_time_ns;
	}
	return sum;
}
