/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * When a hook that may be on for a share of the time only is on. Time goes by in turns of about half a second; in each the
 * hook is on once, for its share, from a random moment on, so that it falls in with no rhythm of a program. Pure: told the
 * time, it answers; the caller switches. What a late caller had it on for too long is taken from the next turn.
 */
#ifndef CAPTURE_HOOK_TURNS_H
#define CAPTURE_HOOK_TURNS_H

#include <stdbool.h>
#include <stdint.h>

/* A turn in mean, where nothing stretches it. */
#define HOOK_TURN_NS 500000000.0

struct hook_turns {
	double share; /* 1: always on */
	double stretch; /* turns are so many times as long, from the next on; long ones are held to: it is dear to switch */
	/*
	 * What is seen stands for what is not, by the share of its turn: so all of a turn is held to. Else, when its share has become 1,
	 * what is on stays so.
	 */
	bool weighs;
	bool on;
	double turn_share; /* that this turn was begun with */
	bool resting; /* off until a share is set */
	uint64_t on_from_ns, on_for_ns, off_from_ns, end_ns; /* of this turn */
	int64_t excess_ns;
	uint64_t told_ns; /* when it was told the time last */
	uint64_t on_ns, all_ns; /* since the begin */
};

/* When somebody asked last: sums as of then; zeros: the begin. */
struct hook_asked {
	uint64_t on_ns, all_ns;
};

/* It is on, and stays so until a share is set. */
void hook_turns__begin(struct hook_turns *t, uint64_t now_ns);
/* > 0; from the next turn on, or at once where there are none. */
void hook_turns__set_share(struct hook_turns *t, double share);
/* Switching it on took so long: it is off so much later. */
void hook_turns__delay(struct hook_turns *t, uint64_t by_ns);
/* Switching it off took so long. */
void hook_turns__exceed(struct hook_turns *t, uint64_t by_ns);
/* Off from now on, until a share is set. */
void hook_turns__rest(struct hook_turns *t, uint64_t now_ns);
/* Off for the rest of this turn; where there are no turns, as hook_turns__rest. */
void hook_turns__cut(struct hook_turns *t, uint64_t now_ns);
/* Whether it is to be on from now on. To be called no later than hook_turns__next_ns, and after set_share. */
bool hook_turns__update(struct hook_turns *t, uint64_t now_ns);
/* The chance of a moment of this turn to be one in which the hook is on. */
double hook_turns__chance(const struct hook_turns *t);
/* UINT64_MAX: it stays as it is. */
uint64_t hook_turns__next_ns(const struct hook_turns *t);
/* The share of the time that it was on since the same one asked last; all: since the begin. */
double hook_turns__was_on(struct hook_turns *t, struct hook_asked *asked, uint64_t now_ns);
double hook_turns__was_on_in_all(const struct hook_turns *t);

#endif
