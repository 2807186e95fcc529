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
#include "system/same_file.h"

/*
 * Processes of one file that are followed at once. On 6.18 any other has each allocation pay for a return
 * (session_large.c), and adds to each hit (large_cost.c).
 */
#define MAX_FOLLOWED_OF_FILE 16
/* How often costs are looked at. */
#define UPKEEP_NS 100000000ull
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

/* A file that serves malloc, as an inode. */
struct shared_file {
	struct file_identity *identity;
	uint32_t n_users, n_followed;
	struct shared_file *prev, *next;
};

struct followed {
	uint32_t proc_id; /* key */
	struct traced *tr;
	struct malloc_file file; /* n is 0: not found yet */
	unsigned int looks;
	uint64_t look_at_ns; /* when to look again; 0: not */
	struct shared_file *shared;
	uint32_t hit_ns; /* what one hit costs */
	bool returns; /* each allocation has its return probed, whoever else is followed */
	struct session_large *probes; /* NULL: not followed now */
	struct session_large *stopped; /* its blocks are to be swept */
	uint64_t stopped_ns;
	bool ended;
	struct large_pace pace;
	struct large_cost cost;
	uint64_t begin_cpu_ns;
	struct large_watch past; /* counts of probes that are gone */
	uint64_t begin_ns, since_ns, followed_ns; /* since_ns: of the probes that are there */
	UT_hash_handle hh;
};

struct large_blocks {
	const struct tracker_deps *deps;
	struct accounts *accounts;
	double budget;
	struct malloc_finder *finder;
	struct followed *all;
	uint32_t n_looking; /* those with look_at_ns */
	struct shared_file *files;
	uint64_t upkeep_ns;
	struct large_blocks_sums ended; /* of processes that are gone */
};

int large_blocks__new(const struct tracker_deps *deps, struct accounts *accounts, double budget,
		      struct large_blocks **ret)
{
	struct large_blocks *l = calloc(1, sizeof(*l));
	int err = l ? malloc_finder__new(&l->finder) : -ENOMEM;

	if (err) {
		free(l);
		return err;
	}
	l->deps = deps;
	l->accounts = accounts;
	l->budget = budget;
	*ret = l;
	return 0;
}

/* ---- files ---- */

static int find_shared(struct large_blocks *l, const char *host_path, struct shared_file **ret)
{
	struct file_identity *identity;
	struct shared_file *f;
	int err;

	err = file_identity__open(host_path, &identity);
	if (err)
		return err;
	DL_FOREACH(l->files, f) {
		if (file_identity__same(f->identity, identity)) {
			file_identity__free(identity);
			*ret = f;
			return 0;
		}
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		file_identity__free(identity);
		return -ENOMEM;
	}
	f->identity = identity;
	DL_APPEND(l->files, f);
	*ret = f;
	return 0;
}

static void leave_shared(struct large_blocks *l, struct shared_file *f)
{
	if (!f || --f->n_users)
		return;
	DL_DELETE(l->files, f);
	file_identity__free(f->identity);
	free(f);
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
	uint64_t all = now - f->begin_ns, followed = f->followed_ns + (f->probes ? now - f->since_ns : 0);
	char text[128];

	if (!all || followed >= all)
		return;
	snprintf(text, sizeof(text), "large blocks were followed %.0f %% of the time: %s", 100.0 * followed / all,
		 f->pace.need_ns > 0 ? "the budget allows no more" : "there was no room for it at first");
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

	large_cost__add(&f->cost, &sums, f->hit_ns, others, f->returns || others);
	f->tr->large_ns = f->cost.ns;
}

static uint32_t hit_ns_of(const struct malloc_file *file)
{
	static const char *const often[] = { "malloc", "calloc", "realloc", "free" };
	size_t i, k;

	for (i = 0; i < file->n; i++) {
		for (k = 0; k < sizeof(often) / sizeof(often[0]); k++) {
			if (!file->site[i].emulated && !strcmp(file->site[i].symbol, often[k]))
				return large_cost__hit_ns(false);
		}
	}
	return large_cost__hit_ns(true);
}

static bool has_room(const struct followed *f)
{
	return f->shared->n_followed < MAX_FOLLOWED_OF_FILE;
}

/* 0, or why it is not followed; -EAGAIN: there is no room now. */
static int start(struct large_blocks *l, struct followed *f, uint64_t now)
{
	int err;

	if (!has_room(f))
		return -EAGAIN;
	err = session__follow_large(l->deps->session, f->tr->tgid, f->proc_id, &f->file, &f->probes);
	if (err)
		return err;
	f->shared->n_followed++;
	f->since_ns = now;
	return 0;
}

