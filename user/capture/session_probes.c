/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One process: what the kernel side knows of it, and the probes in the files it runs.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "capture/session_impl.h"

/* Perf events. */
struct single_links {
	size_t n;
	struct bpf_link **link;
};

struct session_links {
	struct session *session;
	struct attachment *attachment; /* or */
	struct single_links gc, others;
	const struct probe_site *sites;
	size_t n_sites;
	bool gc_paused; /* of gc */
};

/* Detaching waits for the kernel, some 0.1 s a link: whoever closes the last descriptor does, which shall not be we. */
static void single_links__detach(struct single_links *l, struct closer *closer)
{
	struct bpf_link *link;
	int fd;

	while (l->n) {
		link = l->link[--l->n];
		fd = bpf_link__fd(link);
		fd = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
		bpf_link__destroy(link);
		if (fd >= 0)
			closer__close(closer, fd);
	}
}

static void single_links__free(struct single_links *l, struct closer *closer)
{
	single_links__detach(l, closer);
	free(l->link);
}

/* Room for so many. */
static int single_links__reserve(struct single_links *l, size_t n)
{
	l->link = calloc(n, sizeof(*l->link));
	return l->link ? 0 : -ENOMEM;
}

static int add_link(struct single_links *l, struct bpf_link *link)
{
	if (!link)
		return -errno;
	l->link[l->n++] = link;
	return 0;
}

void session__hold_execs(struct session *s, pid_t tgid)
{
	s->bpf->bss->hold_tgid = tgid;
}

int session__attach_entry(struct session *s, pid_t tgid, const char *path, uint64_t offset, struct session_links **ret)
{
	struct session_links *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->session = s;
	err = single_links__reserve(&l->others, 1);
	err = err ? err : add_link(&l->others, bpf_program__attach_uprobe(s->bpf->progs.proc_entry, false, tgid, path, offset));
	if (err) {
		session_links__free(l);
		return err;
	}
	*ret = l;
	return 0;
}

int session__set_interpreter(struct session *s, uint32_t interp, const struct py_walk *walk)
{
	if (bpf_map_update_elem(bpf_map__fd(s->bpf->maps.interpreters), &interp, walk, BPF_ANY))
		return -errno;
	return 0;
}

int session_impl__new_attacher(struct session *s)
{
	struct pymemscope_bpf *b = s->bpf;
	struct attach_programs p = {
		.at_site = { -1, bpf_program__fd(b->progs.heap_site), bpf_program__fd(b->progs.exact_entry), bpf_program__fd(b->progs.gc_site),
			     bpf_program__fd(b->progs.code_free_site) },
		.at_return = { -1, -1, bpf_program__fd(b->progs.exact_return), bpf_program__fd(b->progs.gc_site_return), -1 },
		.session = { -1, -1, bpf_program__fd(b->progs.exact_session), -1, -1 },
		.site_specs = bpf_map__fd(b->maps.site_specs),
		.recent_blocks = s->recent_blocks,
		.proc = s->opts.proc,
	};

	_Static_assert(SIGNAL_HEAP == 1 && SIGNAL_EXACT == 2 && SIGNAL_GC == 3 && SIGNAL_CODE == 4 && SIGNAL_MAX == 5, "at_site, at_return");
	if (session__links(s) == PROBE_LINKS_SINGLE)
		return 0;
	return attacher__new(&p, bpf_map__fd(b->maps.targets), s->opts.every_process, &s->attacher);
}

/* Program for a site's entry; NULL for USDT. */
static struct bpf_program *entry_program(struct session *s, const struct probe_site *site)
{
	switch (site->kind) {
	case PROBE_MALLOC:
		return s->bpf->progs.exact_malloc;
	case PROBE_CALLOC:
		return s->bpf->progs.exact_calloc;
	case PROBE_REALLOC:
		return s->bpf->progs.exact_realloc;
	case PROBE_FREE:
		return s->bpf->progs.exact_free;
	case PROBE_GC_COLLECT:
		return s->bpf->progs.gc_collect_entry;
	case PROBE_GC_API:
		return s->bpf->progs.gc_api_entry;
	case PROBE_GC:
		return site->args_unknown ? s->bpf->progs.gc_entry_clone : s->bpf->progs.gc_entry;
	default:
		return NULL;
	}
}

static struct bpf_program *return_program(struct session *s, const struct probe_site *site)
{
	switch (site->kind) {
	case PROBE_GC:
		return s->bpf->progs.gc_return;
	case PROBE_GC_COLLECT:
	case PROBE_GC_API:
		return s->bpf->progs.gc_call_return;
	case PROBE_REALLOC:
		return s->bpf->progs.exact_realloc_return;
	default:
		return s->bpf->progs.exact_return;
	}
}

