/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sources (CPython): _PyRuntime is exported from 3.7 on and stands in a section of its own
 * from 3.10 on (Python/pylifecycle.c); Py_Version, a constant, is exported from 3.11 on
 * (Include/pylifecycle.h, value PY_VERSION_HEX of Include/patchlevel.h); from 3.13 on _PyRuntime
 * begins with struct _Py_DebugOffsets, which the linker has filled already
 * (Include/internal/pycore_runtime.h: cookie, version, free_threaded). Before 3.11 only text tells:
 * the name that the linker or the distribution gave the file, and PY_VERSION among the constants.
 */
#include "python/python_file.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "python/decode.h"
#include "python/layout.h"

#define COOKIE "xdebugpy"
/* Debian's 3.11 has 1.5 MB of it. */
#define MAX_RODATA_BYTES (64ull << 20)

/* The head of _PyRuntime in 3.13+. */
struct debug_head {
	char cookie[8];
	uint64_t version;
	uint64_t free_threaded;
};

static void set_version_hex(struct python_file *p, uint32_t hex)
{
	int major = hex >> 24, minor = hex >> 16 & 0xff, micro = hex >> 8 & 0xff;
	int level = hex >> 4 & 0xf, serial = hex & 0xf;
	const char *release = level == 0xa ? "a" : level == 0xb ? "b" : level == 0xc ? "rc" : "";

	p->version = PY_VERSION(major, minor);
	snprintf(p->version_text, sizeof(p->version_text), "%d.%d.%d%s", major, minor, micro,
		 release);
	if (*release)
		snprintf(p->version_text + strlen(p->version_text), 4, "%d", serial);
}

/* Digits, at most three of them, so that no number overflows. Returns where they end, or NULL. */
static const char *parse_number(const char *s, const char *end, int *ret)
{
	const char *start = s;

	for (*ret = 0; s < end && isdigit((unsigned char)*s); s++) {
		if (s - start == 3)
			return NULL;
		*ret = *ret * 10 + (*s - '0');
	}
	return s == start || *ret > 255 ? NULL : s;
}

uint16_t python_file__version_of_name(const char *name)
{
	const char *end = name + strlen(name), *s;
	int major, minor;

	/* libpython3.so, the stable ABI's stub, has no second number; "m" or "t" may follow it. */
	if ((s = strstr(name, "python")))
		name = s + strlen("python");
	else if ((s = strstr(name, "pypy")))
		name = s + strlen("pypy");
	s = parse_number(name, end, &major);
	if (!s || *s != '.' || !parse_number(s + 1, end, &minor))
		return 0;
	return PY_VERSION(major, minor);
}

/* Whether a PY_VERSION of Include/patchlevel.h and its null are at s: "3.8.0rc1", "3.10.1+". */
static bool parse_version_text(const char *s, const char *end, uint16_t *version, size_t *len)
{
	const char *start = s;
	int major, minor, number;

	s = parse_number(s, end, &major);
	if (!s || s == end || *s != '.')
		return false;
	s = parse_number(s + 1, end, &minor);
	if (!s || s == end || *s != '.')
		return false;
	s = parse_number(s + 1, end, &number);
	if (!s || s == end)
		return false;
	if (strchr("abr", *s) && *s) {
		s += *s == 'r' && s + 1 < end && s[1] == 'c' ? 2 : 1;
		s = parse_number(s, end, &number);
		if (!s)
			return false;
	}
	if (s < end && *s == '+')
		s++;
	if (s == end || *s)
		return false;
	*version = PY_VERSION(major, minor);
	*len = s - start;
	return true;
}

/* Other libraries' versions stand there too; OpenSSL is at 3.0-3.6, SQLite at 3.30 and more. */
static bool may_be_python(uint16_t version)
{
	return version >= PY_VERSION(3, 7) && version <= PY_VERSION(3, 29);
}

/*
 * Looks for PY_VERSION. A string of its own is best; the linker may also have laid it into the tail
 * of a longer one that ends the same way ("/usr/local/python/3.9.18").
 */
