/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is decoded from each interpreter at hand, as it is and stripped: both must tell the same,
 * and what .symtab says. Then the same code with bytes changed: nothing may be told that does not
 * stand there, and nothing may crash.
 */
#include <errno.h>
#include <fcntl.h>

#define PYTHONS_LIST "tests/pythons.sh more"
#include "pythons.h"

#include "python/decode.h"
#include "python/guards.h"
#include "python/interp.h"
#include "python/layout.h"

#define SCRIPT                                                                                     \
	"-c 'import sys; sys.stdout.write(\"ready\\n\"); sys.stdout.flush(); sys.stdin.read()'"

static const char *const table_names[] = {"_PyMem_Raw", "_PyMem", "_PyObject"};
static const char *const function_names[][ALLOC_FUNCTIONS] = {
	{"_PyMem_RawMalloc", "_PyMem_RawCalloc", "_PyMem_RawRealloc", "_PyMem_RawFree"},
	{"_PyObject_Malloc", "_PyObject_Calloc", "_PyObject_Realloc", "_PyObject_Free"},
	{"_PyObject_Malloc", "_PyObject_Calloc", "_PyObject_Realloc", "_PyObject_Free"},
};

/* Copies the interpreter's file to a path of ours, with or without symbols. */
static uint16_t copy_interp(const struct python *p, char path[64], bool strip)
{
	struct interp in = {0};
	const char *why = NULL;
	char line[64], command[4600];
	struct child c;

	child__start(&c, p, SCRIPT);
	assert_non_null(fgets(line, sizeof(line), c.out));
	assert_int_equal(interp__of_process(c.pid, &in, &why), 0);
	snprintf(path, 64, "/tmp/test_decode.%d.%s", getpid(), strip ? "stripped" : "copy");
	snprintf(command, sizeof(command), "%s %s %s",
		 strip ? "strip --strip-all -o" : "install -m 600", strip ? path : in.host_path,
		 strip ? in.host_path : path);
	assert_int_equal(system(command), 0);
	child__end(&c);
	return in.version;
}

static void check_symbols(const struct elf_file *f, const struct alloc_table *t)
{
	struct elf_symbol s;

	for (int d = 0; d < ALLOC_DOMAINS; d++) {
		if (!elf_file__symbol(f, table_names[d], &s))
			assert_int_equal(t[d].addr, s.addr);
		for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
			if (elf_file__has_symtab(f) &&
			    !elf_file__symbol(f, function_names[d][i], &s))
				assert_int_equal(t[d].function[i], s.addr);
		}
	}
}

/*
 * Parts of functions that were split take no return probe: what would be overwritten there is no return address. Exported
 * functions are none; nearly each interpreter has some that are.
 */
static void check_parts(const struct elf_file *f, const struct machine_code *c, uint16_t version)
{
	static const char *const whole[] = {"PyObject_Malloc", "PyObject_Realloc", "PyGC_Collect", "Py_BytesMain",
					    "PyErr_SetString"};
	struct elf_symbol text, s;
	struct decode_place place;
	unsigned int parts = 0;
	uint64_t at;

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		assert_int_equal(elf_file__symbol(f, whole[i], &s), 0);
		assert_false(machine_code__is_part(c, s.addr));
		assert_false(machine_code__is_part(c, s.addr + 1));
	}
	assert_int_equal(elf_file__section(f, ".text", &text), 0);
	for (at = text.addr; at < text.addr + text.size; at = s.addr + s.size) {
		while (at < text.addr + text.size && machine_code__function(c, at, &s))
			at++;
		if (at == text.addr + text.size)
			break;
		if (!machine_code__is_part(c, s.addr))
			continue;
		parts++;
		assert_int_equal(decode__place(c, s.addr, 0, true, &place), -EPERM);
	}
	/* Debian's 3.9 was built without. */
	assert_true(parts > 0 || version == PY_VERSION(3, 9));
}

