/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See attach.h. A file here is an inode and the sites in it: asked for other sites, the same inode is another file.
 */
#include "capture/attach.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/closer.h"
#include "base/cpu_visit.h"
#include "bounds.h"
#include "system/proc.h"
#include "system/same_file.h"
#include "system/uprobe_multi.h"

/*
 * Processes of one file that have links of their own; one more, and all share. On 6.18 each other link costs a hit 28 ns (of
 * 740), and 20 x 4 of them are detached within 0.1 s.
 */
#define MAX_UNSHARED 16

/*
 * While the kernel writes a breakpoint, or takes one away, a process that runs waits for it at its next page fault or hit. Debian's 262
 * sites of signal exact made it wait up to 45 times in a row, 1 to 4 ms in all. So they are written by so many at a time, on a visit
 * (base/cpu_visit.h), and the process runs in between. The first ones are to tell whether a visit takes but a moment.
 */
#define SITES_AT_ONCE 64
#define FIRST_SITES 16
#define BETWEEN_NS 2000000
#define MAX_LINKS (4 + 2 * (MAX_PROBE_SITES / SITES_AT_ONCE + 2))

/* Open links. */
struct links {
	uint32_t id; /* union site_cookie, attach_id; 0: none were made */
	uint32_t paused; /* bit per enum signal: its links were taken away */
	struct signal_links {
		size_t n;
		int fd[MAX_LINKS];
	} of[SIGNAL_MAX];
};

struct file {
	struct file_identity *identity;
	struct probe_site *sites;
	size_t n_sites;
	uint32_t first_spec, n_specs; /* numbers in the map site_specs */
	struct links shared; /* id 0: not shared */
	struct attachment *attachments;
	size_t n_attachments;
	struct file *prev, *next;
};

struct attachment {
	struct attacher *attacher;
	struct file *file;
	pid_t tgid;
	struct links own; /* id 0: those of the file serve it */
	uint32_t recent_row; /* in the map recent_blocks, from 1 on; 0: none */
	bool is_window;
	struct attachment *prev, *next;
};

struct attacher {
	struct attach_programs programs;
	int targets_fd;
	bool share_all;
	uint32_t last_id;
	uint32_t recent_rows; /* bit per row that is in use */
	double slow_site; /* our CPU time for a breakpoint of a window, lately, of the most that a visit may take; 0: not known */
	struct file *files;
	struct closer *closer;
};

int attacher__new(const struct attach_programs *programs, int targets_fd, bool share_all, struct attacher **ret)
{
	struct attacher *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->programs = *programs;
	a->targets_fd = targets_fd;
	a->share_all = share_all;
	err = closer__new(&a->closer);
	if (err) {
		free(a);
		return err;
	}
	*ret = a;
	return 0;
}

/* ---- links ---- */

/* cpu: where to, -1: anywhere; apart_ns: one after the other, so far apart. */
static void signal_links__close(struct signal_links *l, struct closer *closer, int cpu, uint64_t apart_ns)
{
	uint64_t at_ns = clock_now_ns();

	for (; l->n; at_ns += apart_ns)
		closer__close_on(closer, l->fd[--l->n], cpu, at_ns);
}

static void links__close_on(struct links *l, struct closer *closer, int cpu, uint64_t apart_ns)
{
	int signal;

	for (signal = 0; signal < SIGNAL_MAX; signal++)
		signal_links__close(&l->of[signal], closer, cpu, signal == SIGNAL_EXACT ? apart_ns : 0);
	*l = (struct links){};
}

static void links__close(struct links *l, struct closer *closer)
{
	links__close_on(l, closer, -1, 0);
}

/* It has a number in the map site_specs. */
static bool has_spec(const struct probe_site *site)
{
	return site->kind <= PROBE_FREE || site->kind == PROBE_GUARD;
}

/*
 * Only sites whose return may be asked for are in a session link: the kernel asks for the return also in other processes
 * that have a probe of their own at the site, before it looks whose link it is (6.18, kernel/trace/bpf_trace.c,
 * uprobe_prog_run: 0 for a foreign process). Where the top of the stack is no return address, that would crash them.
 */
