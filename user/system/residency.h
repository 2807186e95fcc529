/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which pages of a process are in memory, many at a time: reading a page that is not would bring it in, which the
 * process would be charged for. /proc/TGID/pagemap, one 64-bit word a page: bit 63 present, bit 62 swapped
 * (Documentation/admin-guide/mm/pagemap.rst); /proc/TGID/status, VmSwap.
 */
#ifndef SYSTEM_RESIDENCY_H
#define SYSTEM_RESIDENCY_H

#include <stddef.h>
#include <stdint.h>

#include "system/proc.h"

#define RESIDENCY_PAGE_BYTES 4096

enum page_place {
	PAGE_NOWHERE, /* never touched, given back, or not mapped */
	PAGE_PRESENT,
	PAGE_SWAPPED,
};

struct residency;

/* -ESRCH, -EACCES, -ENOMEM. */
int residency__open(const struct proc *p, pid_t tgid, struct residency **ret);
void residency__free(struct residency *r);

/*
 * An enum page_place for each of n pages from addr on. About 40 ns a page. Costs the process nothing. Not 0: a negative
 * errno.
 */
int residency__look(struct residency *r, uint64_t addr, uint8_t *ret, size_t n);

/* Bytes of the process that are swapped out. -ESRCH, -EACCES, -EBADMSG. */
int residency__swapped_bytes(const struct proc *p, pid_t tgid, uint64_t *ret);

#endif
