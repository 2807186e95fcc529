/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * record: traces a target and writes a recording. The loop: records as they come, counts once a second, then one
 * transaction to the file. What ends it: ^C, --duration, the end of the command or of all that was traced.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "capture/command.h"
#include "capture/event.h"
#include "capture/tracker.h"
#include "cmd.h"
#include "model/recording.h"
#include "record_opts.h"
#include "views/facts.h"
#include "views/human.h"
#include "views/report.h"

#define SECOND_NS 1000000000ull
/* How long a poll may sleep. */
#define POLL_MS 100

struct record {
	struct record_opts opts;
	/* what it works with */
	struct tracker_deps deps;
	struct scope scope;
	struct session *session;
	struct tracker *tracker;
	struct recording *recording;
	struct command *child;
	/* how it goes */
	uint64_t attach_ns; /* nothing is seen before it */
	uint64_t begin_ns, last_ns, last_events;
	struct profile_cost cost; /* at the last settling */
	bool output_failed;
};

/* ---- the target ---- */

static int resolve_container(struct record *r)
{
	int err = container_names__find(r->deps.names, r->deps.cgroups, r->opts.container, r->scope.cgroup_path,
					sizeof(r->scope.cgroup_path));

	if (err == -EEXIST)
		return cmd_fail("more than one container's id begins with '%s'; give more digits", r->opts.container);
	if (err)
		return cmd_fail("there is no running container '%s'; 'docker ps', 'podman ps' or 'runc list' show names",
				r->opts.container);
	return 0;
}

static int resolve_cgroup(struct record *r)
{
	uint64_t id;
	const char *path = r->opts.cgroup;
	size_t len;

	if (!strncmp(path, "/sys/fs/cgroup/memory/", 22))
		path += 21;
	else if (!strncmp(path, "/sys/fs/cgroup/", 15))
		path += 14;
	if (snprintf(r->scope.cgroup_path, sizeof(r->scope.cgroup_path), "%s%s", path[0] == '/' ? "" : "/", path) >=
		    (int)sizeof(r->scope.cgroup_path) ||
	    !*r->opts.cgroup || cgroups__id_of_path(r->deps.cgroups, r->scope.cgroup_path, &id))
		return cmd_fail("there is no memory cgroup '%s'; give its path below the cgroup mount, as "
				"/proc/PID/cgroup shows it", r->opts.cgroup);
	for (len = strlen(r->scope.cgroup_path); len > 1 && r->scope.cgroup_path[len - 1] == '/'; len--)
		r->scope.cgroup_path[len - 1] = '\0';
	return 0;
}

static int resolve_target(struct record *r)
{
	struct proc_stat stat;

	r->scope.kind = r->opts.container || r->opts.cgroup ? SCOPE_CGROUP :
			r->opts.tgid || r->opts.command	    ? SCOPE_TREE :
							      SCOPE_ALL;
	if (r->opts.container)
		return resolve_container(r);
	if (r->opts.cgroup)
		return resolve_cgroup(r);
	r->scope.tgid = r->opts.tgid;
	if (r->opts.tgid && (proc__stat(r->deps.proc, r->opts.tgid, &stat) || stat.state == 'Z'))
		return cmd_fail("there is no process %d", (int)r->opts.tgid);
	return 0;
}

/* ---- setting up ---- */

static int open_host(struct record *r)
{
	int err;

	err = cgroups__new(NULL, &r->deps.cgroups);
	if (err)
		return cmd_fail("no cgroup file system is mounted on this host (%s)", strerror(-err));
	err = container_names__new(NULL, &r->deps.names);
	err = err ? err : proc__open(NULL, &r->deps.proc);
	err = err ? err : profile__new(&r->deps.limits.profile, &r->deps.profile);
	return err ? cmd_fail("cannot begin: %s", strerror(-err)) : 0;
}

static int fail_session(int err, const struct record *r)
{
	switch (err) {
	case -EPERM:
	case -EACCES:
		return cmd_fail("the kernel refuses to load the programs (%s); run as root, and see 'pymemscope doctor'",
				strerror(-err));
	case -ENOTSUP:
		return cmd_fail("this kernel has no %s hook on page faults; leave --fault-hook out to get the best it has",
				fault_hook__name(r->opts.fault_hook));
	default:
		return cmd_fail("the programs cannot be loaded or attached: %s; 'pymemscope doctor' tells what is missing",
				strerror(-err));
	}
}