static bool is_met(const struct probe_site *site, enum uprobe_multi_when when, bool has_session)
{
	bool only_returns = site->kind == PROBE_POOL_OPENER || site->kind == PROBE_RAW_TAIL;

	if (when != UPROBE_MULTI_AT_SITE)
		return site->returns;
	return !only_returns && !(has_session && site->returns);
}

/* Of the file's sites those that are often hit, or the others; often: NULL: all. */
struct choice {
	const bool *often; /* by site */
	bool which;
};

static bool is_chosen(const struct choice *of, size_t site)
{
	return !of->often || of->often[site] == of->which;
}

static size_t select_sites(const struct file *f, enum signal signal, const struct choice *of, uint32_t id,
			   enum uprobe_multi_when when, bool has_session, struct uprobe_multi_site ret[MAX_PROBE_SITES])
{
	uint32_t spec = f->first_spec;
	size_t i, n = 0;

	for (i = 0; i < f->n_sites && n < MAX_PROBE_SITES; i++) {
		const struct probe_site *site = &f->sites[i];
		union site_cookie c = site->arg;

		if (has_spec(site))
			c.arg_value = spec++;
		if (site->signal != signal || !is_met(site, when, has_session) || !is_chosen(of, i))
			continue;
		c.attach_id = id;
		c.kind = site->kind;
		c.takes_context = site->takes_context;
		c.args_unknown = site->args_unknown;
		ret[n++] = (struct uprobe_multi_site){
			.offset = site->offset,
			.semaphore = when == UPROBE_MULTI_AT_RETURN ? 0 : site->semaphore,
			.cookie = c.raw,
		};
	}
	return n;
}

/* Breakpoints that are worth going where their process runs (base/cpu_visit.h). */
#define MANY_SITES 8
/*
 * Where one takes longer, many processes of the host map the file, each of which the kernel looks at for each breakpoint: then a visit
 * would take more than a moment. With the interrupts one takes 20 to 45 us in a virtual machine, on a visit 3 to 5.
 */
#define MOST_SITE_NS 150000
#define MOST_VISITED_NS 15000
#define SITE_FADES 0.9

/* Where to write breakpoints of a process, and to take them away: -1: anywhere. */
static int where_to_write(const struct attacher *a, size_t n_sites, pid_t tgid)
{
	bool quick = a->slow_site > 0 && a->slow_site < 1;

	return quick && tgid && n_sites >= MANY_SITES && a->programs.proc ? proc__running_on(a->programs.proc, tgid) : -1;
}

static void note_site(struct attacher *a, size_t n_sites, bool visited, uint64_t took_ns)
{
	double slow = (double)took_ns / n_sites / (visited ? MOST_VISITED_NS : MOST_SITE_NS);

	if (n_sites < MANY_SITES) /* the system call is most of it */
		return;
	a->slow_site = slow > a->slow_site * SITE_FADES ? slow : a->slow_site * SITE_FADES;
}

/* A moment for the process, before more breakpoints are written. */
static void let_it_run(void)
{
	const struct timespec moment = { .tv_nsec = BETWEEN_NS };

	nanosleep(&moment, NULL);
}

static int link_at_once(struct attacher *a, const char *path, pid_t tgid, int prog, enum uprobe_multi_when when,
			const struct uprobe_multi_site *sites, size_t n)
{
	uint64_t began = clock_thread_cpu_ns();
	struct cpu_visit visit;
	int fd;

	cpu_visit__begin(&visit, where_to_write(a, n, tgid));
	fd = uprobe_multi__attach(prog, path, tgid, when, sites, n);
	cpu_visit__end(&visit);
	if (fd >= 0)
		note_site(a, n, visit.is_away, clock_thread_cpu_ns() - began);
	return fd;
}

