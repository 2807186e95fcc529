/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/heap_holders.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

/* A holder's place in the list. */
struct holder_place {
	struct stack_name stack; /* key */
	size_t at;
	UT_hash_handle hh;
};

int heap_holders__begin(struct heap_holders *h, struct heap_holdings *all, size_t most)
{
	*h = (struct heap_holders){ .all = all, .places = calloc(most + 1, sizeof(*h->places)) };
	free(all->holders);
	all->holders = calloc(most + 1, sizeof(*all->holders));
	all->n = 0;
	if (h->places && all->holders)
		return 0;
	free(h->places);
	return -ENOMEM;
}

struct heap_holder *heap_holders__of(struct heap_holders *h, const struct stack_name *stack)
{
	struct heap_holdings *all = h->all;
	struct holder_place *found;

	HASH_FIND(hh, h->by_stack, stack, sizeof(*stack), found);
	if (!found) {
		found = &h->places[all->n];
		*found = (struct holder_place){ .stack = *stack, .at = all->n };
		HASH_ADD(hh, h->by_stack, stack, sizeof(found->stack), found);
		all->holders[all->n++].stack = *stack;
	}
	return &all->holders[found->at];
}

void heap_holders__end(struct heap_holders *h)
{
	HASH_CLEAR(hh, h->by_stack);
	free(h->places);
}
