/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/budget.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "capture/early_steps.h"
#include "capture/gc_turns.h"
#include "capture/hook_turns.h"

/*
 * A process that is calm, not having run for some steps, is asked for its CPU time in every eighth only, unless something was told of
 * it meanwhile; what one does of which nothing is told costs it nothing. In every 32nd all of it is looked at, should its memory
 * have been taken away.
 */
#define CALM_STEPS 3
#define CALM_ASK_STEPS 8
#define IDLE_STEPS 32
/* What is known of how much rarer page faults are while the hook is on fades so fast, and is never believed to be more. */
#define RARER_FADES 0.8
#define RARER_MAX 2
/* In a crowd the hook has longer turns, for each takes us some time; so long at most. */
#define MOST_STRETCH 4
/* How closely page faults were looked at fades so fast: turns of the hook may be longer than a step. */
#define LOOKS_FADE 0.7
/* A process that was in the nursery begins with so much of what may be saved up. */
#define GROWN_UP_SAVED_NS (GOVERNOR_SAVED_NS / 4)
/* Of the budget of those in a nursery, what their page faults may have. */
#define NURSERY_SHARE 0.5
/* A program that has lived for so long gets its probes without an advance: what those cost at its begin and end is little by then. */
#define WAIT_NS 1000000000ull
/* So many that start in one container within a step are looked at in steps between, each by itself; of more their nursery takes care. */
#define FEW_STARTS 2

/* From one budget__step to the next. */
#define STEP_NS 1000000000ull
#define MOST_AHEAD 8

#define WAITING_NOTE "no probes: programs start so often here that the budget allows none to be attached in their first second"

/* Processes of one container that have not been looked at yet. */
struct nursery {
	struct governor governor;
	struct governor_use use; /* of those that are not there any more */
	struct hook_asked hook_asked;
	double hook_was_on;
	struct advance advance; /* of all that start, also once they are not in it any more */
	uint32_t cnt; /* how many came in since the last step */
	uint32_t child_shift; /* what a newborn begins with */
	uint64_t child_limit_ns;
};

struct budget {
	const struct tracker_deps *deps;
	struct traced_table *table;
	double share;
	struct nursery *nurseries; /* by container; one more for those without */
	uint32_t n_nurseries;
	uint32_t steps;
	struct hook_turns turns; /* of the hook on page faults */
	struct gc_turns gc;
	uint64_t stepped_ns; /* by budget__step */
	uint64_t early_ns; /* the next step between; UINT64_MAX: none */
	bool on, ended;
	double chance; /* that the hook is on with */
	struct profile_cost sums;
	uint64_t exact_ns; /* what the exact signal had cost at the last step */
};

int budget__new(const struct tracker_deps *deps, struct traced_table *table, double share, struct budget **ret)
{
	struct budget *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->deps = deps;
	b->table = table;
	b->share = share;
	b->on = true;
	b->chance = 1;
	b->early_ns = UINT64_MAX;
	gc_turns__begin(&b->gc, deps, table);
	hook_turns__begin(&b->turns, clock_now_ns());
	b->turns.weighs = true;
	*ret = b;
	return 0;
}

void budget__free(struct budget *b)
{
	if (!b)
		return;
	free(b->nurseries);
	free(b);
}

/* ---- what a process begins with ---- */

static double hook_ns(const struct budget *b)
{
	return session__hook_ns(b->deps->session);
}

/* NULL: no memory. */
static struct nursery *nursery_of(struct budget *b, const struct traced *tr)
{
	uint32_t container = profile__process(b->deps->profile, tr->process)->container;
	uint32_t i = container == PROFILE_NONE ? 0 : container + 1;
	struct nursery *more, *n;

