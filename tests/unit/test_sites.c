/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The sites of every interpreter at hand, against nm and against the code at the place. */
#include <fcntl.h>

#include "pythons.h"

#include "python/interp.h"
#include "python/sites.h"

#define SCRIPT                                                                                     \
	"-c 'import sys; sys.stdout.write(\"ready\\n\"); sys.stdout.flush(); sys.stdin.read()'"

/* Finds the interpreter of a process and opens its file, which the process need not outlive. */
static struct elf_file *open_interp(const struct python *p, struct interp *in)
{
	const char *why = NULL;
	struct elf_file *f;
	struct child c;
	char line[64];

	child__start(&c, p, SCRIPT);
	assert_non_null(fgets(line, sizeof(line), c.out));
	assert_int_equal(interp__of_process(c.pid, in, &why), 0);
	assert_int_equal(elf_file__open(in->host_path, &f), 0);
	child__end(&c);
	return f;
}

/* How many functions nm finds whose name matches; clones count, their cold parts don't. */
static size_t count_functions(const char *path, const char *names)
{
	char command[4600];
	size_t n = 0;
	FILE *f;

	snprintf(command, sizeof(command), "nm %s | grep -Ec ' [tT] (%s)(\\.[a-z]+\\.[0-9]+)*$'",
		 path, names);
	f = popen(command, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu", &n), 1);
	pclose(f);
	return n;
}

static void check_allocator(const struct elf_file *f, const struct probe_site *s)
{
	static const char *const symbols[] = {"PyObject_Malloc", "PyObject_Calloc",
					      "PyObject_Realloc", "PyObject_Free"};
	struct elf_symbol symbol;
	uint64_t offset;

	for (int i = 0; i < 4; i++) {
		assert_int_equal(s[i].signal, SIGNAL_EXACT);
		assert_int_equal(s[i].kind, PROBE_MALLOC + i);
		assert_string_equal(s[i].symbol, symbols[i]);
		assert_false(s[i].takes_context || s[i].args_unknown);
		assert_int_equal(elf_file__symbol(f, symbols[i], &symbol), 0);
		assert_int_equal(elf_file__file_offset(f, symbol.addr, &offset), 0);
		assert_int_equal(s[i].offset, offset + s[i].into);
	}
}

/* Who calls the collector on purpose. */
static void check_callers(const struct elf_file *f, const struct interp *in, const struct probe_site *s)
{
	const char *const symbols[] = {"gc_collect", "PyGC_Collect"};

	for (int i = 0; i < 2; i++) {
		struct elf_symbol symbol;
		uint64_t offset;

		assert_int_equal(s[i].signal, SIGNAL_GC);
		assert_int_equal(s[i].kind, i ? PROBE_GC_API : PROBE_GC_COLLECT);
		assert_true(s[i].returns && s[i].insn[0]);
		if (in->stripped && !i)
			continue;
		assert_int_equal(elf_file__symbol(f, symbols[i], &symbol), 0);
		assert_int_equal(elf_file__file_offset(f, symbol.addr, &offset), 0);
		assert_int_equal(s[i].offset, offset + s[i].into);
	}
}

static void check_collector(const struct interp *in, const struct probe_site *s, size_t n)
{
	const char *names = in->version < PY_VERSION(3, 10) ? "collect" : "gc_collect_main";
	size_t want = count_functions(in->path, names), plain = 0;

	if (!want && in->version == PY_VERSION(3, 14))
		want = count_functions(in->path, "_PyGC_Collect");
	assert_int_equal(n, want);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(s[i].signal, SIGNAL_GC);
		assert_int_equal(s[i].kind, PROBE_GC);
		plain += !s[i].args_unknown;
		assert_int_equal(s[i].arg.arg_value, s[i].args_unknown		       ? GC_REASON_NONE
						     : in->version >= PY_VERSION(3, 13) ? GC_REASON_THIRD
											: GC_REASON_FIFTH);
	}
	assert_true(plain <= 1);
	assert_true(n > 1 || plain == 1);
}

/* A stripped build without USDT. */
static void check_decoded_collector(const struct probe_site *s, size_t n)
{
	assert_int_equal(n, 1);
	assert_int_equal(s->signal, SIGNAL_GC);
	assert_int_equal(s->kind, PROBE_GC);
	assert_false(s->args_unknown);
	assert_true(s->emulated);
}

/* sys/sdt.h leaves a nop at a probe. */
static void check_usdt(const struct interp *in, const struct probe_site *s, size_t n)
{
	unsigned char code = 0;
	int fd;

	assert_int_equal(n, 2);
	fd = open(in->path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(s[i].signal, SIGNAL_GC);
		assert_int_equal(s[i].kind, i ? PROBE_GC_USDT_DONE : PROBE_GC_USDT);
		assert_int_equal(pread(fd, &code, 1, s[i].offset), 1);
#ifdef __x86_64__
		assert_int_equal(code, 0x90);
#endif
		assert_int_not_equal(s[i].arg.arg_form, SITE_ARG_NONE);
		assert_int_equal(s[i].arg.arg_log2_bytes, i ? 3 : 2);
		assert_true(s[i].arg.arg_signed);
	}
	close(fd);
}

