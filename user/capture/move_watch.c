/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/move_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "system/mapping_sites.h"

/* A forked worker that has used so much CPU time is not one that lives for a moment. */
#define WORKER_CPU_NS 300000000ull
/* A burst of moves that is passed over, as cost. */
#define BURST_NS 25000000ull

struct move_watch {
	const struct tracker_deps *deps;
	double budget;
	struct mapping_finder *finder;
	unsigned int n;
};

int move_watch__new(const struct tracker_deps *deps, struct mapping_finder *finder, double budget, struct move_watch **ret)
{
	struct move_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->deps = deps;
	w->finder = finder;
	w->budget = budget;
	*ret = w;
	return 0;
}

void move_watch__free(struct move_watch *w)
{
	free(w);
}

void move_watch__begin(struct move_watch *w, struct traced *tr)
{
	const struct probe_costs *costs = session__probe_costs(w->deps->session);
	struct mapping_file file;
	int err;

	if (tr->moves || tr->moves_tried || !tr->interp || w->n == MAX_MOVE_WATCHES)
		return;
	err = mapping_finder__find(w->finder, tr->tgid, tr->interp->host_path, &file);
	if (err == -ENOENT) /* it is not mapped yet: the next refresh tries again */
		return;
	tr->moves_tried = true;
	err = err ? err : session__follow_moves(w->deps->session, tr->tgid, &file, &tr->moves_link);
	if (err) {
		log_debug("process %d: moves of memory are not seen: %s", (int)tr->tgid, strerror(-err));
		return;
	}
	tr->moves = true;
	tr->trap_ns[COST_MOVE] = file.site[MAP_CALL_MREMAP].emulated ? costs->emulated_ns : costs->stepped_ns;
	w->n++;
}

static bool is_too_dear(const struct move_watch *w, struct traced *tr)
{
	uint64_t cost_ns = tr->moves_ns - tr->moves_seen_ns, cpu_ns = tr->use.cpu_ns - tr->moves_seen_cpu_ns;

	tr->moves_seen_ns = tr->moves_ns;
	tr->moves_seen_cpu_ns = tr->use.cpu_ns;
	return w->budget && cost_ns > BURST_NS + w->budget * cpu_ns;
}

void move_watch__refresh(struct move_watch *w, struct traced_table *table)
{
	struct traced *tr;

	for (tr = table->alive; tr; tr = tr->hh_tgid.next) {
		if (tr->moves && is_too_dear(w, tr)) {
			move_watch__end(w, tr);
			traced__note(tr, w->deps->profile, "memory is moved too often to be followed: lines of memory that was moved are guesses");
		}
		if (tr->python && tr->busy && (!tr->forked || tr->use.cpu_ns > WORKER_CPU_NS))
			move_watch__begin(w, tr);
	}
}

void move_watch__end(struct move_watch *w, struct traced *tr)
{
	if (!tr->moves)
		return;
	session__unwatch(w->deps->session, tr->moves_link);
	tr->moves = false;
	w->n--;
}
