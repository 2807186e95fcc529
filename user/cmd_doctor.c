/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* doctor: what this host, and an interpreter, allow. Attaches nothing. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "capture/large_cost.h"
#include "capture/session.h"
#include "cmd.h"
#include "containers/cgroup.h"
#include "python/coverage.h"
#include "python/gc_state.h"
#include "python/interp.h"
#include "python/malloc_sites.h"
#include "system/mapping_sites.h"
#include "system/proc.h"
#include "system/uprobe_multi.h"
#include "views/collector_facts.h"
#include "views/human.h"

static void say(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("%-18s", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static int check_host(void)
{
	struct cgroups *cg = NULL;
	struct utsname u;
	int ret;

	uname(&u);
	say("kernel", "%s %s", u.release, u.machine);
	ret = cmd_check_host();
	if (ret)
		return ret;
	say("type information", "/sys/kernel/btf/vmlinux");
	say("page faults", "%s", fault_hook__name(session__probe_fault_hook()));
	say("cgroups", "%s", cgroups__new(NULL, &cg) ? "none mounted" : cgroups__mode(cg));
	cgroups__free(cg);
	return 0;
}

static const char *const kind_names[] = {
	[PROBE_MALLOC] = "allocate",	    [PROBE_CALLOC] = "allocate zeroed", [PROBE_REALLOC] = "resize",
	[PROBE_FREE] = "free",		    [PROBE_GC] = "collector",		[PROBE_GC_USDT] = "collector (USDT)",
	[PROBE_GC_USDT_DONE] = "collector (USDT)",
	[PROBE_GC_COLLECT] = "call of gc.collect",
	[PROBE_GC_API] = "call from C",
	[PROBE_GUARD] = "inlined",
	[PROBE_POOL_OPENER] = "pool taken",
	[PROBE_POOL_OPEN] = "pool taken",
	[PROBE_RAW_TAIL] = "resize large",
	[PROBE_RAW_RETURN] = "large block",
};

/* How this machine probes, and what a hit costs on it. */
struct probing {
	enum probe_links links;
	struct probe_costs costs;
};

static enum probe_links links_of_kernel(void)
{
	switch (uprobe_multi__probe()) {
	case UPROBE_MULTI_NONE:
		return PROBE_LINKS_SINGLE;
	case UPROBE_MULTI_WITH_SESSION:
		return PROBE_LINKS_SESSION;
	default:
		return PROBE_LINKS_MANY;
	}
}

static const char *signal_name(enum signal signal)
{
	return signal == SIGNAL_GC ? "gc" : signal == SIGNAL_HEAP ? "heap" : "exact";
}

static const char *way_of(const char *insn, bool emulated)
{
	return !insn[0] ? "" : emulated ? ": emulated, " : ": single-stepped, ";
}

/* Where a probe stands, and what it costs. */
static void say_site(const char *signal, const char *kind, const char *symbol, uint32_t into, uint64_t offset, const char *insn, bool emulated,
		     unsigned int ns)
{
	say("", "%-5s %-18s %s+%u (file offset 0x%llx) %s%sabout %u.%02u us a hit", signal, kind, symbol, into, (unsigned long long)offset,
	    insn, way_of(insn, emulated), ns / 1000, ns % 1000 / 10);
}

/* A malloc's return is asked for seldom, where it can be; but of the raw domain, always. */
static void show_site(const struct probe_site *s, const struct probing *how)
{
	bool usdt = s->kind == PROBE_GC_USDT || s->kind == PROBE_GC_USDT_DONE;
	bool seldom = !s->spec.is_raw && (s->kind == PROBE_MALLOC || s->kind == PROBE_CALLOC);
	unsigned int ns = s->emulated || usdt ? how->costs.emulated_ns : how->costs.stepped_ns;

	if (s->returns && !(how->links == PROBE_LINKS_SESSION && seldom))
		ns += how->costs.return_ns;
	say_site(signal_name(s->signal), kind_names[s->kind], s->symbol, s->into, s->offset, s->insn, s->emulated, ns);
}

/* Hundreds of places inside other functions: how many of each kind. */
static void show_inner_sites(const struct probe_site *sites, size_t n, enum probe_kind kind, const struct probing *how)
{
	size_t i, all = 0, emulated = 0;

	for (i = 0; i < n; i++) {
		all += sites[i].kind == kind;
		emulated += sites[i].kind == kind && sites[i].emulated;
	}
	if (all)
		say("", "exact %-18s %zu places, %zu of them emulated (about %u.%02u us a hit, else %u.%02u)", kind_names[kind],
		    all, emulated, how->costs.emulated_ns / 1000, how->costs.emulated_ns % 1000 / 10,
		    how->costs.stepped_ns / 1000, how->costs.stepped_ns % 1000 / 10);
}

static void show_coverage(const struct probe_site *sites, size_t n, const struct probe_sites_info *info,
			  const struct allocator_chain chains[ALLOC_DOMAINS])
{
	static const struct {
		enum signal signal;
		const char *name;
	} signals[] = {
		{ SIGNAL_RESIDENT, "resident" }, { SIGNAL_HEAP, "heap" }, { SIGNAL_EXACT, "exact" }, { SIGNAL_GC, "gc" },
	};
	char share[32];

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct coverage c;

		coverage__derive(signals[i].signal, sites, n, info, &c);
		coverage__with_allocator(signals[i].signal, &chains[DOMAIN_OBJ], &c);
		coverage__with_raw(signals[i].signal, &chains[DOMAIN_RAW], &c);
		human__share(c.part, c.whole, share, sizeof(share));
		say(i ? "" : "coverage", "%-8s %s, derived: %s", signals[i].name, share, c.text);
	}
}

/* Where nothing is known of them, they are taken for what the file begins with. */
static void show_allocators(pid_t tgid, const struct interp *in, const struct elf_file *f,
			    struct allocator_chain ret[ALLOC_DOMAINS])
{
	struct mem_reader m = mem_reader__of_process(tgid);
	struct code_places *places = NULL;
	char text[ALLOCATOR_TEXT_BYTES];
	struct allocator_words words;
	struct allocator_file file;
	struct proc *proc = NULL;

	ret[DOMAIN_MEM] = ret[DOMAIN_OBJ] = (struct allocator_chain){ .base = ALLOCATOR_PYMALLOC };
	ret[DOMAIN_RAW] = (struct allocator_chain){ .base = ALLOCATOR_MALLOC };
	if (!allocator_file__examine(f, in->version, &file) && !allocator_words__read(&m, &file, in->load_bias, &words) &&
	    !proc__open(NULL, &proc) && !code_places__of_process(proc, tgid, in->path, &places)) {
		for (int d = 0; d < ALLOC_DOMAINS; d++)
			allocator_chain__follow(&m, &words, d, &file, in->load_bias, places, &ret[d]);
		say("allocator", "%s", allocator_chain__text(&ret[DOMAIN_OBJ], text));
		if (ret[DOMAIN_RAW].place[0] && strcmp(ret[DOMAIN_RAW].place, ret[DOMAIN_OBJ].place))
			say("", "domain raw: %s", allocator_chain__text(&ret[DOMAIN_RAW], text));
	} else {
		say("allocator", "cannot be read");
	}
	code_places__free(places);
	proc__free(proc);
}

static void show_sites_of(enum signal signal, const struct probe_site *sites, size_t n, const struct probing *how)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		if (sites[i].signal != signal)
			continue;
		any = true;
		if (sites[i].kind != PROBE_GUARD && sites[i].kind != PROBE_RAW_RETURN)
			show_site(&sites[i], how);
	}
	if (!any && signal != SIGNAL_HEAP)
		say("", "%-5s none was found", signal_name(signal));
}