/* The place is reached from the start, and what stands there does what is said. */
static void check_place(const struct machine_code *c, uint64_t function, unsigned int args,
			bool with_return)
{
	struct decode_place p;
	struct elf_symbol s;
	struct insn insn;
	uint64_t at = function;

	assert_int_equal(machine_code__function(c, function, &s), 0);
	assert_int_equal(decode__place(c, function, args, with_return, &p), 0);
	assert_in_range(p.addr, function, function + s.size - 1);
	while (at < p.addr) {
		assert_int_equal(machine_code__decode(c, at, &insn), 0);
		for (int i = 0; i < 3; i++) {
			static const int reg[] = {7, 6, 2};

			assert_false(args & 1u << i && insn__writes(&insn, reg[i]));
		}
		assert_false(with_return && insn__writes(&insn, 4));
		at += insn.i.length;
	}
	assert_int_equal(at, p.addr);
	assert_int_equal(machine_code__decode(c, at, &insn), 0);
	assert_int_equal(insn__emulated(&insn), p.emulated);
	assert_true(p.emulated || p.addr == function);
	assert_true(p.text[0]);
}

/* What reads them there reads what the function was given. */
static void check_place_with_moved(const struct machine_code *c, uint64_t function, unsigned int args, bool with_return)
{
	static const int reg[] = {7, 6, 2};
	struct machine_state state;
	struct decode_place p;
	struct insn insn;
	uint64_t at = function;

	machine_state__begin(&state);
	assert_int_equal(decode__place_with_moved(c, function, args, with_return, &p), 0);
	for (; at < p.addr; at += insn.i.length) {
		assert_int_equal(machine_code__decode(c, at, &insn), 0);
		assert_int_equal(insn.i.meta.branch_type, ZYDIS_BRANCH_TYPE_NONE);
		assert_false(with_return && insn__writes(&insn, 4));
		machine_state__step(&state, &insn);
	}
	assert_int_equal(at, p.addr);
	assert_true(p.emulated);
	for (int i = 0; i < DECODE_PLACE_ARGS; i++) {
		if (!(args & 1u << i))
			continue;
		assert_int_equal(state.reg[p.arg[i]].kind, MV_SUM);
		assert_int_equal(state.reg[p.arg[i]].base, reg[i]);
		assert_true(state.reg[p.arg[i]].disp == 0);
	}
}

static void check_pools(const struct elf_file *f, const struct machine_code *c, uint16_t version,
			const struct decode_pools *p)
{
	struct elf_symbol s;
	struct insn insn;

	assert_int_equal(machine_code__decode(c, p->jump, &insn), 0);
	assert_true(insn__emulated(&insn));
	assert_int_equal(machine_code__decode(c, p->empty, &insn), 0);
	assert_true(p->class_at_empty >= 0);
	if (version == PY_VERSION(3, 8)) {
		assert_int_equal(p->opener, 0);
	} else {
		assert_true(p->opener);
		assert_int_equal(p->class_at_opener, version < PY_VERSION(3, 12) ? 7 : 6);
	}
	if (!elf_file__symbol(f, "allocate_from_new_pool", &s))
		assert_int_equal(p->opener, s.addr);
	if (!elf_file__symbol(f, "usedpools", &s))
		assert_int_equal(p->used_at, s.addr);
	assert_int_equal(p->used, version < PY_VERSION(3, 12)	 ? USED_POOLS_STATIC
				  : version == PY_VERSION(3, 12) ? USED_POOLS_IN_INTERP
								 : USED_POOLS_BEHIND_INTERP);
}

#define MAX_CLONES 4

