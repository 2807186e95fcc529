/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the collector of a running process says of itself, read from memory without any probe: enabled or not, thresholds,
 * counts, statistics, frozen objects. Of the main interpreter. Source: struct _gc_runtime_state
 * (Include/internal/pycore_gc.h; pycore_pymem.h in 3.8; pycore_interp_structs.h from 3.14), which the functions of module gc
 * show: Modules/gcmodule.c.
 *
 * The process runs meanwhile and may be hostile: values that no collector has are refused, lists are followed only so far.
 */
#ifndef PYTHON_GC_STATE_H
#define PYTHON_GC_STATE_H

#include <stdbool.h>

#include "python/layout.h"

#define GC_GENERATIONS 3
/* Frozen objects that are counted; a process with more has "at least" so many. About 100 bytes each, so 1.6 GiB. */
#define GC_MAX_FROZEN (16u << 20)

struct gc_state {
	bool enabled; /* gc.isenabled(): automatic collections */
	bool collecting; /* a collection runs */
	bool has_counts; /* threshold and count are known: not in 3.14.0 to 3.14.4 */
	int32_t threshold[GC_GENERATIONS]; /* gc.get_threshold(); 0 for the first: never by itself */
	int32_t count[GC_GENERATIONS]; /* gc.get_count() */
	/* gc.get_stats(): since the interpreter began */
	int64_t collections[GC_GENERATIONS];
	int64_t collected[GC_GENERATIONS];
	int64_t uncollectable[GC_GENERATIONS];
	/* The permanent generation, a circular list: where its head is, and the first and last on it. */
	uint64_t frozen_head, frozen_first, frozen_last;
};

/*
 * 0; -EAGAIN: the interpreter has not begun yet, or has ended; -ENOTSUP: not known where it is in this build; -EBADMSG: not
 * what a collector looks like; or the reader's error. *ret only on success.
 */
int gc_state__read(const struct mem_reader *m, uint64_t runtime, const struct py_layout *l, struct gc_state *ret);

/*
 * gc.get_freeze_count(): objects on the permanent list, by following it, which reads about as many bytes as they and what
 * lies between them have. 0; -E2BIG: more than GC_MAX_FROZEN, or too scattered to count cheaply: *ret is how many were met;
 * -EAGAIN: the list changed meanwhile; -ENOMEM; or the reader's error.
 */
int gc_state__count_frozen(const struct mem_reader *m, const struct gc_state *s, uint64_t *ret);

#endif
