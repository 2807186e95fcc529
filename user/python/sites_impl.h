/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the files that find probe sites share. Only sites*.c include this.
 *
 * sites.c: the list of them. sites_alloc.c: the allocator, for the signals exact and heap. sites_gc.c: the collector.
 *
 * A probe stands on the first instruction that the kernel emulates (python/decode.h), or on the function's first one
 * where there is none or the code cannot be followed.
 */
#ifndef PYTHON_SITES_IMPL_H
#define PYTHON_SITES_IMPL_H

#include "python/decode.h"
#include "python/sites.h"
#include "system/machine_code.h"

struct site_list {
	const struct machine_code *code; /* NULL: it cannot be decoded */
	struct probe_site *site;
	size_t n, max;
};

/* A probe at an ELF address. False: the list is full, or the address is not in the file. */
bool site_list__add(const struct elf_file *f, struct probe_site site, uint64_t addr, struct site_list *l);
/* A probe at a place that was found from the function's start on. */
bool site_list__add_place(const struct elf_file *f, struct probe_site site, uint64_t function, const struct decode_place *place,
			  struct site_list *l);
/* A probe on a function, where these of its arguments (bit 0: the first) can be read. */
bool site_list__add_function(const struct elf_file *f, struct probe_site site, uint64_t addr,
			     unsigned int args, struct site_list *l);

/* The public functions of the allocator. */
void sites_impl__add_public_allocator(const struct elf_file *f, struct site_list *l);
/*
 * The functions behind the tables and all places where they were inlined, or nothing: a part would
 * look like the whole. _PyMem and _PyObject begin with the same functions, _PyMem_Raw with others.
 */
bool sites_impl__add_all_that_allocates(const struct elf_file *f, uint16_t version, enum probe_links links,
					 struct site_list *l, struct probe_sites_info *info);
/*
 * Where a pool is taken into use: the function that does it, at an instruction where its size class is still in its
 * register; in 3.8 the place in pymalloc's own code that is reached when a class has no usable pool.
 */
bool sites_impl__add_pool_open(const struct elf_file *f, uint16_t version, struct site_list *l, const char **why);
/* The collector, or nothing. */
void sites_impl__add_collector(const struct elf_file *f, uint16_t version, struct site_list *l);

#endif