/* The same in a stripped build as the symbols say. 3.8's clones have lost the argument that later ones are known by. */
static void check_collector(const struct elf_file *f, const struct machine_code *c, uint16_t version,
			    uint64_t ret[MAX_CLONES])
{
	struct elf_symbol s[MAX_CLONES];
	unsigned int callers = 0;
	bool reason = false;
	size_t want;
	int n;

	if (version == PY_VERSION(3, 8)) {
		assert_int_equal(decode__collector(f, c, ret, &callers, &reason), -ENOENT);
		n = decode__collector_clones(f, c, ret, MAX_CLONES);
		assert_in_range(n, 2, MAX_CLONES);
		want = elf_file__symbols(f, "collect*", s, MAX_CLONES);
		assert_true(!want || want == (size_t)n);
		for (size_t i = 0; i < want; i++)
			assert_true(ret[0] == s[i].addr || ret[1] == s[i].addr);
		return;
	}
	assert_int_equal(decode__collector(f, c, ret, &callers, &reason), 0);
	assert_in_range(callers, 3, 100);
	assert_int_equal(reason, version >= PY_VERSION(3, 13));
	if (!elf_file__symbol(f, version < PY_VERSION(3, 10) ? "collect" : "gc_collect_main", s))
		assert_int_equal(ret[0], s[0].addr);
}

/* pyenv's, and those built as the official image. */
static bool is_shared(const char *name)
{
	return strstr(name, "pyenv") || strstr(name, "image") || strstr(name, "shared") || strstr(name, "alpine");
}

/* That the place is right, stacks of 3.15 tell (tests/e2e/stacks.t, more_builds.t). */
static void check_thread_state(const struct elf_file *f, const struct machine_code *c,
			       const char *name, uint16_t version)
{
	struct thread_variable v = {0};
	int err = decode__thread_variable(f, c, &v);

	assert_int_equal(err, version < PY_VERSION(3, 15) ? -ENOENT : 0);
	assert_int_equal(v.access, err ? THREAD_UNKNOWN : is_shared(name) ? THREAD_MODULE : THREAD_FIXED);
	if (v.access == THREAD_FIXED)
		assert_in_range(-v.offset, 8, 4096);
}

static int find_guards(const struct machine_code *c, const struct alloc_table t[ALLOC_DOMAINS], struct guard **ret,
		       unsigned int *undecoded)
{
	const struct alloc_table *const domains[] = {&t[DOMAIN_OBJ], &t[DOMAIN_RAW]};

	return guards__find(c, domains, 2, ret, undecoded);
}

/* Each guard of these builds is understood, but the two comparisons of
 * _PyMem_GetCurrentAllocatorName. */
static void check_guards(const struct machine_code *c, const char *name, const struct guard *g,
			 int n)
{
	size_t inlined[2][ALLOC_FUNCTIONS] = {0}, *of_objects = inlined[0], *raw = inlined[1], unclear = 0;
	struct insn jump;

	for (int i = 0; i < n; i++) {
		bool two = g[i].function == ALLOC_CALLOC || g[i].function == ALLOC_REALLOC;

		unclear += g[i].kind == GUARD_UNCLEAR;
		inlined[g[i].domain][g[i].function] += g[i].kind == GUARD_INLINED;
		if (g[i].kind != GUARD_INLINED)
			continue;
		assert_int_not_equal(g[i].arg[0].kind, MV_UNKNOWN);
		assert_true(!two || g[i].arg[1].kind != MV_UNKNOWN);
		assert_int_equal(machine_code__decode(c, g[i].addr, &jump), 0);
		assert_true(insn__emulated(&jump));
		assert_true(i == 0 || g[i].addr > g[i - 1].addr);
	}
	assert_int_equal(unclear, 2);
	if (!strcmp(name, "3.11 host")) {
		/* objdump finds 191 comparisons with _PyObject_Malloc, 52 with _PyObject_Free. */
		assert_int_equal(of_objects[ALLOC_MALLOC], 189);
		assert_int_equal(of_objects[ALLOC_CALLOC], 6);
		assert_int_equal(of_objects[ALLOC_REALLOC], 15);
		assert_int_equal(of_objects[ALLOC_FREE], 52);
		/* As many with _PyMem_RawMalloc and its like. */
		assert_int_equal(raw[ALLOC_MALLOC], 175);
		assert_int_equal(raw[ALLOC_CALLOC], 8);
		assert_int_equal(raw[ALLOC_REALLOC], 13);
		assert_int_equal(raw[ALLOC_FREE], 58);
	} else if (strstr(name, "pyenv")) {
		assert_int_equal(n, 2);
	} else if (is_shared(name) && !strstr(name, "-O3")) {
		/* Callers of realloc test for null and call the rest of it. */
		for (int i = 0; i < ALLOC_FUNCTIONS; i++)
			assert_true(!of_objects[i] && !raw[i]);
		assert_in_range(n, 2, strstr(name, "image") ? 9 : 40);
	} else {
		assert_in_range(of_objects[ALLOC_MALLOC], 180, 400);
		assert_in_range(of_objects[ALLOC_FREE], 50, 150);
		assert_in_range(raw[ALLOC_MALLOC], 150, 400);
		assert_in_range(raw[ALLOC_FREE], 50, 150);
	}
}

