/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The process's own time is its CPU time less what following cost it, these blocks and the small ones (heap.h).
 */
#include "capture/large_sampling.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/large_plan.h"

#define MS_NS 1000000ull
#define SECOND_NS 1000000000ull
/* How long its clock is left alone while it nears what is next. */
#define LEAST_WAIT_NS (1 * MS_NS)
#define MOST_WAIT_NS (50 * MS_NS)
/* It is read once a second, and for at most this share of the time. */
#define READING_SHARE 0.005
/* A window may take that long before it is split: its blocks are told as they are, and all else as it was before. */
#define STALLED_NS (1 * SECOND_NS)

enum state { WAITS, SEES, FREES_ONLY, CLOSED };

struct large_sampling {
	struct large_sampling_opts opts;
	struct large_plan plan;
	struct large_samples *samples;
	int moves; /* session__watch_moves; -1: not */
	struct told_table told;
	struct drand48_data random;
	enum state state;
	uint64_t begin_cpu_ns, begin_cost_ns;
	double begins_s, due_s; /* of this period, of the window in it; own time */
	double opened_s, halved_s; /* own time */
	double length_s; /* of the window's first half */
	double left_s; /* of that, what is left to be seen: less where the window goes on after a split */
	bool split; /* it ends before its time, and goes on when its blocks are swept */
	bool due; /* a reading waits for the window's end */
	uint64_t opened_ns;
	uint64_t planned_cost_ns; /* following had cost so much before this window */
	uint64_t next_ns, seen_ns, seen_cpu_ns; /* when to look at its clock again; when it was looked at last */
	uint64_t may_read_ns;
	uint64_t cpu_ns; /* its clock */
};

static uint64_t cost_ns(const struct large_sampling *s)
{
	return s->opts.tr->large_ns + s->opts.tr->windows_ns;
}

static double own_s(const struct large_sampling *s)
{
	return ((double)(s->cpu_ns - s->begin_cpu_ns) - (double)(cost_ns(s) - s->begin_cost_ns)) / SECOND_NS;
}

static bool look_at_clock(struct large_sampling *s)
{
	return !proc__cpu_ns(s->opts.deps->proc, s->opts.tr->tgid, &s->cpu_ns);
}

static void wait_for_window(struct large_sampling *s, double due_s, double left_s)
{
	s->due_s = due_s;
	s->left_s = left_s;
	s->state = WAITS;
	s->next_ns = 0;
}

static void plan(struct large_sampling *s)
{
	double all_s = (double)(s->cpu_ns - s->opts.begin_cpu_ns) / SECOND_NS;
	double wall_s = (double)(clock_now_ns() - s->opts.begin_ns) / SECOND_NS, u, due_s;

	drand48_r(&s->random, &u);
	s->begins_s = fmax(s->plan.ends_s, own_s(s));
	s->planned_cost_ns = s->opts.tr->large_ns;
	due_s = large_plan__next(&s->plan, own_s(s), all_s, wall_s, u);
	s->length_s = s->plan.length_s;
	wait_for_window(s, due_s, s->length_s);
}

/* The holder of a block that was made so many bytes large. */
static bool mover_of(void *arg, uint64_t bytes, struct stack_name *ret)
{
	const struct large_sampling *s = arg;
	uint64_t stack_id = session__mover_of(s->opts.deps->session, s->opts.tr->tgid, bytes);

	if (stack_id)
		*ret = stack_names__look_up(s->opts.names, s->opts.tr, stack_id);
	return stack_id;
}

/* Where it cannot be watched, who has a block made larger between windows is not known. */
static void watch_moves(struct large_sampling *s)
{
	const struct traced *tr = s->opts.tr;
	struct mapping_file file;

	if (mapping_finder__find(s->opts.mapping_files, tr->tgid, tr->interp->host_path, &file) ||
	    session__watch_moves(s->opts.deps->session, tr->tgid, &file, &s->moves))
		s->moves = -1;
	else
		large_samples__ask(s->samples, mover_of, s);
}

static int begin(struct large_sampling *s, const struct large_seen *followed, size_t n)
{
	const struct traced *tr = s->opts.tr;
	int err = large_samples__new(s->opts.deps->proc, tr->tgid, followed, n, &s->samples);

	if (err)
		return err;
	if (!look_at_clock(s))
		return -ESRCH;
	s->begin_cpu_ns = s->seen_cpu_ns = s->cpu_ns;
	s->seen_ns = clock_now_ns();
	s->begin_cost_ns = cost_ns(s);
	large_plan__begin(&s->plan, s->opts.share, ((double)tr->large_ns - s->opts.advance_ns) / SECOND_NS,
			  s->opts.cost_rate);
	plan(s);
	watch_moves(s);
	return 0;
}

