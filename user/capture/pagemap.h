/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Is a page of a process still resident, and in which page frame? /proc/TGID/pagemap, one 64-bit word a page: bit 63
 * present, bits 0-54 the frame, 0 for who lacks CAP_SYS_ADMIN, bit 56 mapped once, bit 61 of a file or shared
 * (Documentation/admin-guide/mm/pagemap.rst).
 */
#ifndef CAPTURE_PAGEMAP_H
#define CAPTURE_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pagemap;

/* -ESRCH, -EACCES, -ENOMEM. */
int pagemap__open(pid_t tgid, struct pagemap **ret);
void pagemap__free(struct pagemap *p);
/* Page frames are told by a hash of their number; 0: it is not told. No frame has the hash PAGEMAP_NO_FRAME. */
#define PAGEMAP_HASH_BITS 16
#define PAGEMAP_NO_FRAME 1
/* page: address / 4096. False: it is not resident, or an error. */
bool pagemap__present(struct pagemap *p, uint64_t page, uint32_t *ret_frame);
/* Of n pages from there on, 0 for those that are not resident. How many were read; 0: none, or pages are not of 4096 bytes. */
size_t pagemap__frames(struct pagemap *p, uint64_t page, uint32_t *ret, size_t n);
/* *own: of n pages from there on, anonymous ones that no other process maps. False: they cannot be read, or are not of 4096 bytes. */
bool pagemap__own(struct pagemap *p, uint64_t page, size_t n, size_t *own);

#endif
