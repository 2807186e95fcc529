/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "python/coverage.h"

#include <stdio.h>

/*
 * _PyMem_GetCurrentAllocatorName (Objects/obmalloc.c, 3.8-3.15) compares with the allocator's functions
 * to name it, and allocates nothing. Which they are a stripped file does not tell.
 */
#define NAMING_COMPARISONS 2

static bool tell_exact(size_t n, const struct probe_sites_info *info, char ret[COVERAGE_TEXT_BYTES])
{
	unsigned int unclear = info->unclear;
	char places[64] = "; nowhere were they inlined";

	if (!n) {
		snprintf(ret, COVERAGE_TEXT_BYTES, "exact sees nothing: no allocator function was found");
		return false;
	}
	if (!info->inlined) {
		snprintf(ret, COVERAGE_TEXT_BYTES,
			 "exact sees only what calls the public functions, as little as 0.1 %% in builds that inline "
			 "their allocator: %s", info->why ? info->why : "its code is not understood");
		return false;
	}
	unclear -= unclear < NAMING_COMPARISONS ? unclear : NAMING_COMPARISONS;
	if (info->guards)
		snprintf(places, sizeof(places), " and %u places where they were inlined", info->guards);
	if (unclear)
		snprintf(ret, COVERAGE_TEXT_BYTES,
			 "exact sees the functions that allocate and free%s, but not %u more that are not understood",
			 places, unclear);
	else
		snprintf(ret, COVERAGE_TEXT_BYTES, "exact sees the functions that allocate and free%s", places);
	return !unclear;
}

static bool tell_gc(const struct probe_site *site, char ret[COVERAGE_TEXT_BYTES])
{
	if (!site)
		snprintf(ret, COVERAGE_TEXT_BYTES, "gc sees nothing: the collector was not found in its code");
	else
		snprintf(ret, COVERAGE_TEXT_BYTES, "gc sees each collection, by %s",
			 site->kind == PROBE_GC ? "the collector's function" : "the build's USDT probes");
	return site;
}

bool coverage__tell(enum signal signal, const struct probe_site *sites, size_t n, const struct probe_sites_info *info,
		    char ret[COVERAGE_TEXT_BYTES])
{
	const struct probe_site *first = NULL;
	size_t of_signal = 0;

	for (size_t i = 0; i < n; i++) {
		if (sites[i].signal != signal)
			continue;
		first = first ? first : &sites[i];
		of_signal++;
	}
	return signal == SIGNAL_GC ? tell_gc(first, ret) : tell_exact(of_signal, info, ret);
}