int large_sampling__new(const struct large_sampling_opts *opts, const struct large_seen *followed, size_t n,
			struct large_sampling **ret)
{
	struct large_sampling *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->opts = *opts;
	s->moves = -1;
	s->told = (struct told_table){ .profile = opts->deps->profile, .kind = KIND_HEAP_LARGE };
	srand48_r(clock_now_ns() ^ getpid(), &s->random);
	err = begin(s, followed, n);
	for (size_t i = 0; i < n && !err; i++)
		err = told__adopt(&s->told, &followed[i].stack, followed[i].bytes);
	if (err) {
		large_sampling__free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void large_sampling__free(struct large_sampling *s)
{
	if (!s)
		return;
	if (s->moves >= 0)
		session__unwatch(s->opts.deps->session, s->moves);
	large_samples__free(s->samples);
	told__free(&s->told);
	free(s);
}

/* So much of its own time has to go by: when may that be? */
static void wait_for(struct large_sampling *s, double left_s, uint64_t now)
{
	double used = (double)(s->cpu_ns - s->seen_cpu_ns) / (now - s->seen_ns + 1);
	double wait_ns = left_s * SECOND_NS / fmax(used, 0.01);

	s->next_ns = now + (uint64_t)fmin(fmax(wait_ns, LEAST_WAIT_NS), MOST_WAIT_NS);
	s->seen_ns = now;
	s->seen_cpu_ns = s->cpu_ns;
}

enum large_step large_sampling__step(struct large_sampling *s, uint64_t now)
{
	double left_s;

	if (now < s->next_ns || s->state == CLOSED)
		return LARGE_STEP_NONE;
	if (!look_at_clock(s)) {
		s->next_ns = UINT64_MAX; /* it has ended */
		return LARGE_STEP_NONE;
	}
	left_s = s->state == WAITS ? s->due_s - own_s(s) :
		 s->state == SEES  ? s->opened_s + s->left_s - own_s(s) :
				     s->halved_s + s->length_s - own_s(s);
	if (left_s > 0) {
		wait_for(s, left_s, now);
		return LARGE_STEP_NONE;
	}
	if (s->state == WAITS)
		return LARGE_STEP_OPEN;
	if (s->state == SEES) {
		s->state = FREES_ONLY;
		s->halved_s = own_s(s);
		wait_for(s, s->length_s, now);
		return LARGE_STEP_HALF;
	}
	large_sampling__cut(s);
	return LARGE_STEP_CLOSE;
}

uint64_t large_sampling__next_ns(const struct large_sampling *s)
{
	return s->state == CLOSED ? UINT64_MAX : s->next_ns;
}

void large_sampling__opened(struct large_sampling *s)
{
	look_at_clock(s);
	s->state = SEES;
	s->opened_s = own_s(s);
	s->opened_ns = clock_now_ns();
	wait_for(s, s->left_s, s->opened_ns);
}

void large_sampling__missed(struct large_sampling *s)
{
	if (s->left_s == s->length_s)
		plan(s);
	else
		s->next_ns = clock_now_ns() + MOST_WAIT_NS; /* what is left of a window has no other time */
}

void large_sampling__cut(struct large_sampling *s)
{
	if (s->state == SEES)
		s->halved_s = own_s(s);
	s->state = CLOSED;
}

bool large_sampling__owe(struct large_sampling *s, uint64_t now)
{
	if (now < s->may_read_ns)
		return false;
	s->due = true;
	if ((s->state != SEES && s->state != FREES_ONLY) || now - s->opened_ns < STALLED_NS)
		return false;
	s->split = s->state == SEES;
	look_at_clock(s);
	return true;
}

void large_sampling__add(struct large_sampling *s, const struct large_seen *blocks, size_t n)
{
	double seen_s = fmax(s->halved_s - s->opened_s, 0), rest_s = s->split ? fmax(s->left_s - seen_s, 0) : 0;
	struct heap_look look = { .at_s = s->opened_s, .own_s = seen_s };
	int err;

	look_at_clock(s);
	/* A window that took longer than its period stands for all of that time, until the next begins; a part of a window, for its part. */
	look.stands_s = fmax(s->plan.period_s, (rest_s > 0 ? s->halved_s : own_s(s)) - s->begins_s) * (s->left_s - rest_s) / s->length_s;
	err = large_samples__add_window(s->samples, &look, blocks, n);
	if (err)
		log_debug("large blocks: a window of process %d is lost: %s", (int)s->opts.tr->tgid, strerror(-err));
	s->split = false;
	if (rest_s > 0) {
		wait_for_window(s, own_s(s), rest_s);
	} else {
		large_plan__paid(&s->plan, (double)(s->opts.tr->large_ns - s->planned_cost_ns) / SECOND_NS,
				 2 * (s->length_s - s->left_s + seen_s));
		plan(s);
	}
	if (s->due)
		large_sampling__tell(s, clock_now_ns(), false);
}

static void tell_all(struct large_sampling *s, const struct heap_holdings *all)
{
	struct stack_name before = stack_names__look_up(s->opts.names, s->opts.tr, STACK_BEFORE_ATTACH);
	struct stack_name unsampled = stack_names__look_up(s->opts.names, s->opts.tr, STACK_NOT_SAMPLED);

	told__begin(&s->told);
	for (size_t i = 0; i < all->n; i++)
		told__tell(&s->told, &all->holders[i].stack, &all->holders[i].sum);
	told__tell(&s->told, &before, &all->before);
	told__tell(&s->told, &unsampled, &all->unknown);
	told__end(&s->told);
}

void large_sampling__tell(struct large_sampling *s, uint64_t now, bool last)
{
	const struct heap_holdings *all;
	uint64_t before = clock_thread_cpu_ns();
	int err;

	if (!last && now < s->may_read_ns)
		return;
	s->due = false;
	err = look_at_clock(s) ? large_samples__read(s->samples, own_s(s), &all) : -ESRCH;
	if (!err)
		tell_all(s, all);
	else
		log_debug("large blocks: those of process %d were not read: %s", (int)s->opts.tr->tgid, strerror(-err));
	s->may_read_ns = now + SECOND_NS / 2 + (uint64_t)((clock_thread_cpu_ns() - before) / READING_SHARE);
}
