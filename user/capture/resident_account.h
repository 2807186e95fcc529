/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The resident set of one process as it was counted, by kind of memory: gains less losses, and how much of the losses no
 * line was found for yet. Pure: sums only, no errors. Zeroed memory is an empty account.
 *
 * A line may be relieved of a page only while the resident set has lost as much and nobody knows whose that was: a page
 * that is not where it was may have been moved (mremap, with which realloc grows large blocks).
 */
#ifndef CAPTURE_RESIDENT_ACCOUNT_H
#define CAPTURE_RESIDENT_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

/* KIND_RESIDENT_ANON, _FILE, _SHMEM are 0, 1, 2. */
#define RESIDENT_KINDS 3

struct resident_account {
	int64_t counted_bytes[RESIDENT_KINDS];
	int64_t given_back_bytes[RESIDENT_KINDS]; /* of what was lost: no line's yet */
};

/* Counts what a stack, or STACK_GIVEN_BACK, gained (< 0: lost). Other kinds are passed over. */
void resident_account__count(struct resident_account *a, uint64_t stack_id, uint32_t kind, int64_t gained_bytes);
/* How much of bytes a line may be relieved of: at most what was given back by nobody we know. */
uint64_t resident_account__claimable(const struct resident_account *a, uint32_t kind, uint64_t bytes);
#endif
