/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/event.h"

#include <errno.h>

static int check_stack(const struct rec_stack *s, size_t len)
{
	if (len < sizeof(*s) || s->depth > MAX_FRAMES || s->status >= STACK_STATUS_MAX ||
	    s->native_cnt > MAX_NATIVE_FRAMES || s->native_end >= NATIVE_END_MAX)
		return -EBADMSG;
	return len >= sizeof(*s) + s->depth * sizeof(s->frames[0]) ? 0 : -EBADMSG;
}

static int check_code(const struct rec_code *c, size_t len)
{
	if (len != sizeof(*c) || c->got[0] > CODE_BYTES || c->got[4] > CODE_TABLE_BYTES)
		return -EBADMSG;
	return c->got[1] > CODE_NAME_BYTES || c->got[2] > CODE_NAME_BYTES || c->got[3] > CODE_NAME_BYTES ? -EBADMSG : 0;
}

static int check_code_more(const struct rec_code_more *c, size_t len)
{
	return len == sizeof(*c) && c->got <= CODE_MORE_BYTES ? 0 : -EBADMSG;
}

static int check_native(const struct rec_native *n, size_t len)
{
	return len == sizeof(*n) && n->got <= NATIVE_STACK_BYTES ? 0 : -EBADMSG;
}

static int check_mapping(const struct rec_mapping *m, size_t len)
{
	return len == sizeof(*m) && m->call < MAP_CALLS ? 0 : -EBADMSG;
}

int record__check(const void *data, size_t len)
{
	const struct rec_hdr *hdr = data;

	/* The ring buffer rounds lengths up to 8; the record states its own. */
	if (len < sizeof(*hdr) || hdr->len > len || len - hdr->len >= 8)
		return -EBADMSG;
	switch (hdr->kind) {
	case REC_STACK:
		return check_stack(data, hdr->len);
	case REC_CODE:
		return check_code(data, hdr->len);
	case REC_CODE_MORE:
		return check_code_more(data, hdr->len);
	case REC_NATIVE:
		return check_native(data, hdr->len);
	case REC_GC:
		return hdr->len == sizeof(struct rec_gc) ? 0 : -EBADMSG;
	case REC_HEAP:
		return hdr->len == sizeof(struct rec_heap) ? 0 : -EBADMSG;
	case REC_MAPPING:
		return check_mapping(data, hdr->len);
	case REC_EXEC:
	case REC_FORK:
	case REC_EXIT:
	case REC_ENTRY:
		return hdr->len == sizeof(struct rec_proc) ? 0 : -EBADMSG;
	default:
		return -EBADMSG;
	}
}

const char *counter__name(unsigned int counter)
{
	static const char *const names[] = {
		[CTR_EVENTS] = "events",
		[CTR_RING_FULL_STACK] = "dropped.stack_names_ring_full",
		[CTR_RING_FULL_GC] = "dropped.collections_ring_full",
		[CTR_RING_FULL_PROC] = "dropped.process_events_ring_full",
		[CTR_COUNTS_FULL] = "dropped.stacks_counts_full",
		[CTR_LIVE_FULL] = "dropped.blocks_not_followed",
		[CTR_PENDING_FULL] = "dropped.allocations_pending_full",
		[CTR_TARGETS_FULL] = "dropped.forked_processes",
		[CTR_FREE_UNKNOWN] = "free_of_unknown_block",
		[CTR_ADDRESS_REUSED] = "block_reused_without_free",
		[CTR_ALLOC_FAILED] = "allocation_failed",
		[CTR_PAGES_FULL] = "dropped.pages_not_followed",
		[CTR_RING_FULL_CODE] = "code_objects_ring_full",
		[CTR_FAULT_NS] = "cost.faults_ns",
		[CTR_EXACT_BYTES] = "exact_bytes",
		[CTR_POOL_UNREADABLE] = "dropped.allocations_pool_unreadable",
		[CTR_LARGE_FULL] = "dropped.large_blocks_not_followed",
		[CTR_NATIVE_RULES_FULL] = "native.rules_full",
		[CTR_RING_FULL_MAPPING] = "dropped.mappings_ring_full",
		[CTR_CODES_FULL] = "code_objects_full",
		[CTR_STACK_STATUS + STACK_COMPLETE] = "stack.complete",
		[CTR_STACK_STATUS + STACK_CUT] = "stack.cut",
		[CTR_STACK_STATUS + STACK_NOT_PYTHON] = "stack.not_python",
		[CTR_STACK_STATUS + STACK_STARTING] = "stack.starting",
		[CTR_STACK_STATUS + STACK_NO_THREAD_STATE] = "stack.no_thread_state",
		[CTR_STACK_STATUS + STACK_NO_FRAME] = "stack.no_frame",
		[CTR_STACK_STATUS + STACK_UNREADABLE_THREAD] = "stack.unreadable_thread",
		[CTR_STACK_STATUS + STACK_UNREADABLE_FRAME] = "stack.unreadable_frame",
		[CTR_STACK_STATUS + STACK_LOST] = "stack.lost",
		[CTR_STACK_STATUS + STACK_BEFORE_ATTACH] = "stack.before_attach",
		[CTR_STACK_STATUS + STACK_GIVEN_BACK] = "stack.given_back",
		[CTR_STACK_STATUS + STACK_NOT_FOLLOWED] = "stack.not_followed",
		[CTR_STACK_STATUS + STACK_PASSED_OVER] = "stack.passed_over",
		[CTR_STACK_STATUS + STACK_NOT_SAMPLED] = "stack.not_sampled",
		[CTR_STACK_STATUS + STACK_ROUNDED_UP] = "stack.rounded_up",
		[CTR_STACK_STATUS + STACK_INHERITED] = "stack.inherited",
		[CTR_STACK_STATUS + STACK_MAPPED_UNSEEN] = "stack.mapped_unseen",
		[CTR_STACK_STATUS + STACK_NOT_LOOKED_AT] = "stack.not_looked_at",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == CTR_MAX, "every counter has a name");

	return counter < CTR_MAX ? names[counter] : NULL;
}

const char *stack_status__text(unsigned int status)
{
	static const char *const texts[] = {
		[STACK_COMPLETE] = "complete",
		[STACK_CUT] = "deeper than 128 frames",
		[STACK_NOT_PYTHON] = "not a Python process",
		[STACK_STARTING] = "interpreter is starting",
		[STACK_NO_THREAD_STATE] = "thread is not known to Python",
		[STACK_NO_FRAME] = "no Python code is running",
		[STACK_UNREADABLE_THREAD] = "thread state is not readable",
		[STACK_UNREADABLE_FRAME] = "frame is not readable",
		[STACK_LOST] = "stack was dropped",
		[STACK_BEFORE_ATTACH] = "there before tracing began",
		[STACK_GIVEN_BACK] = "given back",
		[STACK_NOT_FOLLOWED] = "not followed any more",
		[STACK_PASSED_OVER] = "process ended before it was looked at",
		[STACK_NOT_SAMPLED] = "no window saw its kind",
		[STACK_ROUNDED_UP] = "rounded up to size classes",
		[STACK_INHERITED] = "inherited, its parent has it no more",
		[STACK_MAPPED_UNSEEN] = "mapped, by whom is not known",
		[STACK_NOT_LOOKED_AT] = "its page faults were not looked at",
	};
	_Static_assert(sizeof(texts) / sizeof(texts[0]) == STACK_STATUS_MAX, "every reason has a text");

	return status < STACK_STATUS_MAX ? texts[status] : NULL;
}