	for (; b->n_nurseries <= i; b->n_nurseries++) {
		if (!(b->n_nurseries & (b->n_nurseries - 1))) {
			more = reallocarray(b->nurseries, b->n_nurseries ? 2 * b->n_nurseries : 1, sizeof(*more));
			if (!more)
				return NULL;
			b->nurseries = more;
		}
		n = &b->nurseries[b->n_nurseries];
		memset(n, 0, sizeof(*n));
		governor__begin(&n->governor, NURSERY_SHARE * b->share, hook_ns(b), GOVERNOR_SAVED_NS, NULL);
		advance__begin(&n->advance, b->share);
		n->governor.hook_free_ns = GOVERNOR_HOOK_FREE_NS;
		n->child_limit_ns = b->share ? GOVERNOR_SAVED_NS / 8 : UINT64_MAX;
	}
	return &b->nurseries[i];
}

static uint64_t next_early_ns(const struct budget *b, uint64_t now_ns)
{
	return b->share ? early_steps__next_ns(b->table, b->stepped_ns, now_ns) : UINT64_MAX;
}

void budget__begin(struct budget *b, struct traced *tr, bool newborn)
{
	struct nursery *n = nursery_of(b, tr);
	uint64_t early_ns;

	tr->use = (struct governor_use){ .cpu_ns = tr->cpu_ns };
	governor__begin(&tr->governor, b->share, hook_ns(b), GOVERNOR_SAVED_NS, &tr->use);
	tr->newborn = newborn && n;
	tr->began_ns = tr->stepped_ns = clock_now_ns();
	hook_turns__was_on(&b->turns, &tr->hook_asked, tr->began_ns);
	tr->began_cpu_ns = tr->cpu_ns;
	tr->waits = tr->shares_advance = tr->newborn && b->share;
	tr->advance_ns = tr->waits ? 0 : ADVANCE_NS;
	if (tr->newborn) {
		tr->one_of_few = ++n->cnt <= FEW_STARTS;
		tr->governor.shift = n->child_shift;
		tr->governor.gc_share = n->governor.gc_share;
		governor__set_limit(&tr->governor, n->child_limit_ns);
		if (b->share)
			governor__set_gc_limit(&tr->governor, GOVERNOR_SAVED_NS / 8);
	}
	move_pace__begin(&tr->move_pace, tr->governor.moves_ns);
	gc_turns__add(&b->gc, tr);
	if (!b->steps)
		b->stepped_ns = tr->began_ns;
	early_ns = next_early_ns(b, tr->began_ns);
	if (early_ns < b->early_ns)
		b->early_ns = early_ns;
	/* The next step allows more, before a program that is cheap has spent it. */
	if (b->early_ns != UINT64_MAX && !tr->newborn)
		governor__set_limit(&tr->governor, tr->governor.saved_ns / 2);
	if (!tr->newborn)
		tr->governor.hook_free_ns = GOVERNOR_HOOK_FREE_NS;
	if (!n)
		return;
	tr->budget = (struct govern_args){
		.tgid = tr->tgid,
		.fault_shift = tr->governor.shift,
		.fault_limit_ns = tr->governor.limit_ns,
		.fault_step_ns = tr->governor.step_ns,
		.child_shift = n->child_shift,
		.child_limit_ns = n->child_limit_ns,
		.newborn = tr->newborn,
		.gc_wake_cnt = gc_turns__wake_cnt(&b->gc, tr),
		.move_limit_cnt = tr->move_pace.limit_cnt,
		.move_step_cnt = tr->move_pace.step_cnt,
	};
}

void budget__go_on(struct traced *tr, uint64_t cpu_ns, uint64_t faults)
{
	tr->cpu_ns = tr->use.cpu_ns = tr->governor.last.cpu_ns = tr->began_cpu_ns = cpu_ns;
	tr->faults = faults;
}

/* ---- what it has in advance ---- */

static void let_wait(struct budget *b, struct traced *tr)
{
	if (tr->gc.away)
		return;
	/* Nobody watches its collections meanwhile. */
	gc_turns__tell(tr);
	tr->gc.away = true;
	traced__note(tr, b->deps->profile, WAITING_NOTE);
}

