/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The rows of a report: cells summed by container, process, thread, function or line, the greatest
 * first.
 *
 * A stack's own bytes ("self") belong to its deepest Python frame, because that is the line the
 * user can change; where there is no Python frame, to its deepest frame of any kind (a reason, a
 * native function). By function and line, what is of nobody (select__nobody) is no row of the table.
 */
#ifndef VIEWS_ROWS_H
#define VIEWS_ROWS_H

#include "views/report.h"
#include "views/select.h"

struct row {
	uint32_t container; /* n_containers of the selection: none known */
	uint32_t process;   /* by process and thread */
	uint32_t tid;	    /* by thread */
	uint32_t frame; /* by function and line; else the line with the most bytes. PROFILE_NONE: no
			   stack at all */
	uint64_t bytes; /* self, in the view */
	uint64_t cnt;
	uint64_t alloc_bytes;
	/* Frees in stacks that allocated less than they freed: nothing to take them away from, so
	 * no row has them. */
	uint64_t unmatched_bytes;
	/* What the row gained for certain: frees taken away, memory without a Python frame (it may
	 * have been there before tracing began) not counted. */
	int64_t growth_bytes;
	/* Bytes by which the row goes astray when a part of the sample is left out (model/deviations.h). */
	bool estimated;
	int64_t deviations[PROFILE_REPLICATES];
	uint64_t total_bytes; /* by function and line: with callees, once per stack however deep it
				 recurses */
};

struct rows {
	struct row *at;
	size_t n;
	size_t n_other; /* by function and line: rows of nobody, at[n] and on, not in the sums */
	uint64_t bytes, cnt, alloc_bytes, unmatched_bytes; /* sums over all rows */
};

/* Half of the 95 % interval of row->bytes, as part of them; 0: counted; INFINITY: cannot be told. */
double row__error(const struct row *row);

int rows__new(const struct selection *s, enum report_by by, struct rows *ret);
void rows__free(struct rows *r);

#endif
