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
#include <stdlib.h>
#include <string.h>

#include "python/decode.h"
#include "python/guards.h"
#include "python/layout.h"
#include "python/method_table.h"
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

/* Register numbers of the machine's encoding, as decode.h gives them. */
#define GPR_RDI 7

/* tstate, generation; and the third or the fifth (enum gc_reason_arg) */
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
	int err = l->code ? decode__place(l->code, addr, args, site.returns, &place) : -EILSEQ;

	/* A symbol that leads into a function is no proof that an instruction begins there. */
	if (err == -ENOENT || err == -EPERM)
		return false;
	if (!err) {
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
					  .returns = allocator[i].kind != PROBE_FREE,
					  .symbol = allocator[i].symbol};

		site.spec.function = site.kind;
		site.spec.returns = site.returns;
		if (!elf_file__symbol(f, site.symbol, &s))
			add_function(f, site, s.addr, allocator[i].args, l);
	}
}

static const struct {
	enum probe_kind kind;
	const char *symbol;
	unsigned int args;
} behind[ALLOC_FUNCTIONS] = {
	{PROBE_MALLOC, "_PyObject_Malloc", 2},
	{PROBE_CALLOC, "_PyObject_Calloc", 6},
	{PROBE_REALLOC, "_PyObject_Realloc", 6},
	{PROBE_FREE, "_PyObject_Free", 2},
};

/* What the kernel side calls a general register: its word in struct pt_regs
 * (arch/x86/include/asm/ptrace.h). */
static uint8_t pt_regs_word(uint8_t gpr)
{
	static const uint8_t words[16] = {10, 11, 12, 5, 19, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0};

	return gpr < 16 ? words[gpr] : SITE_NO_REG;
}

static struct site_arg arg_of(const struct machine_value *v)
{
	struct site_arg a = {
		.base = pt_regs_word(v->base), .index = pt_regs_word(v->index), .disp = v->disp};

	while (v->index != MV_NO_REG && 1 << a.scale_log2 < v->scale)
		a.scale_log2++;
	if (v->kind == MV_LOAD) {
		a.load_bytes = v->bytes;
		a.is_signed = v->is_signed;
	} else {
		a.low_half = v->bytes == 4;
	}
	return a;
}

/* What is the same for all sites of a file: where its pools are. */
static struct site_spec spec_of_pools(const struct elf_file *f, uint16_t version, const struct decode_pools *pools)
{
	static const enum site_pools kinds[] = {
		[USED_POOLS_STATIC] = SITE_POOLS_STATIC,
		[USED_POOLS_IN_INTERP] = SITE_POOLS_IN_INTERP,
		[USED_POOLS_BEHIND_INTERP] = SITE_POOLS_BEHIND_INTERP,
	};
	const struct py_layout *layout = py_layout__of_version(version);
	struct site_spec s = {.pools = kinds[pools->used], .pools_at = pools->used_at};
	struct elf_symbol runtime;

	/* struct pyinterpreters {mutex, head, main, next_id}; Include/internal/pycore_runtime.h */
	s.main_interp = layout ? layout->runtime.interpreters_head + 8 : 0;
	if (s.pools != SITE_POOLS_STATIC)
		return s;
	if (elf_file__symbol(f, "_PyRuntime", &runtime) &&
	    elf_file__section(f, ".PyRuntime", &runtime))
		s.pools = SITE_POOLS_UNKNOWN;
	s.pools_at -= runtime.addr;
	return s;
}

static void add_args(struct site_spec *s, const struct guard *g)
{
	s->arg[0] = arg_of(&g->arg[0]);
	s->arg[1] = arg_of(&g->arg[1]);
	if (g->function == ALLOC_MALLOC || g->function == ALLOC_FREE)
		s->arg[1] = (struct site_arg){.base = SITE_NO_REG, .index = SITE_NO_REG};
}

static void describe(const struct list *l, uint64_t addr, struct probe_site *site)
{
	struct elf_symbol function;
	struct insn insn;

	if (machine_code__decode(l->code, addr, &insn))
		return;
	site->emulated = insn__emulated(&insn);
	insn__text(&insn, site->insn, sizeof(site->insn));
	if (!machine_code__function(l->code, addr, &function))
		site->into = addr - function.addr;
}

static bool is_known(const struct guard *g)
{
	bool two = g->function == ALLOC_CALLOC || g->function == ALLOC_REALLOC;

	return g->arg[0].kind != MV_UNKNOWN && (!two || g->arg[1].kind != MV_UNKNOWN);
}

