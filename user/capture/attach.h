/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Probes in interpreters' files where the kernel takes many in one link (system/uprobe_multi.h).
 *
 * A few processes of one file get links of their own, so that nobody else who runs the file meets a probe. Many processes,
 * or the whole host, share one set of links for the file: each hit walks all links of its site, and detaching a link
 * looks at every process that maps the file, so links of their own cost the square of the number of processes (1,000
 * links of 500 processes: half a minute to detach). Which links count for a process stands in the map `targets` (struct
 * target, attach_id), so a change from one to the other loses nothing and counts nothing twice.
 */
#ifndef CAPTURE_ATTACH_H
#define CAPTURE_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "python/sites.h"
#include "records.h"

struct proc;

/*
 * Descriptors of the programs by signal: at a site, and at the return of its function, or one for both
 * (UPROBE_MULTI_SESSION) at sites that return; -1: none.
 */
struct attach_programs {
	int at_site[SIGNAL_MAX];
	int at_return[SIGNAL_MAX];
	int session[SIGNAL_MAX];
	int site_specs; /* map of that name */
	struct recent_block *recent_blocks; /* memory of the map of that name, or NULL */
	const struct proc *proc; /* tells where a process runs; NULL: nobody does */
};

struct attacher;
struct attachment; /* probes of one process */

/* share_all: links of their own for nobody (the whole host is traced, or the kernel can't confine them). */
int attacher__new(const struct attach_programs *programs, int targets_fd, bool share_all, struct attacher **ret);
/* After all attachments; waits until everything is detached. Takes NULL. */
void attacher__free(struct attacher *a);

/* The caller owns *ret. -ESRCH: the process has ended or is no target; -ENOENT, -EACCES, ... */
int attacher__attach(struct attacher *a, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
		     struct attachment **ret);
/*
 * The same for a short while and always with links of its own, of signal exact alone; they count for nobody until the caller tells
 * the kernel side whose the number in *ret_id is. often: by site, those that are to be there for the shortest time.
 */
int attacher__attach_window(struct attacher *a, pid_t tgid, const char *path, const struct probe_site *sites, size_t n,
			    const bool *often, struct attachment **ret, uint32_t *ret_id);
/*
 * Takes the probes of one signal away, soon after, or puts them back at once; where links are shared, for all processes that
 * share them. Those in the process keep their attach_id. path: as for attacher__attach. 0 or -errno: they stay away.
 */
int attachment__pause(struct attachment *at, const char *path, enum signal signal, bool pause);
bool attachment__is_paused(const struct attachment *at, enum signal signal);
bool attachment__is_shared(const struct attachment *at);
/* Returns at once; what is detached is detached soon after. Takes NULL. */
void attachment__free(struct attachment *at);

#endif