static int fail_tracker(int err, const struct record *r)
{
	switch (err) {
	case -ESRCH:
		return cmd_fail("process %d has ended", (int)r->opts.tgid);
	case -ENOENT:
		return cmd_fail("process %d is not Python: no CPython interpreter is mapped in it", (int)r->opts.tgid);
	case -ENOTSUP:
		return cmd_fail("process %d cannot be traced: %s", (int)r->opts.tgid, tracker__why(r->tracker));
	default:
		return cmd_fail("cannot trace: %s", strerror(-err));
	}
}

/* PYMEMSCOPE_LINKS: "single", as kernels before 6.6 need it, or "many", before 6.13; for tests. */
static enum probe_links max_links(void)
{
	const char *links = getenv("PYMEMSCOPE_LINKS");

	if (!links)
		return PROBE_LINKS_SESSION;
	return strcmp(links, "single") ? PROBE_LINKS_MANY : PROBE_LINKS_SINGLE;
}

/* PYMEMSCOPE_READ: "calls"; for tests. */
static bool reads_by_calls(void)
{
	const char *how = getenv("PYMEMSCOPE_READ");

	return how && !strcmp(how, "calls");
}

/* Asked for both, the exact signal says who holds the heap: its probes are where the heap signal's windows would put theirs. */
static uint32_t signals_traced(const struct record *r)
{
	bool heap = r->opts.signals & 1u << SIGNAL_HEAP, exact = r->opts.signals & 1u << SIGNAL_EXACT;

	return heap && exact ? r->opts.signals & ~(1u << SIGNAL_HEAP) : r->opts.signals;
}

static int start_tracing(struct record *r)
{
	struct session_opts opts = {
		.signals = signals_traced(r),
		.fault_hook = r->opts.fault_hook,
		.cgroup_v1 = cgroups__is_v1(r->deps.cgroups),
		.every_process = r->scope.kind == SCOPE_ALL,
		.max_links = max_links(),
		.reads_by_calls = reads_by_calls(),
		.proc = r->deps.proc,
	};
	struct session_handlers handlers;
	int err;

	err = tracker__new(&r->scope, opts.signals, r->opts.budget, &r->deps, &r->tracker);
	if (err)
		return fail_tracker(err, r);
	opts.tell_every_exec = tracker__wants_every_exec(r->tracker);
	handlers = tracker__handlers(r->tracker);
	r->attach_ns = clock_now_ns();
	err = session__new(&opts, &handlers, &r->session);
	err = err ? err : session__start(r->session);
	if (err)
		return fail_session(err, r);
	err = tracker__start(r->tracker, r->session);
	return err ? fail_tracker(err, r) : 0;
}

/* Before anything is written: a mistyped command must not cost an earlier recording. */
static int find_command(const struct record *r)
{
	int err = r->opts.command ? command__find(r->opts.command[0]) : 0;

	return err ? cmd_fail("cannot run %s: %s", r->opts.command[0], strerror(-err)) : 0;
}

static int open_output(struct record *r)
{
	int err = recording__create(r->opts.output, &r->recording);

	return err ? cmd_fail("cannot write %s: %s", r->opts.output, recording__strerror(err)) : 0;
}

static int start_command(struct record *r)
{
	int err;

	if (!r->opts.command)
		return 0;
	err = command__prepare(r->opts.command, &r->child);
	if (err)
		return cmd_fail("cannot start %s: %s", r->opts.command[0], strerror(-err));
	err = tracker__add_command(r->tracker, command__pid(r->child));
	err = err ? err : command__go(r->child);
	return err ? cmd_fail("cannot run %s: %s", r->opts.command[0], strerror(-err)) : 0;
}

