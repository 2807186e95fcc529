/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Strings of a traced process on their way to a terminal or a document. They are not to be trusted:
 * what is not UTF-8, control characters and characters that reorder or hide text come out as
 * U+FFFD.
 */
#ifndef VIEWS_TEXT_H
#define VIEWS_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Reads one character of s (not at its end) into *ret, U+FFFD for an unsafe one. How many bytes it
 * took. */
size_t text__next(const char *s, uint32_t *ret);
/* Columns that s takes once it is printed. */
size_t text__width(const char *s);
/* A new string of at most width columns, safe to print; what does not fit is cut at the start (a
 * path) or at the end (a name) and marked with "…". NULL: no memory. */
char *text__cut_start(const char *s, size_t width);
char *text__cut_end(const char *s, size_t width);
/* A new string, all of s, valid UTF-8; control characters are kept (a writer of JSON escapes them).
 * NULL: no memory. */
char *text__utf8(const char *s);
/* The last part of a path. */
const char *text__basename(const char *path);

void text__put(const char *s, FILE *out);
/* For XML: text and attribute values. */
void text__put_xml(const char *s, FILE *out);

/*
 * Around what a view writes. A stream remembers that a write failed but not why, and later flushes of it succeed: errno
 * is cleared first and read last, so a view stops writing soon after ferror().
 * text__finish: what was written has left the process. 0, -ENOSPC, -EPIPE (its reader has gone) or -EIO.
 */
void text__begin(void);
int text__finish(FILE *out);

#endif