bool budget__may_attach(struct budget *b, struct traced *tr)
{
	struct nursery *n = tr->waits ? nursery_of(b, tr) : NULL;

	if (!n)
		return true;
	tr->advance_ns = advance__take(&n->advance);
	if (!tr->advance_ns && clock_now_ns() - tr->began_ns < WAIT_NS) {
		let_wait(b, tr);
		return false;
	}
	tr->waits = false;
	if (tr->gc.away) {
		gc_turns__tell(tr);
		tr->gc.away = false;
		tr->gc.from_ns = tr->gc.since_ns;
		traced__note(tr, b->deps->profile, "");
	}
	return true;
}

void budget__settle(struct budget *b, struct traced *tr)
{
	struct nursery *n = tr->shares_advance ? nursery_of(b, tr) : NULL;

	tr->shares_advance = false;
	if (n)
		advance__settle(&n->advance, tr->advance_ns, tr->use.cpu_ns - tr->began_cpu_ns,
				governor__cost_ns(&tr->use));
}

/* ---- what it does ---- */

static uint64_t cost_of(const struct traced *tr, enum cost_part part, const struct cost *cost)
{
	return cost[part].ns + cost[part].cnt * tr->trap_ns[part];
}

/* Takes in the sums of a process as they are now; what they gained goes to the profile. */
static void use_until_now(struct budget *b, struct traced *tr, const struct cost *cost, uint64_t skipped, uint64_t faults,
			  uint64_t cpu_ns)
{
	struct governor_use before = tr->use;
	struct profile_cost gained;

	if (cpu_ns > tr->cpu_ns)
		tr->cpu_ns = cpu_ns;
	tr->use.cpu_ns = tr->cpu_ns;
	/* Less than before: the kernel side had no memory for the state, and has begun anew. */
	if (cost[COST_FAULT].cnt >= before.fault_cnt) {
		tr->use.fault_ns = cost[COST_FAULT].ns;
		tr->use.fault_cnt = cost[COST_FAULT].cnt;
		tr->use.skipped_cnt += (uint32_t)(skipped - tr->use.skipped_cnt);
		tr->use.hook_ns += tr->governor.hook_ns * (tr->use.fault_cnt - before.fault_cnt + tr->use.skipped_cnt - before.skipped_cnt);
		tr->use.gc_ns = cost_of(tr, COST_GC, cost);
		tr->gc.hit_cnt = cost[COST_GC].cnt;
		tr->moves_ns = cost_of(tr, COST_MOVE, cost);
		tr->mappings_ns = cost_of(tr, COST_MAP, cost);
		tr->mapping_hits = cost[COST_MAP].cnt;
		tr->use.other_ns = cost_of(tr, COST_CODE, cost) + cost_of(tr, COST_LIFE, cost) + tr->moves_ns + tr->mappings_ns +
				   tr->gc.switching_ns;
		tr->use.heap_ns = cost_of(tr, COST_HEAP, cost) + tr->windows_ns + tr->large_ns;
	}
	gained.cpu_ns = tr->use.cpu_ns - before.cpu_ns;
	gained.cost_ns = governor__cost_ns(&tr->use) - governor__cost_ns(&before);
	gained.faults_seen = tr->use.fault_cnt - before.fault_cnt;
	gained.faults = faults > tr->faults ? faults - tr->faults : 0;
	tr->faults = faults;
	tr->faults_of_late = LOOKS_FADE * tr->faults_of_late + gained.faults;
	tr->looks_of_late = LOOKS_FADE * tr->looks_of_late + gained.faults_seen;
	profile__add_cost(b->deps->profile, tr->process, &gained);
	b->sums.cpu_ns += gained.cpu_ns;
	b->sums.cost_ns += gained.cost_ns;
	b->sums.faults += gained.faults;
	b->sums.faults_seen += gained.faults_seen;
}

