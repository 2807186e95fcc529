/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who holds the heap: an estimate by stack, from exact windows at random times. Pure: numbers in, numbers out.
 *
 * What is known exactly, by size class of pymalloc: how many blocks live now that did not live when tracing began
 * (`fresh`: read from the pools, less what a sample of the old population says of its survivors). What is sampled: windows
 * in which every allocation was seen, with its stack; of each block still alive at the end of its window, whether it is
 * still alive now. The fresh blocks of a class are shared out among stacks in proportion to their blocks alive now, each
 * weighted by what its window stands for: a window lies at a random place of its stratum, the time from one window to the
 * next, and stands for the blocks that the class's pools took in during the stratum (`opened`), or, in a class that lives
 * in the holes of old pools, for the CPU time of the stratum.
 *
 * Each estimate carries replicates, in which one group of windows was left out (delete-a-group jackknife): whatever the
 * estimates are added up to, the same sum of replicates gives its error. A window belongs to group
 * (its number) % HEAP_REPLICATES.
 */
#ifndef MODEL_HEAP_ESTIMATE_H
#define MODEL_HEAP_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

#define HEAP_CLASSES 32 /* Objects/obmalloc.c: blocks of 16, 32, ... 512 bytes */
#define HEAP_REPLICATES 16

struct heap_window {
	uint64_t cpu_ns; /* CPU time of the stratum */
	uint64_t events; /* allocations seen in the window */
	uint64_t opened[HEAP_CLASSES]; /* blocks in pools that were taken into use during the stratum */
	uint32_t survived[HEAP_CLASSES]; /* blocks alive at the end of the window */
};

/* Blocks of one stack and class that were alive at the end of a window, and are alive now. */
struct heap_sample {
	uint32_t window; /* index */
	uint32_t stack; /* index, chosen by the caller */
	uint8_t class;
	uint32_t alive; /* blocks */
	uint64_t bytes; /* of them, as requested */
};

struct heap_fresh {
	double blocks[HEAP_CLASSES];
	double stderr_blocks[HEAP_CLASSES];
};

struct heap_line {
	double blocks, bytes;
	double replicate_bytes[HEAP_REPLICATES];
};

/*
 * Fills ret[0..n_stacks) and ret_unsampled (fresh blocks of classes in which no sample is alive; block sizes instead of
 * requested bytes). Samples are in any order; classes >= HEAP_CLASSES and windows >= n_windows are passed over. 0 or -ENOMEM.
 */
int heap_estimate(const struct heap_window *windows, size_t n_windows, const struct heap_sample *samples,
		  size_t n_samples, const struct heap_fresh *fresh, struct heap_line *ret, size_t n_stacks,
		  struct heap_line *ret_unsampled);

/* Half of the 95 % interval of a sum of lines, from its bytes and replicates; INFINITY: fewer than two groups had samples. */
double heap_error(double bytes, const double replicate_bytes[HEAP_REPLICATES]);

#endif
