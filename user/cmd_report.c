/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "model/recording.h"
#include "views/report.h"

static const struct {
	const char *name;
	enum report_by by;
} bys[] = {
	{ "container", REPORT_BY_CONTAINER }, { "process", REPORT_BY_PROCESS }, { "thread", REPORT_BY_THREAD },
	{ "function", REPORT_BY_FUNCTION },   { "line", REPORT_BY_LINE },
};

static bool parse_top(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || !value || value > UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

static bool parse_by(const char *text, enum report_by *ret)
{
	size_t i;

	for (i = 0; i < sizeof(bys) / sizeof(bys[0]); i++) {
		if (!strcmp(text, bys[i].name)) {
			*ret = bys[i].by;
			return true;
		}
	}
	return false;
}

static int print_report(const char *path, const struct report_opts *opts)
{
	struct profile *p;
	int err;

	err = recording__load(path, 0, 0, &p);
	if (err)
		return cmd_fail("%s: %s", path, recording__load_strerror(err));
	err = report__print(p, opts, stdout);
	profile__free(p);
	if (err == -ENOENT)
		return cmd_fail("%s has no container '%s'; 'pymemscope report --by container' lists them", path,
				opts->container);
	if (err == -EPIPE) /* `| head` has what it wants */
		return EXIT_FAILED;
	return err ? cmd_fail("cannot write the report: %s", strerror(-err)) : EXIT_OK;
}

/* With the value of the option as its argument. */
static const char *usage_of(int c)
{
	switch (c) {
	case 'b':
		return "'%s' is not a value of --by; give container, process, thread, function or line";
	case 'w':
		return "'%s' is not a value of --view; give live, alloc or peak";
	case 's':
		return "'%s' is not a value of --signal; give resident, heap, pinned, mapped or exact, or several with commas";
	case 'n':
		return "'%s' is not a value of --top; give a number of rows from 1 on";
	default:
		return "'%s' is not expected";
	}
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "by", required_argument, NULL, 'b' },	      { "json", no_argument, NULL, 'j' },
		{ "signal", required_argument, NULL, 's' },   { "view", required_argument, NULL, 'w' },
		{ "container", required_argument, NULL, 'c' }, { "top", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },	      {},
	};
	struct report_opts opts = { .by = REPORT_BY_LINE, .view = VIEW_LIVE };
	int c;

	while ((c = getopt_long(argc, argv, ":b:jn:h", options, NULL)) != -1) {
		if (c == 'h')
			return cmd_help(&cmd_report);
		if (c == ':' || c == '?')
			return cmd_usage_option(&cmd_report, c, argv);
		if (c == 'j')
			opts.json = true;
		else if (c == 'c')
			opts.container = optarg;
		else if (c == 'n' && parse_top(optarg, &opts.top))
			continue;
		else if (c == 'b' && parse_by(optarg, &opts.by))
			continue;
		else if (c == 'w' && cmd_parse_view(optarg, &opts.view))
			continue;
		else if (c == 's' && cmd_parse_kinds(optarg, &opts.kinds))
			continue;
		else
			return cmd_usage(&cmd_report, usage_of(c), optarg);
	}
	if (argc - optind != 1)
		return cmd_usage(&cmd_report, "one recording is wanted");
	return print_report(argv[optind], &opts);
}

const struct cmd cmd_report = {
	.name = "report",
	.summary = "tables of a recording: who holds the memory, on which line",
	.run = run,
	.help = "usage: pymemscope report FILE [OPTIONS]\n\n"
		"Prints who holds the memory in a recording.\n\n"
		"  --by WHAT         container, process, thread, function or line (default line)\n"
		"  --signal LIST     resident, heap or exact (default: exact if recorded, else resident); recorded with\n"
		"                    heap: pinned (free blocks, by whose live ones keep them), mapped (asked of the kernel)\n"
		"  --view VIEW       live (still held, default), alloc (all that was taken), peak (the most that was\n"
		"                    held at once, row by row)\n"
		"  --container NAME  only this container\n"
		"  --top N           rows to print (default 20)\n"
		"  --json            for programs\n\n"
		"examples:\n"
		"  pymemscope report out.pms --by function --top 10\n"
		"  pymemscope report out.pms --signal heap\n",
};
