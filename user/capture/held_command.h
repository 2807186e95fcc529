/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A command that we run to trace it is stopped by the kernel side at each exec, and at the first own instruction of
 * the new program, until it has become Python and all is found that is looked for in it: at its exec a static
 * interpreter is there to be found; libraries are mapped when the program's own first instruction is reached. Zeroed
 * memory holds nobody. No errors: what cannot be held runs on and is looked at when it can be.
 */
#ifndef CAPTURE_HELD_COMMAND_H
#define CAPTURE_HELD_COMMAND_H

#include "capture/traced.h"
#include "system/proc.h"

struct held_command {
	struct session *session;
	pid_t tgid; /* 0: nobody is held (any more) */
	struct traced *stopped; /* whom we stopped; not owned */
};

/* Whether the process is the one that is held at its execs. */
bool held_command__holds(const struct held_command *h, pid_t tgid);
void held_command__begin(struct held_command *h, struct session *session, pid_t tgid);
/*
 * After its exec was looked at. all_found: nothing is left to look for. tr is of another process or none: does
 * nothing.
 */
void held_command__at_exec(struct held_command *h, struct traced *tr, bool all_found);
/* The same at its first own instruction. */
void held_command__at_entry(struct held_command *h, struct traced *tr);
/* Lets go again whom a late stop has caught. */
void held_command__upkeep(struct held_command *h, const struct proc *proc);

#endif
