/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/held_command.h"

#include <stdio.h>
#include <utlist.h>

#include "system/elf_file.h"

void held_command__begin(struct held_command *h, struct session *session, pid_t tgid)
{
	h->session = session;
	h->tgid = tgid;
	session__hold_execs(session, tgid);
}

bool held_command__holds(const struct held_command *h, pid_t tgid)
{
	return h->tgid && h->tgid == tgid;
}

static void end_holding(struct held_command *h)
{
	h->tgid = 0;
	session__hold_execs(h->session, 0);
}

static void is_stopped(struct held_command *h, struct traced *tr)
{
	if (tr->held)
		return;
	tr->held = true;
	LL_PREPEND2(h->stopped, tr, next_held);
}

static void attach_entry(struct held_command *h, struct traced *tr)
{
	struct elf_file *f;
	char path[64];
	uint64_t offset;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)tr->tgid);
	if (elf_file__open(path, &f))
		return;
	if (!elf_file__entry(f, &offset))
		session__attach_entry(h->session, tr->tgid, path, offset, &tr->entry);
	elf_file__free(f);
}

void held_command__at_exec(struct held_command *h, struct traced *tr, bool all_found)
{
	if (!tr || !h->tgid || tr->tgid != h->tgid)
		return;
	is_stopped(h, tr);
	if (all_found)
		end_holding(h);
	else
		attach_entry(h, tr);
	traced__let_go(tr);
}

void held_command__at_entry(struct held_command *h, struct traced *tr)
{
	is_stopped(h, tr);
	session_links__free(tr->entry);
	tr->entry = NULL;
	if (tr->python && h->tgid)
		end_holding(h);
	traced__let_go(tr);
}

void held_command__upkeep(struct held_command *h, const struct proc *proc)
{
	struct traced *tr, *next;
	struct proc_stat stat;

	LL_FOREACH_SAFE2(h->stopped, tr, next, next_held) {
		if (!proc__stat(proc, tr->tgid, &stat) && stat.state == 'T') {
			traced__let_go(tr);
		} else if (!tr->entry) {
			tr->held = false;
			LL_DELETE2(h->stopped, tr, next_held);
		}
	}
}
