/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose the anonymous memory is that a forked process has alone: its lines', which brought it in or wrote copies; nobody's, where the
 * faults that did were not looked at; or its parent's once, which has it no more. Pure; in bytes and numbers of page faults, no errors.
 *
 * The kernel counts a process's page faults, so it is known for how many those that were looked at are to stand. By how many they do
 * not, because the hook was off when it lived, its lines have too little (a ratio estimate); and no more than what it has alone.
 */
#ifndef CAPTURE_FORKED_MEMORY_H
#define CAPTURE_FORKED_MEMORY_H

#include <stdint.h>

#define FORKED_UNKNOWN UINT64_MAX

struct forked_memory {
	uint64_t own_bytes; /* that it has alone; FORKED_UNKNOWN */
	uint64_t faults; /* of the process, ever */
	double told; /* so many those that were looked at stand for */
};

/*
 * What lines do not have, as unknown of resident_lines__settle. unknown: what the resident set has gained more than they have; less than
 * nothing where what was inherited was written, or given back, which was never counted as gained. most: bytes that the process can
 * have at most, where own_bytes is not known. *unsure: by so much more it may be off.
 */
double forked_memory__unknown(const struct forked_memory *m, double unknown, double lines_bytes, double most, double *unsure);

struct forked_rest {
	double inherited; /* its parent has it no more */
	double not_seen; /* its own faults brought it in, which were not looked at */
};

/* What it has alone, when its lines have lines_bytes. Nothing where that is not known. */
struct forked_rest forked_memory__rest(const struct forked_memory *m, double lines_bytes, uint64_t page_bytes);

#endif
