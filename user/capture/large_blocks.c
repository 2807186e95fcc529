/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See large_blocks.h. Whose malloc is in the same file share its sites: each hit walks the links of all of them, so
 * only a few are followed at once, first come, first served.
 */
#include "capture/large_blocks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "capture/large_cost.h"
#include "capture/large_pace.h"
#include "capture/large_sampling.h"
#include "capture/malloc_users.h"

/*
 * Processes of one file that are followed at once. On 6.18 any other has each allocation pay for a return
 * (session_large.c), and adds to each hit (large_cost.c).
 */
#define MAX_FOLLOWED_OF_FILE 16
/* How often costs are looked at; and while something is followed that costs more than its budget. */
#define UPKEEP_NS 100000000ull
#define HOT_UPKEEP_NS 10000000ull
/* Sweeping goes through all blocks that are followed of all processes: at most this share of the time. */
#define SWEEP_SHARE 0.005
/* How long a program that has just begun is given to map its C library: 12 looks, 1 ms apart at first, doubling. */
#define MAX_LOOKS 12
#define FIRST_LOOK_NS 1000000ull
/*
 * Attaching and detaching hold up every fork of the host for a while (dup_mmap_sem, kernel/events/uprobes.c): a
 * forked child is not worth it that ends at once.
 */
#define FORKED_LOOK_NS 20000000ull
/* What runs in the kernel while a process is paused has ended then. */
#define GRACE_NS 10000000ull

struct followed {
	uint32_t proc_id; /* key */
	struct traced *tr;
	struct malloc_file file; /* n is 0: not found yet */
	unsigned int looks;
	uint64_t look_at_ns; /* when to look again; 0: not */
	struct malloc_user *shared;
	struct large_hit hit;
	bool returns; /* each allocation has its return probed, whoever else is followed */
	struct session_large *probes; /* NULL: not followed now */
	struct session_large *stopped; /* its blocks are to be swept */
	uint64_t stopped_ns;
	struct large_sampling *sampling; /* NULL: all are followed, or nothing */
	bool unsampled; /* its heap does not tell what lives */
	struct large_seen *swept; /* blocks that it had when it was stopped; during a sweep */
	size_t n_swept, room;
	bool ended;
	bool listed; /* among those with something to do; others wait for room */
	struct large_pace pace;
	struct large_cost cost;
	struct {
		uint64_t ns, cost_ns;
	} step, last_step; /* when its costs were looked at, and the time before */
	uint64_t begin_cpu_ns, since_cpu_ns;
	double advance_ns;
	struct large_watch past; /* counts of probes that are gone */
	uint64_t begin_ns, since_ns, followed_ns; /* since_ns, since_cpu_ns: of the probes that are there, or were last */
	UT_hash_handle hh;
	struct followed *prev, *next; /* of those that are listed */
};

struct large_blocks {
	const struct tracker_deps *deps;
	struct accounts *accounts;
	struct stack_names *names;
	double budget;
	struct malloc_finder *finder;
	struct mapping_finder *mapping_files;
	struct followed *all, *listed;
	uint32_t n_looking; /* those with look_at_ns */
	struct malloc_user *files;
	uint64_t upkeep_ns; /* when to look at costs again */
	uint64_t sweep_ns; /* not before then */
	struct large_blocks_sums ended; /* of processes that are gone */
};

int large_blocks__new(const struct tracker_deps *deps, struct malloc_finder *finder, struct mapping_finder *mapping_files,
		      struct accounts *accounts, struct stack_names *names, double budget, struct large_blocks **ret)
{
	struct large_blocks *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->deps = deps;
	l->finder = finder;
	l->mapping_files = mapping_files;
	l->accounts = accounts;
	l->names = names;
	l->budget = budget;
	*ret = l;
	return 0;
}

/* ---- one process ---- */

static void note(struct large_blocks *l, struct traced *tr, const char *text)
{
	const char *old = profile__process(l->deps->profile, tr->process)->note;

	/* There is room for one; what concerns the interpreter comes first. */
	if (!old[0] || !strncmp(old, "large blocks", 12))
		traced__note(tr, l->deps->profile, text);
}

static void note_why_not(struct large_blocks *l, struct traced *tr, int err)
{
	char text[128];

	if (err == -ENOENT)
		snprintf(text, sizeof(text), "large blocks are not followed: its malloc was not found");
	else if (err == -EAGAIN)
		snprintf(text, sizeof(text), "large blocks are not followed: %d processes of the same C library are",
			 MAX_FOLLOWED_OF_FILE);
	else
		snprintf(text, sizeof(text), "large blocks are not followed: %s", strerror(-err));
	note(l, tr, text);
}

