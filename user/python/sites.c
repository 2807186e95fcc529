/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "python/sites.h"

#include <errno.h>

static const struct {
	enum probe_kind kind;
	const char *symbol;
} allocator[] = {
	{ PROBE_MALLOC, "PyObject_Malloc" },
	{ PROBE_CALLOC, "PyObject_Calloc" },
	{ PROBE_REALLOC, "PyObject_Realloc" },
	{ PROBE_FREE, "PyObject_Free" },
};

static bool add(const struct elf_file *f, struct probe_site site, struct probe_site *ret, size_t max, size_t *n)
{
	struct elf_symbol sym;

	if (*n == max || elf_file__symbol(f, site.symbol, &sym) || elf_file__file_offset(f, sym.addr, &site.offset))
		return false;
	ret[(*n)++] = site;
	return true;
}

/* Where gc_collect_main stands in .symtab it is the collector itself; a stripped build may have USDT notes instead. */
static void add_collector(const struct elf_file *f, struct probe_site *ret, size_t max, size_t *n)
{
	static const char *const names[] = { "gc_collect_main", "gc_collect_main.constprop.*", "gc_collect_main.isra.*" };
	struct elf_symbol notes;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (add(f, (struct probe_site){ SIGNAL_GC, PROBE_GC, false, 0, names[i] }, ret, max, n))
			return;
	}
	if (*n < max && !elf_file__section(f, ".note.stapsdt", &notes))
		ret[(*n)++] = (struct probe_site){ SIGNAL_GC, PROBE_GC_USDT, false, 0, "gc__start" };
}

size_t probe_sites__find(const struct elf_file *f, uint32_t signals, struct probe_site *ret, size_t max)
{
	size_t i, n = 0;

	if (signals & 1u << SIGNAL_EXACT) {
		for (i = 0; i < sizeof(allocator) / sizeof(allocator[0]); i++)
			add(f, (struct probe_site){ SIGNAL_EXACT, allocator[i].kind, false, 0, allocator[i].symbol }, ret,
			    max, &n);
	}
	if (signals & 1u << SIGNAL_GC)
		add_collector(f, ret, max, &n);
	return n;
}
