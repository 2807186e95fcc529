/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One process: what the kernel side knows of it, and the probes in the files it runs.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "capture/session_impl.h"

struct session_links {
	struct attachment *attachment; /* or */
	size_t n;
	struct bpf_link *link[];
};

static int add_link(struct session_links *l, struct bpf_link *link)
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
	struct session_links *l = calloc(1, sizeof(*l) + sizeof(l->link[0]));
	int err;

	if (!l)
		return -ENOMEM;
	err = add_link(l, bpf_program__attach_uprobe(s->bpf->progs.proc_entry, false, tgid, path, offset));
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
		       struct session_links *l)
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

int session__attach(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
		    struct session_links **ret)
{
	struct session_links *l = calloc(1, sizeof(*l) + 2 * n * sizeof(l->link[0]));
	size_t i;
	int err;

	if (!l)
		return -ENOMEM;
	if (s->attacher) {
		err = attacher__attach(s->attacher, tgid, path, sites, n, &l->attachment);
		if (err)
			free(l);
		else
			*ret = l;
		return err;
	}
	for (i = 0; i < n; i++) {
		err = attach_site(s, tgid, path, &sites[i], l);
		if (err) {
			session_links__free(l);
			return err;
		}
	}
	*ret = l;
	return 0;
}

int session__attach_window(struct session *s, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
			   struct session_links **ret, uint32_t *ret_id)
{
	struct session_links *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	err = attacher__attach_window(s->attacher, tgid, path, sites, n, &l->attachment, ret_id);
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
	while (l->n)
		bpf_link__destroy(l->link[--l->n]);
	free(l);
}