/* Pools tell how much; which line took it is asked at the sites of the exact signal, for moments. */
static void show_heap_sites(const struct probe_site *sites, size_t n, const struct probe_sites_info *info,
			    const struct probing *how, const struct allocator_chain *allocator)
{
	show_sites_of(SIGNAL_HEAP, sites, n, how);
	if (info->why_no_pools)
		say("", "heap  %-18s none: %s", kind_names[PROBE_POOL_OPEN], info->why_no_pools);
	if (allocator->base != ALLOCATOR_PYMALLOC && allocator->base != ALLOCATOR_UNKNOWN)
		say("", "heap  %-18s are not pymalloc's: no pool is taken, and no window sees them", "small blocks");
	else if (how->links == PROBE_LINKS_SINGLE)
		say("", "heap  %-18s none: this kernel cannot attach to so many places", "line, by windows");
	else if (info->inlined)
		say("", "heap  %-18s at the sites of exact, for moments", "line, by windows");
	else
		say("", "heap  %-18s none: %s", "line, by windows", info->why ? info->why : "its code is not understood");
}

static void show_sites(pid_t tgid, const struct interp *in, const struct probing *how)
{
	struct probe_site *sites = calloc(MAX_PROBE_SITES, sizeof(*sites));
	struct allocator_chain chains[ALLOC_DOMAINS];
	struct probe_sites_info info;
	struct elf_file *f;
	size_t n;

	if (!sites || elf_file__open(in->host_path, &f)) {
		free(sites);
		return;
	}
	n = probe_sites__find(f, in->version, 1u << SIGNAL_EXACT | 1u << SIGNAL_GC | 1u << SIGNAL_HEAP, how->links, sites,
			      MAX_PROBE_SITES, &info);
	show_allocators(tgid, in, f, chains);
	say("probe sites", "of %s", in->path);
	show_sites_of(SIGNAL_EXACT, sites, n, how);
	show_inner_sites(sites, n, PROBE_GUARD, how);
	show_inner_sites(sites, n, PROBE_RAW_RETURN, how);
	show_sites_of(SIGNAL_GC, sites, n, how);
	show_heap_sites(sites, n, &info, how, &chains[DOMAIN_OBJ]);
	show_coverage(sites, n, &info, chains);
	elf_file__free(f);
	free(sites);
}

