/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/hook_turns.h"

#include <stdlib.h>

#define TURN_MIN_NS (uint64_t)(0.8 * HOOK_TURN_NS)
#define TURN_MAX_NS (uint64_t)(1.2 * HOOK_TURN_NS)

void hook_turns__begin(struct hook_turns *t, uint64_t now_ns)
{
	*t = (struct hook_turns){ .share = 1, .turn_share = 1, .stretch = 1, .on = true, .told_ns = now_ns };
}

void hook_turns__set_share(struct hook_turns *t, double share)
{
	t->share = share < 1 ? share : 1;
	t->resting = false;
}

static void take_time(struct hook_turns *t, uint64_t now_ns)
{
	uint64_t passed = now_ns - t->told_ns;

	t->all_ns += passed;
	if (t->on)
		t->on_ns += passed;
	t->told_ns = now_ns;
}

void hook_turns__delay(struct hook_turns *t, uint64_t by_ns)
{
	if (t->on && t->end_ns)
		t->off_from_ns += by_ns;
}

void hook_turns__exceed(struct hook_turns *t, uint64_t by_ns)
{
	t->excess_ns += by_ns;
}

void hook_turns__rest(struct hook_turns *t, uint64_t now_ns)
{
	take_time(t, now_ns);
	t->on = false;
	t->resting = true;
	t->end_ns = 0;
}

void hook_turns__cut(struct hook_turns *t, uint64_t now_ns)
{
	if (!t->end_ns || now_ns >= t->end_ns) {
		hook_turns__rest(t, now_ns);
		return;
	}
	take_time(t, now_ns);
	t->on = false;
	t->on_from_ns = t->off_from_ns = UINT64_MAX;
}

static uint64_t random_below(uint64_t n)
{
	return n * (random() / ((double)RAND_MAX + 1));
}

static void begin_turn(struct hook_turns *t, uint64_t now_ns)
{
	uint64_t turn_ns = t->stretch * (TURN_MIN_NS + random_below(TURN_MAX_NS - TURN_MIN_NS));
	int64_t on_ns = (int64_t)(turn_ns * t->share) - t->excess_ns;

	t->on = false;
	t->turn_share = t->share;
	t->on_for_ns = on_ns > 0 ? on_ns : 0;
	t->excess_ns = on_ns < 0 ? -on_ns : 0;
	if (t->on_for_ns > turn_ns)
		t->on_for_ns = turn_ns;
	t->end_ns = now_ns + turn_ns;
	t->on_from_ns = on_ns > 0 ? now_ns + random_below(turn_ns - t->on_for_ns) : UINT64_MAX;
	t->off_from_ns = UINT64_MAX;
}

static bool stays_on(const struct hook_turns *t)
{
	return t->on && t->share >= 1 && !t->weighs;
}

bool hook_turns__update(struct hook_turns *t, uint64_t now_ns)
{
	take_time(t, now_ns);
	if (t->resting)
		return false;
	if (t->share >= 1 && (t->stretch <= 1 || now_ns >= t->end_ns)) {
		t->on = true;
		t->turn_share = 1;
		t->end_ns = t->excess_ns = 0;
		return true;
	}
	/* What is on may stay so, but the turn is not over. */
	if (stays_on(t)) {
		if (now_ns > t->off_from_ns)
			t->off_from_ns = now_ns;
	} else if (t->on && t->end_ns && now_ns >= t->off_from_ns) {
		t->on = false;
		t->excess_ns += now_ns - t->off_from_ns;
		t->on_from_ns = t->off_from_ns = UINT64_MAX;
	}
	if (!t->on && t->end_ns && now_ns >= t->on_from_ns && now_ns < t->end_ns) {
		t->on = true;
		t->off_from_ns = now_ns + t->on_for_ns;
	}
	if (!t->end_ns || (now_ns >= t->end_ns && !t->on))
		begin_turn(t, now_ns);
	return t->on;
}

double hook_turns__chance(const struct hook_turns *t)
{
	return t->turn_share;
}

uint64_t hook_turns__next_ns(const struct hook_turns *t)
{
	if (!t->end_ns)
		return UINT64_MAX;
	if (t->on)
		return stays_on(t) ? t->end_ns : t->off_from_ns;
	return t->on_from_ns < t->end_ns ? t->on_from_ns : t->end_ns;
}

double hook_turns__was_on(struct hook_turns *t, struct hook_asked *asked, uint64_t now_ns)
{
	uint64_t on, all;

	take_time(t, now_ns);
	on = t->on_ns - asked->on_ns;
	all = t->all_ns - asked->all_ns;
	*asked = (struct hook_asked){ t->on_ns, t->all_ns };
	return all ? (double)on / all : t->on;
}

double hook_turns__was_on_in_all(const struct hook_turns *t)
{
	return t->all_ns ? (double)t->on_ns / t->all_ns : 1;
}