/* But for heap windows and large blocks: these have what page faults do not. */
static void add_use(struct governor_use *to, const struct governor_use *use, const struct governor_use *since)
{
	to->cpu_ns += use->cpu_ns - since->cpu_ns;
	to->fault_ns += use->fault_ns - since->fault_ns;
	to->fault_cnt += use->fault_cnt - since->fault_cnt;
	to->skipped_cnt += use->skipped_cnt - since->skipped_cnt;
	to->hook_ns += use->hook_ns - since->hook_ns;
	to->gc_ns += use->gc_ns - since->gc_ns;
	to->gc_on_ns += use->gc_on_ns - since->gc_on_ns;
	to->gc_all_ns += use->gc_all_ns - since->gc_all_ns;
	to->other_ns += use->other_ns - since->other_ns;
}

/* So many passed over that were timed tell what the hook costs a process. */
#define TELLING_PASSED 32

/* What the hook costs this process: the kernel side times it now and then, and more so where it is cold. */
static void learn_hook(struct budget *b, struct traced *tr, const struct target_state *state)
{
	uint64_t cnt = state->passed_cnt - tr->passed_cnt, way_ns = session__hook_way_ns(b->deps->session);
	bool anew = state->passed_cnt < tr->passed_cnt || state->passed_ns < tr->passed_ns;

	if (!way_ns || (!anew && cnt < TELLING_PASSED))
		return;
	/* By half: one that was interrupted weighs much among so few, and the hook is for all as seldom on as for the dearest. */
	if (!anew)
		tr->governor.hook_ns = (tr->governor.hook_ns + way_ns + (double)(state->passed_ns - tr->passed_ns) / cnt) / 2;
	tr->passed_ns = state->passed_ns;
	tr->passed_cnt = state->passed_cnt;
}

static void leave_nursery(struct budget *b, struct traced *tr)
{
	struct nursery *n = nursery_of(b, tr);

	tr->newborn = false;
	if (n)
		add_use(&n->use, &tr->use, &tr->governor.last);
}

void budget__ended(struct budget *b, struct traced *tr, const struct rec_proc *rec)
{
	gc_turns__tell(tr);
	use_until_now(b, tr, rec->cost, rec->skipped, rec->faults, rec->cpu_ns);
	if (tr->newborn)
		leave_nursery(b, tr);
}

/*
 * The exact signal is not governed. What it cost is told by process, too: by how many events were whose. The trap of each event is
 * taken as the cheap one, that most have: which of the many places it came from is not told. Not in it: the traps where the raw
 * domain serves another one (a large block's, two).
 */
void budget__share_out_exact(struct budget *b)
{
	uint64_t now_ns = session__exact_ns(b->deps->session), ns = now_ns - b->exact_ns, all = 0;
	struct traced *tr;

	for (tr = b->table->by_id; tr; tr = tr->hh.next)
		all += tr->exact_cnt;
	if (!all)
		return;
	b->exact_ns = now_ns;
	for (tr = b->table->by_id; tr; tr = tr->hh.next) {
		const struct profile_cost cost = {
			.cost_ns = (double)ns * tr->exact_cnt / all + tr->exact_cnt * session__probe_costs(b->deps->session)->emulated_ns,
		};

		if (tr->exact_cnt)
			profile__add_cost(b->deps->profile, tr->process, &cost);
		b->sums.cost_ns += cost.cost_ns;
		tr->exact_cnt = 0;
	}
}

/*
 * While the hook is on it slows down who faults all the time, so there are fewer faults then than in as much time without it.
 * The kernel counts page faults always.
 */