/* All at once where there is no process to be spared, or it is visited already (link_window: but for the first window). */
static int link_program(struct attacher *a, const struct file *f, const char *path, pid_t tgid, enum signal signal,
			const struct choice *of, int prog, enum uprobe_multi_when when, bool has_session, struct links *l)
{
	struct uprobe_multi_site sites[MAX_PROBE_SITES];
	size_t n = select_sites(f, signal, of, l->id, when, has_session, sites), done, more;
	bool whole = !tgid || signal != SIGNAL_EXACT || (of->often && a->slow_site > 0);
	struct signal_links *to = &l->of[signal];
	int fd;

	if (n && prog < 0)
		return -EINVAL;
	for (done = 0; done < n; done += more) {
		more = whole ? n : MIN(n - done, a->slow_site > 0 ? SITES_AT_ONCE : FIRST_SITES);
		if (done)
			let_it_run();
		fd = whole ? uprobe_multi__attach(prog, path, tgid, when, sites, n) :
			     link_at_once(a, path, tgid, prog, when, sites + done, more);
		if (fd < 0)
			return fd;
		to->fd[to->n++] = fd;
	}
	return 0;
}

/* Return probes first: an entry seen without its return would leave a pending allocation. */
static int link_chosen(struct attacher *a, const struct file *f, const char *path, pid_t tgid, enum signal signal,
		       const struct choice *of, struct links *l)
{
	const struct attach_programs *p = &a->programs;
	bool has_session = p->session[signal] >= 0;
	int err;

	if (has_session)
		err = link_program(a, f, path, tgid, signal, of, p->session[signal], UPROBE_MULTI_SESSION, true, l);
	else
		err = link_program(a, f, path, tgid, signal, of, p->at_return[signal], UPROBE_MULTI_AT_RETURN, false, l);
	return err ? err : link_program(a, f, path, tgid, signal, of, p->at_site[signal], UPROBE_MULTI_AT_SITE, has_session, l);
}

static int link_signal(struct attacher *a, const struct file *f, const char *path, pid_t tgid, enum signal signal,
		       struct links *l)
{
	return link_chosen(a, f, path, tgid, signal, &(struct choice){}, l);
}

static uint32_t next_id(struct attacher *a)
{
	a->last_id = a->last_id % (SITE_ATTACH_IDS - 1) + 1;
	return a->last_id;
}

/* tgid 0: for every process. */
static int link_sites(struct attacher *a, const struct file *f, const char *path, pid_t tgid, struct links *ret)
{
	struct links l = {};
	int signal, err = 0;

	l.id = next_id(a);
	for (signal = 0; signal < SIGNAL_MAX && !err; signal++)
		err = link_signal(a, f, path, tgid, signal, &l);
	if (err) {
		links__close(&l, a->closer);
		return err;
	}
	*ret = l;
	return 0;
}

/*
 * While the kernel writes breakpoints, those that are there already are hit. So the ones that are often hit come last; and they go
 * first (signal_links__close).
 */
static int link_window(struct attacher *a, const struct file *f, const char *path, pid_t tgid, const bool *often,
		       struct links *ret)
{
	struct links l = { .id = next_id(a) };
	uint64_t began = clock_thread_cpu_ns();
	struct cpu_visit visit;
	int which, err = 0;

	cpu_visit__begin(&visit, where_to_write(a, f->n_sites, tgid));
	for (which = 0; which < 2 && !err; which++)
		err = link_chosen(a, f, path, tgid, SIGNAL_EXACT, &(struct choice){ often, which }, &l);
	cpu_visit__end(&visit);
	note_site(a, f->n_sites, visit.is_away, clock_thread_cpu_ns() - began);
	if (err) {
		links__close(&l, a->closer);
		return err;
	}
	*ret = l;
	return 0;
}

/* ---- room for young blocks ---- */

static bool allocates(const struct file *f)
{
	size_t i;

	for (i = 0; i < f->n_sites; i++) {
		if (f->sites[i].signal == SIGNAL_EXACT)
			return true;
	}
	return false;
}

/* Only as long as nothing of the process is followed: what is, is not counted in the row's slots. */
static void give_row(struct attachment *at, struct target *t)
{
	struct attacher *a = at->attacher;
	uint32_t row;

	if (at->recent_row || t->alloc_seq || !a->programs.recent_blocks || !allocates(at->file))
		return;
	_Static_assert(MAX_RECENT_ROWS < 32, "recent_rows");
	row = __builtin_ffs(~a->recent_rows);
	if (row > MAX_RECENT_ROWS)
		return;
	memset(a->programs.recent_blocks + (row - 1) * RECENT_BLOCKS, 0, RECENT_BLOCKS * sizeof(struct recent_block));
	a->recent_rows |= 1u << (row - 1);
	at->recent_row = t->recent_row = row;
}

