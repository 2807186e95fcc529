/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sites of the collector (CPython Modules/gcmodule.c, Python/gc.c from 3.13). Every run goes through one static
 * function, which only .symtab names, often as a clone:
 *
 *   3.8, 3.9      collect(state or tstate, generation, ...); 3.8 of a plain build: collect.constprop.0 and .1, without the
 *                 first argument
 *   from 3.10     gc_collect_main(tstate, generation, ...)
 *   some of 3.14  _PyGC_Collect(tstate, generation, reason), while it collects in increments
 *
 * Stripped builds may have the USDT probes gc__start and gc__done (Include/pydtrace.d) in it.
 */
#include "python/sites_impl.h"

#include <errno.h>
#include <string.h>

#include "python/decode.h"
#include "python/layout.h"
#include "python/method_table.h"
#include "python/usdt_arg.h"

/* tstate, generation; and the third or the fifth (enum gc_reason_arg) */
#define COLLECTOR_ARGS 3

static enum gc_reason_arg reason_arg(uint16_t version)
{
	return version >= PY_VERSION(3, 13) ? GC_REASON_THIRD : GC_REASON_FIFTH;
}

static unsigned int collector_args(const struct probe_site *site)
{
	static const unsigned int reason[] = {[GC_REASON_THIRD] = 1 << 2, [GC_REASON_FIFTH] = 1 << 4};

	return COLLECTOR_ARGS | reason[site->arg.arg_value];
}

/* All clones or none: one that is left out would hide its share of the runs. */
static bool add_collector_function(const struct elf_file *f, uint16_t version, const char *name, struct site_list *l)
{
	struct probe_site site = {.signal = SIGNAL_GC, .kind = PROBE_GC, .returns = true, .symbol = name};
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
		site.arg.arg_value = site.args_unknown ? GC_REASON_NONE : reason_arg(version);
		if (!site_list__add_function(f, site, s[i].addr, collector_args(&site), l)) {
			l->n = before;
			return false;
		}
	}
	return n > 0;
}

static int look_for_nop(const struct insn *insn, void *arg)
{
	const uint64_t *addr = arg;

	if (insn->addr < *addr)
		return 0;
	return insn->addr == *addr && insn->i.mnemonic == ZYDIS_MNEMONIC_NOP ? 1 : -ENOENT;
}

/* What a note says is no proof either: a USDT probe is a nop, to which its function's code leads. */
static bool is_nop(const struct machine_code *c, uint64_t addr)
{
	struct elf_symbol function;

	return c && !machine_code__function(c, addr, &function) &&
	       machine_code__walk(c, &function, look_for_nop, &addr) == 1;
}

static bool add_usdt(const struct elf_file *f, enum probe_kind kind, const char *name,
		     struct site_list *l)
{
	struct probe_site site = {.signal = SIGNAL_GC, .kind = kind, .symbol = name};
	struct elf_usdt u;

	if (elf_file__usdt(f, "python", name, &u) || !is_nop(l->code, u.addr))
		return false;
	if (u.semaphore && elf_file__file_offset(f, u.semaphore, &site.semaphore))
		return false;
	if (usdt_arg__parse(u.args, &site.arg))
		site.arg.arg_form = SITE_ARG_NONE;
	return site_list__add(f, site, u.addr, l);
}

/* At least gc.collect() and the automatic runs must come by. */
#define MIN_COLLECTOR_CALLERS 3
#define MAX_COLLECTOR_CLONES 4

static void add_decoded_collector(const struct elf_file *f, uint16_t version, struct site_list *l)
{
	struct probe_site site = {.signal = SIGNAL_GC, .kind = PROBE_GC, .returns = true, .symbol = "gc_collect_main"};
	uint64_t addr, clones[MAX_COLLECTOR_CLONES];
	const size_t before = l->n;
	unsigned int callers;
	bool reason;
	int n;

	if (!l->code)
		return;
	if (version > PY_VERSION(3, 8)) {
		if (decode__collector(f, l->code, &addr, &callers, &reason) || callers < MIN_COLLECTOR_CALLERS)
			return;
		/* Before 3.13 it may be what calls the collector. */
		site.arg.arg_value = reason && reason_arg(version) == GC_REASON_THIRD ? GC_REASON_THIRD : GC_REASON_NONE;
		site_list__add_function(f, site, addr, collector_args(&site), l);
		return;
	}
	site.symbol = "collect";
	site.args_unknown = true;
	n = decode__collector_clones(f, l->code, clones, MAX_COLLECTOR_CLONES);
	for (int i = 0; i < n; i++) {
		if (site_list__add_function(f, site, clones[i], collector_args(&site), l))
			continue;
		l->n = before;
		return;
	}
}

/*
 * Who calls the collector on purpose: the function of gc.collect() and PyGC_Collect(). Both or none: then what neither
 * called is known to be automatic, or the end.
 */
static void add_collector_callers(const struct elf_file *f, struct site_list *l)
{
	struct probe_site collect = {
		.signal = SIGNAL_GC, .kind = PROBE_GC_COLLECT, .returns = true, .symbol = "gc.collect"};
	struct probe_site api = {.signal = SIGNAL_GC, .kind = PROBE_GC_API, .returns = true, .symbol = "PyGC_Collect"};
	const size_t before = l->n;
	struct elf_symbol s;
	uint64_t addr;

	if (method_table__function(f, "get_threshold", "collect", &addr) || elf_file__symbol(f, api.symbol, &s) ||
	    !site_list__add_function(f, collect, addr, 0, l) || !site_list__add_function(f, api, s.addr, 0, l))
		l->n = before;
}

void sites_impl__add_collector(const struct elf_file *f, uint16_t version, struct site_list *l)
{
	const size_t begin = l->n;
	size_t before;

	add_collector_callers(f, l);
	before = l->n;
	if (add_collector_function(f, version, version < PY_VERSION(3, 10) ? "collect" : "gc_collect_main", l))
		return;
	if (version == PY_VERSION(3, 14) && add_collector_function(f, version, "_PyGC_Collect", l))
		return;
	if (add_usdt(f, PROBE_GC_USDT, "gc__start", l) && add_usdt(f, PROBE_GC_USDT_DONE, "gc__done", l))
		return;
	l->n = before;
	add_decoded_collector(f, version, l);
	if (l->n == before)
		l->n = begin;
}
