/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/traced.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <utlist.h>

#include "capture/native_frames.h"

void traced_table__add(struct traced_table *table, struct traced *tr)
{
	HASH_ADD(hh, table->by_id, proc_id, sizeof(tr->proc_id), tr);
	HASH_ADD(hh_tgid, table->alive, tgid, sizeof(tr->tgid), tr);
}

struct traced *traced_table__find(const struct traced_table *table, uint32_t proc_id)
{
	struct traced *tr;

	HASH_FIND(hh, table->by_id, &proc_id, sizeof(proc_id), tr);
	return tr;
}

struct traced *traced_table__find_alive(const struct traced_table *table, pid_t tgid)
{
	struct traced *tr;

	HASH_FIND(hh_tgid, table->alive, &tgid, sizeof(tgid), tr);
	return tr;
}

uint32_t traced_table__n_alive(const struct traced_table *table)
{
	return HASH_CNT(hh_tgid, table->alive);
}

/* So many that run are no crowd, and never is more saved than this. */
#define FEW 2
#define MOST_SAVED 6

double traced_table__crowd(const struct traced_table *table)
{
	return fmin(fmax((double)table->n_running / FEW, 1), MOST_SAVED);
}

void traced_table__is_python(struct traced_table *table, struct traced *tr)
{
	if (tr->python)
		return;
	tr->python = true;
	table->n_python++;
	table->n_python_alive += !tr->ended;
}

void traced_table__retry_at(struct traced_table *table, struct traced *tr, uint64_t at_ns)
{
	if (!tr->retry_at_ns && at_ns)
		DL_APPEND2(table->retrying, tr, prev_retry, next_retry);
	if (tr->retry_at_ns && !at_ns)
		DL_DELETE2(table->retrying, tr, prev_retry, next_retry);
	tr->retry_at_ns = at_ns;
}

void traced_table__end(struct traced_table *table, struct traced *tr, bool exec)
{
	if (tr->ended)
		return;
	tr->ended = true;
	tr->replaced = exec;
	HASH_DELETE(hh_tgid, table->alive, tr);
	table->n_python_alive -= tr->python;
	traced_table__retry_at(table, tr, 0);
	LL_PREPEND2(table->unsettled, tr, next_unsettled);
	session_links__free(tr->links);
	session_links__free(tr->entry);
	tr->links = tr->entry = NULL;
}

void traced_table__forget(struct traced_table *table, struct traced *tr)
{
	HASH_DEL(table->by_id, tr);
	session_links__free(tr->links);
	session_links__free(tr->entry);
	pagemap__free(tr->pagemap);
	native_process__free(tr->native);
	resident_lines__free(&tr->lines);
	free(tr->tids);
	free(tr->interp);
	free(tr);
}

void traced_table__clear(struct traced_table *table)
{
	struct traced *tr, *next;

	HASH_CLEAR(hh_tgid, table->alive);
	HASH_ITER(hh, table->by_id, tr, next) {
		traced__let_go(tr);
		traced_table__forget(table, tr);
	}
	*table = (struct traced_table){};
}

void traced__let_go(const struct traced *tr)
{
	if (tr->held)
		kill(tr->tgid, SIGCONT);
}

uint32_t traced__trap_ns(const struct traced *tr, const struct session *session, enum cost_part part)
{
	return tr->trap_ns[part] ? tr->trap_ns[part] : session__probe_costs(session)->emulated_ns;
}

int traced__tell_kernel(const struct traced *tr, struct session *session, uint32_t signals)
{
	struct target target = {
		.proc_id = tr->proc_id,
		.interp = tr->interp ? tr->interp_slot : INTERP_NONE,
		.signals = signals | 1u << SIGNAL_CODE,
		.tss_key = -1,
		.runtime = tr->interp ? tr->interp->runtime : 0,
		.family = tr->proc_id,
		.text_begin = tr->interp ? tr->interp->text_begin : 0,
		.text_bytes = tr->interp ? tr->interp->text_bytes : 0,
	};

	return session__add_target(session, tr->tgid, &target, &tr->budget);
}

void traced__note_thinned(struct traced *tr, const struct target_state *state)
{
	tr->thinned |= state->fault_shift || state->move_shift;
}

void traced__note(const struct traced *tr, struct profile *profile, const char *note)
{
	struct profile_process p = *profile__process(profile, tr->process);

	p.note = note;
	profile__update_process(profile, tr->process, &p);
}
