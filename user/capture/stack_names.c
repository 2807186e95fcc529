/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/stack_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/code_cache.h"
#include "capture/event.h"
#include "model/intern.h"

struct known_stack {
	uint64_t stack_id;
	struct stack_name name;
};

/*
 * Names are kept in two tables. New ones, and those that are looked up, go to the young one; when that is full it becomes
 * the old one, and what was left in the old one is forgotten. So what is in use stays.
 */
struct names {
	struct index_table index;
	struct known_stack *at;
	uint32_t n, capacity;
};

#define MAX_MISSING 1024

struct stack_names {
	struct profile *profile;
	const struct capture_limits *limits;
	struct native_frames *native;
	struct names young, old;
	uint32_t promoted; /* of the old ones */
	uint64_t forgotten;
	uint64_t missing[MAX_MISSING];
	uint32_t n_missing;
	struct code_cache *codes;
};

static void names__free(struct names *t)
{
	index_table__free(&t->index);
	free(t->at);
	*t = (struct names){};
}

static bool is_stack(const void *owner, uint32_t item, const void *key)
{
	const struct names *t = owner;

	return t->at[item].stack_id == *(const uint64_t *)key;
}

static struct known_stack *names__find(const struct names *t, uint64_t stack_id)
{
	uint32_t i = index_table__find(&t->index, stack_id, is_stack, t, &stack_id);

	return i == INTERN_NONE ? NULL : &t->at[i];
}

/* NULL: no memory. */
static struct known_stack *names__add(struct names *t, uint64_t stack_id)
{
	if (array__reserve((void **)&t->at, &t->capacity, t->n, sizeof(*t->at)) || index_table__reserve(&t->index))
		return NULL;
	index_table__put(&t->index, stack_id, t->n);
	t->at[t->n] = (struct known_stack){ .stack_id = stack_id };
	return &t->at[t->n++];
}

static void grow_old(struct stack_names *n)
{
	n->forgotten += n->old.n - n->promoted;
	n->promoted = 0;
	names__free(&n->old);
	n->old = n->young;
	n->young = (struct names){};
}

/* Its entry among the young, made if need be. NULL: no memory. */
static struct known_stack *keep(struct stack_names *n, uint64_t stack_id)
{
	struct known_stack *known = names__find(&n->young, stack_id);

	if (known)
		return known;
	if (n->young.n >= n->limits->stacks)
		grow_old(n);
	return names__add(&n->young, stack_id);
}

static const struct known_stack *find(struct stack_names *n, uint64_t stack_id)
{
	struct known_stack *known = names__find(&n->young, stack_id), *old;
	struct stack_name name;

	if (known)
		return known;
	old = names__find(&n->old, stack_id);
	if (!old)
		return NULL;
	name = old->name;
	known = keep(n, stack_id);
	if (!known)
		return NULL;
	known->name = name;
	n->promoted++;
	return known;
}

int stack_names__new(struct profile *profile, const struct capture_limits *limits, struct native_frames *native,
		     struct stack_names **ret)
{
	struct stack_names *n = calloc(1, sizeof(*n));

	if (!n || code_cache__new(limits->code_bytes, &n->codes)) {
		free(n);
		return -ENOMEM;
	}
	n->profile = profile;
	n->limits = limits;
	n->native = native;
	*ret = n;
	return 0;
}

void stack_names__free(struct stack_names *n)
{
	if (!n)
		return;
	names__free(&n->young);
	names__free(&n->old);
	code_cache__free(n->codes);
	free(n);
}

uint64_t stack_names__take_missing(struct stack_names *n)
{
	return n->n_missing ? n->missing[--n->n_missing] : 0;
}

uint64_t stack_names__forgotten(const struct stack_names *n)
{
	return n->forgotten + code_cache__forgotten(n->codes);
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

static int64_t collector_node(struct stack_names *n, struct traced *tr, int64_t node)
{
	static const struct profile_frame f = { .kind = FRAME_COLLECTOR, .function = "[collector]", .file = "" };
	int64_t frame = profile__add_frame(n->profile, &f);

	return frame < 0 ? frame : profile__add_node_within(n->profile, node, frame, &tr->nodes_left);
}

/* Node of a stack's Python leaf, or of the collector, where nothing that it calls is the leaf. */
static int64_t resolve_python(struct stack_names *n, const struct rec_stack *rec, struct traced *tr)
{
	struct mem_reader m = mem_reader__of_process(tr->tgid);
	int64_t node = 0, frame;
	uint32_t i;

	if (!rec->depth || !tr->interp)
		node = reason_node(n, "[no python stack: %s]", rec->status);
	else if (rec->status != STACK_COMPLETE)
		node = reason_node(n, "[stack is cut: %s]", rec->status);
	for (i = tr->interp ? rec->depth : 0; i-- > 0 && node >= 0;) {
		if (i + 2 == rec->above_collector)
			node = collector_node(n, tr, node);
		if (!rec->frames[i].code || node < 0)
			continue;
		frame = code_cache__frame(n->codes, &m, &tr->interp->layout, rec->family, &rec->frames[i],
					  n->profile);
		if (frame == -ENODATA)
			continue;
		if (frame < 0)
			return frame;
		node = profile__add_node_within(n->profile, node, frame, &tr->nodes_left);
	}
	return node >= 0 && rec->above_collector == 1 ? collector_node(n, tr, node) : node;
}

/* Node of a stack's leaf. */
static int64_t resolve_stack(struct stack_names *n, const struct rec_stack *rec, struct traced *tr)
{
	int64_t node = resolve_python(n, rec, tr);

	return node < 0 ? node : native_frames__add(n->native, tr, rec, node);
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

/* Beyond so many threads the others are told together, as thread 0. */
static uint32_t tid_of(struct stack_names *n, struct traced *tr, uint32_t tid)
{
	uint32_t i, *more;

	if (tr->shares_item)
		return 0;
	for (i = 0; i < tr->n_tids; i++) {
		if (tr->tids[i] == tid)
			return tid;
	}
	if (tr->n_tids >= n->limits->threads_process)
		return 0;
	if (!(tr->n_tids & (tr->n_tids - 1))) {
		more = reallocarray(tr->tids, tr->n_tids ? 2 * tr->n_tids : 1, sizeof(*more));
		if (!more)
			return 0;
		tr->tids = more;
	}
	tr->tids[tr->n_tids++] = tid;
	return tid;
}

void stack_names__learn(struct stack_names *n, const struct rec_stack *rec, struct traced *tr)
{
	int64_t node = resolve_stack(n, rec, tr);
	struct known_stack *known;

	if (node < 0)
		return;
	known = keep(n, rec->stack_id);
	if (known)
		known->name = (struct stack_name){
			.node = node, .process = tr->process, .tid = tid_of(n, tr, rec->tid) };
}

struct stack_name stack_names__look_up(struct stack_names *n, const struct traced *tr, uint64_t stack_id)
{
	struct stack_name none = { .process = tr->process };
	const struct known_stack *known = find(n, stack_id);
	int64_t node;

	if (known)
		return known->name;
	if (stack_id >= STACK_STATUS_MAX && n->forgotten && n->n_missing < MAX_MISSING)
		n->missing[n->n_missing++] = stack_id;
	switch (stack_id) {
	case STACK_BEFORE_ATTACH:
	case STACK_GIVEN_BACK:
	case STACK_NOT_FOLLOWED:
	case STACK_NOT_SAMPLED:
	case STACK_ROUNDED_UP:
	case STACK_INHERITED:
	case STACK_MAPPED_UNSEEN:
	case STACK_NOT_LOOKED_AT:
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
