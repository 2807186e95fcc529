/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * When to open the heap signal's windows. Pure.
 *
 * Time is cut into periods, and each has one window, at a random place: any moment is as likely as any other of its period, and a
 * window stands for its period. Whatever rhythm the program has, and however much later than planned a window opens, no
 * moment is favoured. As many windows again are opened after a random number of pools, for what allocates most may take little
 * time. Either opens 1 to 40 ms late, when the burst that took its pool may be over. How many pools a second were taken where it
 * was due (not while it was open) tells how likely it was in both ways together, which it is weighed by (heap_plan__stands_s). Were it
 * known at that very moment, that would be unbiased whatever the delay; it is a mean of the 20 ms before, and delays vary by as much.
 * Weighed by the pools that they see, windows give bursts too little (-7 % in `bursts` of tests/unit/test_heap_weights.c), and where a
 * trap is dear they are so short that they see one pool or none. What chance makes of the pools in windows is set right by those
 * of all the time (heap_windows__slope).
 */
#ifndef MODEL_HEAP_PLAN_H
#define MODEL_HEAP_PLAN_H

#include <stdint.h>

struct heap_plan {
	double share; /* of the process's CPU time that windows may cost; > 0 */
	double burst_s; /* what they may cost before that; HEAP_BURST_S at most */
	double spent_s; /* what they have cost so far */
	double others_s; /* what others have taken of that share */
	double window_s; /* what one costs, lately */
	double period_s, ends_s; /* this period */
	double mean_pools; /* after so many in mean the other window is due; 0: not planned */
	double at_s, pools; /* when pools were last counted; so many had been taken into use */
	double pools_a_second; /* lately */
};

/* Costs that are looked at only once so much was spent: a short program is worth knowing, too. Not all may (capture/advance.h). */
#define HEAP_BURST_S 0.030

/* What windows may still cost; cpu_s: CPU time of the process. */
double heap_plan__allowance_s(const struct heap_plan *p, double cpu_s);
/*
 * What they must still earn before one may be opened; < 0: nothing. Whoever began with all of HEAP_BURST_S pays for windows
 * when they are over; whoever had less must have earned one before.
 */
double heap_plan__lacks_s(const struct heap_plan *p, double cpu_s);
/*
 * When the next window is due: in the period p->period_s. least_s: between two windows at least, in mean; now_s: of any clock, the
 * same each time; u: by chance, evenly from [0, 1).
 */
double heap_plan__next(struct heap_plan *p, double now_s, double cpu_s, double least_s, double u);
/* With how many pools the other window is due: as many more as a period takes, in mean. now_s, u as above. */
double heap_plan__pools(struct heap_plan *p, double now_s, double pools, double u);
/* What a window of either kind stands for that became due where so many pools a second were taken. */
double heap_plan__stands_s(const struct heap_plan *p, double pools_a_second);

#endif
