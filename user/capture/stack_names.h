/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which node of the profile a stack id stands for. Takes stacks and code objects as the kernel side sends them, names
 * their frames, makes nodes, and remembers them by stack id; stands in with a reason where there is no Python stack.
 * Only the tracker's files include this.
 */
#ifndef CAPTURE_STACK_NAMES_H
#define CAPTURE_STACK_NAMES_H

#include "capture/traced.h"

struct stack_names;

/* What counts under a stack id belong to. */
struct stack_name {
	uint32_t node;
	uint32_t process; /* index in the profile */
	uint32_t tid; /* 0: not known */
};

/* profile outlives *ret. -ENOMEM. */
int stack_names__new(struct profile *profile, struct stack_names **ret);
void stack_names__free(struct stack_names *n);

/* What cannot be named, for want of memory, is forgotten: it is looked up as lost. */
void stack_names__learn_more(struct stack_names *n, const struct rec_code_more *rec);
void stack_names__learn_code(struct stack_names *n, const struct rec_code *rec, const struct traced *tr);
void stack_names__learn(struct stack_names *n, const struct rec_stack *rec, const struct traced *tr);
/* Stack ids that are reasons (enum stack_status), and stacks that were lost, included. */
struct stack_name stack_names__look_up(struct stack_names *n, const struct traced *tr, uint64_t stack_id);

#endif
