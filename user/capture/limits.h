/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How much the tracer itself may keep, whatever the traced programs do: one place for all of it. The kernel side's share is
 * in include/bounds.h; with both at their limit, and the fixed part (libraries, the ring, SQLite), all together stay below
 * 112 MiB. What goes beyond a limit is merged (a stack into its caller, an ended process into another of the same command) or
 * forgotten and asked for again, and is counted: the summary and every report show the counts.
 */
#ifndef CAPTURE_LIMITS_H
#define CAPTURE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "model/profile.h"

struct capture_limits {
	struct profile_limits profile; /* zeros: its own defaults */
	uint32_t stacks; /* names of stacks kept; 48 bytes each. Those not seen for longest are forgotten, and sent again */
	size_t code_bytes; /* names and line tables of code objects; forgotten ones are read again */
	uint32_t nodes_process; /* stacks and their callers that one process may add to the tree of all */
	uint32_t threads_process; /* threads of one process that are told apart; further ones are one */
	uint32_t ended_alike; /* ended processes of the same container and command that are told apart */
	uint32_t processes; /* in all; beyond, any ended one of the same container gives its place */
	uint32_t containers; /* in all; further ones are one, for each is looked at as long as the recording lasts */
	uint64_t attach_ns; /* for attaching probes at a time, before the next records are read */
	uint64_t settle_ns; /* ended processes are settled together, so often */
};

#define CAPTURE_LIMITS_DEFAULT                                                                                            \
	{                                                                                                                 \
		.stacks = 1 << 16, .code_bytes = 16 << 20, .nodes_process = 1 << 16, .threads_process = 256,              \
		.ended_alike = 64, .processes = 4096, .containers = 1024, .attach_ns = 50000000, .settle_ns = 200000000,  \
	}

#endif