static void describe(struct record *r)
{
	char signals[64] = "", started[64], budget[32];
	time_t now = time(NULL);
	struct utsname u;

	snprintf(signals, sizeof(signals), "%s%s%s%s", r->opts.signals & 1u << SIGNAL_RESIDENT ? " resident" : "",
		 r->opts.signals & 1u << SIGNAL_HEAP ? " heap" : "",
		 r->opts.signals & 1u << SIGNAL_EXACT ? " exact" : "", r->opts.signals & 1u << SIGNAL_GC ? " gc" : "");
	uname(&u);
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	profile__set_meta(r->deps.profile, "signals", signals + 1);
	snprintf(budget, sizeof(budget), "%g", r->opts.budget);
	profile__set_meta(r->deps.profile, "budget", budget);
	profile__set_meta(r->deps.profile, "host", u.nodename);
	profile__set_meta(r->deps.profile, "kernel", u.release);
	profile__set_meta(r->deps.profile, "started", started);
	profile__set_meta(r->deps.profile, "cgroups", cgroups__mode(r->deps.cgroups));
	if (r->opts.signals & 1u << SIGNAL_RESIDENT)
		profile__set_meta(r->deps.profile, "fault_hook", fault_hook__name(session__fault_hook(r->session)));
	fprintf(stderr, "pymemscope: recording to %s: signals%s", r->opts.output, signals);
	if (r->opts.signals & 1u << SIGNAL_RESIDENT)
		fprintf(stderr, ", page faults by %s", fault_hook__name(session__fault_hook(r->session)));
	fprintf(stderr, ", %u Python process%s; ^C ends it\n", tracker__n_python(r->tracker),
		tracker__n_python(r->tracker) == 1 ? "" : "es");
}

/* ---- going ---- */

static uint64_t dropped(const struct session *s)
{
	uint64_t n = session__bad_records(s);
	unsigned int i;

	for (i = 0; i < CTR_MAX; i++) {
		if (!strncmp(counter__name(i), "dropped.", 8))
			n += session__counter(s, i);
	}
	return n;
}

static void save_large_blocks(struct record *r)
{
	struct large_blocks_sums sums = tracker__large_blocks(r->tracker);

	if (!(r->opts.signals & 1u << SIGNAL_HEAP))
		return;
	profile__set_counter(r->deps.profile, "large.hits", sums.hits);
	profile__set_counter(r->deps.profile, "large.blocks", sums.blocks);
	profile__set_counter(r->deps.profile, "large.followed_ns", sums.followed_ns);
	profile__set_counter(r->deps.profile, "large.all_ns", sums.all_ns);
}

static void save_heap_counters(struct record *r)
{
	struct heap_activity t;

	tracker__heap_activity(r->tracker, &t);
	if (!t.watched)
		return;
	profile__set_counter(r->deps.profile, "heap.windows", t.windows);
	profile__set_counter(r->deps.profile, "heap.allocations_seen", t.allocations);
	profile__set_counter(r->deps.profile, "heap.failed", t.failed);
	profile__set_counter(r->deps.profile, "cost.heap_windows_ns", t.spent_ns);
	profile__set_counter(r->deps.profile, "cost.heap_reading_ns", t.reading_ns);
	profile__set_counter(r->deps.profile, "cost.heap_opening_ns", t.opening_ns);
}

static void save_counters(struct record *r)
{
	const struct tracker_losses lost = tracker__losses(r->tracker);
	const struct gc_activity gc = tracker__gc_activity(r->tracker);
	char text[32];
	unsigned int i;

	for (i = 0; i < CTR_MAX; i++)
		profile__set_counter(r->deps.profile, counter__name(i), session__counter(r->session, i));
	profile__set_counter(r->deps.profile, "dropped.programs_ended_at_once", lost.missed);
	profile__set_counter(r->deps.profile, "dropped.forked_processes_not_attached", lost.unattached);
	profile__set_counter(r->deps.profile, "dropped.counts_of_unknown_processes", lost.unknown);
	profile__set_counter(r->deps.profile, "dropped.mappings_not_followed", lost.mappings);
	profile__set_counter(r->deps.profile, "merged.processes", lost.shared_items);
	profile__set_counter(r->deps.profile, "merged.names_forgotten", lost.forgotten);
	profile__set_counter(r->deps.profile, "dropped.bad_records", session__bad_records(r->session));
	profile__set_counter(r->deps.profile, "gc.probes_switched", gc.switches);
	profile__set_counter(r->deps.profile, "cost.gc_switching_ns", gc.switching_ns);
	save_heap_counters(r);
	save_large_blocks(r);
	profile__set_counter(r->deps.profile, "cost.all_ns", r->cost.cost_ns);
	profile__set_counter(r->deps.profile, "cost.target_cpu_ns", r->cost.cpu_ns);
	profile__set_counter(r->deps.profile, "cost.hook_ns_a_fault", session__hook_ns(r->session));
	snprintf(text, sizeof(text), "%.4f", tracker__hook_share(r->tracker));
	profile__set_meta(r->deps.profile, "fault_hook_on", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(clock_now_ns() - r->begin_ns));
	profile__set_meta(r->deps.profile, "duration_ns", text);
}

