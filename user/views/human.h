/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Numbers as a person reads them. All return buf. */
#ifndef VIEWS_HUMAN_H
#define VIEWS_HUMAN_H

#include <stddef.h>
#include <stdint.h>

/* "0 B", "1023 B", "1.0 KiB", "12.3 MiB", "123.4 GiB": one decimal from KiB on, rounded to nearest. */
const char *human__bytes(uint64_t bytes, char *buf, size_t len);
/* "950 ns", "1.2 ms", "3.4 s", "2 min 5 s". */
const char *human__duration(uint64_t ns, char *buf, size_t len);
/* "1,234,567": every digit, in groups. */
const char *human__count(uint64_t n, char *buf, size_t len);
/* "45.2 %": part of whole; "0.0 %" of nothing. */
const char *human__percent(uint64_t part, uint64_t whole, char *buf, size_t len);
/* The same where there is no telling of nothing: "share not known"; "100 %" only where nothing is missing. */
const char *human__share(uint64_t part, uint64_t whole, char *buf, size_t len);

#endif
