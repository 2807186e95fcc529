/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Puts what the kernel side counted into the profile, under the stacks it belongs to, and keeps each process's resident
 * set right: pages that faulted again or are found gone are taken from the line that brought them in, as far as
 * resident_account.h allows. Only the tracker's files include this.
 */
#ifndef CAPTURE_ACCOUNTS_H
#define CAPTURE_ACCOUNTS_H

#include "capture/stack_names.h"
#include "capture/traced.h"
#include "capture/tracker.h"

struct accounts;

/* All three outlive *ret. -ENOMEM. */
int accounts__new(const struct tracker_deps *deps, struct traced_table *table, struct stack_names *names,
		  struct accounts **ret);
void accounts__free(struct accounts *a);

/* For session_handlers: count, then counted when all counts of one reading were handed out. */
void accounts__count(struct accounts *a, const struct count_key *key, const struct count_value *delta);
void accounts__counted(struct accounts *a);

/*
 * A page of a line was given back: its bytes are taken from the line, which until now were taken from what is no line's. < 0: it gains as
 * much, for a page of it that is followed stands for others.
 */
void accounts__relieve_line(struct accounts *a, struct traced *tr, uint64_t stack_id, uint32_t kind, int64_t bytes);
/* The same of a line whose bytes are an estimate. */
void accounts__correct_line(struct accounts *a, struct traced *tr, const struct resident_line *line, int64_t more);
/*
 * At the end: brings each account up to the process's resident set as it is now. watched: the hook on page faults was on until now, when
 * it was taken away.
 */
void accounts__reconcile(struct accounts *a, bool watched);
/* What a process that has ended still held is gone with it. */
void accounts__give_all_back(struct accounts *a, const struct traced *tr);
/* Counts that came for a process after it was settled, or that nobody knows. */
uint64_t accounts__unknown(const struct accounts *a);

#endif