static void search_version_text(const char *data, size_t len, struct python_file *p)
{
	const char *end = data + len, *s = data;
	uint16_t version;
	size_t text_len;

	for (; s < end && (s = memchr(s, p->version ? '0' + (p->version >> 8) : '3', end - s));
	     s++) {
		bool own = s == data || !s[-1];

		if (!own && (isalnum((unsigned char)s[-1]) || strchr("._+", s[-1])))
			continue;
		if (!parse_version_text(s, end, &version, &text_len) ||
		    text_len >= sizeof(p->version_text) ||
		    (p->version ? version != p->version : !may_be_python(version)))
			continue;
		if (!own && p->version_text[0])
			continue;
		memcpy(p->version_text, s, text_len + 1);
		if (own)
			break;
	}
	if (p->version_text[0])
		p->version = python_file__version_of_name(p->version_text);
}

static int read_version_text(const struct elf_file *f, struct python_file *p)
{
	struct elf_symbol rodata;
	char *data;

	if (elf_file__section(f, ".rodata", &rodata) || rodata.size > MAX_RODATA_BYTES ||
	    !rodata.size)
		return 0;
	data = malloc(rodata.size);
	if (!data)
		return -ENOMEM;
	if (!elf_file__read(f, rodata.addr, data, rodata.size))
		search_version_text(data, rodata.size, p);
	free(data);
	return 0;
}

static int read_version(const struct elf_file *f, const char *name, struct python_file *p)
{
	struct elf_symbol constant;
	struct debug_head head;
	uint64_t hex;
	int err;

	if (p->runtime && !elf_file__read(f, p->runtime, &head, sizeof(head)) &&
	    !memcmp(head.cookie, COOKIE, sizeof(head.cookie))) {
		set_version_hex(p, head.version);
		if (head.free_threaded)
			p->unsupported = "a free-threaded build has mimalloc for its objects, and other structures";
		return 0;
	}
	if (!elf_file__symbol(f, "Py_Version", &constant) &&
	    !elf_file__read(f, constant.addr, &hex, sizeof(hex))) {
		set_version_hex(p, hex);
		return 0;
	}
	p->version = python_file__version_of_name(name);
	err = read_version_text(f, p);
	if (!err && p->version && !p->version_text[0])
		snprintf(p->version_text, sizeof(p->version_text), "%d.%d", p->version >> 8,
			 p->version & 0xff);
	return err;
}

/* 3.15 has no thread-state key any more. */
static bool find_thread_state(const struct elf_file *f, struct thread_variable *ret)
{
	struct machine_code *code;
	bool found;

	if (machine_code__open(f, &code))
		return false;
	found = !decode__thread_variable(f, code, ret);
	machine_code__free(code);
	return found;
}

uint32_t python_file__musl_specific(const struct elf_file *f)
{
	struct machine_code *code;
	struct elf_symbol s;
	uint32_t offset = 0;

	if (elf_file__symbol(f, "pthread_getspecific", &s) || machine_code__open(f, &code))
		return 0;
	if (decode__musl_specific(f, code, &offset))
		offset = 0;
	machine_code__free(code);
	return offset;
}

int python_file__examine(const struct elf_file *f, const char *name, struct python_file *ret)
{
	const struct py_layout *layout;
	struct python_file p = {0};
	struct elf_symbol s;
	int err;

	if (!elf_file__symbol(f, "_PyRuntime", &s) || !elf_file__section(f, ".PyRuntime", &s))
		p.runtime = s.addr;
	else if (elf_file__symbol(f, "Py_GetVersion", &s))
		return -ENOENT;
	err = read_version(f, name, &p);
	if (err)
		return err;
	if (p.version && p.version < PY_VERSION(3, 8))
		p.unsupported = "CPython older than 3.8";
	else if (!p.version)
		p.unsupported = "its version can't be found in its file";
	else if (!p.runtime)
		p.unsupported = "its runtime structure can't be found in its file";
	layout = py_layout__of_version(p.version);
	if (layout && layout->walk.tss_key == PY_NO_FIELD && !p.unsupported && !find_thread_state(f, &p.thread_state))
		p.unsupported = "where it keeps the thread state can't be told from its code";
	p.musl_specific = python_file__musl_specific(f);
	p.stripped = !elf_file__has_symtab(f);
	elf_file__build_id(f, p.build_id);
	*ret = p;
	return 0;
}