static void note_share(struct large_blocks *l, const struct followed *f, uint64_t now)
{
	const char *rest = f->sampling ? ", the rest is estimated" : f->file.musl ? "; what lives in musl's heap is not read" : "";
	uint64_t all = now - f->begin_ns, followed = f->followed_ns + (f->probes ? now - f->since_ns : 0);
	char text[128];

	if (!all || followed >= all)
		return;
	snprintf(text, sizeof(text), "large blocks were followed %.*f %% of the time: %s%s", 100 * followed < 2 * all,
		 100.0 * followed / all,
		 f->sampling || f->pace.need_ns > 0 ? "the budget allows no more" : "there was no room for it at first", rest);
	note(l, f->tr, text);
}

static struct large_watch counts_of(const struct followed *f)
{
	struct large_watch sum = f->past, now;

	if (f->probes && !session_large__hits(f->probes, &now)) {
		sum.hits += now.hits;
		sum.blocks += now.blocks;
	}
	return sum;
}

static void charge(struct followed *f)
{
	uint32_t others = f->shared->n_followed > 1 ? f->shared->n_followed - 1 : 0;
	struct large_watch sums = counts_of(f);

	large_cost__add(&f->cost, &sums, &f->hit, others, f->returns || others);
	f->tr->large_ns = f->cost.ns;
}

static bool has_room(const struct followed *f)
{
	return f->shared->n_followed < MAX_FOLLOWED_OF_FILE;
}

static void note_step(struct followed *f, uint64_t now)
{
	f->step.ns = now;
	f->step.cost_ns = f->cost.ns;
}

/* 0, or why it is not followed; -EAGAIN: there is no room now. */
static int start(struct large_blocks *l, struct followed *f, enum large_watch_on on, uint64_t now)
{
	int err;

	if (!has_room(f))
		return -EAGAIN;
	err = session__follow_large(l->deps->session, f->tr->tgid, f->proc_id, &f->file, on, &f->probes);
	if (err)
		return err;
	f->shared->n_followed++;
	f->since_ns = now;
	if (!f->sampling && proc__cpu_ns(l->deps->proc, f->tr->tgid, &f->since_cpu_ns))
		f->since_cpu_ns = f->tr->cpu_ns;
	note_step(f, now);
	return 0;
}

static void stop(struct followed *f, uint64_t now)
{
	if (!f->probes)
		return;
	session_large__stop(f->probes);
	charge(f);
	if (f->sampling)
		large_sampling__cut(f->sampling);
	f->past = counts_of(f);
	f->stopped = f->probes;
	f->stopped_ns = now;
	f->probes = NULL;
	f->followed_ns += now - f->since_ns;
	f->shared->n_followed--;
}

static void look_at(struct large_blocks *l, struct followed *f, uint64_t at_ns)
{
	l->n_looking += !!at_ns - !!f->look_at_ns;
	f->look_at_ns = at_ns;
}

/* To be called when any of that has changed. */
static void list(struct large_blocks *l, struct followed *f)
{
	bool listed = f->look_at_ns || f->probes || f->stopped || f->sampling;

	if (listed && !f->listed)
		DL_APPEND(l->listed, f);
	if (!listed && f->listed)
		DL_DELETE(l->listed, f);
	f->listed = listed;
}

static void free_followed(struct large_blocks *l, struct followed *f)
{
	look_at(l, f, 0);
	if (f->listed)
		DL_DELETE(l->listed, f);
	session_large__free(f->probes);
	session_large__free(f->stopped);
	large_sampling__free(f->sampling);
	free(f->swept);
	malloc_users__leave(&l->files, f->shared);
	free(f);
}

void large_blocks__free(struct large_blocks *l)
{
	struct followed *f, *next;

	if (!l)
		return;
	HASH_ITER(hh, l->all, f, next) {
		HASH_DEL(l->all, f);
		free_followed(l, f);
	}
	free(l);
}

/* It has no windows: all that it has in advance is for following it. */
static void keep_nothing(struct followed *f)
{
	if (f->advance_ns > 0)
		f->pace.burst_ns = f->advance_ns;
}

static int find_file(struct large_blocks *l, struct followed *f)
{
	int err = malloc_finder__find(l->finder, f->tr->tgid, f->tr->interp, &f->file);

	if (err)
		return err;
	err = malloc_users__join(&l->files, f->file.host_path, &f->shared);
	if (err) {
		f->file.n = 0;
		return err;
	}
	f->hit = large_cost__hit_of_file(session__probe_costs(l->deps->session), &f->file);
	f->unsampled |= f->file.musl;
	if (f->unsampled)
		keep_nothing(f);
	f->returns = session__links(l->deps->session) != PROBE_LINKS_SESSION;
	return 0;
}