static void show_collector(pid_t tgid, const struct interp *in)
{
	struct mem_reader m = mem_reader__of_process(tgid);
	struct profile_collector c = {};
	char setting[COLLECTOR_SETTING_LEN], cnt[32] = "not counted:";
	struct gc_state s;
	uint64_t frozen;
	int err = gc_state__read(&m, in->runtime, &in->layout, &s);

	if (err) {
		say("collector", "cannot be read%s", err == -ENOTSUP ? ": this build keeps it otherwise" : "");
		return;
	}
	c.enabled = s.enabled;
	c.has_counts = s.has_counts;
	memcpy(c.threshold, s.threshold, sizeof(c.threshold));
	if (!gc_state__count_frozen(&m, &s, &frozen))
		human__count(frozen, cnt, sizeof(cnt));
	say("collector", "%s; %s objects frozen", collector__setting(&c, setting, sizeof(setting)), cnt);
	if (s.has_counts)
		say("", "counts %d, %d, %d", s.count[0], s.count[1], s.count[2]);
	for (int g = 0; g < GC_GENERATIONS; g++)
		say("", "generation %d: %lld collections, %lld objects collected, %lld uncollectable", g,
		    (long long)s.collections[g], (long long)s.collected[g], (long long)s.uncollectable[g]);
}

static const char *const large_names[] = {
	[LARGE_MALLOC] = "allocate",
	[LARGE_CALLOC] = "allocate zeroed",
	[LARGE_REALLOC] = "resize",
	[LARGE_FREE] = "free",
};

/* C code calls the others seldom. */
static bool is_often_called(const struct malloc_site *s)
{
	return !strcmp(s->symbol, "malloc") || !strcmp(s->symbol, "calloc") || !strcmp(s->symbol, "realloc") ||
	       !strcmp(s->symbol, "free");
}

