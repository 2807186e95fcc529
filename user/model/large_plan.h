/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * When to follow the blocks over 512 bytes of a process that allocates too many to follow them all the time. Pure.
 *
 * The process's own time is cut into periods, and each has one window, at a random place, that stands for its period: when it is
 * opened has nothing to do with what the program does. How long a window is was decided before, too: such that its hits cost as
 * much as LARGE_WINDOW_COST_S, as those of the last ones did. All times are seconds.
 *
 * A service that is idle most of the time earns little: its first windows are paid in advance, or of ten seconds none were seen.
 */
#ifndef MODEL_LARGE_PLAN_H
#define MODEL_LARGE_PLAN_H

struct large_plan {
	double share; /* of the process's CPU time that windows may cost */
	double spent_s; /* what they, and following before, have cost beyond what it had in advance; < 0: that is left */
	double window_cost_s; /* of one, lately */
	double length_s; /* of the next one's first half, in which blocks are seen allocated; as long again frees are seen */
	double period_s, ends_s;
};

#define LARGE_WINDOW_COST_S 0.001
#define LARGE_LEAST_LENGTH_S 0.003
#define LARGE_MOST_LENGTH_S 0.2

/* cost_rate: what following has cost lately, a second of the process's time. */
void large_plan__begin(struct large_plan *p, double share, double spent_s, double cost_rate);
/*
 * When the next window is due, of now_s's clock, in the period p->period_s. now_s: the process's own time; cpu_s, wall_s: all of its
 * CPU time, and the time that went by, since spent_s began; u: by chance, evenly from [0, 1).
 */
double large_plan__next(struct large_plan *p, double now_s, double cpu_s, double wall_s, double u);
/* A window has cost so much, in own_s of the process's time. */
void large_plan__paid(struct large_plan *p, double cost_s, double own_s);

#endif