/*
 * The functions behind the tables: the objects', then the raw domain's. A malloc is cheap on every build. Its return is seen
 * where the kernel asks for it only when told to and a cheap place is to be had for that; else only where the address comes
 * from nowhere else (pyenv's: calls through the linkage table).
 */
static void check_returns(const char *name, const struct probe_site *s, enum probe_links links)
{
	const struct probe_site *malloc_site = &s[0], *realloc_site = &s[2], *free_site = &s[3];

	assert_true(malloc_site->emulated && free_site->emulated);
	assert_true(realloc_site->returns && !free_site->returns);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(s[i].kind, PROBE_MALLOC + i % 4);
		assert_int_equal(s[i].spec.function, s[i].kind);
		assert_int_equal(s[i].spec.returns, s[i].returns);
		assert_int_equal(s[i].spec.is_raw, i >= 4);
		if (i >= 4)
			assert_int_equal(s[i].returns, s[i].kind != PROBE_FREE);
	}
	if (strstr(name, "pyenv"))
		assert_true(malloc_site->returns);
	else if (links == PROBE_LINKS_MANY)
		assert_false(malloc_site->returns);
}

/* And in builds that inline them, every place. */
static void check_everything(const char *name, const struct probe_site *s, size_t n,
			     const struct probe_sites_info *info)
{
	size_t kinds[16] = {0}, raw_guards = 0;

	assert_true(info->inlined);
	assert_int_equal(info->unclear, 2);
	assert_true(n < MAX_PROBE_SITES);
	for (size_t i = 0; i < n; i++) {
		kinds[s[i].kind]++;
		assert_int_equal(s[i].takes_context, s[i].kind <= PROBE_FREE);
		assert_true(s[i].insn[0]);
		if (s[i].kind <= PROBE_FREE || s[i].kind == PROBE_GUARD)
			assert_int_not_equal(s[i].spec.pools, SITE_POOLS_UNKNOWN);
		if (s[i].kind == PROBE_GUARD)
			assert_true(s[i].emulated && !s[i].returns);
		raw_guards += s[i].kind == PROBE_GUARD && s[i].spec.is_raw;
	}
	for (int kind = PROBE_MALLOC; kind <= PROBE_FREE; kind++)
		assert_int_equal(kinds[kind], 2);
	assert_int_equal(kinds[PROBE_GUARD], info->guards);
	if (strstr(name, "pyenv")) {
		assert_int_equal(n, 8);
		return;
	}
	/* With GCC's -O2 nothing is inlined. A cheap place behind which the stack has moved may need the inner ends. */
	if (strstr(name, "image") && !strstr(name, "-O3")) {
		assert_int_equal(kinds[PROBE_GUARD], 0);
		assert_int_equal(kinds[PROBE_POOL_OPENER], n > 8);
		return;
	}
	assert_true(kinds[PROBE_GUARD] - raw_guards > 200);
	assert_true(raw_guards > 200);
	assert_int_equal(kinds[PROBE_POOL_OPENER], 1);
	assert_true(kinds[PROBE_RAW_RETURN] > 50);
	assert_true(kinds[PROBE_RAW_TAIL] > 0);
}

static void test_interpreter(void **state)
{
	const uint32_t exact = 1u << SIGNAL_EXACT, gc = 1u << SIGNAL_GC;
	static struct probe_site sites[MAX_PROBE_SITES];
	struct probe_sites_info info;
	const struct python *p = *state;
	struct interp in = {0};
	struct elf_file *f;
	struct elf_usdt u;
	size_t n;

	if (!p->command[0])
		skip();
	f = open_interp(p, &in);
	assert_int_equal(probe_sites__find(f, in.version, 0, PROBE_LINKS_SESSION, sites, MAX_PROBE_SITES, &info),
			 0);
	n = probe_sites__find(f, in.version, exact | gc, PROBE_LINKS_SINGLE, sites, MAX_PROBE_SITES, &info);
	assert_true(n >= 4);
	check_allocator(f, sites);
	check_callers(f, &in, sites + 4);
	if (!in.stripped)
		check_collector(&in, sites + 6, n - 6);
	else if (!elf_file__usdt(f, "python", "gc__start", &u))
		check_usdt(&in, sites + 6, n - 6);
	else
		check_decoded_collector(sites + 6, n - 6);

	assert_int_equal(probe_sites__find(f, in.version, gc, PROBE_LINKS_SESSION, sites, MAX_PROBE_SITES, &info),
			 n - 4);
	assert_int_equal(probe_sites__find(f, in.version, exact | gc, PROBE_LINKS_SESSION, sites, 3, &info), 3);
	n = probe_sites__find(f, in.version, exact, PROBE_LINKS_SESSION, sites, MAX_PROBE_SITES, &info);
	check_everything(p->name, sites, n, &info);
	check_returns(p->name, sites, PROBE_LINKS_SESSION);
	probe_sites__find(f, in.version, exact, PROBE_LINKS_MANY, sites, MAX_PROBE_SITES, &info);
	check_returns(p->name, sites, PROBE_LINKS_MANY);
	elf_file__free(f);
}

int main(void)
{
	struct CMUnitTest tests[MAX_PYTHONS];
	size_t n = pythons__tests(tests, test_interpreter);

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("sites", tests, n, NULL, NULL);
}
