/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where functions of this program are in its file: for probes in our own code. */
#ifndef SYSTEM_OWN_CODE_H
#define SYSTEM_OWN_CODE_H

#include <stdint.h>

/* Offset in /proc/self/exe. 0 or -errno (-ENOENT: mapped from nowhere). */
int own_code__offset(const void *addr, uint64_t *ret);

#endif
