/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The collector (CPython Modules/gcmodule.c, Python/gc.c from 3.13): every run goes through one
 *static function, 3.8, 3.9	collect(state or tstate, generation, ...) from 3.10
 *gc_collect_main(tstate, generation, ...) some of 3.14	_PyGC_Collect(tstate, generation, reason),
 *while it collects in increments which only .symtab names, often as a clone (3.8 of a plain build:
 *collect.constprop.0 and .1, without the first argument). Stripped builds may have the USDT probes
 *gc__start and gc__done (Include/pydtrace.d) in it.
 *
 * A probe stands on the first instruction that the kernel emulates (python/decode.h), or on the
 *function's first one where there is none or the code cannot be followed.
 */
#include "python/sites.h"

#include <errno.h>
#include <string.h>

#include "python/decode.h"
#include "python/layout.h"
#include "python/usdt_arg.h"

static const struct {
	enum probe_kind kind;
	const char *symbol;
	unsigned int args; /* bit 0: the first one is read */
} allocator[] = {
	{PROBE_MALLOC, "PyObject_Malloc", 1},
	{PROBE_CALLOC, "PyObject_Calloc", 3},
	{PROBE_REALLOC, "PyObject_Realloc", 3},
	{PROBE_FREE, "PyObject_Free", 1},
};

/* tstate, generation */
#define COLLECTOR_ARGS 3

struct list {
	const struct machine_code *code; /* NULL: it cannot be decoded */
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

/* A probe on a function, where these of its arguments (bit 0: the first) can be read. */
static bool add_function(const struct elf_file *f, struct probe_site site, uint64_t addr,
			 unsigned int args, struct list *l)
{
	struct decode_place place;

	if (l->code && !decode__place(l->code, addr, args, site.kind != PROBE_FREE, &place)) {
		site.emulated = place.emulated;
		site.into = place.addr - addr;
		memcpy(site.insn, place.text, sizeof(site.insn));
		addr = place.addr;
	}
	return add(f, site, addr, l);
}

static void add_allocator(const struct elf_file *f, struct list *l)
{
	struct elf_symbol s;

	for (size_t i = 0; i < sizeof(allocator) / sizeof(allocator[0]); i++) {
		struct probe_site site = {.signal = SIGNAL_EXACT,
					  .kind = allocator[i].kind,
					  .symbol = allocator[i].symbol};

		if (!elf_file__symbol(f, site.symbol, &s))
			add_function(f, site, s.addr, allocator[i].args, l);
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
		if (!add_function(f, site, s[i].addr, COLLECTOR_ARGS, l)) {
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
	struct machine_code *code = NULL;

	if (!machine_code__open(f, &code))
		l.code = code;
	if (signals & 1u << SIGNAL_EXACT)
		add_allocator(f, &l);
	if (signals & 1u << SIGNAL_GC)
		add_collector(f, version, &l);
	machine_code__free(code);
	return l.n;
}

int probe_sites__code_free(const struct elf_file *f, uint64_t dealloc, struct probe_site *ret)
{
	struct probe_site site = {
		.signal = SIGNAL_CODE, .kind = PROBE_CODE_FREE, .symbol = "code_dealloc"
	};
	struct list l = { .site = &site, .max = 1 };
	struct machine_code *code = NULL;
	bool found;

	if (machine_code__open(f, &code))
		return -ENOENT;
	l.code = code;
	found = add_function(f, site, dealloc, 1, &l);
	machine_code__free(code);
	if (!found)
		return -ENOENT;
	*ret = site;
	return 0;
}
