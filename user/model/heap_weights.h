/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who holds the heap: an estimate by stack from a sample of blocks, each of which stands for a number of live ones. Pure.
 *
 * How many blocks of each size class live is read from the pools, exactly. Who allocated them is known of a sample: blocks
 * that were seen allocated in windows, with their stacks, and blocks that were drawn from those that lived when tracing
 * began. A block has the weight of one over its chance to be in the sample: of the blocks drawn at the beginning that is
 * plain; a window that stands for a second of the program's time (model/heap_plan.h) and saw a millisecond of it stands for
 * a thousand of each block (a Horvitz-Thompson estimate). That holds in every rhythm the program may have. Whoever has died
 * is taken out of the sample, and his weight with him; no rate of frees has to be known.
 *
 * At each reading (heap_weights__calibrate) the weights of each size class are made to add up to what lives of it: those of
 * the blocks drawn at the beginning and those of the blocks seen born give way by how unsure each are. And so are those of each kind of
 * object in it (model/heap_cells.h), as far as what is drawn at that reading is surer than what windows saw. So it matters how
 * long windows were in relation to each other, not in seconds. And windows are weighed such that the pools they saw taken into use
 * add up to the pools that were (heap_windows__slope): a burst that by chance was met too often weighs less.
 *
 * Each weight comes with replicates, in which one group of windows (number % HEAP_REPLICATES) or of the blocks drawn at the
 * beginning is left out and the rest stands for it (delete-a-group jackknife). The sum of replicates is the replicate of
 * the sum: whatever weights are added up to, heap_error tells how sure it is.
 *
 * What it can't tell:
 *  - What no window saw. Bursts that took pools, or made a class grow, far faster than windows saw blocks born are told as unknown
 *    (heap_windows__unseen); slower ones are their neighbours'. Their error is not known: windows that saw nothing differ in nothing.
 *    Of bursts of 50 ms that all windows came too late for, and that had half of all bytes, their neighbour was told twice its
 *    own before pools were counted by their pace, and no window knew better.
 *  - Whose it is of two lines that make the same kind of thing, if windows saw only one of them: it has it all, and states the error of
 *    what was drawn alone.
 *  - What lives for less than the time between two windows: it is seen by chance, much of it or nothing. Its size is known
 *    to be doubtful (heap_windows__young), and that of the lines that share its size classes.
 *  - How long a window was is measured (capture/heap.h) to a few dozen nanoseconds for each allocation. Lines that allocate in
 *    phases of which one is wrong by half of its time are wrong as much, unless the pools set it right.
 */
#ifndef MODEL_HEAP_WEIGHTS_H
#define MODEL_HEAP_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/heap_cells.h"
#include "model/heap_windows.h"

/* A sampled block. Whoever has died is taken out before the next reading. */
struct heap_weight {
	uint8_t class;
	uint8_t group; /* < HEAP_REPLICATES */
	bool old; /* drawn from what lived when tracing began */
	bool sure; /* all of its class were drawn: it stands for itself */
	bool read; /* it has been at a reading before */
	float blocks; /* that it stands for by its chance to be sampled */
	float pools_a_second; /* of its window */
	float doubt; /* chance that it was freed and is another line's by now: it looked the same (capture/heap_samples.c) */
	struct heap_kind kind;
	uint16_t cell; /* heap_weights__calibrate's */
};

/* A block drawn from `live` ones of its class at the beginning, the number `i` of `drawn`. */
struct heap_weight heap_weights__drawn(uint8_t class, uint64_t live, uint32_t drawn, uint32_t i);
/* One of `taken` blocks that were taken of those of their class that survived the last window. */
struct heap_weight heap_weights__seen(const struct heap_windows *w, uint8_t class, uint32_t taken);

/* Where weights are: at the beginning of each of n things of `size` bytes. */
struct heap_weight_list {
	void *first;
	size_t n, size;
};

/* Whether a sampled block lives on; to be asked once of each at a reading. Counts those that live briefly. */
void heap_weights__look(struct heap_weight *weight, struct heap_windows *w, bool lives);
/*
 * Half of the sample goes, by chance, and those that stay stand for twice as many; blocks drawn at the beginning all stay.
 * chance: evenly from [0, 1). Moves the things of the list; returns how many are left.
 */
size_t heap_weights__thin(const struct heap_weight_list *list, double (*chance)(void *arg), void *arg);

/* How many blocks something stands for: [0], and in each replicate. */
struct heap_blocks {
	double at[1 + HEAP_REPLICATES];
};
/* By what the weights of a cell's blocks are multiplied, and blocks of it that nobody stands for. */
struct heap_cell_scale {
	struct heap_blocks old, born, unknown;
};
/* What makes the weights of each cell add up to what lives of it. */
struct heap_scales {
	struct heap_slope slope;
	struct heap_cell_scale *cell; /* by number */
	struct heap_blocks unknown[HEAP_CLASSES]; /* in all */
};
/*
 * As of the last reading, at which `draws` were drawn from what lived. Puts each weight into its cell. pools: taken into use since the
 * beginning. *ret is for the caller to end with heap_scales__free, whatever is returned: 0 or -ENOMEM.
 */
int heap_weights__calibrate(const struct heap_weight_list *list, const struct heap_draw *draws, size_t n_draws,
			    const struct heap_windows *w, double pools, struct heap_scales *ret);
void heap_scales__free(struct heap_scales *s);
/* What the block stands for then. */
void heap_weights__apply(const struct heap_scales *s, const struct heap_weight *weight, struct heap_blocks *ret);

/* Half of the 95 % interval of a sum, from its replicates' deviations from it; infinite: only one group knows of it. */
double heap_error(double sum, const double deviation[HEAP_REPLICATES]);

#endif
