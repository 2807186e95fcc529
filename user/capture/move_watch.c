/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/move_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "python/malloc_sites.h"

/* A forked worker that has used so much CPU time is not one that lives for a moment. */
#define WORKER_CPU_NS 300000000ull

struct move_watch {
	const struct tracker_deps *deps;
	struct malloc_finder *finder;
	unsigned int n;
};

int move_watch__new(const struct tracker_deps *deps, struct move_watch **ret)
{
	struct move_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->deps = deps;
	if (malloc_finder__new(&w->finder)) {
		free(w);
		return -ENOMEM;
	}
	*ret = w;
	return 0;
}

void move_watch__free(struct move_watch *w)
{
	if (w)
		malloc_finder__free(w->finder);
	free(w);
}

void move_watch__begin(struct move_watch *w, struct traced *tr)
{
	struct malloc_file file;
	int err;

	if (tr->moves || tr->moves_tried || !tr->interp || w->n == MAX_MOVE_WATCHES)
		return;
	err = malloc_finder__find(w->finder, tr->tgid, tr->interp, &file);
	if (err == -ENOENT) /* it is not mapped yet: the next refresh tries again */
		return;
	tr->moves_tried = true;
	err = err ? err : session__follow_moves(w->deps->session, tr->tgid, &file, &tr->moves);
	if (err)
		log_debug("process %d: moves of memory are not seen: %s", (int)tr->tgid, strerror(-err));
	else
		w->n++;
}

void move_watch__refresh(struct move_watch *w, const struct traced_table *table)
{
	struct traced *tr;

	for (tr = table->alive; tr && w->n < MAX_MOVE_WATCHES; tr = tr->hh_tgid.next) {
		if (tr->python && tr->busy && (!tr->forked || tr->use.cpu_ns > WORKER_CPU_NS))
			move_watch__begin(w, tr);
	}
}

void move_watch__end(struct move_watch *w, struct traced *tr)
{
	if (!tr->moves)
		return;
	session__unfollow_moves(w->deps->session, tr->moves);
	tr->moves = NULL;
	w->n--;
}