static bool add_guards(const struct elf_file *f, const struct site_spec *spec, const struct guard *g, int n,
		       struct list *l, struct probe_sites_info *info)
{
	for (int i = 0; i < n; i++) {
		struct probe_site site = {.signal = SIGNAL_EXACT,
					  .kind = PROBE_GUARD,
					  .spec = *spec,
					  .symbol = behind[g[i].function].symbol};

		if (g[i].kind == GUARD_UNCLEAR || !is_known(&g[i]))
			info->unclear++;
		if (g[i].kind != GUARD_INLINED || !is_known(&g[i]))
			continue;
		site.spec.function = behind[g[i].function].kind;
		add_args(&site.spec, &g[i]);
		describe(l, g[i].addr, &site);
		if (!add(f, site, g[i].addr, l))
			return false;
		info->guards++;
	}
	return true;
}

/* Some allocation was inlined in the function. */
static bool has_guard(const struct elf_symbol *function, const struct guard *g, int n)
{
	for (int i = 0; i < n; i++) {
		if (g[i].kind == GUARD_INLINED && g[i].function != ALLOC_FREE && g[i].addr - function->addr < function->size)
			return true;
	}
	return false;
}

static bool add_raw_uses(const struct elf_file *f, const struct raw_uses *u, const struct guard *g, int n_guards,
			 struct list *l)
{
	struct probe_site site = {.signal = SIGNAL_EXACT, .kind = PROBE_RAW_RETURN, .symbol = "PyMem_RawMalloc"};

	for (size_t i = 0; i < u->return_cnt; i++) {
		describe(l, u->returns[i].addr, &site);
		if (!add(f, site, u->returns[i].addr, l))
			return false;
	}
	site = (struct probe_site){.signal = SIGNAL_EXACT, .kind = PROBE_RAW_TAIL, .returns = true,
				   .symbol = "PyMem_RawRealloc"};
	for (size_t i = 0; i < u->tail_cnt; i++) {
		/* A part that was jumped into takes no return probe. */
		if (has_guard(&u->tails[i], g, n_guards) && !machine_code__is_part(l->code, u->tails[i].addr) &&
		    !add_function(f, site, u->tails[i].addr, 0, l))
			return false;
	}
	return true;
}

static struct raw_uses *find_raw_uses(const struct elf_file *f, const struct machine_code *c,
				      const struct alloc_table *raw)
{
	static const char *const names[] = {"PyMem_RawMalloc", "PyMem_RawCalloc",
					    "PyMem_RawRealloc"};
	struct raw_uses *uses = malloc(sizeof(*uses));
	struct elf_symbol s;
	uint64_t known[3];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!elf_file__symbol(f, names[i], &s))
			known[n++] = s.addr;
	if (uses)
		guards__raw_uses(c, raw, known, n, uses);
	return uses;
}

/* Where an allocation ends that had to go further, where no return probe tells: the pool's opener, and
 * uses of the raw allocator. */
static bool add_ends(const struct elf_file *f, const struct raw_uses *uses, uint64_t opener, const struct guard *guards,
		     int n_guards, struct list *l)
{
	struct probe_site site = {.signal = SIGNAL_EXACT,
				  .kind = PROBE_POOL_OPENER,
				  .returns = true,
				  .symbol = "allocate_from_new_pool"};

	if (opener && !add_function(f, site, opener, 0, l))
		return false;
	return add_raw_uses(f, uses, guards, n_guards, l);
}

/* The function's own code calls the raw allocator where a probe sees the return, and leaves by no jump to it. */
static bool ends_in_probes(const struct machine_code *c, uint64_t function, const struct raw_uses *uses, uint64_t opener)
{
	struct elf_symbol s;
	bool calls = false;

	if (!opener || machine_code__function(c, function, &s))
		return false;
	for (size_t i = 0; i < uses->return_cnt; i++)
		calls |= uses->returns[i].addr - s.addr < s.size;
	for (size_t i = 0; i < uses->tail_cnt; i++)
		if (uses->tails[i].addr == s.addr)
			return false;
	return calls;
}

/*
 * The functions behind the tables. A realloc's return is always needed: which way it went is not known before. A malloc's or
 * calloc's is needed only where its block is not known at entry, and not even then where probes inside tell: so where
 * the kernel asks for returns anyhow, or a site before which the stack moved is the cheaper one, those are used.
 */
