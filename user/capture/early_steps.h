/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * When the budget looks at young programs before its step of each second is due. What a program does in its first second nobody knows
 * before, and until the first step the hook on page faults costs what it costs: a program that faults all the time five times
 * what it may spend in advance, which it pays back for twenty seconds. So there are steps between: the first after 31 ms, each of the
 * next after as long as the youngest program was there, until it has used half a second of CPU time. Only where processes are few, and
 * not just before the next step. Where many programs start one after the other, of all but the first ones their nursery takes care
 * (budget.h). Pure.
 */
#ifndef CAPTURE_EARLY_STEPS_H
#define CAPTURE_EARLY_STEPS_H

#include "capture/traced.h"

/* Whether it is looked at in steps between. */
bool early_steps__is_young(const struct traced *tr, uint64_t now_ns);
/* stepped_ns: of the last step of a second. UINT64_MAX: none before the next. */
uint64_t early_steps__next_ns(const struct traced_table *table, uint64_t stepped_ns, uint64_t now_ns);

#endif