static void learn_how_rare(struct traced *tr, const struct target_state *state, uint64_t faults)
{
	uint64_t hits = state->cost[COST_FAULT].cnt + (uint32_t)(state->skipped - tr->use.skipped_cnt) - tr->use.fault_cnt;

	if (tr->hook_was_on >= 1 || tr->hook_was_on < GOVERNOR_HOOK_TELLING ||
	    state->cost[COST_FAULT].cnt < tr->use.fault_cnt || faults < tr->faults)
		return;
	tr->faults_lately = RARER_FADES * tr->faults_lately + (faults - tr->faults);
	tr->faults_told = RARER_FADES * tr->faults_told + hits / tr->hook_was_on;
}

static uint32_t rarer(const struct traced *tr)
{
	double times = tr->faults_told > 0 ? tr->faults_lately / tr->faults_told : 1;

	return WEIGHT_ONE * (times < 1 ? 1 : times > RARER_MAX ? RARER_MAX : times);
}

/* Whether it may have done something. */
static bool is_to_be_asked(const struct budget *b, struct traced *tr)
{
	bool heard = tr->heard;

	tr->heard = false;
	return heard || tr->newborn || tr->calm_steps < CALM_STEPS || (b->steps + tr->tgid) % CALM_ASK_STEPS == 0;
}

/* False: it did nothing since it was looked at last. */
static bool look_at(struct budget *b, struct traced *tr, bool early)
{
	uint64_t cpu_ns, page_bytes = sysconf(_SC_PAGESIZE);
	struct target_state state;
	struct proc_stat stat;
	struct profile_process p;

	if (!is_to_be_asked(b, tr))
		return false;
	if (proc__cpu_ns(b->deps->proc, tr->tgid, &cpu_ns)) {
		tr->gone_steps += !early;
		return false;
	}
	tr->gone_steps = 0;
	if (cpu_ns != tr->cpu_ns)
		tr->calm_steps = 0;
	else if (!early && tr->calm_steps < CALM_STEPS)
		tr->calm_steps++;
	if (cpu_ns == tr->cpu_ns && (b->steps + tr->tgid) % IDLE_STEPS && !tr->newborn)
		return false;
	if (proc__stat(b->deps->proc, tr->tgid, &stat))
		return false;
	p = *profile__process(b->deps->profile, tr->process);
	tr->stirred |= cpu_ns != tr->cpu_ns || p.rss_bytes != stat.rss_pages * page_bytes;
	p.rss_bytes = stat.rss_pages * page_bytes;
	profile__update_process(b->deps->profile, tr->process, &p);
	if (session__read_state(b->deps->session, tr->tgid, &state))
		return false;
	tr->hook_was_on = hook_turns__was_on(&b->turns, &tr->hook_asked, clock_now_ns());
	learn_how_rare(tr, &state, stat.faults);
	learn_hook(b, tr, &state);
	gc_turns__tell(tr);
	use_until_now(b, tr, state.cost, state.skipped, stat.faults, cpu_ns);
	tr->kernel_shift = state.fault_shift;
	tr->moved = (struct moved){ .cnt = state.moved_cnt, .ns = state.cost[COST_MOVE].ns, .shift = state.move_shift };
	traced__note_thinned(tr, &state);
	tr->thinned |= b->chance < 1;
	return true;
}

/* ---- what it may do ---- */

static double least(double a, double b)
{
	return a < b ? a : b;
}

static void govern(struct budget *b, struct traced *tr)
{
	const struct nursery *n = nursery_of(b, tr);
	struct govern_args args = {
		.tgid = tr->tgid,
		.fault_shift = tr->governor.shift,
		.fault_limit_ns = tr->governor.limit_ns,
		.fault_step_ns = tr->governor.step_ns,
		.rarer = rarer(tr),
		.newborn = tr->newborn,
		.gc_wake_cnt = gc_turns__wake_cnt(&b->gc, tr),
		.move_limit_cnt = tr->move_pace.limit_cnt,
		.move_shift = tr->move_pace.shift,
		.move_step_cnt = tr->move_pace.step_cnt,
	};

	if (n) {
		args.child_shift = n->child_shift;
		args.child_limit_ns = n->child_limit_ns;
	}
	if (!memcmp(&args, &tr->budget, sizeof(args)) && !tr->has_forked)
		return;
	if (session__govern(b->deps->session, &args) == -ENOTSUP)
		log_debug("this kernel (before 5.14) lets nobody set a budget");
	tr->budget = args;
	tr->has_forked = false;
}

