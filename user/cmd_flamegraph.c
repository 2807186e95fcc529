/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "model/recording.h"
#include "views/flamegraph.h"
#include "views/select.h"

typedef int (*write_fn)(const struct profile *p, const struct flamegraph_opts *opts, FILE *out);

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

static write_fn writer_for(const char *path)
{
	if (ends_with(path, ".svg"))
		return flamegraph__svg;
	if (ends_with(path, ".folded"))
		return flamegraph__folded;
	return NULL;
}

/* Writes beside the file and renames, so that a failure leaves no half a picture. */
static int write_file(const struct profile *p, const struct flamegraph_opts *opts, const char *path, write_fn fn)
{
	char tmp[4096];
	FILE *f;
	int err;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	f = fopen(tmp, "we");
	if (!f)
		return -errno;
	err = fn(p, opts, f);
	if (fclose(f) && !err)
		err = -errno;
	if (!err && rename(tmp, path))
		err = -errno;
	if (err)
		unlink(tmp);
	return err;
}

static int draw(const char *in, const char *out, const struct flamegraph_opts *opts)
{
	write_fn fn = writer_for(out);
	struct profile *p;
	int err;

	if (!fn)
		return cmd_usage(&cmd_flamegraph, "'%s' ends neither in .svg nor in .folded", out);
	err = recording__load(in, 0, 0, &p);
	if (err)
		return cmd_fail("%s: %s", in, recording__load_strerror(err));
	if (opts->kinds && !(opts->kinds & select__recorded(p))) {
		profile__free(p);
		return cmd_fail("%s: nothing was recorded for this signal", in);
	}
	err = write_file(p, opts, out, fn);
	profile__free(p);
	if (err == -ENOENT && opts->container)
		return cmd_fail("%s has no container '%s'", in, opts->container);
	return err ? cmd_fail("cannot write %s: %s", out, strerror(-err)) : EXIT_OK;
}

/* With the value of the option as its argument. */
static const char *usage_of(int c)
{
	switch (c) {
	case 'w':
		return "'%s' is not a value of --view; give live, alloc or peak";
	case 's':
		return "'%s' is not a value of --signal; give resident, heap, pinned, mapped or exact, or several with commas";
	default:
		return "'%s' is not expected";
	}
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },    { "signal", required_argument, NULL, 's' },
		{ "view", required_argument, NULL, 'w' },      { "container", required_argument, NULL, 'c' },
		{ "title", required_argument, NULL, 't' },     { "help", no_argument, NULL, 'h' },
		{},
	};
	struct flamegraph_opts opts = { .view = VIEW_LIVE };
	const char *out = "flamegraph.svg";
	int c;

	while ((c = getopt_long(argc, argv, ":o:h", options, NULL)) != -1) {
		if (c == 'h')
			return cmd_help(&cmd_flamegraph);
		if (c == ':' || c == '?')
			return cmd_usage_option(&cmd_flamegraph, c, argv);
		if (c == 'o')
			out = optarg;
		else if (c == 'c')
			opts.container = optarg;
		else if (c == 't')
			opts.title = optarg;
		else if (c == 'w' && cmd_parse_view(optarg, &opts.view))
			continue;
		else if (c == 's' && cmd_parse_kinds(optarg, &opts.kinds))
			continue;
		else
			return cmd_usage(&cmd_flamegraph, usage_of(c), optarg);
	}
	if (argc - optind != 1)
		return cmd_usage(&cmd_flamegraph, "one recording is wanted");
	return draw(argv[optind], out, &opts);
}

const struct cmd cmd_flamegraph = {
	.name = "flamegraph",
	.summary = "a picture of a recording: .svg, or .folded for other tools",
	.run = run,
	.help = "usage: pymemscope flamegraph FILE [-o OUT] [OPTIONS]\n\n"
		"Draws the stacks of a recording, as wide as the memory they hold.\n\n"
		"  -o, --output OUT  .svg (zoom, search, tooltip) or .folded (default flamegraph.svg)\n"
		"  --signal LIST     resident, heap or exact (default: exact if recorded, else resident); recorded with\n"
		"                    heap: pinned (free blocks, by whose live ones keep them), mapped (asked of the kernel)\n"
		"  --view VIEW       live (still held, default), alloc (all that was taken), peak (the most that was\n"
		"                    held at once, row by row)\n"
		"  --container NAME  only this container\n"
		"  --title TEXT      what stands above it\n\n"
		"examples:\n"
		"  pymemscope flamegraph out.pms -o out.svg\n"
		"  pymemscope flamegraph out.pms --signal heap --view alloc -o out.folded\n",
};
