/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who holds the resident set of a process of whose page faults only a part is looked at. Pure.
 *
 * Of the pages that are followed each stands for as many as its chance to be looked at was small (a Horvitz-Thompson
 * estimate): by its line's account these are there. How large the resident set is, is known exactly. The difference is shared
 * out by how unsure each line is, as the constraint of a least-squares estimate is: a line all of whose faults were looked at
 * gets nothing of it, and where one line only is unsure, it is right but for lines on which no look fell. What is too large to be chance
 * is left out: it is something else's, and is told as no line's. What is hardly chance may be something else's: it is shared out, and is in the error.
 *
 * A line's error comes from groups of the sample (struct page_value.group), by leaving each out (delete-a-group jackknife).
 */
#ifndef CAPTURE_RESIDENT_LINES_H
#define CAPTURE_RESIDENT_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "capture/resident_account.h"
#include "records.h"

/* A cell of the profile. */
struct resident_line_key {
	uint32_t tid, node, kind;
};

struct resident_line {
	struct resident_line_key key;
	uint32_t process; /* of the profile */
	double bytes; /* that the pages found stand for */
	double variance; /* bytes squared */
	double part[PAGE_GROUPS]; /* of what is chance in bytes */
	double pages_left; /* standard deviation that its groups do not tell */
	int64_t correction; /* bytes that it was given of the difference (< 0: that were taken) */
	UT_hash_handle hh;
};

/* Zeroed memory is empty. */
struct resident_lines {
	struct resident_line *by_key;
	double variance[RESIDENT_KINDS];
	double part[RESIDENT_KINDS][PAGE_GROUPS];
	double a_look; /* for how many bytes one at any page fault of the process stands of late; set by who settles, 0: not known */
};

/* Begins a look at all pages: nothing is there, corrections stay. */
void resident_lines__begin(struct resident_lines *l);
/* A page that is there. factor >= 1: for how many pages one that is followed stands; they are in bytes already. -ENOMEM. */
int resident_lines__found(struct resident_lines *l, const struct resident_line_key *key, uint32_t process, double bytes,
			  double factor, unsigned int group);
/* The standard deviation, in bytes, of what is told of all lines of a kind. */
double resident_lines__deviation(const struct resident_lines *l, uint32_t kind);

/*
 * unknown: bytes by kind that the resident set has and no line (< 0: that lines have and it has not), without what corrections
 * have moved; NAN: nobody knows. unsteady: how unsure that is, as by how much the resident set
 * changed while pages were looked at. Calls fn once for
 * each line with its new correction and its deviations when a part of the sample is left out; then forgets lines of which nothing
 * is there.
 */
void resident_lines__settle(struct resident_lines *l, const double unknown[RESIDENT_KINDS], const double unsteady[RESIDENT_KINDS],
			    void (*fn)(struct resident_line *line, int64_t correction, const int64_t deviations[PAGE_GROUPS],
				       void *arg),
			    void *arg);
void resident_lines__free(struct resident_lines *l);

#endif