/* Of what it was advanced and has earned, for page faults. */
static uint64_t left_when_grown_up(const struct budget *b, const struct traced *tr)
{
	double left_ns = (tr->shares_advance ? tr->advance_ns : 0) + b->share * (double)(tr->use.cpu_ns - tr->began_cpu_ns) -
			 (double)governor__cost_ns(&tr->use);

	return left_ns < 0 ? 0 : least(left_ns, GROWN_UP_SAVED_NS);
}

/* What happened until now is no guide to a step that is much longer. */
static void look_ahead(const struct budget *b, struct traced *tr, uint64_t now_ns)
{
	uint64_t next_ns = b->early_ns != UINT64_MAX ? b->early_ns : b->stepped_ns + STEP_NS;
	double ahead = next_ns > now_ns ? (double)(next_ns - now_ns) / (now_ns - tr->stepped_ns + 1) : 1;

	tr->governor.ahead = ahead < 1 ? 1 : least(ahead, MOST_AHEAD);
	tr->stepped_ns = now_ns;
}

static void step_process(struct budget *b, struct traced *tr)
{
	if (!tr->newborn) {
		governor__step(&tr->governor, &tr->use, tr->kernel_shift, tr->hook_was_on, b->turns.share);
		move_pace__step(&tr->move_pace, &tr->moved, tr->governor.moves_ns);
		return;
	}
	/* One of few left before it has earned what it cost at first, which its own account has. */
	if (tr->one_of_few)
		tr->newborn = false;
	else
		leave_nursery(b, tr);
	tr->stepped_ns = clock_now_ns();
	governor__begin(&tr->governor, b->share, tr->governor.hook_ns, left_when_grown_up(b, tr), &tr->use);
	tr->governor.shift = tr->kernel_shift;
	tr->governor.gc_share = tr->gc.turns.share;
	tr->governor.hook_free_ns = tr->shares_advance ? GOVERNOR_HOOK_FREE_NS * traced__advance(tr) : 0;
}

static void step_nursery(struct budget *b, struct nursery *n)
{
	uint64_t more_ns;

	governor__step(&n->governor, &n->use, n->child_shift, n->hook_was_on, b->turns.share);
	n->child_shift = n->governor.shift;
	more_ns = (n->governor.limit_ns - n->use.fault_ns) / (n->cnt > 8 ? n->cnt : 8);
	n->child_limit_ns = more_ns > MIN_FAULT_LIMIT_NS ? more_ns : MIN_FAULT_LIMIT_NS;
	n->cnt = 0;
}

/* Who is not looked at in a step between wants what it wanted. */
static double choose_hook_share(struct budget *b, bool early, uint64_t now_ns)
{
	struct traced *tr;
	double share = 1;
	uint32_t i;

	for (tr = b->table->alive; tr; tr = tr->hh_tgid.next) {
		if (!tr->busy || tr->newborn)
			continue;
		if (!early || tr->early) {
			look_ahead(b, tr, now_ns);
			governor__hook_share(&tr->governor, &tr->use, tr->hook_was_on);
		}
		share = least(share, tr->governor.hook_share);
	}
	for (i = 0; i < b->n_nurseries; i++) {
		struct nursery *n = &b->nurseries[i];

		if (!early) {
			n->hook_was_on = hook_turns__was_on(&b->turns, &n->hook_asked, now_ns);
			governor__hook_share(&n->governor, &n->use, n->hook_was_on);
		}
		share = least(share, n->governor.hook_share);
	}
	return share;
}