static bool add_functions(const struct elf_file *f, const struct site_spec *spec, const struct alloc_table *t,
			  const struct raw_uses *uses, uint64_t opener, enum probe_links links, struct list *l)
{
	for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
		struct probe_site site = {.signal = SIGNAL_EXACT,
					  .kind = behind[i].kind,
					  .takes_context = true,
					  .returns = i != ALLOC_FREE,
					  .spec = *spec,
					  .symbol = behind[i].symbol};
		uint64_t body = decode__body(l->code, t->function, i);
		struct decode_place place;

		if ((i == ALLOC_MALLOC || i == ALLOC_CALLOC) && ends_in_probes(l->code, body, uses, opener) &&
		    (links != PROBE_LINKS_SESSION ||
		     decode__place(l->code, body, behind[i].args, true, &place) || !place.emulated))
			site.returns = false;
		site.spec.function = site.kind;
		site.spec.returns = site.returns;
		if (!add_function(f, site, body, behind[i].args, l))
			return false;
	}
	return true;
}

static bool needs_ends(const struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->site[i].kind == PROBE_GUARD || (l->site[i].kind <= PROBE_CALLOC && !l->site[i].returns))
			return true;
	}
	return false;
}

/* NULL, or why not. */
static const char *find_allocator(const struct elf_file *f, const struct machine_code *c, uint16_t version,
				  struct alloc_table t[ALLOC_DOMAINS], struct decode_pools *pools)
{
	if (!c)
		return "its code cannot be decoded";
	if (decode__allocators(f, c, version, t))
		return "the tables of its allocators were not found";
	if (memcmp(t[DOMAIN_MEM].function, t[DOMAIN_OBJ].function, sizeof(t[0].function)))
		return "its allocators begin with functions that are not pymalloc's";
	if (decode__pools(c, version, t[DOMAIN_OBJ].function[ALLOC_MALLOC], pools))
		return "its allocator's code is not pymalloc's";
	return NULL;
}

/*
 * The functions behind the tables and all places where they were inlined, or nothing: a part would
 * look like the whole. _PyMem and _PyObject begin with the same functions.
 */
static bool add_all_that_allocates(const struct elf_file *f, uint16_t version, enum probe_links links, struct list *l,
				   struct probe_sites_info *info)
{
	struct alloc_table t[ALLOC_DOMAINS];
	struct raw_uses *uses = NULL;
	struct decode_pools pools;
	struct guard *guards = NULL;
	const size_t before = l->n;
	unsigned int undecoded = 0;
	struct site_spec spec;
	bool ok = false;
	int n;

	info->why = find_allocator(f, l->code, version, t, &pools);
	if (info->why)
		return false;
	n = guards__find(l->code, t[DOMAIN_OBJ].function, &guards, &undecoded);
	if (n < 0) {
		info->why = "its code is too large";
		return false;
	}
	uses = find_raw_uses(f, l->code, &t[DOMAIN_RAW]);
	if (!uses)
		goto out;
	*info = (struct probe_sites_info){.inlined = true, .unclear = undecoded};
	spec = spec_of_pools(f, version, &pools);
	ok = add_functions(f, &spec, &t[DOMAIN_OBJ], uses, pools.opener, links, l) &&
	     add_guards(f, &spec, guards, n, l, info);
	if (ok && needs_ends(l))
		ok = add_ends(f, uses, pools.opener, guards, n, l);
out:
	free(uses);
	free(guards);
	if (!ok) {
		l->n = before;
		*info = (struct probe_sites_info){.why = "too many places for one attachment"};
	}
	return ok;
}

static enum gc_reason_arg reason_arg(uint16_t version)
{
	return version >= PY_VERSION(3, 13) ? GC_REASON_THIRD : GC_REASON_FIFTH;
}

static unsigned int collector_args(const struct probe_site *site)
{
	static const unsigned int reason[] = {[GC_REASON_THIRD] = 1 << 2, [GC_REASON_FIFTH] = 1 << 4};

	return COLLECTOR_ARGS | reason[site->arg.arg_value];
}

/*
 * Where a pool is taken into use: the function that does it, at an instruction where its size class is still in its
 * register; in 3.8 the place in pymalloc's own code that is reached when a class has no usable pool.
 */
static bool add_pool_open(const struct elf_file *f, uint16_t version, struct list *l, const char **why)
{
	struct probe_site site = {
		.signal = SIGNAL_HEAP,
		.kind = PROBE_POOL_OPEN,
		.symbol = "allocate_from_new_pool",
	};
	struct alloc_table t[ALLOC_DOMAINS];
	struct decode_pools pools;
	int class;

	*why = find_allocator(f, l->code, version, t, &pools);
	if (*why)
		return false;
	*why = "the register that holds a pool's size class is not known";
	class = pools.opener ? pools.class_at_opener : pools.class_at_empty;
	if (class < 0)
		return false;
	*why = "where pools are taken no probe can stand";
	site.arg.arg_form = SITE_ARG_REGISTER;
	site.arg.arg_register = pt_regs_word(class);
	if (pools.opener)
		return add_function(f, site, pools.opener, class == GPR_RDI ? 1 : 2, l);
	site.symbol = "pymalloc_alloc";
	describe(l, pools.empty, &site);
	return add(f, site, pools.empty, l);
}