/* The process has ended, or nothing is traced any more. */
static void take_row(struct attachment *at)
{
	if (at->recent_row)
		at->attacher->recent_rows &= ~(1u << (at->recent_row - 1));
}

/* ---- links that count ---- */

/*
 * From now on hits of these links count for the process. The kernel side may write tss_key at the same time: what we put
 * back instead is only "not yet known". It counts freed code objects only once this has been done.
 */
static int make_count(struct attachment *at, uint32_t id)
{
	const struct file *f = at->file;
	int fd = at->attacher->targets_fd;
	uint32_t key = at->tgid;
	struct target t;
	size_t i;

	if (bpf_map_lookup_elem(fd, &key, &t))
		return errno == ENOENT ? -ESRCH : -errno;
	for (i = 0; i < f->n_sites; i++)
		t.attach_id[f->sites[i].signal] = id;
	give_row(at, &t);
	if (bpf_map_update_elem(fd, &key, &t, BPF_EXIST))
		return errno == ENOENT ? -ESRCH : -errno;
	return 0;
}

/* ---- files ---- */

static void free_file(struct attacher *a, struct file *f)
{
	links__close(&f->shared, a->closer);
	file_identity__free(f->identity);
	free(f->sites);
	free(f);
}

static bool specs_overlap(const struct attacher *a, uint32_t first, uint32_t n)
{
	const struct file *f;

	DL_FOREACH(a->files, f) {
		if (first < f->first_spec + f->n_specs && f->first_spec < first + n)
			return true;
	}
	return false;
}

/* Numbers for the file's sites: behind those of another file, where there is room. */
static int choose_specs(const struct attacher *a, struct file *f)
{
	const struct file *other;
	uint32_t first = 0;

	if (specs_overlap(a, first, f->n_specs)) {
		DL_FOREACH(a->files, other) {
			first = other->first_spec + other->n_specs;
			if (!specs_overlap(a, first, f->n_specs))
				break;
		}
	}
	if (first + f->n_specs > MAX_SITE_SPECS)
		return -ENOSPC;
	f->first_spec = first;
	return 0;
}

/* Tells the kernel side about the sites of a file, before any is attached. */
static int write_specs(const struct attacher *a, struct file *f)
{
	uint32_t number;
	size_t i;
	int err;

	for (i = 0; i < f->n_sites; i++)
		f->n_specs += has_spec(&f->sites[i]);
	if (!f->n_specs)
		return 0;
	err = choose_specs(a, f);
	number = f->first_spec;
	for (i = 0; i < f->n_sites && !err; i++) {
		if (!has_spec(&f->sites[i]))
			continue;
		if (bpf_map_update_elem(a->programs.site_specs, &number, &f->sites[i].spec, BPF_ANY))
			err = -errno;
		number++;
	}
	return err;
}

static int new_file(struct file_identity *identity, const struct probe_site *sites, size_t n, struct file **ret)
{
	struct file *f = calloc(1, sizeof(*f));

	if (f)
		f->sites = malloc(n * sizeof(*sites));
	if (!f || !f->sites) {
		free(f);
		file_identity__free(identity);
		return -ENOMEM;
	}
	memcpy(f->sites, sites, n * sizeof(*sites));
	f->n_sites = n;
	f->identity = identity;
	*ret = f;
	return 0;
}

static bool same_sites(const struct file *f, const struct probe_site *sites, size_t n)
{
	size_t i;

	if (f->n_sites != n)
		return false;
	for (i = 0; i < n; i++) {
		if (f->sites[i].offset != sites[i].offset || f->sites[i].kind != sites[i].kind ||
		    f->sites[i].signal != sites[i].signal)
			return false;
	}
	return true;
}

static int find_file(struct attacher *a, const char *path, const struct probe_site *sites, size_t n, struct file **ret)
{
	struct file_identity *identity;
	struct file *f;
	int err;

	err = file_identity__open(path, &identity);
	if (err)
		return err;
	DL_FOREACH(a->files, f) {
		if (same_sites(f, sites, n) && file_identity__same(f->identity, identity)) {
			file_identity__free(identity);
			*ret = f;
			return 0;
		}
	}
	err = new_file(identity, sites, n, &f);
	if (err)
		return err;
	err = write_specs(a, f);
	if (err) {
		free_file(a, f);
		return err;
	}
	DL_APPEND(a->files, f);
	*ret = f;
	return 0;
}