/* Where the kernel takes a program's word, only large blocks have their return probed. */
static void show_malloc_site(const struct malloc_site *s, const struct probing *how)
{
	unsigned int ns = large_cost__hit_ns(&how->costs, s->emulated);

	if (how->links != PROBE_LINKS_SESSION && s->function != LARGE_FREE)
		ns += how->costs.return_ns;
	say_site("heap", large_names[s->function], s->symbol, s->into, s->offset, s->insn, s->emulated, ns);
}

static void show_often_called(const struct malloc_file *file, const char *symbol, enum large_function function,
			      const struct probing *how)
{
	bool any = false;

	for (size_t i = 0; i < file->n; i++) {
		if (strcmp(file->site[i].symbol, symbol))
			continue;
		show_malloc_site(&file->site[i], how);
		any = true;
	}
	if (!any)
		say("", "heap  %-18s none: the file has no function %s", large_names[function], symbol);
}

static void show_malloc_sites(const struct malloc_file *file, const struct probing *how)
{
	unsigned int ns = large_cost__block_ns(&how->costs) - (how->links == PROBE_LINKS_SESSION ? 0 : how->costs.return_ns);
	size_t seldom = 0, emulated = 0;

	show_often_called(file, "malloc", LARGE_MALLOC, how);
	show_often_called(file, "calloc", LARGE_CALLOC, how);
	show_often_called(file, "realloc", LARGE_REALLOC, how);
	show_often_called(file, "free", LARGE_FREE, how);
	for (size_t i = 0; i < file->n; i++) {
		if (is_often_called(&file->site[i]))
			continue;
		seldom++;
		emulated += file->site[i].emulated;
	}
	if (seldom)
		say("", "heap  %-18s %zu places, %zu of them emulated", "seldom called", seldom, emulated);
	if (file->musl)
		say("", "heap  %-18s not from musl's heap: only what is seen allocated is told, by turns under a budget",
		    "what lives");
	say("", "heap  %-18s about %u.%02u us more for each block over 512 bytes: its stack%s", "large block", ns / 1000,
	    ns % 1000 / 10, how->links == PROBE_LINKS_SESSION ? ", and the return of its allocation" : "");
}

static void show_mapping_sites(const struct mapping_file *file, const struct probing *how)
{
	for (int call = 0; call < MAP_CALLS; call++) {
		const struct mapping_site *s = &file->site[call];
		unsigned int ns = s->emulated ? how->costs.emulated_ns : how->costs.stepped_ns;

		if (s->offset)
			say_site("heap", "behind the call", s->symbol, s->into, s->offset, s->insn, s->emulated, ns);
	}
}

/* What signal mapped is told by. */
static void show_mappings(pid_t tgid, const struct interp *in, const struct probing *how)
{
	struct mapping_finder *finder;
	struct mapping_file file;
	int err = mapping_finder__new(&finder);

	if (err) {
		say("mappings", "not looked for: %s", strerror(-err));
		return;
	}
	err = mapping_finder__find(finder, tgid, in->host_path, &file);
	if (err) {
		say("mappings", "not found: %s; who asks the kernel for memory is not told", strerror(-err));
	} else if (how->links == PROBE_LINKS_SINGLE) {
		say("mappings", "not probed: it takes Linux 6.6");
	} else {
		say("mappings", "%s", file.path[0] ? file.path : in->path);
		show_mapping_sites(&file, how);
	}
	mapping_finder__free(finder);
}

static void show_malloc(pid_t tgid, const struct interp *in, const struct probing *how)
{
	struct malloc_finder *finder;
	struct malloc_file file;
	int err = malloc_finder__new(&finder);

	if (err) {
		say("malloc", "not looked for: %s", strerror(-err));
		return;
	}
	err = malloc_finder__find(finder, tgid, in, &file);
	if (!err) {
		say("malloc", "%s", file.path);
		show_malloc_sites(&file, how);
	} else {
		say("malloc", "not found: %s; the heap signal sees no blocks over 512 bytes",
		    err == -ENOENT ? "no file that the interpreter gets it from names it" : strerror(-err));
	}
	malloc_finder__free(finder);
}

