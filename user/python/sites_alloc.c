/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sites of the allocator: the public functions (CPython Objects/obmalloc.c), or those behind its tables and all places
 * where they were inlined (python/decode.h, python/guards.h), and where pools are taken into use.
 */
#include "python/sites_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/decode.h"
#include "python/guards.h"
#include "python/layout.h"

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
#define GPR_RDX 2
#define GPR_RSI 6
#define GPR_RDI 7

void sites_impl__add_public_allocator(const struct elf_file *f, struct site_list *l)
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
			site_list__add_function(f, site, s.addr, allocator[i].args, l);
	}
}

static const struct {
	enum probe_kind kind;
	const char *symbol, *raw_symbol;
	unsigned int args;
} behind[ALLOC_FUNCTIONS] = {
	{PROBE_MALLOC, "_PyObject_Malloc", "_PyMem_RawMalloc", 2},
	{PROBE_CALLOC, "_PyObject_Calloc", "_PyMem_RawCalloc", 6},
	{PROBE_REALLOC, "_PyObject_Realloc", "_PyMem_RawRealloc", 6},
	{PROBE_FREE, "_PyObject_Free", "_PyMem_RawFree", 2},
};

static const char *symbol_behind(const struct site_spec *s, enum alloc_function which)
{
	return s->is_raw ? behind[which].raw_symbol : behind[which].symbol;
}

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

static void describe(const struct site_list *l, uint64_t addr, struct probe_site *site)
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

/* The domains that have sites. PyMem_Malloc and its like begin with the objects' functions. */
enum {
	OF_OBJECTS,
	OF_RAW,
	SITE_DOMAINS,
};

struct domain {
	const struct alloc_table *table;
	struct site_spec spec; /* what its sites have in common */
};

struct inlined {
	struct guard *guards; /* by guard.domain of each: OF_OBJECTS or OF_RAW */
	int n;
};

static bool add_guards(const struct elf_file *f, const struct inlined *in, const struct domain domains[SITE_DOMAINS],
		       struct site_list *l, struct probe_sites_info *info)
{
	for (int i = 0; i < in->n; i++) {
		const struct guard *g = &in->guards[i];
		struct probe_site site = {.signal = SIGNAL_EXACT,
					  .kind = PROBE_GUARD,
					  .spec = domains[g->domain].spec,
					  .symbol = symbol_behind(&domains[g->domain].spec, g->function)};

		if (g->kind == GUARD_UNCLEAR || !is_known(g))
			info->unclear++;
		if (g->kind != GUARD_INLINED || !is_known(g))
			continue;
		site.spec.function = behind[g->function].kind;
		add_args(&site.spec, g);
		describe(l, g->addr, &site);
		if (!site_list__add(f, site, g->addr, l))
			return false;
		info->guards++;
	}
	return true;
}

/* Some allocation was inlined in the function. */
static bool has_guard(const struct elf_symbol *function, const struct inlined *in)
{
	for (int i = 0; i < in->n; i++) {
		const struct guard *g = &in->guards[i];

		if (g->kind == GUARD_INLINED && g->function != ALLOC_FREE && g->addr - function->addr < function->size)
			return true;
	}
	return false;
}

static bool add_raw_uses(const struct elf_file *f, const struct raw_uses *u, const struct inlined *in, struct site_list *l,
			 struct probe_sites_info *info)
{
	struct probe_site site = {.signal = SIGNAL_EXACT, .kind = PROBE_RAW_RETURN, .symbol = "PyMem_RawMalloc"};

