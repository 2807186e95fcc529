/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What an interpreter's machine code tells where its symbols do not: the allocator's functions,
 * where a probe is cheap, the function that opens a pool, the collector, the thread-state variable.
 * Pure: a file in, facts out, bounded work. A fact is told only where the code proves it; all
 * addresses are ELF addresses.
 */
#ifndef PYTHON_DECODE_H
#define PYTHON_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/elf_file.h"
#include "system/machine_code.h"

/* Functions of a PyMemAllocatorEx, in its order: all take a context first. */
enum alloc_function {
	ALLOC_MALLOC,
	ALLOC_CALLOC,
	ALLOC_REALLOC,
	ALLOC_FREE,
	ALLOC_FUNCTIONS,
};

enum alloc_domain {
	DOMAIN_RAW,
	DOMAIN_MEM,
	DOMAIN_OBJ,
	ALLOC_DOMAINS,
};

struct alloc_table {
	uint64_t addr; /* of the PyMemAllocatorEx: {ctx, malloc, calloc, realloc, free} */
	uint64_t within; /* _PyRuntime, of which it is a part from 3.12 on; before, itself */
	uint64_t function[ALLOC_FUNCTIONS]; /* what the file sets it to */
};

/*
 * The allocators' tables and the functions that they begin with. From the symbol where there is
 * one; else 3.12+ at its place in _PyRuntime, before from the code of PyObject_Malloc and its
 * likes. -ENOENT: not found, or not believable.
 */
int decode__allocators(const struct elf_file *f, const struct machine_code *c, uint16_t version,
		       struct alloc_table ret[ALLOC_DOMAINS]);

/* One way through code. */
struct code_way {
	uint64_t at; /* where it goes on */
	uint64_t to; /* at its end: the function that it calls or jumps to; 0: it returns */
	bool changed; /* one of the first three argument registers or the stack pointer was written */
	int insns, forks;
};

/*
 * Calls fn for the end of each way from start.at on, while it returns true. False: it did not, or some way does not end
 * after a few instructions and conditional jumps, or ends in an indirect jump.
 */
bool decode__each_way(const struct machine_code *c, struct code_way start,
		      bool (*fn)(const struct code_way *end, void *arg), void *arg);

/*
 * The function that does the work of one that only tests its arguments and goes on there with the same arguments, as others
 * do past it; else the function itself. Calls of functions[ALLOC_MALLOC] in realloc's stead are no work of its own.
 */
uint64_t decode__body(const struct machine_code *c, const uint64_t functions[ALLOC_FUNCTIONS], enum alloc_function which);

#define DECODE_PLACE_ARGS 3

/* Where to put a probe on a function. */
struct decode_place {
	uint64_t addr;
	bool emulated;	  /* the kernel emulates the instruction: cheap */
	bool whole_stack; /* the stack pointer is as at entry, so a return probe may stand here too
			   */
	uint8_t arg[DECODE_PLACE_ARGS]; /* the general register that holds the first, second, third argument asked for */
	char text[48];	  /* the instruction */
};

/*
 * The first instruction from the function's start on that the kernel emulates, before any branch,
 * and where the arguments asked for (bit 0: the first) are still in their registers; else the start
 * itself. with_return: one where a return probe can stand. -ENOENT: not the start of a function;
 * -EPERM: no return probe may stand there (machine_code__is_part); -EILSEQ: its code cannot be followed.
 */
int decode__place(const struct machine_code *c, uint64_t function, unsigned int args,
		  bool with_return, struct decode_place *ret);

/* The same, where an argument may have been copied to another register by then. */
int decode__place_with_moved(const struct machine_code *c, uint64_t function, unsigned int args, bool with_return,
			     struct decode_place *ret);

/* Where the pools with free blocks are listed: struct pool_header *usedpools[2 * class], 16 bytes a
 * class. */
enum used_pools {
	USED_POOLS_STATIC,	  /* an array of the file; 3.11 and before */
	USED_POOLS_IN_INTERP,	  /* in the main PyInterpreterState; 3.12 */
	USED_POOLS_BEHIND_INTERP, /* where a pointer in PyInterpreterState points; 3.13+ */
};

/* pymalloc's way from a size to a block (Objects/obmalloc.c, pymalloc_alloc). */
struct decode_pools {
	enum used_pools used;
	uint64_t used_at; /* address of the array; or offset in PyInterpreterState of it or of the
			     pointer */
	/* The jump that is taken when a class has no usable pool, and where it leads. */
	uint64_t jump, empty;
	int class_at_empty; /* register that holds the size class there; -1: not known */
	/* allocate_from_new_pool; 0: its code is at `empty` (3.8) */
	uint64_t opener;
	int class_at_opener; /* register at its entry; -1: not known */
};

/* From _PyObject_Malloc, or what it calls. -ENOENT: its code does not match. */
int decode__pools(const struct machine_code *c, uint16_t version, uint64_t malloc_function,
		  struct decode_pools *ret);

/*
 * The collector's function, which PyGC_Collect calls with the generation as second argument, as others do. *callers: how
 * many places in the file call it, or what calls it for others; each way to a collection is one (gc.collect(), automatic, at
 * the end). *reason: it gets a third argument, as from 3.13 on. -ENOENT.
 */
int decode__collector(const struct elf_file *f, const struct machine_code *c, uint64_t *ret, unsigned int *callers,
		      bool *reason);

/*
 * All clones of the collector of CPython 3.8, in order of addresses; their arguments are not known. Returns how many, at
 * most max, or -ENOENT.
 */
int decode__collector_clones(const struct elf_file *f, const struct machine_code *c, uint64_t *ret, size_t max);

/* How code reaches a thread-local variable. */
enum thread_access {
	THREAD_UNKNOWN,
	THREAD_FIXED, /* at `offset` from the thread pointer */
	/* The dynamic linker fills in what is at `word`: */
	THREAD_DISTANCE, /* the distance from the thread pointer, to which `offset` is added */
	THREAD_MODULE, /* two words: the module's number, and an offset in its block, to which `offset` is added */
	THREAD_DESCRIPTOR, /* two words: a function, and what it is given (user/python/thread_state.c) */
};

struct thread_variable {
	enum thread_access access;
	int32_t offset;
	uint64_t word;
};

/* The variable that holds the current thread's state, with the GIL or without. -ENOENT: not understood, or before 3.15. */
int decode__thread_variable(const struct elf_file *f, const struct machine_code *c, struct thread_variable *ret);

/*
 * Where in musl's struct pthread, to which the thread pointer points, the pointer to the thread's specific data (values by
 * key) is; from pthread_getspecific in the file that has it. -ENOENT: it is not musl's.
 */
int decode__musl_specific(const struct elf_file *f, const struct machine_code *c, uint32_t *ret);

#endif