static void look(struct large_blocks *l, struct followed *f)
{
	uint64_t now = clock_now_ns();
	int err = find_file(l, f);

	if (!err && !f->pace.paused)
		err = start(l, f, LARGE_WATCH_ALL, now);
	if (err == -ENOENT && !f->file.n && f->looks < MAX_LOOKS) {
		look_at(l, f, now + (FIRST_LOOK_NS << f->looks++));
		list(l, f);
		return;
	}
	look_at(l, f, 0);
	list(l, f);
	if (err && err != -ESRCH)
		note_why_not(l, f->tr, err);
}

static struct followed *find(const struct large_blocks *l, const struct traced *tr)
{
	struct followed *f;

	HASH_FIND(hh, l->all, &tr->proc_id, sizeof(tr->proc_id), f);
	return f;
}

void large_blocks__follow(struct large_blocks *l, struct traced *tr)
{
	struct followed *f = find(l, tr) ? NULL : calloc(1, sizeof(*f));

	if (!f)
		return;
	f->proc_id = tr->proc_id;
	f->tr = tr;
	f->begin_ns = clock_now_ns();
	f->begin_cpu_ns = tr->cpu_ns;
	f->advance_ns = LARGE_PACE_BURST_NS * traced__advance(tr);
	large_pace__begin(&f->pace, f->begin_ns, l->budget, (1 - LARGE_PACE_KEPT) * f->advance_ns);
	HASH_ADD(hh, l->all, proc_id, sizeof(f->proc_id), f);
	if (!tr->forked) {
		look(l, f);
		return;
	}
	look_at(l, f, f->begin_ns + FORKED_LOOK_NS);
	list(l, f);
}

bool large_blocks__follows(const struct large_blocks *l, const struct traced *tr)
{
	const struct followed *f = find(l, tr);

	return f && f->file.n;
}

void large_blocks__look_again(struct large_blocks *l, const struct traced *tr)
{
	struct followed *f = find(l, tr);

	if (f && f->look_at_ns)
		look(l, f);
}

void large_blocks__forget(struct large_blocks *l, const struct traced *tr)
{
	struct followed *f = find(l, tr);
	uint64_t now = clock_now_ns();

	if (!f || f->ended)
		return;
	stop(f, now);
	look_at(l, f, 0);
	f->ended = true;
	list(l, f);
	f->stopped_ns = now;
	l->ended.hits += f->past.hits;
	l->ended.blocks += f->past.blocks;
	l->ended.followed_ns += f->followed_ns;
	l->ended.all_ns += now - f->begin_ns;
}

/* ---- all ---- */

/* Whether it is to be followed now. */
static bool pace(struct followed *f, uint64_t now)
{
	charge(f);
	f->last_step = f->step;
	note_step(f, now);
	return large_pace__step(&f->pace, now, f->cost.ns, f->tr->cpu_ns - f->begin_cpu_ns,
				(double)random() / RAND_MAX);
}

/* Its next window. What is allocated while probes are attached, one after the other, is no part of it. */
static void open_window(struct large_blocks *l, struct followed *f, uint64_t now)
{
	if (f->stopped || start(l, f, LARGE_WATCH_OFF, now) || session_large__set(f->probes, LARGE_WATCH_ALL))
		large_sampling__missed(f->sampling);
	else
		large_sampling__opened(f->sampling);
}

static void step(struct large_blocks *l, struct followed *f, uint64_t now)
{
	if (now < large_sampling__next_ns(f->sampling))
		return;
	charge(f);
	switch (large_sampling__step(f->sampling, now)) {
	case LARGE_STEP_OPEN:
		open_window(l, f, now);
		break;
	case LARGE_STEP_HALF:
		session_large__set(f->probes, LARGE_WATCH_FREES);
		break;
	case LARGE_STEP_CLOSE:
		stop(f, now);
		break;
	case LARGE_STEP_NONE:
		break;
	}
}