	for (size_t i = 0; i < u->return_cnt; i++) {
		describe(l, u->returns[i].addr, &site);
		if (!site_list__add(f, site, u->returns[i].addr, l))
			return false;
	}
	site = (struct probe_site){.signal = SIGNAL_EXACT, .kind = PROBE_RAW_TAIL, .returns = true,
				   .symbol = "PyMem_RawRealloc"};
	info->unclear += u->tail_cnt == MAX_RAW_TAILS; /* there may be more */
	for (size_t i = 0; i < u->tail_cnt; i++) {
		if (!has_guard(&u->tails[i], in))
			continue;
		/* A part that was jumped into takes no return probe. */
		if (machine_code__is_part(l->code, u->tails[i].addr))
			info->unclear++;
		else if (!site_list__add_function(f, site, u->tails[i].addr, 0, l))
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
static bool add_ends(const struct elf_file *f, const struct raw_uses *uses, uint64_t opener, const struct inlined *in,
		     struct site_list *l, struct probe_sites_info *info)
{
	struct probe_site site = {.signal = SIGNAL_EXACT,
				  .kind = PROBE_POOL_OPENER,
				  .returns = true,
				  .symbol = "allocate_from_new_pool"};

	if (opener && !site_list__add_function(f, site, opener, 0, l))
		return false;
	return add_raw_uses(f, uses, in, l, info);
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

static struct probe_site site_behind(const struct domain *d, enum alloc_function which)
{
	struct probe_site site = {.signal = SIGNAL_EXACT,
				  .kind = behind[which].kind,
				  .takes_context = true,
				  .returns = which != ALLOC_FREE,
				  .spec = d->spec,
				  .symbol = symbol_behind(&d->spec, which)};

	site.spec.function = site.kind;
	return site;
}

/*
 * The functions behind the tables. A realloc's return is always needed: which way it went is not known before. A
 * malloc's or calloc's is needed only where its block is not known at entry, and not even then where probes inside
 * tell: so where the kernel asks for returns anyhow, or a site before which the stack moved is the cheaper one, those
 * are used.
 */
static bool add_functions(const struct elf_file *f, const struct domain *d, const struct raw_uses *uses, uint64_t opener,
			  enum probe_links links, struct site_list *l)
{
	for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
		struct probe_site site = site_behind(d, i);
		uint64_t body = decode__body(l->code, d->table->function, i);
		struct decode_place place;

		if ((i == ALLOC_MALLOC || i == ALLOC_CALLOC) && ends_in_probes(l->code, body, uses, opener) &&
		    (links != PROBE_LINKS_SESSION ||
		     decode__place(l->code, body, behind[i].args, true, &place) || !place.emulated))
			site.returns = false;
		site.spec.returns = site.returns;
		if (!site_list__add_function(f, site, body, behind[i].args, l))
			return false;
	}
	return true;
}

/*
 * Those of the raw domain are little more than a call of malloc: their return tells the address. They move their arguments to
 * where malloc has them, and then jump there, which is emulated.
 */
static bool add_raw_functions(const struct elf_file *f, const struct domain *raw, struct site_list *l)
{
	for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
		uint64_t function = raw->table->function[i];
		struct decode_place place = {.addr = function, .arg = {GPR_RDI, GPR_RSI, GPR_RDX}};
		struct probe_site site = site_behind(raw, i);
		int err = decode__place_with_moved(l->code, function, behind[i].args, site.returns, &place);

		/* Where its code cannot be followed, its first instruction will do. */
		if (err == -ENOENT || err == -EPERM)
			return false;
		site.spec.returns = site.returns;
		for (int arg = 0; arg < 2; arg++)
			site.spec.arg[arg] = (struct site_arg){.base = pt_regs_word(place.arg[1 + arg]), .index = SITE_NO_REG};
		if (!site_list__add_place(f, site, function, &place, l))
			return false;
	}
	return true;
}

static bool needs_ends(const struct site_list *l)
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

bool sites_impl__add_all_that_allocates(const struct elf_file *f, uint16_t version, enum probe_links links,
					 struct site_list *l, struct probe_sites_info *info)
{
	struct alloc_table t[ALLOC_DOMAINS];
	const struct alloc_table *const tables[SITE_DOMAINS] = {&t[DOMAIN_OBJ], &t[DOMAIN_RAW]};
	struct domain domains[SITE_DOMAINS] = {{.table = tables[OF_OBJECTS]}, {.table = tables[OF_RAW]}};
	struct inlined in = {0};
	struct raw_uses *uses = NULL;
	unsigned int undecoded = 0;
	struct decode_pools pools;
	const size_t before = l->n;
	bool ok = false;

	info->why = find_allocator(f, l->code, version, t, &pools);
	if (info->why)
		return false;
	in.n = guards__find(l->code, tables, SITE_DOMAINS, &in.guards, &undecoded);
	if (in.n < 0) {
		info->why = "its code is too large";
		return false;
	}
	uses = find_raw_uses(f, l->code, &t[DOMAIN_RAW]);
	if (!uses)
		goto out;
	*info = (struct probe_sites_info){.inlined = true, .unclear = undecoded};
	domains[OF_OBJECTS].spec = domains[OF_RAW].spec = spec_of_pools(f, version, &pools);
	domains[OF_RAW].spec.is_raw = true;
	ok = add_functions(f, &domains[OF_OBJECTS], uses, pools.opener, links, l) &&
	     add_raw_functions(f, &domains[OF_RAW], l) && add_guards(f, &in, domains, l, info);
	if (ok && needs_ends(l))
		ok = add_ends(f, uses, pools.opener, &in, l, info);
out:
	free(uses);
	free(in.guards);
	if (!ok) {
		l->n = before;
		*info = (struct probe_sites_info){.why = "too many places for one attachment"};
	}
	return ok;
}

bool sites_impl__add_pool_open(const struct elf_file *f, uint16_t version, struct site_list *l, const char **why)
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
		return site_list__add_function(f, site, pools.opener, class == GPR_RDI ? 1 : 2, l);
	site.symbol = "pymalloc_alloc";
	describe(l, pools.empty, &site);
	return site_list__add(f, site, pools.empty, l);
}