/* What newborn processes did is known a step later: then steps must be alike. Between steps turns are as short as those. */
static double stretch(const struct budget *b, uint64_t now_ns)
{
	uint32_t i;

	if (b->early_ns != UINT64_MAX)
		return least((double)(b->early_ns - now_ns) / HOOK_TURN_NS, 1);
	for (i = 0; i < b->n_nurseries; i++) {
		if (b->nurseries[i].cnt)
			return 1;
	}
	return least(traced_table__crowd(b->table), MOST_STRETCH);
}

static void set_turns(struct budget *b, bool early, uint64_t now_ns)
{
	b->early_ns = next_early_ns(b, now_ns);
	b->turns.stretch = stretch(b, now_ns);
	hook_turns__set_share(&b->turns, choose_hook_share(b, early, now_ns));
}

void budget__step(struct budget *b)
{
	struct traced *tr;
	uint32_t i;

	b->steps++;
	b->stepped_ns = clock_now_ns();
	session__begin_period(b->deps->session);
	b->table->n_running = 0;
	for (tr = b->table->alive; tr; tr = tr->hh_tgid.next) {
		tr->busy = look_at(b, tr, false);
		b->table->n_running += tr->python && tr->busy && !tr->calm_steps;
	}
	budget__share_out_exact(b);
	if (!b->share)
		return;
	set_turns(b, false, b->stepped_ns);
	for (i = 0; i < b->n_nurseries; i++)
		step_nursery(b, &b->nurseries[i]);
	for (tr = b->table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->busy)
			step_process(b, tr);
		govern(b, tr);
	}
	gc_turns__step(&b->gc, false);
}

/* Of those that are young. */
static void step_between(struct budget *b)
{
	uint64_t now_ns = clock_now_ns();
	struct traced *tr;

	if (now_ns < b->early_ns || b->ended)
		return;
	for (tr = b->table->alive; tr; tr = tr->hh_tgid.next) {
		/* Asked once: by what is known after the look it may be none any more. */
		tr->early = early_steps__is_young(tr, now_ns);
		if (tr->early)
			tr->busy = look_at(b, tr, true);
	}
	set_turns(b, true, now_ns);
	for (tr = b->table->alive; tr; tr = tr->hh_tgid.next) {
		if (!tr->busy || !tr->early)
			continue;
		step_process(b, tr);
		govern(b, tr);
	}
	gc_turns__step(&b->gc, true);
}

/* ---- the hook ---- */

bool budget__end(struct budget *b)
{
	session__pause_faults(b->deps->session);
	b->ended = true;
	return b->on;
}

bool budget__upkeep(struct budget *b)
{
	double chance;
	bool on;

	step_between(b);
	on = hook_turns__update(&b->turns, clock_now_ns());
	chance = hook_turns__chance(&b->turns);
	gc_turns__upkeep(&b->gc);
	if (b->ended || (on == b->on && (!on || chance == b->chance)))
		return false;
	if (!on)
		session__pause_faults(b->deps->session);
	else if (session__watch_faults(b->deps->session, chance))
		log_warn("the hook on page faults could not be put back");
	b->on = on;
	b->chance = chance;
	return !on;
}

uint64_t budget__next_ns(const struct budget *b)
{
	uint64_t hook_ns = hook_turns__next_ns(&b->turns), gc_ns = gc_turns__next_ns(&b->gc);
	uint64_t turn_ns = hook_ns < gc_ns ? hook_ns : gc_ns;

	return b->early_ns < turn_ns ? b->early_ns : turn_ns;
}

bool budget__collected(struct budget *b, struct traced *tr, uint64_t begin_ns, uint64_t end_ns)
{
	return gc_turns__collected(&b->gc, tr, begin_ns, end_ns);
}

struct gc_activity budget__gc_activity(const struct budget *b)
{
	return b->gc.activity;
}

struct profile_cost budget__sums(const struct budget *b)
{
	return b->sums;
}

double budget__hook_share(const struct budget *b)
{
	return hook_turns__was_on_in_all(&b->turns);
}
