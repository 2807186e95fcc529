/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Probes behind the system calls by which a process maps memory, moves it and gives it back, in its C library. Each signal that
 * asks has a link of its own; the kernel has one breakpoint for all.
 */
#include <bpf/bpf.h>
#include <errno.h>

#include "capture/session_impl.h"

static int attach_sites(const struct bpf_program *program, pid_t tgid, const char *path, const struct uprobe_multi_site *sites,
			size_t n, int *ret)
{
	int fd = n ? uprobe_multi__attach(bpf_program__fd(program), path, tgid, UPROBE_MULTI_AT_SITE, sites, n) : -ENOENT;

	if (fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

static int attach_moves(const struct bpf_program *program, pid_t tgid, const struct mapping_file *file, int *ret)
{
	const union mapping_cookie c = { .call = MAP_CALL_GROWS, .caller_at = -1 };
	const struct uprobe_multi_site site = { .offset = file->site[MAP_CALL_MREMAP].offset, .cookie = c.raw };

	return attach_sites(program, tgid, file->host_path, &site, site.offset != 0, ret);
}

int session__follow_moves(struct session *s, pid_t tgid, const struct mapping_file *file, int *ret)
{
	return s->moves_followed ? attach_moves(s->bpf->progs.page_moved, tgid, file, ret) : -ENOTSUP;
}

int session__watch_moves(struct session *s, pid_t tgid, const struct mapping_file *file, int *ret)
{
	if (session_impl__confined_links(s) == PROBE_LINKS_SINGLE)
		return -ENOTSUP;
	return attach_moves(s->bpf->progs.mapping_changed, tgid, file, ret);
}

int session__watch_mappings(struct session *s, pid_t tgid, const struct mapping_file *file, int *ret)
{
	struct uprobe_multi_site sites[MAP_CALLS];
	size_t n = 0;

	if (session_impl__confined_links(s) == PROBE_LINKS_SINGLE)
		return -ENOTSUP;
	for (uint32_t call = 0; call < MAP_CALLS; call++) {
		const struct mapping_site *site = &file->site[call];
		union mapping_cookie c = { .call = call, .caller_at = site->caller_at };

		if (site->offset)
			sites[n++] = (struct uprobe_multi_site){ .offset = site->offset, .cookie = c.raw };
	}
	return attach_sites(s->bpf->progs.mapping_changed, tgid, file->host_path, sites, n, ret);
}

void session__unwatch(struct session *s, int moves)
{
	closer__close(s->closer, moves);
}

uint64_t session__mover_of(const struct session *s, pid_t tgid, uint64_t bytes)
{
	const struct large_move move = { .tgid = tgid, .bytes = bytes };
	uint64_t stack_id = 0;

	bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.large_moves), &move, &stack_id);
	return stack_id;
}
