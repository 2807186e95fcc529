/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Is a page of a process still resident, and in which page frame? /proc/TGID/pagemap, one 64-bit word a page: bit 63
 * present, bits 0-54 the frame, 0 for who lacks CAP_SYS_ADMIN (Documentation/admin-guide/mm/pagemap.rst).
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
/* page: address / 4096. False: it is not resident, or an error. ret_frame: the number of its frame, or 0. */
bool pagemap__present(struct pagemap *p, uint64_t page, uint64_t *ret_frame);

#endif
