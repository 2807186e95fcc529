/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Is a page of a process still resident? /proc/TGID/pagemap, one 64-bit word a page, bit 63: present
 * (Documentation/admin-guide/mm/pagemap.rst).
 */
#ifndef CAPTURE_PAGEMAP_H
#define CAPTURE_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pagemap;

/* -ESRCH, -EACCES, -ENOMEM. */
int pagemap__open(pid_t tgid, struct pagemap **ret);
void pagemap__free(struct pagemap *p);
/* page: address / 4096. False on any error. */
bool pagemap__present(struct pagemap *p, uint64_t page);

#endif
