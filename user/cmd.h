/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The commands. Each takes its own arguments (argv[0] is the command's name) and returns the exit code: EXIT_OK,
 * EXIT_FAILED after one sentence on stderr, EXIT_USAGE after a usage error; record also that of the command it ran.
 */
#ifndef CMD_H
#define CMD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct cmd {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
	const char *help; /* usage, options, an example */
};

extern const struct cmd cmd_doctor, cmd_record, cmd_report, cmd_flamegraph;

/* Set by SIGINT and SIGTERM. */
extern volatile sig_atomic_t cmd_stop;

/* For every command: prints help to stdout. */
int cmd_help(const struct cmd *c);
/* Prints "pymemscope CMD: message" and how to get help; returns EXIT_USAGE. */
int cmd_usage(const struct cmd *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* After getopt_long returned c, ':' or '?' (with a ':' before its short options, so that it prints nothing itself). */
int cmd_usage_option(const struct cmd *cmd, int c, char **argv);
/* Prints "pymemscope: message"; returns EXIT_FAILED. */
int cmd_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "live", "grown"/"alloc", "peak". False: none of them. */
bool cmd_parse_view(const char *text, enum profile_view *ret);
/* Signals "resident,gc", as a bit mask of enum signal. False: a name is not known. */
bool cmd_parse_signals(const char *text, uint32_t *ret);
/* The same for what a view can show: signals of memory. */
bool cmd_parse_kinds(const char *text, uint32_t *ret);
/* "30s", "5m", "1h", "2.5" (seconds), in ns. False: not a duration. */
bool cmd_parse_duration(const char *text, uint64_t *ret);

/* Checks that the kernel and our rights allow tracing; 0 or cmd_fail. */
int cmd_check_host(void);

#endif
