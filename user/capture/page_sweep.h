/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Looks at the pages that are followed: those that are gone are taken from the line that brought them in, as far as
 * resident_account.h allows; of processes of whose page faults a part only is looked at, those that are there tell who holds the
 * rest (resident_lines.h). Only the tracker's files include this.
 */
#ifndef CAPTURE_PAGE_SWEEP_H
#define CAPTURE_PAGE_SWEEP_H

#include "capture/accounts.h"

struct page_sweep;

/* All four outlive *ret. -ENOMEM. */
int page_sweep__new(const struct tracker_deps *deps, struct traced_table *table, struct stack_names *names,
		    struct accounts *accounts, struct page_sweep **ret);
void page_sweep__free(struct page_sweep *s);
/* The hook on page faults was taken away just now. */
void page_sweep__turn_ended(struct page_sweep *s);
/* When it is time to; now: at the end, after accounts__reconcile. 0 or -errno. */
int page_sweep__run(struct page_sweep *s, bool now);

#endif
