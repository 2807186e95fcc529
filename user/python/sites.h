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
#include "system/elf_file.h"

enum probe_kind {
	PROBE_MALLOC,
	PROBE_CALLOC,
	PROBE_REALLOC,
	PROBE_FREE,
	PROBE_GC, /* the collector's function: entry and return */
	PROBE_GC_USDT, /* gc__start and gc__done */
};

struct probe_site {
	enum signal signal;
	enum probe_kind kind;
	bool takes_context; /* the first argument is an allocator context */
	bool args_unknown; /* a clone made by the compiler, which may have dropped or moved arguments */
	uint64_t offset; /* in the file; PROBE_GC_USDT: of gc__start, for people */
	const char *symbol; /* static */
};

#define MAX_PROBE_SITES 32

/*
 * Fills up to max sites for the signals asked for (bit per enum signal) in an interpreter of that version,
 * PY_VERSION(3, 11); returns how many. A signal may have several sites (clones of one function), or none.
 */
size_t probe_sites__find(const struct elf_file *f, uint16_t version, uint32_t signals, struct probe_site *ret, size_t max);

#endif
