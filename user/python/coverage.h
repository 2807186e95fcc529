/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How much of an interpreter a signal sees, and from what that is known: for people who are about to believe a number. What is
 * told here is derived, from the probe sites that were found in its file and from the allocator that the process has; what
 * was measured meanwhile goes before it (capture/interp_watch.h). `make matrix` measures all of it on each interpreter.
 */
#ifndef PYTHON_COVERAGE_H
#define PYTHON_COVERAGE_H

#include "python/allocators.h"
#include "python/sites.h"

/* Longest text, with its end. */
#define COVERAGE_TEXT_BYTES 320

struct coverage {
	/* Share of Python's heap bytes (exact, heap), of collections (gc), of what becomes resident: part of whole; whole 0: not known. */
	uint64_t part, whole;
	char text[COVERAGE_TEXT_BYTES]; /* "sees ...", a part of a sentence whose subject is the signal */
};

/* Of SIGNAL_EXACT, SIGNAL_HEAP, SIGNAL_GC or SIGNAL_RESIDENT, for the sites that probe_sites__find returned with *info. */
void coverage__derive(enum signal signal, const struct probe_site *sites, size_t n, const struct probe_sites_info *info,
		      struct coverage *ret);
/* What becomes of it where a process's object allocator is another than its file's. */
void coverage__with_allocator(enum signal signal, const struct allocator_chain *allocator, struct coverage *c);
/* Likewise of the raw domain's allocator, after that: exact has probes in what its file begins with. */
void coverage__with_raw(enum signal signal, const struct allocator_chain *raw, struct coverage *c);
/* Nothing is known to be missed, so that a report need not warn. */
bool coverage__is_complete(const struct coverage *c);

#endif