static void look_where_due(struct large_blocks *l, uint64_t now)
{
	struct followed *f, *next;

	if (!l->n_looking)
		return;
	DL_FOREACH_SAFE(l->listed, f, next) {
		if (f->look_at_ns && now >= f->look_at_ns)
			look(l, f);
	}
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int large_blocks__patience_ms(const struct large_blocks *l, int max_ms)
{
	uint64_t now = clock_now_ns(), at = sooner(now + max_ms * 1000000ull, l->listed ? l->upkeep_ns : UINT64_MAX);
	const struct followed *f;

	DL_FOREACH(l->listed, f) {
		at = sooner(at, f->look_at_ns ? f->look_at_ns : UINT64_MAX);
		if (f->sampling && !f->ended)
			at = sooner(at, f->stopped ? l->sweep_ns : large_sampling__next_ns(f->sampling));
	}
	return at <= now ? 0 : (at - now + 999999) / 1000000;
}

static void sweep_stopped(struct large_blocks *l, uint64_t now, bool last);

/* All that are followed without end; returns whether one of them is about to be too dear. */
static bool pace_all(struct large_blocks *l, uint64_t now)
{
	bool hot = false;
	struct followed *f;

	DL_FOREACH(l->listed, f) {
		uint64_t was_ns = f->cost.ns;

		if (!f->probes || f->sampling)
			continue;
		if (!pace(f, now))
			stop(f, now);
		hot |= l->budget && f->probes && f->cost.ns > was_ns + HOT_UPKEEP_NS * l->budget;
	}
	return hot;
}

void large_blocks__upkeep(struct large_blocks *l)
{
	uint64_t now = clock_now_ns();
	struct followed *f;

	look_where_due(l, now);
	DL_FOREACH(l->listed, f) {
		if (f->sampling && !f->ended)
			step(l, f, now);
	}
	sweep_stopped(l, now, false);
	if (now >= l->upkeep_ns)
		l->upkeep_ns = now + (pace_all(l, now) ? HOT_UPKEEP_NS : UPKEEP_NS);
}

/* ---- what is not followed any more ---- */

struct sweep {
	struct large_blocks *l;
	struct followed *of[MAX_LARGE_WATCHES]; /* by number */
};

static int keep_swept(struct large_blocks *l, struct followed *f, uint64_t addr, const struct large_block *b)
{
	size_t room = f->room ? 2 * f->room : 256;
	struct large_seen *more;

	if (f->n_swept == f->room) {
		more = realloc(f->swept, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		f->swept = more;
		f->room = room;
	}
	f->swept[f->n_swept++] = (struct large_seen){
		.addr = addr, .bytes = b->bytes, .stack = stack_names__look_up(l->names, f->tr, b->stack_id)
	};
	return 0;
}

static void count(struct large_blocks *l, const struct followed *f, uint64_t stack_id, const struct count_value *value)
{
	struct count_key key = { .stack_id = stack_id, .proc_id = f->proc_id, .kind = KIND_HEAP_LARGE };

	accounts__count(l->accounts, &key, value);
}

static bool can_be_sampled(const struct large_blocks *l, const struct followed *f)
{
	return l->budget && !f->unsampled && !f->ended;
}

static void lose_sight(struct large_blocks *l, const struct followed *f, uint64_t bytes)
{
	const struct count_value there = { .alloc_cnt = 1, .alloc_bytes = bytes };

	count(l, f, STACK_NOT_FOLLOWED, &there);
}

/*
 * What a window saw leaves its line, and is told as an estimate; what was followed before stays, and the first estimate says what
 * became of it (begin_sampling). Where nothing is estimated, it leaves its line for those that are not followed any more.
 */
static bool settle_block(const struct large_key *key, const struct large_block *b, void *arg)
{
	struct sweep *s = arg;
	struct followed *f = s->of[key->watch % MAX_LARGE_WATCHES];
	const struct count_value gone = { .free_cnt = 1, .free_bytes = b->bytes };
	bool kept;

	if (!f)
		return false;
	if (f->ended)
		return true;
	kept = can_be_sampled(s->l, f) && !keep_swept(s->l, f, key->addr, b);
	if (!kept || f->sampling)
		count(s->l, f, b->stack_id, &gone);
	if (!kept)
		lose_sight(s->l, f, b->bytes);
	return true;
}

static bool is_due(const struct followed *f, uint64_t now)
{
	return f->stopped && now - f->stopped_ns >= GRACE_NS;
}

/* What following has cost lately, of its CPU time: since it began, or in the last moments, in which it may have turned hot. */
static double cost_rate(const struct large_blocks *l, const struct followed *f)
{
	uint64_t cpu_ns = f->tr->cpu_ns, wall_ns = f->stopped_ns - f->last_step.ns;
	double all, lately = (double)(f->cost.ns - f->last_step.cost_ns) / (wall_ns + 1);

	proc__cpu_ns(l->deps->proc, f->tr->tgid, &cpu_ns);
	all = cpu_ns > f->since_cpu_ns ? (double)f->cost.ns / (cpu_ns - f->since_cpu_ns) : 0;
	return all > lately ? all : lately;
}

/* From now on it has windows; where its heap does not tell what lives, it is followed now and then, as the budget allows. */
static void begin_sampling(struct large_blocks *l, struct followed *f)
{
	const struct large_sampling_opts opts = {
		.deps = l->deps,
		.names = l->names,
		.tr = f->tr,
		.mapping_files = l->mapping_files,
		.share = l->budget,
		.begin_ns = f->begin_ns,
		.begin_cpu_ns = f->begin_cpu_ns,
		.cost_rate = cost_rate(l, f),
		.advance_ns = f->advance_ns,
	};
	int err = large_sampling__new(&opts, f->swept, f->n_swept, &f->sampling);

	if (!err || err == -ESRCH) /* it has ended: its lines stay as they are */
		return;
	f->unsampled = true;
	keep_nothing(f);
	for (size_t i = 0; i < f->n_swept; i++) {
		const struct stack_name *line = &f->swept[i].stack;
		const struct profile_sums gone = { .free_cnt = 1, .free_bytes = f->swept[i].bytes };

		profile__add(l->deps->profile, line->process, line->tid, line->node, KIND_HEAP_LARGE, &gone);
		lose_sight(l, f, f->swept[i].bytes);
	}
}

/* Its blocks are swept. */
static void settle(struct large_blocks *l, struct followed *f)
{
	session_large__free(f->stopped);
	f->stopped = NULL;
	if (f->sampling && !f->ended)
		large_sampling__add(f->sampling, f->swept, f->n_swept);
	else if (can_be_sampled(l, f))
		begin_sampling(l, f);
	f->n_swept = 0;
	list(l, f);
}

/* last: what the kernel still runs of those that were just stopped will not be seen. */
static void sweep_stopped(struct large_blocks *l, uint64_t now, bool last)
{
	struct followed *f, *next;
	struct sweep *s = NULL;

	if (now < l->sweep_ns && !last)
		return;
	DL_FOREACH(l->listed, f) {
		if (!f->stopped || (!last && !is_due(f, now)))
			continue;
		s = s ? s : calloc(1, sizeof(*s));
		if (!s)
			return;
		s->l = l;
		s->of[session_large__number(f->stopped)] = f;
	}
	if (!s)
		return;
	if (!session__sweep_large(l->deps->session, settle_block, s)) {
		DL_FOREACH_SAFE(l->listed, f, next) {
			if (f->stopped && s->of[session_large__number(f->stopped)] == f)
				settle(l, f);
		}
	}
	l->sweep_ns = now + (uint64_t)((clock_now_ns() - now) / SWEEP_SHARE);
	free(s);
}

/* A window is told block by block until it is settled. */
static bool is_settled(const struct followed *f)
{
	return !f->stopped && (!f->probes || counts_of(f).blocks == f->past.blocks);
}

static void tell(struct large_blocks *l, struct followed *f, uint64_t now, bool last)
{
	if (last || is_settled(f))
		large_sampling__tell(f->sampling, now, last);
	else if (large_sampling__owe(f->sampling, now))
		stop(f, now);
	note_share(l, f, now);
}

static void drop_ended(struct large_blocks *l)
{
	struct followed *f, *next;

	HASH_ITER(hh, l->all, f, next) {
		if (!f->ended || f->stopped)
			continue;
		HASH_DEL(l->all, f);
		free_followed(l, f);
	}
}

void large_blocks__refresh(struct large_blocks *l, bool last)
{
	uint64_t now = clock_now_ns();
	struct followed *f;

	for (f = l->all; f; f = f->hh.next) {
		if (last && f->sampling && !f->ended)
			stop(f, now);
	}
	sweep_stopped(l, now, last);
	drop_ended(l);
	for (f = l->all; f; f = f->hh.next) {
		if (f->ended || !f->file.n)
			continue;
		if (f->sampling) {
			tell(l, f, now, last);
			continue;
		}
		if (f->probes || f->stopped || last || !has_room(f))
			continue;
		if (!pace(f, now) || !start(l, f, LARGE_WATCH_ALL, now))
			note_share(l, f, now);
		list(l, f);
	}
}

struct large_blocks_sums large_blocks__sums(const struct large_blocks *l)
{
	struct large_blocks_sums sums = l->ended;
	uint64_t now = clock_now_ns();
	const struct followed *f;

	for (f = l->all; f; f = f->hh.next) {
		struct large_watch w = counts_of(f);

		if (f->ended)
			continue;
		sums.hits += w.hits;
		sums.blocks += w.blocks;
		sums.followed_ns += f->followed_ns + (f->probes ? now - f->since_ns : 0);
		sums.all_ns += now - f->begin_ns;
	}
	return sums;
}
