/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the windows of the heap signal have seen so far, summed up: how fast blocks of each size class are born, whether
 * some of them live only briefly, and how the windows' weights are to differ for the pools that were taken into use. Pure.
 *
 * All times are the process's own: CPU time, as it would have run without the probes.
 */
#ifndef MODEL_HEAP_WINDOWS_H
#define MODEL_HEAP_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "records.h"

#define HEAP_REPLICATES 16

/* A window, as it was seen. */
struct heap_look {
	double stands_s; /* of the time in which the process ran (heap_plan__stands_s) */
	double at_s; /* when it opened */
	double own_s; /* how long it was */
	double pools; /* taken into use meanwhile */
	uint32_t born[HEAP_CLASSES]; /* blocks that lived at its end */
	uint32_t survived[HEAP_CLASSES]; /* of them, those that lived a while later */
};

/* Sums over windows: of what they stand for, of that by the pools a second that they saw, and by how far chance takes those off. */
struct heap_window_sums {
	double s, pools, squares, noise;
};

#define HEAP_GROWTHS 48 /* powers of 2 of blocks a second */

struct heap_class {
	uint64_t seen_born; /* number of the last window that saw one survive, from 1 on */
	double born; /* in all; those that survived their window */
	double fastest; /* of them, a second, in any window */
	double fastest_born; /* the same of all that lived at a window's end */
	uint64_t looked_at, died; /* of those sampled, by the first reading after their window */
	uint64_t live; /* at the last reading */
	bool uncounted; /* how many live is not known: by their chance alone (model/heap_weights.h) */
	struct heap_growth {
		double blocks, s;
	} growth[HEAP_GROWTHS]; /* between readings, by how fast it was */
};

/* All zero but class.live, uncounted, and pool_bytes: nothing was seen yet. */
struct heap_windows {
	uint64_t n;
	struct heap_look last;
	struct heap_window_sums sums[HEAP_REPLICATES]; /* by group */
	double fastest_pools; /* a second, in any window that saw some */
	struct heap_class class[HEAP_CLASSES];
	double read_s; /* the last reading */
	/* By the time since the last pool of their class; 0 where that is not known. */
	struct pool_pace pace[HEAP_CLASSES];
	uint32_t pool_bytes;
};

/* Of windows, and of what they saw: what is left out of one replicate. */
static inline unsigned int heap_windows__group(uint64_t window)
{
	return window % HEAP_REPLICATES;
}

/* The own time of a window from how it ended. cpu_s: CPU time of the process while it was open. */
double heap_window__own_s(const struct window_state *w, double cpu_s);
/*
 * How long the next one is to be: such that few end by the number of their allocations, which favours what is allocated after a
 * pause.
 */
double heap_window__limit_s(double limit_s, const struct window_state *w);
#define HEAP_MOST_LIMIT_S 0.020
void heap_windows__add(struct heap_windows *w, const struct heap_look *look);
/* How long it was at least, and pools a second in it. */
double heap_windows__own_s(const struct heap_look *look);
double heap_windows__pools(const struct heap_look *look);

/* Whether blocks of the class have been born lately, as far as windows saw. */
bool heap_windows__was_born(const struct heap_windows *w, unsigned int class);

/* A reading: so many live. */
void heap_windows__read(struct heap_windows *w, double now_s, const uint64_t live[HEAP_CLASSES]);
/*
 * Blocks of the class that came in bursts which no window met: faster than any window saw them born, as pools tell (pace), or what
 * lived at readings.
 */
double heap_windows__unseen(const struct heap_windows *w, unsigned int class);
/*
 * Blocks of the class that were born since the last window and may be another line's than those before: what lives but briefly is, and
 * where what windows saw born is gone again (alive: of it, so many live), a part. Nobody saw them.
 */
double heap_windows__young(const struct heap_windows *w, unsigned int class, double alive);

/*
 * What a window stands for is multiplied by this, by replicate ([0]: all windows). Then the time, and the pools that windows saw
 * taken into use, add up to those of all the time.
 */
struct heap_slope {
	double all[1 + HEAP_REPLICATES]; /* for what the others stand that were left out */
	double by[1 + HEAP_REPLICATES], mean[1 + HEAP_REPLICATES];
	double time; /* that passed, as a share of what all windows together stand for */
};
/* pools: taken into use in now_s. */
void heap_windows__slope(const struct heap_windows *w, double now_s, double pools, struct heap_slope *ret);
double heap_slope__factor(const struct heap_slope *s, unsigned int replicate, double pools_a_second);

#endif