static void test_interpreter(void **state)
{
	struct alloc_table t[2][ALLOC_DOMAINS] = {0};
	struct decode_pools pools[2] = {0};
	struct guard *guards = NULL;
	uint64_t collector[2][MAX_CLONES] = {0};
	unsigned int undecoded;
	int n;
	const struct python *p = *state;
	struct machine_code *c;
	struct elf_file *f;
	char path[64];

	if (!p->command[0])
		skip();
	for (int stripped = 0; stripped < 2; stripped++) {
		uint16_t version = copy_interp(p, path, stripped);

		assert_int_equal(elf_file__open(path, &f), 0);
		assert_int_equal(machine_code__open(f, &c), 0);
		assert_int_equal(decode__allocators(f, c, version, t[stripped]), 0);
		check_symbols(f, t[stripped]);
		check_parts(f, c, version);
		assert_int_equal(decode__pools(c, version,
					       t[stripped][DOMAIN_OBJ].function[ALLOC_MALLOC],
					       &pools[stripped]),
				 0);
		check_pools(f, c, version, &pools[stripped]);
		check_collector(f, c, version, collector[stripped]);
		check_thread_state(f, c, p->name, version);
		n = find_guards(c, t[stripped], &guards, &undecoded);
		assert_true(n >= 0);
		assert_int_equal(undecoded, 0);
		check_guards(c, p->name, guards, n);
		free(guards);
		for (int i = 0; i < ALLOC_FUNCTIONS; i++) {
			check_place(c, t[stripped][DOMAIN_OBJ].function[i], 6, i != ALLOC_FREE);
			check_place(c, t[stripped][DOMAIN_OBJ].function[i], 2, false);
			check_place(c, t[stripped][DOMAIN_RAW].function[i], 0, true);
			check_place_with_moved(c, t[stripped][DOMAIN_RAW].function[i], i == ALLOC_MALLOC || i == ALLOC_FREE ? 2 : 6, i != ALLOC_FREE);
		}
		machine_code__free(c);
		elf_file__free(f);
		unlink(path);
	}
	assert_memory_equal(t[0], t[1], sizeof(t[0]));
	assert_memory_equal(collector[0], collector[1], sizeof(collector[0]));
	assert_memory_equal(&pools[0], &pools[1], sizeof(pools[0]));
}

