/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whether a word on the stack can be a return address: a call ends right before it. x86-64. */
#ifndef SYSTEM_CALL_SITE_H
#define SYSTEM_CALL_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a call, with any prefixes that compilers write. */
#define CALL_SITE_MAX_BYTES 9

/* code: the n bytes that stand before the address. */
bool call_site__ends(const uint8_t *code, size_t n);

#endif
