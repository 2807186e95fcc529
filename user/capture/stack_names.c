/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/stack_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "capture/code_cache.h"
#include "capture/event.h"

struct known_stack {
	uint64_t stack_id; /* key */
	struct stack_name name;
	UT_hash_handle hh;
};

struct stack_names {
	struct profile *profile;
	struct known_stack *stacks;
	struct code_cache *codes;
};

int stack_names__new(struct profile *profile, struct stack_names **ret)
{
	struct stack_names *n = calloc(1, sizeof(*n));

	if (!n || code_cache__new(&n->codes)) {
		free(n);
		return -ENOMEM;
	}
	n->profile = profile;
	*ret = n;
	return 0;
}

void stack_names__free(struct stack_names *n)
{
	struct known_stack *k, *next;

	if (!n)
		return;
	HASH_ITER(hh, n->stacks, k, next) {
		HASH_DEL(n->stacks, k);
		free(k);
	}
	code_cache__free(n->codes);
	free(n);
}

static int64_t reason_node(struct stack_names *n, const char *fmt, unsigned int status)
{
	struct profile_frame f = { .kind = FRAME_REASON, .file = "" };
	char text[128];
	int64_t frame;

	snprintf(text, sizeof(text), fmt, stack_status__text(status));
	f.function = text;
	frame = profile__add_frame(n->profile, &f);
	return frame < 0 ? frame : profile__add_node(n->profile, 0, frame);
}

/* Node of a stack's leaf. */
static int64_t resolve_stack(struct stack_names *n, const struct rec_stack *rec, const struct traced *tr)
{
	struct mem_reader m = mem_reader__of_process(tr->tgid);
	int64_t node = 0, frame;
	uint32_t i;

	if (!rec->depth || !tr->interp)
		return reason_node(n, "[no python stack: %s]", rec->status);
	if (rec->status != STACK_COMPLETE)
		node = reason_node(n, "[stack is cut: %s]", rec->status);
	for (i = rec->depth; i-- > 0 && node >= 0;) {
		if (!rec->frames[i].code)
			continue;
		frame = code_cache__frame(n->codes, &m, &tr->interp->layout, rec->family, &rec->frames[i],
					  n->profile);
		if (frame == -ENODATA)
			continue;
		if (frame < 0)
			return frame;
		node = profile__add_node(n->profile, node, frame);
	}
	return node;
}

void stack_names__learn_more(struct stack_names *n, const struct rec_code_more *rec)
{
	code_cache__learn_more(n->codes, rec);
}

void stack_names__learn_code(struct stack_names *n, const struct rec_code *rec, const struct traced *tr)
{
	if (tr->interp)
		code_cache__learn(n->codes, rec, tr->tgid, &tr->interp->layout);
}

void stack_names__learn(struct stack_names *n, const struct rec_stack *rec, const struct traced *tr)
{
	int64_t node = resolve_stack(n, rec, tr);
	struct known_stack *known;

	if (node < 0)
		return;
	HASH_FIND(hh, n->stacks, &rec->stack_id, sizeof(rec->stack_id), known);
	if (!known) {
		known = calloc(1, sizeof(*known));
		if (!known)
			return;
		known->stack_id = rec->stack_id;
		HASH_ADD(hh, n->stacks, stack_id, sizeof(known->stack_id), known);
	}
	known->name = (struct stack_name){ .node = node, .process = tr->process, .tid = rec->tid };
}

struct stack_name stack_names__look_up(struct stack_names *n, const struct traced *tr, uint64_t stack_id)
{
	struct stack_name none = { .process = tr->process };
	struct known_stack *known;
	int64_t node;

	HASH_FIND(hh, n->stacks, &stack_id, sizeof(stack_id), known);
	if (known)
		return known->name;
	switch (stack_id) {
	case STACK_BEFORE_ATTACH:
	case STACK_GIVEN_BACK:
	case STACK_NOT_FOLLOWED:
	case STACK_NOT_SAMPLED:
	case STACK_ROUNDED_UP:
		node = reason_node(n, "[%s]", stack_id);
		break;
	case STACK_PASSED_OVER:
		node = reason_node(n, "[no python stack: %s]", stack_id);
		break;
	default:
		node = reason_node(n, "[no python stack: %s]", STACK_LOST);
		break;
	}
	none.node = node < 0 ? 0 : node;
	return none;
}