static void show_progress(struct record *r, uint64_t now)
{
	uint64_t events = session__counter(r->session, CTR_EVENTS);
	double seconds = (double)(now - r->last_ns) / SECOND_NS;
	char cost[32];

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%5.0f s  %.0f events/s  %llu dropped  tracing takes %s of the targets' CPU",
			(double)(now - r->begin_ns) / SECOND_NS, (events - r->last_events) / (seconds > 0 ? seconds : 1),
			(unsigned long long)dropped(r->session), facts__cost_share(&r->cost, cost, sizeof(cost)));
	r->last_events = events;
}

static void write_down(struct record *r, uint64_t time_ns)
{
	int err;

	profile__tick(r->deps.profile);
	if (r->output_failed)
		return;
	err = recording__flush(r->recording, r->deps.profile, time_ns);
	if (err) {
		r->output_failed = true;
		log_error("cannot write %s any more: %s; what was written before is kept", r->opts.output,
			  recording__strerror(err));
	}
}

/* Everything of the last second goes to the file. */
static void settle(struct record *r, bool last)
{
	uint64_t now = clock_now_ns();
	int err;

	err = session__read_counts(r->session);
	if (err)
		log_warn("counts cannot be read: %s", strerror(-err));
	tracker__sweep(r->tracker, last);
	tracker__refresh(r->tracker, last);
	r->cost = tracker__cost(r->tracker);
	save_counters(r);
	show_progress(r, now);
	r->last_ns = now;
	write_down(r, now);
}

/* The last second, with each account as it stands now. */
static void finish(struct record *r)
{
	tracker__reconcile(r->tracker);
	settle(r, true);
}

static bool target_is_gone(struct record *r)
{
	uint64_t id;

	if (r->child)
		return command__ended(r->child);
	if (r->scope.kind == SCOPE_ALL || tracker__n_alive(r->tracker))
		return false;
	return r->scope.kind == SCOPE_TREE || cgroups__id_of_path(r->deps.cgroups, r->scope.cgroup_path, &id);
}

static int loop(struct record *r)
{
	uint64_t now;
	int n;

	r->begin_ns = r->last_ns = clock_now_ns();
	write_down(r, r->attach_ns);
	while (!cmd_stop && !r->output_failed) {
		n = session__poll(r->session, tracker__patience_ms(r->tracker, POLL_MS));
		if (n < 0 && n != -EINTR)
			return cmd_fail("the ring buffer cannot be read: %s", strerror(-n));
		tracker__upkeep(r->tracker);
		now = clock_now_ns();
		if (now - r->last_ns >= SECOND_NS)
			settle(r, false);
		if (r->opts.duration_ns && now - r->begin_ns >= r->opts.duration_ns)
			break;
		if (target_is_gone(r))
			break;
	}
	tracker__upkeep(r->tracker);
	finish(r);
	return r->output_failed ? EXIT_FAILED : EXIT_OK;
}

static bool saw_python(const struct profile *p)
{
	uint32_t i;

	for (i = 0; i < profile__n_processes(p); i++) {
		if (profile__process(p, i)->python[0])
			return true;
	}
	return false;
}

