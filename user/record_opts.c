/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * See record_opts.h. What each option means to people is said by the command's help (cmd_record.c).
 */
#include "record_opts.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cmd.h"

static bool parse_hook(const char *text, enum fault_hook *ret)
{
	enum fault_hook hook;

	for (hook = FAULT_HOOK_AUTO; hook <= FAULT_HOOK_PERF; hook++) {
		if (!strcmp(text, fault_hook__name(hook))) {
			*ret = hook;
			return true;
		}
	}
	return false;
}

static bool parse_tgid(const char *text, pid_t *ret)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (end == text || *end || v <= 0 || v > 1 << 22)
		return false;
	*ret = v;
	return true;
}

/* "1%", "0.5%", "none". */
static bool parse_budget(const char *text, double *ret)
{
	char *end;
	double percent = strtod(text, &end);

	if (!strcmp(text, "none")) {
		*ret = 0;
		return true;
	}
	if (end == text || (*end && strcmp(end, "%")) || !(percent > 0) || percent > 100)
		return false;
	*ret = percent / 100;
	return true;
}

static bool parse_option(struct record_opts *o, int c, const char *value)
{
	switch (c) {
	case 'c':
		o->container = value;
		return true;
	case 'g':
		o->cgroup = value;
		return true;
	case 'p':
		return parse_tgid(value, &o->tgid);
	case 'o':
		o->output = value;
		return true;
	case 's':
		return cmd_parse_signals(value, &o->signals);
	case 'd':
		return cmd_parse_duration(value, &o->duration_ns);
	case 'b':
		return parse_budget(value, &o->budget);
	case 'f':
		return parse_hook(value, &o->fault_hook);
	case 'v':
		log_set_level(LOG_DEBUG);
		return true;
	default:
		return false;
	}
}

/* With the value of the option as its argument. */
static const char *usage_of(int c)
{
	switch (c) {
	case 'p':
		return "'%s' is not a process number";
	case 's':
		return "'%s' is not a value of --signals; give resident, heap, gc or exact, or several with commas";
	case 'd':
		return "'%s' is not a value of --duration; give 30s, 5m or 1h";
	case 'b':
		return "'%s' is not a value of --budget; give more than 0%% and at most 100%%, or none";
	case 'f':
		return "'%s' is not a value of --fault-hook; give fentry, kprobe, tracepoint or perf";
	default:
		return "'%s' is not expected";
	}
}

int record_opts__parse(struct record_opts *o, int argc, char **argv, bool *help)
{
	static const struct option options[] = {
		{ "container", required_argument, NULL, 'c' },	{ "cgroup", required_argument, NULL, 'g' },
		{ "pid", required_argument, NULL, 'p' },	{ "output", required_argument, NULL, 'o' },
		{ "signals", required_argument, NULL, 's' },	{ "duration", required_argument, NULL, 'd' },
		{ "fault-hook", required_argument, NULL, 'f' }, { "budget", required_argument, NULL, 'b' },
		{ "verbose", no_argument, NULL, 'v' },		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "+:p:o:vh", options, NULL)) != -1) {
		*help = c == 'h';
		if (*help)
			return 0;
		if (c == ':' || c == '?')
			return cmd_usage_option(&cmd_record, c, argv);
		if (!parse_option(o, c, optarg))
			return cmd_usage(&cmd_record, usage_of(c), optarg);
	}
	if (optind < argc && strcmp(argv[optind - 1], "--"))
		return cmd_usage(&cmd_record, "'%s' is not expected here; a command to run goes after --", argv[optind]);
	o->command = optind < argc ? argv + optind : NULL;
	if (!o->command && !strcmp(argv[optind - 1], "--"))
		return cmd_usage(&cmd_record, "a command to run goes after --");
	if (o->container && !*o->container)
		return cmd_usage(&cmd_record, "the container's name is empty");
	if (!!o->container + !!o->cgroup + !!o->tgid + !!o->command > 1)
		return cmd_usage(&cmd_record, "give one target: --container, --cgroup, --pid or -- COMMAND");
	return 0;
}
