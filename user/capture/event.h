/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The gate between the ring buffer and everything else: a record is looked at only after its kind, length and contents
 * have been found consistent. And the names of counters, reasons and kinds for people.
 */
#ifndef CAPTURE_EVENT_H
#define CAPTURE_EVENT_H

#include <stddef.h>

#include "records.h"

/* 0; -EBADMSG: kind unknown, length not the kind's, or a field out of range. */
int record__check(const void *data, size_t len);

/* "dropped.ring_full_stack", "events", ...; those that begin with "dropped." are losses. NULL: out of range. */
const char *counter__name(unsigned int counter);
/* "thread is not known to Python", ...; NULL: out of range. */
const char *stack_status__text(unsigned int status);

#endif