static void stop(struct followed *f, uint64_t now)
{
	if (!f->probes)
		return;
	session_large__stop(f->probes);
	charge(f);
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

static void free_followed(struct large_blocks *l, struct followed *f)
{
	look_at(l, f, 0);
	session_large__free(f->probes);
	session_large__free(f->stopped);
	leave_shared(l, f->shared);
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
	malloc_finder__free(l->finder);
	free(l);
}

static int find_file(struct large_blocks *l, struct followed *f)
{
	int err = malloc_finder__find(l->finder, f->tr->tgid, f->tr->interp, &f->file);

	if (err)
		return err;
	err = find_shared(l, f->file.host_path, &f->shared);
	if (err) {
		f->file.n = 0;
		return err;
	}
	f->shared->n_users++;
	f->hit_ns = hit_ns_of(&f->file);
	f->returns = session__links(l->deps->session) != PROBE_LINKS_SESSION;
	return 0;
}

static void look(struct large_blocks *l, struct followed *f)
{
	uint64_t now = clock_now_ns();
	int err = find_file(l, f);

	err = err ? err : start(l, f, now);
	if (err == -ENOENT && !f->file.n && f->looks < MAX_LOOKS) {
		look_at(l, f, now + (FIRST_LOOK_NS << f->looks++));
		return;
	}
	look_at(l, f, 0);
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
	large_pace__begin(&f->pace, f->begin_ns, l->budget);
	HASH_ADD(hh, l->all, proc_id, sizeof(f->proc_id), f);
	if (tr->forked)
		look_at(l, f, f->begin_ns + FORKED_LOOK_NS);
	else
		look(l, f);
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
	return large_pace__step(&f->pace, now, f->cost.ns, f->tr->cpu_ns - f->begin_cpu_ns,
				(double)random() / RAND_MAX);
}

static void look_where_due(struct large_blocks *l, uint64_t now)
{
	struct followed *f;

	for (f = l->n_looking ? l->all : NULL; f; f = f->hh.next) {
		if (f->look_at_ns && now >= f->look_at_ns)
			look(l, f);
	}
}

int large_blocks__patience_ms(const struct large_blocks *l, int max_ms)
{
	uint64_t now, wait = max_ms * 1000000ull;
	const struct followed *f;

	if (!l->n_looking)
		return max_ms;
	now = clock_now_ns();
	for (f = l->all; f; f = f->hh.next) {
		if (f->look_at_ns)
			wait = f->look_at_ns <= now ? 0 : f->look_at_ns - now < wait ? f->look_at_ns - now : wait;
	}
	return (wait + 999999) / 1000000;
}

void large_blocks__upkeep(struct large_blocks *l)
{
	uint64_t now = clock_now_ns();
	struct followed *f;

	look_where_due(l, now);
	if (now - l->upkeep_ns < UPKEEP_NS)
		return;
	l->upkeep_ns = now;
	for (f = l->all; f; f = f->hh.next) {
		if (f->probes && !pace(f, now))
			stop(f, now);
	}
}

struct sweep {
	struct large_blocks *l;
	struct followed *of[MAX_LARGE_WATCHES]; /* by number */
};

/* A block that is not followed any more leaves its line, unless its process has ended. */
static bool settle_block(const struct large_key *key, const struct large_block *b, void *arg)
{
	struct sweep *s = arg;
	struct followed *f = s->of[key->watch % MAX_LARGE_WATCHES];
	const struct count_value gone = { .free_cnt = 1, .free_bytes = b->bytes };
	const struct count_value there = { .alloc_cnt = 1, .alloc_bytes = b->bytes };
	struct count_key count;

	if (!f)
		return false;
	if (!f->ended) {
		count = (struct count_key){ .stack_id = b->stack_id, .proc_id = f->proc_id, .kind = KIND_HEAP_LARGE };
		accounts__count(s->l->accounts, &count, &gone);
		count.stack_id = STACK_NOT_FOLLOWED;
		accounts__count(s->l->accounts, &count, &there);
	}
	return true;
}

static bool is_due(const struct followed *f, uint64_t now)
{
	return f->stopped && now - f->stopped_ns >= GRACE_NS;
}

static void sweep_stopped(struct large_blocks *l, uint64_t now)
{
	struct sweep *s = NULL;
	struct followed *f;

	for (f = l->all; f; f = f->hh.next) {
		if (!is_due(f, now))
			continue;
		s = s ? s : calloc(1, sizeof(*s));
		if (!s)
			return;
		s->l = l;
		s->of[session_large__number(f->stopped)] = f;
	}
	if (s && !session__sweep_large(l->deps->session, settle_block, s)) {
		for (f = l->all; f; f = f->hh.next) {
			if (!is_due(f, now))
				continue;
			session_large__free(f->stopped);
			f->stopped = NULL;
		}
	}
	free(s);
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

void large_blocks__refresh(struct large_blocks *l)
{
	uint64_t now = clock_now_ns();
	struct followed *f;

	sweep_stopped(l, now);
	drop_ended(l);
	for (f = l->all; f; f = f->hh.next) {
		if (f->probes || f->stopped || f->ended || !f->file.n || !has_room(f))
			continue;
		if (!pace(f, now) || !start(l, f, now))
			note_share(l, f, now);
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
