/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cmd.h"

#define VERSION "0.1"

volatile sig_atomic_t cmd_stop;

static const struct cmd *const commands[] = { &cmd_doctor, &cmd_record, &cmd_report, &cmd_flamegraph };
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void on_stop(int sig)
{
	(void)sig;
	cmd_stop = 1;
}

static void usage(FILE *out)
{
	size_t i;

	fputs("pymemscope tells from the host which Python lines make containers grow.\n\n"
	      "usage: pymemscope COMMAND [OPTIONS]\n"
	      "       pymemscope --version\n\n",
	      out);
	for (i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-12s%s\n", commands[i]->name, commands[i]->summary);
	fputs("\n'pymemscope COMMAND --help' tells more. Start with:\n"
	      "  pymemscope record --container NAME -o out.pms   then   pymemscope report out.pms\n",
	      out);
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_stop };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("pymemscope " VERSION);
		return EXIT_OK;
	}
	for (i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(argv[1], commands[i]->name)) {
			catch_signals();
			return commands[i]->run(argc - 1, argv + 1);
		}
	}
	fprintf(stderr, "pymemscope: there is no command '%s'\nTry 'pymemscope --help'.\n", argv[1]);
	return EXIT_USAGE;
}
