/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a signal will see of an interpreter, in words, from the probe sites that were found in its file: for people who are
 * about to believe a number. What share of the blocks and collections that is on each interpreter, `make matrix` measures.
 */
#ifndef PYTHON_COVERAGE_H
#define PYTHON_COVERAGE_H

#include "python/sites.h"

/* Longest text, with its end. */
#define COVERAGE_TEXT_BYTES 256

/*
 * Of SIGNAL_EXACT or SIGNAL_GC, for the sites that probe_sites__find returned with *info. True: nothing is known to be
 * missed, so that a report need not say it.
 */
bool coverage__tell(enum signal signal, const struct probe_site *sites, size_t n, const struct probe_sites_info *info,
		    char ret[COVERAGE_TEXT_BYTES]);

#endif
