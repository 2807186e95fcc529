/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The command line of record.
 */
#ifndef RECORD_OPTS_H
#define RECORD_OPTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/session.h"

/* Texts are argv's. At most one of container, cgroup, tgid and command is given. */
struct record_opts {
	const char *container, *cgroup, *output;
	pid_t tgid;
	char **command;
	uint32_t signals;
	uint64_t duration_ns; /* 0: no end */
	double budget; /* share of the targets' CPU time; 0: no limit */
	enum fault_hook fault_hook;
};

#define RECORD_OPTS_DEFAULT {                                                              \
	.output = "out.pms",                                                               \
	.signals = 1u << SIGNAL_RESIDENT | 1u << SIGNAL_HEAP | 1u << SIGNAL_GC,            \
	.budget = 0.01,                                                                    \
}

/* 0, or EXIT_USAGE after a usage error. *help: asked for, and the rest was not read. */
int record_opts__parse(struct record_opts *o, int argc, char **argv, bool *help);

#endif
