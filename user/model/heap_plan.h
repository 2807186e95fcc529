/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * When to open the heap signal's windows. Pure.
 *
 * Time is cut into periods, and each has one window, at a random place: any moment is as likely as any other of its period, and a
 * window stands for its period. Whatever rhythm the program has, and however much later than planned a window opens, no
 * moment is favoured. (Windows after a random number of pools were tried. They open 10 to 30 ms after their pool, when the burst
 * that took the pool may be over: phases of 50 ms got half of their bytes, and what is allocated into the holes of old
 * pools while bursts come and go got a hundredth.)
 */
#ifndef MODEL_HEAP_PLAN_H
#define MODEL_HEAP_PLAN_H

#include <stdint.h>

struct heap_plan {
	double share; /* of the process's CPU time that windows may cost; 0: no limit */
	double spent_s; /* what they have cost so far */
	double ends_s; /* this period */
};

/* Costs that are looked at only once so much was spent: a short program is worth knowing, too. */
#define HEAP_BURST_S 0.030

/* What windows may still cost; cpu_s: CPU time of the process. */
double heap_plan__allowance_s(const struct heap_plan *p, double cpu_s);
/*
 * When the next window is due, and the period that it stands for, least_s at least. now_s: of any clock, the same each time; u: by
 * chance, evenly from [0, 1).
 */
double heap_plan__next(struct heap_plan *p, double now_s, double cpu_s, double least_s, double u, double *ret_stands_s);

#endif