/* Return probe first: an entry seen without its return would leave a pending allocation. */
static int attach_site(struct session *s, pid_t tgid, const char *path, const struct probe_site *site,
		       struct single_links *l)
{
	LIBBPF_OPTS(bpf_uprobe_opts, at_return, .retprobe = true);
	int err;

	if (site->kind == PROBE_CODE_FREE || site->kind == PROBE_POOL_OPEN)
		return 0;
	if (site->kind == PROBE_GC_USDT || site->kind == PROBE_GC_USDT_DONE)
		return add_link(l, bpf_program__attach_usdt(site->kind == PROBE_GC_USDT ? s->bpf->progs.gc_usdt_start
											: s->bpf->progs.gc_usdt_done,
							    tgid, path, "python", site->symbol, NULL));
	if (site->returns) {
		err = add_link(l, bpf_program__attach_uprobe_opts(return_program(s, site), tgid, path, site->offset,
								  &at_return));
		if (err)
			return err;
	}
	return add_link(l, bpf_program__attach_uprobe(entry_program(s, site), false, tgid, path, site->offset));
}

/* Those of the collector, or all others. */
static int attach_one_by_one(struct session_links *l, pid_t tgid, const char *path, bool gc)
{
	struct single_links *to = gc ? &l->gc : &l->others;
	size_t i;
	int err = 0;

	for (i = 0; i < l->n_sites && !err; i++) {
		if ((l->sites[i].signal == SIGNAL_GC) == gc)
			err = attach_site(l->session, tgid, path, &l->sites[i], to);
	}
	return err;
}

int session__attach(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
		    struct session_links **ret)
{
	struct session_links *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	*l = (struct session_links){ .session = s, .sites = sites, .n_sites = n };
	if (s->attacher) {
		err = attacher__attach(s->attacher, tgid, path, sites, n, &l->attachment);
	} else {
		err = single_links__reserve(&l->gc, 2 * n);
		err = err ? err : single_links__reserve(&l->others, 2 * n);
		err = err ? err : attach_one_by_one(l, tgid, path, true);
		err = err ? err : attach_one_by_one(l, tgid, path, false);
	}
	if (err)
		session_links__free(l);
	else
		*ret = l;
	return err;
}

bool session_links__shared(const struct session_links *l)
{
	return l->attachment && attachment__is_shared(l->attachment);
}

bool session_links__gc_paused(const struct session_links *l)
{
	return l->attachment ? attachment__is_paused(l->attachment, SIGNAL_GC) : l->gc_paused;
}

bool session__is_detaching(struct session *s)
{
	return !s->attacher && closer__is_busy(s->closer);
}

/*
 * What was under way when the probes were taken away: its return was not seen, and would be taken for that of another.
 * Keys: tgid << 32 | tid. tgid 0: of all processes.
 */
static void forget_under_way(const struct bpf_map *map, pid_t tgid)
{
	int fd = bpf_map__fd(map);
	uint64_t key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &key);

	while (more) {
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (!tgid || (pid_t)(key >> 32) == tgid)
			bpf_map_delete_elem(fd, &key);
		key = next;
	}
}

int session__pause_gc(struct session *s, struct session_links *l, pid_t tgid, const char *path, bool pause)
{
	pid_t whose = session_links__shared(l) ? 0 : tgid;
	int err = 0;

	if (session_links__gc_paused(l) == pause)
		return 0;
	forget_under_way(s->bpf->maps.gc_runs, whose);
	forget_under_way(s->bpf->maps.gc_calls, whose);
	if (l->attachment)
		return attachment__pause(l->attachment, path, SIGNAL_GC, pause);
	if (!pause)
		err = attach_one_by_one(l, tgid, path, true);
	if (pause || err)
		single_links__detach(&l->gc, s->closer);
	if (!err)
		l->gc_paused = pause;
	return err;
}

bool session_links__pools_paused(const struct session_links *l)
{
	return l->attachment && attachment__is_paused(l->attachment, SIGNAL_HEAP);
}

int session__pause_pools(struct session_links *l, const char *path, bool pause)
{
	return l->attachment ? attachment__pause(l->attachment, path, SIGNAL_HEAP, pause) : 0;
}

int session__attach_window(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
			   const bool *often, struct session_links **ret, uint32_t *ret_id)
{
	struct session_links *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->session = s;
	err = attacher__attach_window(s->attacher, tgid, path, sites, n, often, &l->attachment, ret_id);
	if (err)
		free(l);
	else
		*ret = l;
	return err;
}

void session_links__free(struct session_links *l)
{
	if (!l)
		return;
	attachment__free(l->attachment);
	single_links__free(&l->gc, l->session->closer);
	single_links__free(&l->others, l->session->closer);
	free(l);
}
