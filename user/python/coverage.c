/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "python/coverage.h"

#include <stdio.h>
#include <string.h>

/*
 * _PyMem_GetCurrentAllocatorName (Objects/obmalloc.c, 3.8-3.15) compares with the allocator's functions
 * to name it, and allocates nothing. Which they are a stripped file does not tell.
 */
#define NAMING_COMPARISONS 2

static void set_share(struct coverage *c, uint64_t part, uint64_t whole)
{
	c->part = part;
	c->whole = whole;
}

static void derive_exact(size_t n, const struct probe_sites_info *info, struct coverage *c)
{
	unsigned int unclear = info->unclear;
	char places[64] = "; nowhere were they inlined";

	if (!n) {
		set_share(c, 0, 1);
		snprintf(c->text, sizeof(c->text), "sees nothing: no allocator function was found");
		return;
	}
	if (!info->inlined) {
		snprintf(c->text, sizeof(c->text),
			 "sees only what calls the public functions, as little as 0.1 %% in builds that inline "
			 "their allocator: %s", info->why ? info->why : "its code is not understood");
		return;
	}
	unclear -= unclear < NAMING_COMPARISONS ? unclear : NAMING_COMPARISONS;
	if (info->guards)
		snprintf(places, sizeof(places), " and %u places where they were inlined", info->guards);
	if (unclear) {
		snprintf(c->text, sizeof(c->text),
			 "sees the functions that allocate and free%s, but not %u more that are not understood", places,
			 unclear);
		return;
	}
	set_share(c, 1, 1);
	snprintf(c->text, sizeof(c->text), "sees the functions that allocate and free%s", places);
}

static void derive_heap(size_t n, const struct probe_sites_info *info, struct coverage *c)
{
	if (!n) {
		set_share(c, 0, 1);
		snprintf(c->text, sizeof(c->text), "sees no small blocks: where pools are taken into use was not found");
		return;
	}
	if (!info->inlined) {
		snprintf(c->text, sizeof(c->text), "sees each pool and what lives in it, but not by whom: %s",
			 info->why ? info->why : "its code is not understood");
		return;
	}
	set_share(c, 1, 1);
	snprintf(c->text, sizeof(c->text), "sees each pool and what lives in it, read from memory; by whom, in windows");
}

static void derive_gc(const struct probe_site *site, struct coverage *c)
{
	set_share(c, site ? 1 : 0, 1);
	if (!site)
		snprintf(c->text, sizeof(c->text), "sees nothing: the collector was not found in its code");
	else
		snprintf(c->text, sizeof(c->text), "sees each collection, by %s",
			 site->kind == PROBE_GC ? "the collector's function" : "the build's USDT probes");
}

void coverage__derive(enum signal signal, const struct probe_site *sites, size_t n, const struct probe_sites_info *info,
		      struct coverage *ret)
{
	const struct probe_site *first = NULL;
	struct coverage c = {};
	size_t of_signal = 0;

	for (size_t i = 0; i < n; i++) {
		if (sites[i].signal != signal || sites[i].kind == PROBE_GC_COLLECT || sites[i].kind == PROBE_GC_API)
			continue;
		first = first ? first : &sites[i];
		of_signal++;
	}
	if (signal == SIGNAL_GC) {
		derive_gc(first, &c);
	} else if (signal == SIGNAL_EXACT) {
		derive_exact(of_signal, info, &c);
	} else if (signal == SIGNAL_HEAP) {
		derive_heap(of_signal, info, &c);
	} else {
		set_share(&c, 1, 1);
		snprintf(c.text, sizeof(c.text), "sees all that becomes resident, whoever allocated it: page faults, and the "
			 "kernel's own counters");
	}
	*ret = c;
}

/* It asks the raw domain for some bytes more with each block, on the block's line. */
static void add_tracemalloc(const struct allocator_chain *allocator, struct coverage *c)
{
	size_t n = strlen(c->text);

	for (int i = 0; i < allocator->layers; i++) {
		if (allocator->layer[i] == LAYER_TRACEMALLOC) {
			snprintf(c->text + n, sizeof(c->text) - n, "; what tracemalloc keeps of each block counts, too");
			return;
		}
	}
}

void coverage__with_allocator(enum signal signal, const struct allocator_chain *allocator, struct coverage *c)
{
	const char *also = signal == SIGNAL_EXACT && coverage__is_complete(c) ? ", and the raw domain" : "";
	char name[ALLOCATOR_TEXT_BYTES];

	if (signal != SIGNAL_EXACT && signal != SIGNAL_HEAP)
		return;
	if (allocator->base == ALLOCATOR_PYMALLOC) {
		if (*also)
			add_tracemalloc(allocator, c);
		return;
	}
	allocator_chain__text(allocator, name);
	/* The functions of the raw domain, which have probes. */
	if (signal == SIGNAL_EXACT && allocator->base == ALLOCATOR_MALLOC && coverage__is_complete(c)) {
		snprintf(c->text, sizeof(c->text), "sees what Python takes and gives back: the allocator is %.250s", name);
		return;
	}
	/* Where it leads is not known: it may end in pymalloc. */
	set_share(c, 0, allocator->base == ALLOCATOR_UNKNOWN ? 0 : 1);
	snprintf(c->text, sizeof(c->text), "sees only what calls pymalloc's functions%s: the allocator is %.230s", also, name);
}

void coverage__with_raw(enum signal signal, const struct allocator_chain *raw, struct coverage *c)
{
	char name[ALLOCATOR_TEXT_BYTES];
	size_t n = strlen(c->text);

	if (signal != SIGNAL_EXACT || raw->base == ALLOCATOR_MALLOC || !coverage__is_complete(c))
		return;
	set_share(c, 0, 0);
	snprintf(c->text + n, sizeof(c->text) - n, "; of the raw domain only what calls those: its allocator is %.150s",
		 allocator_chain__text(raw, name));
}

bool coverage__is_complete(const struct coverage *c)
{
	return c->whole && c->part == c->whole;
}
