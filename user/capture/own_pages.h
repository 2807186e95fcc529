/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How much of a forked process's memory is its own: anonymous pages that no other process maps. What it shares with its parent was
 * there before it began; so what its own lines hold is no more than this, however uncertain what they are told to hold is.
 */
#ifndef CAPTURE_OWN_PAGES_H
#define CAPTURE_OWN_PAGES_H

#include <stdint.h>

#include "capture/pagemap.h"
#include "system/proc.h"

/*
 * Bytes of anonymous memory. -ESRCH, -EACCES, -ENOMEM; -EIO: its page map cannot be read; -EBUSY: it is in its parent's memory;
 * -E2BIG: the process has too much address space to be looked through.
 */
int own_pages__find(const struct proc *p, pid_t tgid, struct pagemap *pagemap, uint64_t *ret);

#endif
