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
#include "system/elf_file.h"

struct probe_site {
	enum signal signal;
	enum probe_kind kind;
	bool takes_context; /* the first argument is an allocator context */
	bool args_unknown; /* a clone made by the compiler, which may have dropped or moved arguments */
	uint64_t offset; /* in the file */
	uint64_t semaphore; /* USDT: offset in the file of the count of who listens, or 0 */
	union site_cookie arg; /* USDT: only the fields arg_* */
	const char *symbol; /* static */
};

#define MAX_PROBE_SITES 32

/*
 * Fills up to max sites for the signals asked for (bit per enum signal) in an interpreter of that version,
 * PY_VERSION(3, 11); returns how many. A signal may have several sites (clones of one function), or none.
 */
size_t probe_sites__find(const struct elf_file *f, uint16_t version, uint32_t signals, struct probe_site *ret, size_t max);

#endif
