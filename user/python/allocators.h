/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which allocator a running interpreter really uses, from its own pointers: what replaces pymalloc, or stands before it, changes
 * what signals see. Sources: Objects/obmalloc.c (PyMem_SetAllocator, debug_alloc_api_t), Modules/_tracemalloc.c,
 * Python/tracemalloc.c from 3.12, Include/cpython/pymem.h (PyMemAllocatorName).
 *
 * A pointer is followed only from what proves to be an allocator's table: its functions are executable code of the process.
 */
#ifndef PYTHON_ALLOCATORS_H
#define PYTHON_ALLOCATORS_H

#include "python/decode.h"
#include "system/code_place.h"
#include "system/mem.h"

/* A PyMemAllocatorEx as words: context and functions. */
#define ALLOCATOR_WORDS (1 + ALLOC_FUNCTIONS)

/* What a file tells of its tables: ELF addresses. functions_known: what they begin with. */
struct allocator_file {
	uint64_t table[ALLOC_DOMAINS];
	uint64_t function[ALLOC_DOMAINS][ALLOC_FUNCTIONS];
	bool functions_known;
	uint64_t asked; /* PyPreConfig.allocator */
};
/* -ENOENT: where the tables are cannot be told. */
int allocator_file__examine(const struct elf_file *f, uint16_t version, struct allocator_file *ret);

struct allocator_words {
	uint64_t word[ALLOC_DOMAINS][ALLOCATOR_WORDS];
};
/* The tables of a process as they are now. 0 or the reader's error. */
int allocator_words__read(const struct mem_reader *m, const struct allocator_file *file, uint64_t load_bias,
			  struct allocator_words *ret);
/* They are those that the file begins with. */
bool allocator_words__untouched(const struct allocator_words *w, const struct allocator_file *file, uint64_t load_bias);

enum allocator_base {
	ALLOCATOR_UNKNOWN, /* code that is not recognised, or nothing to follow */
	ALLOCATOR_PYMALLOC,
	ALLOCATOR_MALLOC, /* of the C library: PYTHONMALLOC=malloc */
	ALLOCATOR_MIMALLOC,
};

enum allocator_layer {
	LAYER_DEBUG, /* debug hooks: PYTHONMALLOC=debug, -X dev */
	LAYER_TRACEMALLOC,
	LAYER_FOREIGN, /* code of another file */
};

#define ALLOCATOR_MAX_LAYERS 6
#define ALLOCATOR_PLACE_BYTES 320

/* Of one domain: hooks, the outermost first, and what they end in. */
struct allocator_chain {
	enum allocator_base base;
	enum allocator_layer layer[ALLOCATOR_MAX_LAYERS];
	int layers;
	char place[ALLOCATOR_PLACE_BYTES]; /* of the first foreign code: "/usr/lib/x.so (hook_malloc)"; else "" */
};

/* Follows the tables of a domain to their end. Bounded; never fails. */
void allocator_chain__follow(const struct mem_reader *m, const struct allocator_words *w, enum alloc_domain domain,
			     const struct allocator_file *file, uint64_t load_bias, const struct code_places *places,
			     struct allocator_chain *ret);

/* "pymalloc", "tracemalloc over debug hooks over pymalloc", "memray: /usr/lib/_memray.so (...) over pymalloc". Returns buf. */
#define ALLOCATOR_TEXT_BYTES 512
const char *allocator_chain__text(const struct allocator_chain *c, char buf[ALLOCATOR_TEXT_BYTES]);

#endif
