/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Sums over the collections of a selection: by generation, by what triggered them, by the line that asked for them. */
#ifndef VIEWS_GC_FACTS_H
#define VIEWS_GC_FACTS_H

#include "views/select.h"

/* Generations told apart, and "not known" first: index is generation + 1. */
#define FACTS_GENERATIONS 4

struct facts_gc {
	uint64_t cnt, pause_ns, longest_ns;
	uint64_t not_watched_cnt, estimated_cnt; /* of cnt: of those pause_ns is estimated; estimated_cnt of them is, too */
	uint64_t collected, uncollectable; /* objects, of those collections that told */
	uint64_t collected_unknown_cnt, uncollectable_unknown_cnt; /* collections that did not */
};
void facts__gc(const struct selection *s, struct facts_gc generations[FACTS_GENERATIONS],
	       struct facts_gc triggers[GC_TRIGGER_MAX]);

/* A leaf of stacks that call gc.collect(), or C code that calls PyGC_Collect(). */
struct facts_gc_call {
	uint32_t frame; /* PROFILE_NONE: without a stack */
	enum gc_trigger trigger; /* GC_TRIGGER_COLLECT or GC_TRIGGER_NATIVE */
	struct facts_gc sums;
};
/* The longest pauses in total first, each trigger for itself. The caller frees *ret. 0 or -ENOMEM. */
int facts__gc_calls(const struct selection *s, struct facts_gc_call **ret, size_t *ret_cnt);

/* "automatic", "gc.collect", "native", "shutdown", as in view `collections` of a recording; NULL: not known. */
const char *gc_trigger__name(enum gc_trigger trigger);

#endif
