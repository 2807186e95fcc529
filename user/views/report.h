/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Tables of a profile, for people (text) and programs (JSON).
 */
#ifndef VIEWS_REPORT_H
#define VIEWS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "model/profile.h"

enum report_by { REPORT_BY_CONTAINER, REPORT_BY_PROCESS, REPORT_BY_THREAD, REPORT_BY_FUNCTION, REPORT_BY_LINE };

struct report_opts {
	enum report_by by;
	uint32_t kinds; /* bit per enum sample_kind; 0: chosen from what was recorded (report__default_kinds) */
	enum profile_view view;
	uint32_t top; /* rows; 0: 20 */
	const char *container; /* only this container (name or id); NULL: all */
	bool json;
};

/* The kinds of the one signal that a report shows when nothing is asked for: exact, else heap, else resident. */
uint32_t report__default_kinds(const struct profile *p);

/* Prints to out. 0; -ENOENT: opts->container is not in the profile; -ENOMEM; -ENOSPC; -EPIPE; -EIO. */
int report__print(const struct profile *p, const struct report_opts *opts, FILE *out);

#endif
