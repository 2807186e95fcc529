/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Probes on the malloc of one process. They always are its own: its C library is mapped by everybody, and a probe for
 * all would have each process of the host trap at each malloc.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "capture/session_impl.h"

struct session_large {
	struct session *session;
	uint32_t number;
	uint32_t proc_id;
	int fd[3]; /* of links that hold many sites */
	size_t n_fds;
	size_t n; /* perf events */
	struct bpf_link *link[];
};

static int find_number(struct session *s, uint32_t *ret)
{
	uint32_t i, number;

	for (i = 0; i < MAX_LARGE_WATCHES; i++) {
		number = (s->next_large + i) % MAX_LARGE_WATCHES;
		if (s->large_used[number / 64] & 1ull << number % 64)
			continue;
		s->next_large = number + 1;
		*ret = number;
		return 0;
	}
	return -ENOSPC;
}

static int put_watch(const struct session_large *l, enum large_watch_on on)
{
	struct large_watch w = {};

	if (session_large__hits(l, &w))
		return -errno;
	w.on = on;
	if (bpf_map_update_elem(bpf_map__fd(l->session->bpf->maps.large_watches), &l->number, &w, BPF_ANY))
		return -errno;
	return 0;
}

static int begin_watch(const struct session_large *l, enum large_watch_on on)
{
	struct large_watch w = { .proc_id = l->proc_id, .on = on };

	return bpf_map_update_elem(bpf_map__fd(l->session->bpf->maps.large_watches), &l->number, &w, BPF_ANY) ? -errno : 0;
}

static uint64_t cookie_of(const struct session_large *l, const struct malloc_site *site)
{
	return (union large_cookie){ .watch = l->number, .function = site->function }.raw;
}

/* Links the sites that free, or those that allocate. */
static int link_sites(struct session_large *l, pid_t tgid, const struct malloc_file *file, bool frees,
		      const struct bpf_program *prog, enum uprobe_multi_when when)
{
	struct uprobe_multi_site sites[MAX_MALLOC_SITES] = {};
	size_t i, n = 0;
	int fd;

	for (i = 0; i < file->n; i++) {
		if ((file->site[i].function == LARGE_FREE) != frees)
			continue;
		sites[n].offset = file->site[i].offset;
		sites[n++].cookie = cookie_of(l, &file->site[i]);
	}
	if (!n)
		return 0;
	fd = uprobe_multi__attach(bpf_program__fd(prog), file->host_path, tgid, when, sites, n);
	if (fd < 0)
		return fd;
	l->fd[l->n_fds++] = fd;
	return 0;
}

/*
 * What frees comes before what allocates, returns before entries: nothing is seen to begin whose end is not.
 *
 * Frees have no session link: for a hit of another process such a link says, like a program that wants it, 0, and has its
 * return probed (6.18, kernel/trace/bpf_trace.c, uprobe_prog_run and uprobe_multi_link_handler). So where several
 * processes of one file are followed, each allocation pays for a return, but no free does.
 */
static int attach_multi(struct session_large *l, pid_t tgid, const struct malloc_file *file)
{
	const struct pymemscope_bpf *b = l->session->bpf;
	int err = link_sites(l, tgid, file, true, b->progs.large_free, UPROBE_MULTI_AT_SITE);

	if (err)
		return err;
	if (session_impl__confined_links(l->session) == PROBE_LINKS_SESSION)
		return link_sites(l, tgid, file, false, b->progs.large_session, UPROBE_MULTI_SESSION);
	err = link_sites(l, tgid, file, false, b->progs.large_return, UPROBE_MULTI_AT_RETURN);
	return err ? err : link_sites(l, tgid, file, false, b->progs.large_entry, UPROBE_MULTI_AT_SITE);
}

static int attach_perf(struct session_large *l, pid_t tgid, const struct malloc_file *file)
{
	struct pymemscope_bpf *b = l->session->bpf;
	size_t i;

	for (i = 0; i < file->n; i++) {
		const struct malloc_site *site = &file->site[i];
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = cookie_of(l, site), .retprobe = true);

		if (site->function != LARGE_FREE) {
			l->link[l->n] = bpf_program__attach_uprobe_opts(b->progs.large_return, tgid, file->host_path,
									site->offset, &opts);
			if (!l->link[l->n])
				return -errno;
			l->n++;
		}
		opts.retprobe = false;
		l->link[l->n] = bpf_program__attach_uprobe_opts(site->function == LARGE_FREE ? b->progs.large_free : b->progs.large_entry,
								tgid, file->host_path, site->offset, &opts);
		if (!l->link[l->n])
			return -errno;
		l->n++;
	}
	return 0;
}

int session__follow_large(struct session *s, pid_t tgid, uint32_t proc_id, const struct malloc_file *file,
			  enum large_watch_on on, struct session_large **ret)
{
	struct session_large *l = calloc(1, sizeof(*l) + 2 * file->n * sizeof(l->link[0]));
	int err;

	if (!l)
		return -ENOMEM;
	l->session = s;
	l->proc_id = proc_id;
	err = find_number(s, &l->number);
	if (err) {
		free(l);
		return err;
	}
	s->large_used[l->number / 64] |= 1ull << l->number % 64;
	err = begin_watch(l, on);
	if (!err && session_impl__confined_links(s) != PROBE_LINKS_SINGLE)
		err = attach_multi(l, tgid, file);
	else if (!err)
		err = attach_perf(l, tgid, file);
	if (err) {
		session_large__free(l);
		return err;
	}
	*ret = l;
	return 0;
}

int session_large__set(struct session_large *l, enum large_watch_on on)
{
	return put_watch(l, on);
}

void session_large__stop(struct session_large *l)
{
	put_watch(l, LARGE_WATCH_OFF);
	while (l->n_fds)
		closer__close(l->session->closer, l->fd[--l->n_fds]);
	while (l->n)
		bpf_link__destroy(l->link[--l->n]);
}

void session_large__free(struct session_large *l)
{
	if (!l)
		return;
	session_large__stop(l);
	l->session->large_used[l->number / 64] &= ~(1ull << l->number % 64);
	free(l);
}

uint32_t session_large__number(const struct session_large *l)
{
	return l->number;
}

int session_large__hits(const struct session_large *l, struct large_watch *ret)
{
	return bpf_map_lookup_elem(bpf_map__fd(l->session->bpf->maps.large_watches), &l->number, ret) ? -errno : 0;
}