static void show_interp(pid_t tgid, const struct interp *in)
{
	struct probing how = { .links = links_of_kernel() };

	probe_costs__measure(NULL, &how.costs);
	say("interpreter", "%s", in->path);
	say("version", "CPython %s, %s, %s", in->version_text, in->shared ? "shared library" : "static",
	    in->stripped ? "stripped" : "with symbols");
	say("build id", "%s", in->build_id[0] ? in->build_id : "none");
	say("runtime", "_PyRuntime at 0x%llx", (unsigned long long)in->runtime);
	show_sites(tgid, in, &how);
	show_collector(tgid, in);
	show_malloc(tgid, in, &how);
	show_mappings(tgid, in, &how);
}

static int check_process(pid_t tgid)
{
	struct interp in = {};
	const char *why = NULL;
	int err = interp__of_process(tgid, &in, &why);

	printf("\n");
	say("process", "%d", (int)tgid);
	switch (err) {
	case 0:
		show_interp(tgid, &in);
		return EXIT_OK;
	case -ENOENT:
		return cmd_fail("process %d is not Python: no CPython interpreter is mapped in it", (int)tgid);
	case -ESRCH:
		return cmd_fail("there is no process %d", (int)tgid);
	case -ENOTSUP:
		return cmd_fail("process %d runs %s (Python %s): %s", (int)tgid, in.path, in.version_text,
				why ? why : "out of reach");
	default:
		return cmd_fail("process %d cannot be examined: %s", (int)tgid, strerror(-err));
	}
}

static int list_process(pid_t tgid, void *arg)
{
	struct interp in = {};
	unsigned int *n = arg;
	const char *why = NULL;
	int err = interp__of_process(tgid, &in, &why);

	if (err && err != -ENOTSUP)
		return 0;
	if (!(*n)++)
		printf("\n%-9s%-12s%-10s%-10s%s\n", "PID", "PYTHON", "BUILD", "SYMBOLS", "FILE");
	printf("%-9d%-12s%-10s%-10s%s%s%s\n", (int)tgid, in.version_text, in.shared ? "shared" : "static",
	       in.stripped ? "stripped" : "yes", in.path, err ? "  out of reach: " : "", err && why ? why : "");
	return 0;
}

static int list_processes(void)
{
	struct proc *proc;
	unsigned int n = 0;
	int err = proc__open(NULL, &proc);

	if (err)
		return cmd_fail("/proc cannot be read: %s", strerror(-err));
	proc__for_each_process(proc, list_process, &n);
	proc__free(proc);
	if (!n)
		printf("\nno Python process runs on this host\n");
	return EXIT_OK;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pid", required_argument, NULL, 'p' }, { "help", no_argument, NULL, 'h' }, {}
	};
	char *end = NULL;
	long tgid = 0;
	int c, ret;

	while ((c = getopt_long(argc, argv, ":p:h", options, NULL)) != -1) {
		if (c == 'h')
			return cmd_help(&cmd_doctor);
		if (c == ':' || c == '?')
			return cmd_usage_option(&cmd_doctor, c, argv);
		tgid = strtol(optarg, &end, 10);
		if (tgid <= 0 || *end)
			return cmd_usage(&cmd_doctor, "'%s' is not a process number", optarg);
	}
	if (optind < argc)
		return cmd_usage(&cmd_doctor, "'%s' is not expected", argv[optind]);
	ret = check_host();
	if (ret)
		return ret;
	return tgid ? check_process(tgid) : list_processes();
}

const struct cmd cmd_doctor = {
	.name = "doctor",
	.summary = "what this host and its interpreters allow",
	.run = run,
	.help = "usage: pymemscope doctor [--pid N]\n\n"
		"Tells what the kernel allows and which Python interpreters run here; with --pid, where the\n"
		"probes of one interpreter would stand. Attaches nothing.\n\n"
		"  -p, --pid N   look at this process\n\n"
		"examples:\n"
		"  pymemscope doctor\n"
		"  pymemscope doctor --pid 1234\n",
};