static void summarize(struct record *r)
{
	struct report_opts opts = { .by = REPORT_BY_LINE, .view = VIEW_LIVE, .top = 5 };
	char took[32], events[32], lost[32];

	fprintf(stderr, "%s%s recorded: %s events, %s dropped\n\n",
		isatty(STDERR_FILENO) ? "\r\033[K" : "", human__duration(clock_now_ns() - r->begin_ns, took, sizeof(took)),
		human__count(session__counter(r->session, CTR_EVENTS), events, sizeof(events)),
		human__count(dropped(r->session), lost, sizeof(lost)));
	report__print(r->deps.profile, &opts, stderr);
	if (!saw_python(r->deps.profile))
		fputs("\nno Python process was seen\n", stderr);
	if (r->child && !command__ended(r->child))
		fprintf(stderr, "\n%s goes on as process %d\n", r->opts.command[0], (int)command__pid(r->child));
	fprintf(stderr, "\nnext:  pymemscope report %s\n       pymemscope flamegraph %s -o flamegraph.svg\n", r->opts.output,
		r->opts.output);
}

static void clean_up(struct record *r)
{
	command__free(r->child);
	tracker__free(r->tracker);
	session__free(r->session);
	recording__close(r->recording);
	profile__free(r->deps.profile);
	proc__free(r->deps.proc);
	container_names__free(r->deps.names);
	cgroups__free(r->deps.cgroups);
}

/* The command's own, unless it goes on or was ended together with the recording. */
static int exit_status(const struct record *r)
{
	return r->child && !cmd_stop && command__ended(r->child) ? command__status(r->child) : EXIT_OK;
}

static int record(struct record *r)
{
	int ret;

	if ((ret = open_host(r)) || (ret = resolve_target(r)) || (ret = find_command(r)) || (ret = start_tracing(r)) ||
	    (ret = open_output(r)) ||
	    (ret = start_command(r)))
		return ret;
	describe(r);
	ret = loop(r);
	summarize(r);
	return ret ? ret : exit_status(r);
}

static int run(int argc, char **argv)
{
	struct record r = {
		.opts = RECORD_OPTS_DEFAULT,
		.deps = { .limits = CAPTURE_LIMITS_DEFAULT },
	};
	bool help = false;
	int ret;

	ret = record_opts__parse(&r.opts, argc, argv, &help);
	if (ret)
		return ret;
	if (help)
		return cmd_help(&cmd_record);
	ret = cmd_check_host();
	if (ret)
		return ret;
	ret = record(&r);
	clean_up(&r);
	return ret;
}

const struct cmd cmd_record = {
	.name = "record",
	.summary = "trace containers or processes, write a recording",
	.run = run,
	.help = "usage: pymemscope record [TARGET] [OPTIONS] [-- COMMAND ARG...]\n\n"
		"Traces Python processes from the host and writes what it saw to a file.\n\n"
		"target (nothing: every Python process of this host):\n"
		"  --container NAME    a container, by name, id or the first digits of its id\n"
		"  --cgroup PATH       every process in a cgroup and below it\n"
		"  -p, --pid N         one process and what it forks\n"
		"  -- COMMAND ARG...   run a command and trace it; exits with its status when it ends, 128 and the number of\n"
		"                      the signal that it died of; with 1 when recording fails\n\n"
		"options:\n"
		"  -o, --output FILE   the recording (default out.pms)\n"
		"  --signals LIST      resident (what the resident set gains, by line), heap (who holds the Python heap),\n"
		"                      gc (the collector), exact (each allocation and free; costly); default\n"
		"                      resident,heap,gc\n"
		"  --duration TIME     30s, 5m, 1h; default: until ^C or the end of the target\n"
		"  --budget P%         share of the targets' CPU time that tracing may cost (default 1%): page faults are\n"
		"                      sampled, small blocks seen in windows, to keep it; exact is not; none: all page\n"
		"                      faults, and windows for 3% of the time\n"
		"  --fault-hook HOOK   fentry, kprobe, tracepoint or perf; default: the best that works\n"
		"  -v, --verbose       say more\n\n"
		"examples:\n"
		"  pymemscope record --container web --duration 30s -o web.pms\n"
		"  pymemscope record -o run.pms -- python3 program.py\n",
};
