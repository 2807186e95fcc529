/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/pool_watch.h"

#include <math.h>

/* Its share of the time rises by no more a step, and only if what that costs fits with a margin. */
#define GROWTH 1.5
#define MARGIN 0.8
/* A second may have so many more than was earned in the last. */
#define SLACK 1.5
/* What is known of how many there are a second fades so fast. */
#define FADES 0.85

static uint64_t limit(uint64_t hits, double allowed_s, double hit_s)
{
	return hits + (uint64_t)fmin(allowed_s / hit_s, 1e15);
}

void pool_watch__begin(struct pool_watch *w, uint64_t now_ns, double share, double hit_s, double burst_s)
{
	*w = (struct pool_watch){ .limit_hits = share > 0 ? limit(0, burst_s, hit_s) : UINT64_MAX };
	hook_turns__begin(&w->turns, now_ns);
	w->turns.stretch = POOL_WATCH_STRETCH;
}

static double on_s(const struct pool_watch *w, double now_s)
{
	return w->on_s + (w->away ? 0 : fmax(now_s - w->since_s, 0));
}

/* Those in the time that it was there in its turn. */
static uint64_t counted(const struct pool_watch *w, uint64_t hits)
{
	return (w->away ? w->left_at : hits) - w->passed;
}

void pool_watch__goes(struct pool_watch *w, uint64_t hits, double now_s)
{
	w->on_s = on_s(w, now_s);
	w->left_at = hits;
	w->away = true;
}

void pool_watch__comes(struct pool_watch *w, uint64_t hits, double now_s)
{
	w->passed += hits - w->left_at;
	w->since_s = now_s;
	w->away = false;
}

double pool_watch__all(const struct pool_watch *w, uint64_t hits, double now_s)
{
	double on = on_s(w, now_s);

	return on > 0 && on < now_s ? counted(w, hits) * (now_s / on) : counted(w, hits);
}

void pool_watch__step(struct pool_watch *w, uint64_t hits, double now_s, double cpu_s, double share, double hit_s)
{
	double on = on_s(w, now_s), now = w->turns.share, fits, fades;
	uint64_t cnt = counted(w, hits);

	if (share <= 0)
		return;
	/* One that had to go has become another. */
	fades = hits >= w->limit_hits ? 0 : FADES;
	w->hits_lately = fades * w->hits_lately + (cnt - w->step_hits);
	w->on_lately_s = fades * w->on_lately_s + (on - w->step_on_s);
	fits = share * w->on_lately_s / (fmax(w->hits_lately, 1) * hit_s);
	now = fits <= now ? fmax(fits, POOL_WATCH_LEAST_SHARE) : fmax(fmin(MARGIN * fits, now * GROWTH), now);
	w->limit_hits = now < 1 ? UINT64_MAX : limit(hits, fmax(SLACK * share * (cpu_s - w->step_cpu_s), POOL_WATCH_BURST_S), hit_s);
	w->step_hits = cnt;
	w->step_on_s = on;
	w->step_cpu_s = cpu_s;
	hook_turns__set_share(&w->turns, fmin(now, 1));
}

bool pool_watch__may_be_spent(const struct pool_watch *w)
{
	return w->limit_hits != UINT64_MAX;
}

bool pool_watch__is_spent(const struct pool_watch *w, uint64_t hits)
{
	return !w->away && hits >= w->limit_hits;
}
