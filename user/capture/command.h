/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A command that we run to trace it: started, but held before its first instruction until tracing is ready.
 */
#ifndef CAPTURE_COMMAND_H
#define CAPTURE_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

struct command;

/* Whether execvp(3) would find a program to execute. -ENOENT, -EACCES. */
int command__find(const char *name);

/* Forks; the child waits before exec. argv ends with NULL. */
int command__prepare(char **argv, struct command **ret);
/* Lets it exec and returns when it has. -ENOENT, -EACCES, ...: it cannot be executed. */
int command__go(struct command *c);
pid_t command__pid(const struct command *c);
/* True once it has ended. */
bool command__ended(struct command *c);
/* Of one that has ended: its exit status, or 128 and the signal that it died of, as a shell says it. */
int command__status(const struct command *c);
/* Does not end the command, but for one that was never let go. */
void command__free(struct command *c);

#endif
