/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which node of the profile a stack id stands for. Takes stacks and code objects as the kernel side sends them, names
 * their frames, makes nodes, and remembers them by stack id; stands in with a reason where there is no Python stack.
 * Only the tracker's files include this.
 */
#ifndef CAPTURE_STACK_NAMES_H
#define CAPTURE_STACK_NAMES_H

#include "capture/limits.h"
#include "capture/native_frames.h"
#include "capture/traced.h"

struct stack_names;

/* What counts under a stack id belong to. */
struct stack_name {
	uint32_t node;
	uint32_t process; /* index in the profile */
	uint32_t tid; /* 0: not known */
};

/* All outlive *ret. -ENOMEM. */
int stack_names__new(struct profile *profile, const struct capture_limits *limits, struct native_frames *native,
		     struct stack_names **ret);
void stack_names__free(struct stack_names *n);

/*
 * What cannot be named, for want of memory, is forgotten: it is looked up as lost. A process may add as many nodes to the
 * profile as tr->nodes_left says, then its stacks end at callers that are known.
 */
void stack_names__learn_more(struct stack_names *n, const struct rec_code_more *rec);
void stack_names__learn_code(struct stack_names *n, const struct rec_code *rec, const struct traced *tr);
void stack_names__learn(struct stack_names *n, const struct rec_stack *rec, struct traced *tr);
/* Stack ids that are reasons (enum stack_status), and stacks that were lost, included. */
struct stack_name stack_names__look_up(struct stack_names *n, const struct traced *tr, uint64_t stack_id);
/*
 * The next stack id that was looked up but is not known, for it was forgotten: the kernel side must forget it, too, to send it
 * again. 0: none (any more).
 */
uint64_t stack_names__take_missing(struct stack_names *n);
/* How many were forgotten to bound memory. */
uint64_t stack_names__forgotten(const struct stack_names *n);

#endif
