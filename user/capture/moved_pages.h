/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which pages that are not where they were have been moved, as mremap does, with which realloc grows large blocks: their page
 * frames are found elsewhere in the process, many of them at the same distance, and most of those that lay between them too. A frame
 * that was given back and came again for something else is found elsewhere, too, but at a distance of its own, or with few others.
 */
#ifndef CAPTURE_MOVED_PAGES_H
#define CAPTURE_MOVED_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "system/proc.h"

/* Fewer pages have moved by the same distance by chance. */
#define MOVED_TOGETHER 4

struct moved_page {
	uint64_t page; /* where it was: address / 4096 */
	uint32_t frame; /* that it had, as pagemap.h tells it */
	uint64_t now; /* where it is; 0: nowhere */
};

/* Pages in private memory of a process, of which so many and more moved together. -ESRCH, -EACCES, -ENOMEM: nothing found. */
int moved_pages__find(const struct proc *p, pid_t tgid, struct moved_page *pages, size_t n);

/* For tests: what moved_pages__find does with the pages that it finds. */
struct moved_search;
int moved_search__new(struct moved_page *pages, size_t n, struct moved_search **ret);
int moved_search__found(struct moved_search *s, uint64_t page, uint32_t frame);
void moved_search__end(struct moved_search *s);

#endif
