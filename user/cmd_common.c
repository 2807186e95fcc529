/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What commands share: messages, parsing of option values, the check of the host. */
#include "cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "records.h"

int cmd_help(const struct cmd *c)
{
	return printf("%s", c->help) < 0 || fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

int cmd_usage(const struct cmd *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "pymemscope %s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry 'pymemscope %s --help'.\n", c->name);
	return EXIT_USAGE;
}

int cmd_usage_option(const struct cmd *cmd, int c, char **argv)
{
	return cmd_usage(cmd, c == ':' ? "'%s' lacks its value" : "'%s' is no option, or one that takes no value",
			 argv[optind - 1]);
}

int cmd_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("pymemscope: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

bool cmd_parse_view(const char *text, enum profile_view *ret)
{
	if (!strcmp(text, "live"))
		*ret = VIEW_LIVE;
	else if (!strcmp(text, "alloc") || !strcmp(text, "grown"))
		*ret = VIEW_ALLOC;
	else if (!strcmp(text, "peak"))
		*ret = VIEW_PEAK;
	else
		return false;
	return true;
}

static const struct {
	const char *name;
	enum signal signal;
	uint32_t kinds;
} signal_names[] = {
	{ "resident", SIGNAL_RESIDENT,
	  1u << KIND_RESIDENT_ANON | 1u << KIND_RESIDENT_FILE | 1u << KIND_RESIDENT_SHMEM },
	{ "heap", SIGNAL_HEAP, 1u << KIND_HEAP_POOL | 1u << KIND_HEAP_LARGE },
	{ "exact", SIGNAL_EXACT, 1u << KIND_EXACT },
	{ "gc", SIGNAL_GC, 0 },
	/* Parts of heap; only to be looked at by themselves. */
	{ "pinned", SIGNAL_MAX, 1u << KIND_HEAP_PINNED },
	{ "mapped", SIGNAL_MAX, 1u << KIND_MAPPED_ARENA | 1u << KIND_MAPPED_ANON | 1u << KIND_MAPPED_SHARED | 1u << KIND_MAPPED_BRK },
};
#define N_SIGNALS (sizeof(signal_names) / sizeof(signal_names[0]))

/* What a name stands for; 0: nothing. */
static uint32_t signal_of_name(size_t i)
{
	return signal_names[i].signal == SIGNAL_MAX ? 0 : 1u << signal_names[i].signal;
}

static uint32_t kinds_of_name(size_t i)
{
	return signal_names[i].kinds;
}

/* Names with commas between them. */
static bool parse_names(const char *text, uint32_t (*bits_of)(size_t i), uint32_t *ret)
{
	uint32_t mask = 0;
	size_t i, len;

	for (;; text++) {
		len = strcspn(text, ",");
		for (i = 0; i < N_SIGNALS; i++) {
			if (strlen(signal_names[i].name) == len && !strncmp(text, signal_names[i].name, len))
				break;
		}
		if (i == N_SIGNALS || !bits_of(i))
			return false;
		mask |= bits_of(i);
		text += len;
		if (!*text)
			break;
	}
	*ret = mask;
	return true;
}

bool cmd_parse_signals(const char *text, uint32_t *ret)
{
	return parse_names(text, signal_of_name, ret);
}

bool cmd_parse_kinds(const char *text, uint32_t *ret)
{
	return parse_names(text, kinds_of_name, ret);
}

bool cmd_parse_duration(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "", 1e9 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "min", 60e9 }, { "h", 3600e9 } };
	char *end;
	double v = strtod(text, &end);
	size_t i;

	if (end == text || !(v > 0) || v > 1e9)
		return false;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(end, units[i].unit)) {
			*ret = v * units[i].ns;
			return true;
		}
	}
	return false;
}

/* CAP_SYS_ADMIN (21), or CAP_BPF (39), CAP_PERFMON (38) and CAP_SYS_PTRACE (19): linux/capability.h. */
static bool has_capabilities(void)
{
	const uint64_t fine = 1ull << 39 | 1ull << 38 | 1ull << 19;
	unsigned long long eff = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "CapEff: %llx", &eff) == 1)
			break;
	}
	if (f)
		fclose(f);
	return eff & 1ull << 21 || (eff & fine) == fine;
}

int cmd_check_host(void)
{
	if (!has_capabilities())
		return cmd_fail("tracing needs root (or the capabilities BPF, PERFMON and SYS_PTRACE); run it with sudo");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return cmd_fail("this kernel has no type information (/sys/kernel/btf/vmlinux); boot one built with "
				"CONFIG_DEBUG_INFO_BTF, as the distributions' kernels since 5.10 are");
	return 0;
}
