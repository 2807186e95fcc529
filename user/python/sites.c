/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See sites.h: the list of sites, whoever finds them.
 */
#include "python/sites_impl.h"

#include <errno.h>
#include <string.h>

#include "python/decode.h"

bool site_list__add(const struct elf_file *f, struct probe_site site, uint64_t addr, struct site_list *l)
{
	if (l->n == l->max || elf_file__file_offset(f, addr, &site.offset))
		return false;
	l->site[l->n++] = site;
	return true;
}

bool site_list__add_place(const struct elf_file *f, struct probe_site site, uint64_t function, const struct decode_place *place,
			  struct site_list *l)
{
	site.emulated = place->emulated;
	site.into = place->addr - function;
	memcpy(site.insn, place->text, sizeof(site.insn));
	return site_list__add(f, site, place->addr, l);
}

bool site_list__add_function(const struct elf_file *f, struct probe_site site, uint64_t addr,
			     unsigned int args, struct site_list *l)
{
	struct decode_place place;
	int err = l->code ? decode__place(l->code, addr, args, site.returns, &place) : -EILSEQ;

	/* A symbol that leads into a function is no proof that an instruction begins there. */
	if (err == -ENOENT || err == -EPERM)
		return false;
	return err ? site_list__add(f, site, addr, l) : site_list__add_place(f, site, addr, &place, l);
}

uint32_t probe_sites__trap_ns(const struct probe_site *sites, size_t n, enum signal signal, const struct probe_costs *costs)
{
	uint32_t ns = 0, hits = 0;

	for (size_t i = 0; i < n; i++) {
		const struct probe_site *s = &sites[i];

		/* Those who call the collector on purpose are few. */
		if (s->signal != signal || s->kind == PROBE_GC_COLLECT || s->kind == PROBE_GC_API)
			continue;
		/* USDT probes stand on a nop. */
		ns += s->emulated || s->kind == PROBE_GC_USDT || s->kind == PROBE_GC_USDT_DONE
			      ? costs->emulated_ns
			      : costs->stepped_ns;
		ns += s->kind == PROBE_GC ? costs->return_ns : 0;
		hits += s->kind == PROBE_GC ? 2 : 1;
	}
	return hits ? ns / hits : 0;
}

size_t probe_sites__find(const struct elf_file *f, uint16_t version, uint32_t signals, enum probe_links links,
			 struct probe_site *ret, size_t max, struct probe_sites_info *info)
{
	const bool many = links != PROBE_LINKS_SINGLE;
	struct site_list l = {.site = ret, .max = max};
	struct machine_code *code = NULL;

	*info = (struct probe_sites_info){.why = many ? NULL : "this kernel cannot attach to so many places"};
	if (!machine_code__open(f, &code))
		l.code = code;
	if (signals & 1u << SIGNAL_EXACT && !(many && sites_impl__add_all_that_allocates(f, version, links, &l, info)))
		sites_impl__add_public_allocator(f, &l);
	if (signals & 1u << SIGNAL_GC)
		sites_impl__add_collector(f, version, &l);
	if (signals & 1u << SIGNAL_HEAP && sites_impl__add_pool_open(f, version, &l, &info->why_no_pools))
		info->why_no_pools = NULL;
	machine_code__free(code);
	return l.n;
}

int probe_sites__code_free(const struct elf_file *f, uint64_t dealloc, struct probe_site *ret)
{
	struct probe_site site = {
		.signal = SIGNAL_CODE, .kind = PROBE_CODE_FREE, .symbol = "code_dealloc"
	};
	struct site_list l = { .site = &site, .max = 1 };
	struct machine_code *code = NULL;
	bool found;

	if (machine_code__open(f, &code))
		return -ENOENT;
	l.code = code;
	found = site_list__add_function(f, site, dealloc, 1, &l);
	machine_code__free(code);
	if (!found)
		return -ENOENT;
	*ret = site;
	return 0;
}