static void drop_unused(struct attacher *a, struct file *f)
{
	if (f->attachments)
		return;
	DL_DELETE(a->files, f);
	free_file(a, f);
}

void attacher__free(struct attacher *a)
{
	struct file *f, *next;

	if (!a)
		return;
	DL_FOREACH_SAFE(a->files, f, next) {
		DL_DELETE(a->files, f);
		free_file(a, f);
	}
	closer__free(a->closer);
	free(a);
}

/* ---- processes ---- */

/* Those that have links of their own lose them once the shared ones count. */
static int share(struct attacher *a, struct file *f, const char *path)
{
	struct attachment *at;
	int err;

	err = link_sites(a, f, path, 0, &f->shared);
	if (err)
		return err;
	DL_FOREACH(f->attachments, at) {
		make_count(at, f->shared.id);
		links__close(&at->own, a->closer);
	}
	return 0;
}

static int attach(struct attacher *a, struct attachment *at, const char *path)
{
	struct file *f = at->file;
	int err = 0;

	if (!f->shared.id && (a->share_all || f->n_attachments >= MAX_UNSHARED))
		err = share(a, f, path);
	if (!err && !f->shared.id)
		err = link_sites(a, f, path, at->tgid, &at->own);
	return err ? err : make_count(at, f->shared.id ? f->shared.id : at->own.id);
}

/* often: NULL: it is no window. */
static int new_attachment(struct attacher *a, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
			  const bool *often, struct attachment **ret)
{
	struct attachment *at = calloc(1, sizeof(*at));
	int err;

	if (!at)
		return -ENOMEM;
	at->attacher = a;
	at->tgid = tgid;
	at->is_window = often != NULL;
	err = find_file(a, path, sites, n, &at->file);
	if (err) {
		free(at);
		return err;
	}
	err = often ? link_window(a, at->file, path, tgid, often, &at->own) : attach(a, at, path);
	if (err) {
		take_row(at);
		links__close(&at->own, a->closer);
		drop_unused(a, at->file);
		free(at);
		return err;
	}
	DL_APPEND(at->file->attachments, at);
	at->file->n_attachments++;
	*ret = at;
	return 0;
}

int attacher__attach(struct attacher *a, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
		     struct attachment **ret)
{
	return new_attachment(a, tgid, path, sites, n, NULL, ret);
}

int attacher__attach_window(struct attacher *a, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
			    const bool *often, struct attachment **ret, uint32_t *ret_id)
{
	int err = new_attachment(a, tgid, path, sites, n, often, ret);

	if (!err)
		*ret_id = (*ret)->own.id;
	return err;
}

static const struct links *links_of(const struct attachment *at)
{
	return at->own.id ? &at->own : &at->file->shared;
}

bool attachment__is_shared(const struct attachment *at)
{
	return !at->own.id;
}

bool attachment__is_paused(const struct attachment *at, enum signal signal)
{
	return links_of(at)->paused & 1u << signal;
}

int attachment__pause(struct attachment *at, const char *path, enum signal signal, bool pause)
{
	struct links *l = at->own.id ? &at->own : &at->file->shared;
	int err = 0;

	if (attachment__is_paused(at, signal) == pause)
		return 0;
	if (!pause)
		err = link_signal(at->attacher, at->file, path, at->own.id ? at->tgid : 0, signal, l);
	if (pause || err)
		signal_links__close(&l->of[signal], at->attacher->closer, -1, 0);
	if (!err)
		l->paused ^= 1u << signal;
	return err;
}

void attachment__free(struct attachment *at)
{
	if (!at)
		return;
	take_row(at);
	links__close_on(&at->own, at->attacher->closer, where_to_write(at->attacher, at->file->n_sites, at->tgid),
			at->is_window ? 0 : BETWEEN_NS);
	DL_DELETE(at->file->attachments, at);
	at->file->n_attachments--;
	drop_unused(at->attacher, at->file);
	free(at);
}