/* All clones or none: one that is left out would hide its share of the runs. */
static bool add_collector_function(const struct elf_file *f, uint16_t version, const char *name, struct list *l)
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
		if (!add_function(f, site, s[i].addr, collector_args(&site), l)) {
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
		     struct list *l)
{
	struct probe_site site = {.signal = SIGNAL_GC, .kind = kind, .symbol = name};
	struct elf_usdt u;

	if (elf_file__usdt(f, "python", name, &u) || !is_nop(l->code, u.addr))
		return false;
	if (u.semaphore && elf_file__file_offset(f, u.semaphore, &site.semaphore))
		return false;
	if (usdt_arg__parse(u.args, &site.arg))
		site.arg.arg_form = SITE_ARG_NONE;
	return add(f, site, u.addr, l);
}

/* At least gc.collect() and the automatic runs must come by. */
#define MIN_COLLECTOR_CALLERS 3
#define MAX_COLLECTOR_CLONES 4

static void add_decoded_collector(const struct elf_file *f, uint16_t version, struct list *l)
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
		add_function(f, site, addr, collector_args(&site), l);
		return;
	}
	site.symbol = "collect";
	site.args_unknown = true;
	n = decode__collector_clones(f, l->code, clones, MAX_COLLECTOR_CLONES);
	for (int i = 0; i < n; i++) {
		if (add_function(f, site, clones[i], collector_args(&site), l))
			continue;
		l->n = before;
		return;
	}
}

/*
 * Who calls the collector on purpose: the function of gc.collect() and PyGC_Collect(). Both or none: then what neither called
 * is known to be automatic, or the end.
 */
static void add_collector_callers(const struct elf_file *f, struct list *l)
{
	struct probe_site collect = {
		.signal = SIGNAL_GC, .kind = PROBE_GC_COLLECT, .returns = true, .symbol = "gc.collect"};
	struct probe_site api = {.signal = SIGNAL_GC, .kind = PROBE_GC_API, .returns = true, .symbol = "PyGC_Collect"};
	const size_t before = l->n;
	struct elf_symbol s;
	uint64_t addr;

	if (method_table__function(f, "get_threshold", "collect", &addr) || elf_file__symbol(f, api.symbol, &s) ||
	    !add_function(f, collect, addr, 0, l) || !add_function(f, api, s.addr, 0, l))
		l->n = before;
}

static void add_collector(const struct elf_file *f, uint16_t version, struct list *l)
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

uint32_t probe_sites__trap_ns(const struct probe_site *sites, size_t n, enum signal signal)
{
	uint32_t ns = 0, hits = 0;

	for (size_t i = 0; i < n; i++) {
		const struct probe_site *s = &sites[i];

		/* Those who call the collector on purpose are few. */
		if (s->signal != signal || s->kind == PROBE_GC_COLLECT || s->kind == PROBE_GC_API)
			continue;
		/* USDT probes stand on a nop. */
		ns += s->emulated || s->kind == PROBE_GC_USDT || s->kind == PROBE_GC_USDT_DONE
			      ? PROBE_COST_EMULATED_NS
			      : PROBE_COST_STEPPED_NS;
		ns += s->kind == PROBE_GC ? PROBE_COST_RETURN_NS : 0;
		hits += s->kind == PROBE_GC ? 2 : 1;
	}
	return hits ? ns / hits : 0;
}

size_t probe_sites__find(const struct elf_file *f, uint16_t version, uint32_t signals, enum probe_links links,
			 struct probe_site *ret, size_t max, struct probe_sites_info *info)
{
	const bool many = links != PROBE_LINKS_SINGLE;
	struct list l = {.site = ret, .max = max};
	struct machine_code *code = NULL;

	*info = (struct probe_sites_info){.why = many ? NULL : "this kernel cannot attach to so many places"};
	if (!machine_code__open(f, &code))
		l.code = code;
	if (signals & 1u << SIGNAL_EXACT && !(many && add_all_that_allocates(f, version, links, &l, info)))
		add_allocator(f, &l);
	if (signals & 1u << SIGNAL_GC)
		add_collector(f, version, &l);
	if (signals & 1u << SIGNAL_HEAP && add_pool_open(f, version, &l, &info->why_no_pools))
		info->why_no_pools = NULL;
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
