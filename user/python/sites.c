/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The collector (CPython Modules/gcmodule.c, Python/gc.c from 3.13): every run goes through one
 *static function, 3.8, 3.9	collect(state or tstate, generation, ...) from 3.10
 *gc_collect_main(tstate, generation, ...) some of 3.14	_PyGC_Collect(tstate, generation, reason),
 *while it collects in increments which only .symtab names, often as a clone (3.8 of a plain build:
 *collect.constprop.0 and .1, without the first argument). Stripped builds may have the USDT probes
 *gc__start and gc__done (Include/pydtrace.d) in it.
 *
 * What takes a disassembler belongs here once we have one: the collector of a stripped build
 *without USDT, as a further step of add_collector, and a better place than a function's first
 *instruction, in add.
 */
#include "python/sites.h"

#include <string.h>

#include "python/layout.h"
#include "python/usdt_arg.h"

static const struct {
	enum probe_kind kind;
	const char *symbol;
} allocator[] = {
	{PROBE_MALLOC, "PyObject_Malloc"},
	{PROBE_CALLOC, "PyObject_Calloc"},
	{PROBE_REALLOC, "PyObject_Realloc"},
	{PROBE_FREE, "PyObject_Free"},
};

struct list {
	struct probe_site *site;
	size_t n, max;
};

static bool add(const struct elf_file *f, struct probe_site site, uint64_t addr, struct list *l)
{
	if (l->n == l->max || elf_file__file_offset(f, addr, &site.offset))
		return false;
	l->site[l->n++] = site;
	return true;
}

static void add_allocator(const struct elf_file *f, struct list *l)
{
	struct elf_symbol s;

	for (size_t i = 0; i < sizeof(allocator) / sizeof(allocator[0]); i++) {
		struct probe_site site = {.signal = SIGNAL_EXACT,
					  .kind = allocator[i].kind,
					  .symbol = allocator[i].symbol};

		if (!elf_file__symbol(f, site.symbol, &s))
			add(f, site, s.addr, l);
	}
}

/* All clones or none: one that is left out would hide its share of the runs. */
static bool add_collector_function(const struct elf_file *f, const char *name, struct list *l)
{
	struct probe_site site = {.signal = SIGNAL_GC, .kind = PROBE_GC, .symbol = name};
	struct elf_symbol s[8], plain;
	const size_t before = l->n;
	char clones[64];
	size_t n;

	strcpy(clones, name);
	strcat(clones, "*");
	n = elf_file__symbols(f, clones, s, sizeof(s) / sizeof(s[0]));
	if (elf_file__symbol(f, name, &plain))
		plain.addr = 0;
	for (size_t i = 0; i < n; i++) {
		site.args_unknown = s[i].addr != plain.addr;
		if (!add(f, site, s[i].addr, l)) {
			l->n = before;
			return false;
		}
	}
	return n > 0;
}

static bool add_usdt(const struct elf_file *f, enum probe_kind kind, const char *name, struct list *l)
{
	struct probe_site site = {.signal = SIGNAL_GC, .kind = kind, .symbol = name};
	struct elf_usdt u;

	if (elf_file__usdt(f, "python", name, &u))
		return false;
	if (u.semaphore && elf_file__file_offset(f, u.semaphore, &site.semaphore))
		return false;
	if (usdt_arg__parse(u.args, &site.arg))
		site.arg.arg_form = SITE_ARG_NONE;
	return add(f, site, u.addr, l);
}

static void add_collector(const struct elf_file *f, uint16_t version, struct list *l)
{
	const size_t before = l->n;

	if (add_collector_function(f, version < PY_VERSION(3, 10) ? "collect" : "gc_collect_main",
				   l))
		return;
	if (version == PY_VERSION(3, 14) && add_collector_function(f, "_PyGC_Collect", l))
		return;
	if (!add_usdt(f, PROBE_GC_USDT, "gc__start", l) ||
	    !add_usdt(f, PROBE_GC_USDT_DONE, "gc__done", l))
		l->n = before;
}

size_t probe_sites__find(const struct elf_file *f, uint16_t version, uint32_t signals,
			 struct probe_site *ret, size_t max)
{
	struct list l = {.site = ret, .max = max};

	if (signals & 1u << SIGNAL_EXACT)
		add_allocator(f, &l);
	if (signals & 1u << SIGNAL_GC)
		add_collector(f, version, &l);
	return l.n;
}
