/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Flame graphs of a profile. Root at the top level is the container, then the process, then Python
 * frames root first.
 */
#ifndef VIEWS_FLAMEGRAPH_H
#define VIEWS_FLAMEGRAPH_H

#include <stdio.h>

#include "model/profile.h"

struct flamegraph_opts {
	uint32_t kinds; /* bit per enum sample_kind; 0: report__default_kinds */
	enum profile_view view;
	const char *container; /* only this one; NULL: all */
	const char *title;     /* NULL: made from the profile */
};

/* A stand-alone SVG with zoom (click), search (Ctrl-F or the corner; regular expression) and a
 * tooltip. 0, -ENOENT, -ENOMEM, -ENOSPC, -EPIPE, -EIO. */
int flamegraph__svg(const struct profile *p, const struct flamegraph_opts *opts, FILE *out);
/* One line per stack, "container;process;frame;... bytes", siblings sorted by name: what
 * flamegraph.pl and others read. ";",
 * "\\" and control characters in names are escaped as \\x3b, \\x5c, U+FFFD. */
int flamegraph__folded(const struct profile *p, const struct flamegraph_opts *opts, FILE *out);

#endif
