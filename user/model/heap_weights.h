/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who holds the heap: an estimate by stack from a sample of blocks, each of which stands for a number of live ones. Pure.
 *
 * How many blocks of each size class live is read from the pools, exactly. Who allocated them is known of a sample: blocks
 * that were seen allocated in windows, with their stacks, and blocks that were drawn from those that lived when tracing
 * began. Each reading (heap_weights__calibrate) finds what became of the sample since the last one. What of a class lives
 * beyond that which the sample still stands for was born in between, and is shared out among the blocks seen allocated in
 * between. So the weights of a class add up to what lives of it at every reading, whether it grows, shrinks, or is renewed
 * in steady state, and whoever dies takes his weight along: no rate of allocation has to be known, which could not be
 * measured, because a window slows the program down by far more than it takes to allocate.
 *
 * Where the sample stands for more than lives, by the chance of drawing, nothing was born until that is made up for: weights
 * are not pushed down, which would favour the newest lines. Where nothing born since was seen, the next windows' blocks are
 * taken for it.
 *
 * A window must be as likely at one block born as at any other, or lines that allocate slowly are favoured: so windows are
 * asked for after a random number of pools taken into use (capture/heap.c). `raw` says what part a block has of what was
 * born between two readings when several windows lie in between.
 *
 * Each weight comes with replicates, in which one group of windows (number % HEAP_REPLICATES) or of the blocks drawn at the
 * beginning is left out and the rest stands for it (delete-a-group jackknife). The sum of replicates is the replicate of
 * the sum: whatever weights are added up to, heap_error tells how sure it is.
 */
#ifndef MODEL_HEAP_WEIGHTS_H
#define MODEL_HEAP_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_CLASSES 32 /* Objects/obmalloc.c: blocks of 16, 32, ... 512 bytes */
#define HEAP_REPLICATES 16

/* A sampled block. Whoever has died is taken out before the next reading. */
struct heap_weight {
	uint8_t class;
	uint8_t group; /* < HEAP_REPLICATES */
	bool waits; /* has no weight yet: seen since the last reading */
	float raw; /* > 0: its part of what was born */
	float blocks; /* that it stands for */
	float replicate[HEAP_REPLICATES];
};

/* Blocks that nobody in the sample stands for. */
struct heap_unknown {
	double blocks[HEAP_CLASSES];
	double replicate[HEAP_CLASSES][HEAP_REPLICATES];
};

/* A block drawn from `live` ones of its class at the beginning, the number `i` of `drawn`. */
struct heap_weight heap_weights__drawn(uint8_t class, uint64_t live, uint32_t drawn, uint32_t i);
/* A block seen in a window of that number. */
struct heap_weight heap_weights__seen(uint8_t class, uint64_t window, float raw);

/*
 * Gives weights to those that wait. live: blocks of each class. weight_at(i, arg): the i-th of n.
 */
void heap_weights__calibrate(struct heap_weight *(*weight_at)(size_t i, void *arg), void *arg, size_t n,
			     const uint64_t live[HEAP_CLASSES], struct heap_unknown *unknown);

/* Half of the 95 % interval of a sum, from its replicates' deviations from it; infinite or NaN: only one group knows of it. */
double heap_error(const double deviation[HEAP_REPLICATES]);

#endif
