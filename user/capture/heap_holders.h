/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The holders of struct heap_holdings while they are added up, found by stack. */
#ifndef CAPTURE_HEAP_HOLDERS_H
#define CAPTURE_HEAP_HOLDERS_H

#include "capture/heap_samples.h"

struct holder_place;

struct heap_holders {
	struct heap_holdings *all;
	struct holder_place *places, *by_stack;
};

/* From now on all->holders are others, none yet, at most so many. 0 or -ENOMEM. */
int heap_holders__begin(struct heap_holders *h, struct heap_holdings *all, size_t most);
/* The holder of that stack, a new one where there was none. */
struct heap_holder *heap_holders__of(struct heap_holders *h, const struct stack_name *stack);
void heap_holders__end(struct heap_holders *h);

#endif