/* What the kernel emulates, from arch/x86/kernel/uprobes.c. */
static void test_emulated(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool emulated;
	} rows[] = {
		{"\x90", 1, true},	/* nop */
		{"\x66\x90", 2, false}, /* two bytes: since 6.18 only */
		{"\xf3\x90", 2, false}, /* pause */
		{"\x0f\x1f\x00", 3, false},
		{"\xf3\x0f\x1e\xfa", 4, false}, /* endbr64 */
		{"\x53", 1, true},		/* push %rbx */
		{"\x41\x54", 2, true},		/* push %r12 */
		{"\x66\x53", 2, false},		/* push %bx */
		{"\x48\x53", 2, false},		/* push %rbx with a needless prefix */
		{"\x6a\x01", 2, false},		/* push $1 */
		{"\xff\xf0", 2, false},		/* push %rax, long form */
		{"\xeb\x02", 2, true},
		{"\xe9\x02\x00\x00\x00", 5, true},
		{"\xe8\x02\x00\x00\x00", 5, true},
		{"\x74\x02", 2, true},
		{"\x0f\x84\x02\x00\x00\x00", 6, true},
		{"\x3e\x74\x02", 3, true},		/* with a hint */
		{"\xe3\x02", 2, false},			/* jrcxz */
		{"\xe2\x02", 2, false},			/* loop */
		{"\xff\xe0", 2, false},			/* jmp *%rax */
		{"\xff\xd0", 2, false},			/* call *%rax */
		{"\xc3", 1, false},			/* ret */
		{"\xc7\xf8\x02\x00\x00\x00", 6, false}, /* xbegin */
		{"\x48\x89\xfe", 3, false},
	};
	ZydisDecoder decoder;

	(void)state;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct insn insn = {.addr = 0x1000};

		assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, rows[i].bytes,
								rows[i].len, &insn.i, insn.op)));
		assert_int_equal(insn.i.length, rows[i].len);
		if (insn__emulated(&insn) != rows[i].emulated)
			fail_msg("row %zu", i);
	}
}

static void overwrite(const char *path, uint64_t offset, size_t bytes, unsigned int *seed,
		      unsigned int every)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	uint8_t b;

	assert_true(fd >= 0);
	for (size_t i = rand_r(seed) % every; i < bytes; i += 1 + rand_r(seed) % (2 * every)) {
		b = rand_r(seed);
		assert_int_equal(pwrite(fd, &b, 1, offset + i), 1);
	}
	close(fd);
}

/* Everything at once on a file that may be anything; says whether tables were found. */
static bool decode_all(const char *path, uint16_t version)
{
	struct alloc_table t[ALLOC_DOMAINS];
	struct decode_pools pools;
	struct guard *guards;
	struct machine_code *c;
	struct elf_file *f;
	unsigned int undecoded;
	uint64_t collector;
	bool found = false, reason;

	assert_int_equal(elf_file__open(path, &f), 0);
	if (!machine_code__open(f, &c)) {
		found = !decode__allocators(f, c, version, t);
		for (int i = 0; found && i < ALLOC_FUNCTIONS; i++) {
			struct decode_place p;
			int err = decode__place(c, t[DOMAIN_OBJ].function[i], 6, true, &p);

			assert_true(!err || err == -EILSEQ);
		}
		if (found) {
			decode__collector(f, c, &collector, &undecoded, &reason);
			decode__pools(c, version, t[DOMAIN_OBJ].function[ALLOC_MALLOC], &pools);
			assert_true(find_guards(c, t, &guards, &undecoded) >= 0);
			free(guards);
		}
		machine_code__free(c);
	}
	elf_file__free(f);
	return found;
}

/* Sections of the first interpreter at hand, damaged more and more. */
static void test_damage(void **state)
{
	static const char *const sections[] = {".text", ".eh_frame_hdr", ".eh_frame", ".data"};
	unsigned int seed = 1;
	struct elf_symbol s;
	struct elf_file *f;
	uint16_t version;
	uint64_t offset;
	char path[64];

	(void)state;
	if (!python_cnt || !pythons[0].command[0])
		skip();
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		version = copy_interp(&pythons[0], path, true);
		assert_int_equal(elf_file__open(path, &f), 0);
		assert_int_equal(elf_file__section(f, sections[i], &s), 0);
		assert_int_equal(elf_file__file_offset(f, s.addr, &offset), 0);
		elf_file__free(f);
		for (unsigned int every = 1024; every; every /= 4) {
			overwrite(path, offset, s.size, &seed, every);
			if (decode_all(path, version))
				assert_int_not_equal(every, 1);
		}
		unlink(path);
	}
}

int main(void)
{
	struct CMUnitTest tests[MAX_PYTHONS + 2];
	size_t n = pythons__tests(tests, test_interpreter);

	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_emulated);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_damage);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("decode", tests, n, NULL, NULL);
}
