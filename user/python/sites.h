/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where to put probes in an interpreter's file, by signal. A site is named only where the file itself proves what stands
 * there: an exported function, a symbol, or a USDT note. What is not found is not guessed.
 */
#ifndef PYTHON_SITES_H
#define PYTHON_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "records.h"
#include "site_cookie.h"
#include "site_spec.h"
#include "system/elf_file.h"
#include "system/probe_cost.h"

struct probe_site {
	enum signal signal;
	enum probe_kind kind;
	bool takes_context; /* the first argument is an allocator context */
	bool args_unknown; /* a clone made by the compiler, which may have dropped or moved arguments */
	bool returns; /* it needs the function's return, too (PROBE_LINKS_SESSION: when the program says so) */
	bool emulated; /* the kernel emulates the instruction there: a hit costs little */
	uint64_t offset; /* in the file: where both entry and return probe stand */
	uint32_t into; /* bytes from the function's start to there */
	uint64_t semaphore; /* USDT: offset in the file of the count of who listens, or 0 */
	union site_cookie arg; /* USDT: only the fields arg_* */
	struct site_spec spec; /* PROBE_MALLOC to PROBE_FREE, PROBE_GUARD */
	const char *symbol; /* static; what is allocated with, where the site is inside another function */
	char insn[48]; /* the instruction there, for people; "" where no decoder looked */
};

/* Debian's builds have 600 to 1,100 for the exact signal; the kernel is given at most UPROBE_MULTI_MAX_SITES. */
#define MAX_PROBE_SITES 2048

/* What it takes a traced thread to get to our program at the sites of a signal, on average; a return is a hit of its own. */
uint32_t probe_sites__trap_ns(const struct probe_site *sites, size_t n, enum signal signal, const struct probe_costs *costs);

/* How the kernel can attach to sites (system/uprobe_multi.h). */
enum probe_links {
	PROBE_LINKS_SINGLE, /* one by one */
	PROBE_LINKS_MANY, /* many at once */
	PROBE_LINKS_SESSION, /* and a site's program says at each hit whether it wants to see the return */
};

/*
 * Fills up to max sites for the signals asked for (bit per enum signal) in an interpreter of that version,
 * PY_VERSION(3, 11); returns how many. A signal may have several sites (clones of one function), or none.
 *
 * With many sites in one link the exact signal gets the functions behind _PyObject, _PyMem and _PyMem_Raw and all places where they
 * were inlined, which may be hundreds; without it, and where the code is not understood, the public functions, which see little
 * in a build with profile-guided optimisation. struct probe_sites_info tells which it was.
 */
struct probe_sites_info {
	bool inlined; /* everything that allocates is probed, but what is counted in unclear */
	unsigned int guards; /* places where an allocation or a free was inlined, of all domains */
	unsigned int unclear; /* comparisons with an allocator function that are not understood, and places whose block is told by nobody */
	const char *why; /* not inlined: a static string */
	const char *why_no_pools; /* no site of the heap signal: a static string */
};

size_t probe_sites__find(const struct elf_file *f, uint16_t version, uint32_t signals, enum probe_links links,
			 struct probe_site *ret, size_t max, struct probe_sites_info *info);

/*
 * The site of a code object's deallocator (PyCode_Type.tp_dealloc), whose ELF address was read from the process: the type is
 * filled in by the dynamic linker. -ENOENT, -EILSEQ: not a function of this file.
 */
int probe_sites__code_free(const struct elf_file *f, uint64_t dealloc, struct probe_site *ret);

#endif
