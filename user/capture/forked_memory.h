/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose the anonymous memory is that a forked process has alone: its lines', which brought it in or wrote copies; nobody's, where the
 * faults that did were not looked at; or its parent's once, which has it no more. Pure; in bytes and numbers of page faults, no errors.
 *
 * The kernel counts a process's page faults. By how many more they are than those for which the ones that were looked at stand, because
 * the hook was away when it lived, its lines have too little; by how many fewer, too much (a ratio estimate).
 */
#ifndef CAPTURE_FORKED_MEMORY_H
#define CAPTURE_FORKED_MEMORY_H

#include <stdint.h>

#define FORKED_UNKNOWN UINT64_MAX

/* Page faults since its fork, until the hook was taken away at the end. */
struct forked_faults {
	uint64_t all;
	uint64_t looks; /* that were looked at */
	double stood_for; /* so many those stand for, which are charged */
};

struct forked_memory {
	uint64_t own_bytes; /* that it has alone; FORKED_UNKNOWN */
	struct forked_faults faults; /* all of them 0: all were looked at */
	uint64_t page_bytes;
};

/*
 * What lines do not have, as unknown of resident_lines__settle. unknown: what the resident set has gained more than they have; less than
 * nothing where what was inherited was written, or given back, which was never counted as gained. most: bytes that the process can
 * have at most, where own_bytes is not known. *unsure: the distance between what page faults and what it has alone tell, which is the
 * greater the more it inherited; 0 where one of the bounds is known to hold.
 */
double forked_memory__unknown(const struct forked_memory *m, double unknown, double lines_bytes, double most, double *unsure);

struct forked_rest {
	double inherited; /* its parent has it no more */
	double not_looked_at; /* its own faults brought it in */
};

/*
 * What it has alone and nobody was told to have. lines_bytes: as above; told_bytes: what lines have now, and what is told to have come while nobody
 * watched. Nothing where it is not known.
 */
struct forked_rest forked_memory__rest(const struct forked_memory *m, double lines_bytes, double told_bytes);

#endif
