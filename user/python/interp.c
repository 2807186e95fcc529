/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From a process to its interpreter. Looked at, in this order: the executable and what is named
 * like one (python3.11), then every mapped libpython*.so*. Other mapped files are not opened:
 * extension modules are many, and a program that embeds Python maps a libpython or has Python in
 * itself. But musl's libc.so is, for where it keeps values by key differs between its versions.
 * What a file says is kept by device, inode, size and time of change, so each file is read once.
 *
 * Overlays: the same file below two containers has two devices here, and is read twice. That two
 * processes share an inode below is for who places probes to find out.
 */
#include "python/interp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "python/python_file.h"
#include "python/thread_state.h"
#include "system/mapped_file.h"
#include "system/mem.h"
#include "system/proc.h"

/* Executable and libraries of one process worth opening; more than two are not seen in practice. */
#define MAX_CANDIDATES 8
/* Files to remember, most of them executables without Python: about 300 bytes each. */
#define MAX_KNOWN_FILES 1024

struct known_file {
	dev_t dev;
	ino_t inode;
	off_t bytes;
	struct timespec changed;
	/* Where its mapping `map_offset` begins, as ELF address. */
	uint64_t map_offset, map_addr;
	bool map_executable;
	bool python;
	struct python_file file;
	uint32_t musl_specific; /* of a C library */
};

struct interp_cache {
	struct proc *proc;
	size_t cnt, next;
	struct known_file known[MAX_KNOWN_FILES];
};

struct candidate {
	struct proc_map
		map; /* the executable mapping if there is one; path is owned by path below */
	char *path;
};

struct scan {
	const char *exe;
	size_t cnt;
	struct candidate candidates[MAX_CANDIDATES];
	struct candidate musl; /* its C library, if it is musl; path NULL: it is not */
};

int interp_cache__new(struct interp_cache **ret)
{
	struct interp_cache *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	err = proc__open(NULL, &c->proc);
	if (err) {
		free(c);
		return err;
	}
	*ret = c;
	return 0;
}

void interp_cache__free(struct interp_cache *c)
{
	if (!c)
		return;
	proc__free(c->proc);
	free(c);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_pypy(const char *path)
{
	const char *name = base_name(path);

	return !strncmp(name, "pypy", 4) || !strncmp(name, "libpypy", 7);
}

static bool is_library(const char *path)
{
	const char *name = base_name(path);

	return (!strncmp(name, "libpython", 9) || !strncmp(name, "libpypy", 7)) &&
	       strstr(name, ".so");
}

/* "python3.13": need not be the executable, for its loader may be (ld.so /opt/bin/python3.13). */
static bool is_program(const char *path)
{
	const char *name = base_name(path);

	return !strncmp(name, "python", 6) && !name[6 + strspn(name + 6, "0123456789.dmtu")];
}

/* Its loader and C library are one file: ld-musl-x86_64.so.1, where it is not a link to Debian's libc.so. */
static bool is_musl(const char *path)
{
	const char *name = base_name(path);

	return !strncmp(name, "ld-musl-", 8) || !strncmp(name, "libc.musl-", 10) || !strcmp(name, "libc.so");
}

static int see_musl(const struct proc_map *m, struct candidate *c)
{
	if (c->path)
		return 0;
	c->path = strdup(m->path);
	if (!c->path)
		return -ENOMEM;
	c->map = *m;
	c->map.path = c->path;
	return 0;
}

static int see_map(const struct proc_map *m, void *arg)
{
	struct scan *s = arg;
	struct candidate *c = s->candidates;

	if (m->path[0] == '/' && m->executable && is_musl(m->path))
		return see_musl(m, &s->musl);
	if (m->path[0] != '/' ||
	    (!is_library(m->path) && !is_program(m->path) && strcmp(m->path, s->exe)))
		return 0;
	while (c < s->candidates + s->cnt && (c->map.inode != m->inode || strcmp(c->path, m->path)))
		c++;
	if (c == s->candidates + MAX_CANDIDATES)
		return 0;
	if (c == s->candidates + s->cnt) {
		c->path = strdup(m->path);
		if (!c->path)
			return -ENOMEM;
		s->cnt++;
	} else if (c->map.executable || !m->executable) {
		return 0;
	}
	c->map = *m;
	c->map.path = c->path;
	return 0;
}

/* The executable's path as maps prints it; empty for a kernel thread. */
static int read_exe(struct interp_cache *cache, pid_t tgid, char *buf, size_t len)
{
	static const char mark[] = " (deleted)";
	struct proc_stat stat;
	char link[64];
	ssize_t n;
	int err;

	snprintf(link, sizeof(link), "/proc/%d/exe", tgid);
	n = readlink(link, buf, len - 1);
	if (n >= 0) {
		buf[n] = '\0';
		if ((size_t)n >= sizeof(mark) && !strcmp(buf + n - sizeof(mark) + 1, mark))
			buf[n - sizeof(mark) + 1] = '\0';
		return 0;
	}
	if (errno != ENOENT)
		return -errno;
	err = proc__stat(cache->proc, tgid, &stat);
	if (err)
		return err;
	buf[0] = '\0';
	return stat.state == 'Z' || stat.state == 'X' ? -ESRCH : 0;
}

/*
 * Fills a file's entry. The file that is opened is the file that is described: a path may change
 * between two looks.
 */
static int examine(const char *host_path, const struct proc_map *m, struct known_file *k)
{
	struct elf_file *f;
	int err;

	k->map_offset = m->offset;
	k->map_executable = m->executable;
	err = elf_file__open(host_path, &f);
	if (err == -ENOEXEC)
		return 0;
	if (err)
		return err;
	if (is_musl(m->path))
		k->musl_specific = python_file__musl_specific(f);
	err = python_file__examine(f, base_name(m->path), &k->file);
	if (err == -ENOENT) {
		err = 0;
	} else if (!err) {
		k->python = true;
		if (elf_file__addr_of_mapping(f, m->offset, m->executable, &k->map_addr))
			k->file.unsupported = "its file is mapped otherwise than it says";
	}
	elf_file__free(f);
	return err;
}

static int look_up(struct interp_cache *cache, const char *host_path, const struct stat *st,
		   const struct proc_map *m, const struct known_file **ret)
{
	struct known_file k = {.dev = st->st_dev,
			       .inode = st->st_ino,
			       .bytes = st->st_size,
			       .changed = st->st_ctim};
	int err;

	for (size_t i = 0; i < cache->cnt; i++) {
		const struct known_file *old = &cache->known[i];

		if (old->inode != k.inode || old->dev != k.dev || old->bytes != k.bytes ||
		    old->changed.tv_sec != k.changed.tv_sec ||
		    old->changed.tv_nsec != k.changed.tv_nsec ||
		    (old->python &&
		     (old->map_offset != m->offset || old->map_executable != m->executable)))
			continue;
		*ret = old;
		return 0;
	}
	err = examine(host_path, m, &k);
	if (err)
		return err;
	cache->known[cache->next] = k;
	*ret = &cache->known[cache->next];
	cache->next = (cache->next + 1) % MAX_KNOWN_FILES;
	if (cache->cnt < MAX_KNOWN_FILES)
		cache->cnt++;
	return 0;
}

/* Where pthread_getspecific looks. -ENOTSUP: not known. */
static int find_specific(struct interp_cache *cache, pid_t tgid, const struct scan *s, const struct known_file *python,
			 struct py_walk *walk)
{
	char host_path[MAPPED_FILE_PATH_BYTES];
	const struct known_file *k = python;
	uint32_t offset = python->file.musl_specific;
	struct stat st;
	int err;

	if (!offset && !s->musl.path)
		return 0;
	if (!offset) {
		err = mapped_file__path(tgid, &s->musl.map, false, host_path, &st);
		err = err ? err : look_up(cache, host_path, &st, &s->musl.map, &k);
		if (err)
			return err;
		offset = k->musl_specific;
	}
	walk->libc = PY_LIBC_MUSL;
	walk->musl_specific = offset;
	return offset || walk->tss_key == PY_NO_FIELD ? 0 : -ENOTSUP;
}

static int read_layout(struct interp_cache *cache, pid_t tgid, const struct scan *s, const struct known_file *k,
		       struct interp *r, const char **why)
{
	const struct known_file python = *k; /* looking up another file may forget this one */
	struct mem_reader mem = mem_reader__of_process(tgid);
	int err = py_layout__of_runtime(&mem, r->runtime, r->version, &r->layout);

	if (err == -EBADMSG)
		*why = "its debug offsets make no sense";
	else if (err == -EFAULT)
		*why = "its runtime structure is not mapped where its file says";
	else if (err == -ENOTSUP && !py_layout__of_version(r->version))
		*why = r->version < PY_VERSION(3, 8) ? "CPython older than 3.8"
						     : "CPython newer than this pymemscope knows";
	else if (err == -ENOTSUP)
		*why = "a build of CPython that this pymemscope can't read";
	if (err)
		return err == -EBADMSG || err == -EFAULT ? -ENOTSUP : err;
	err = find_specific(cache, tgid, s, &python, &r->layout.walk);
	if (err == -ENOTSUP)
		*why = "where its musl keeps thread-specific data can't be told from its code";
	if (err || python.file.thread_state.access == THREAD_UNKNOWN)
		return err;
	err = thread_state__find(&python.file.thread_state, &mem, r->load_bias, &r->layout.walk);
	if (err == -EBADMSG)
		*why = "where it keeps the thread state makes no sense";
	return err == -EBADMSG ? -ENOTSUP : err;
}

/* 0, -ENOENT: no Python in this file; or what interp__of_process returns. */
static int try_candidate(struct interp_cache *cache, pid_t tgid, const struct scan *s, const struct candidate *c,
			 struct interp *r, const char **why)
{
	const struct known_file *k;
	struct stat st;
	int err;

	err = mapped_file__path(tgid, &c->map, !strcmp(c->path, s->exe), r->host_path, &st);
	if (err)
		return err;
	snprintf(r->path, sizeof(r->path), "%s", c->path);
	r->shared = is_library(c->path);
	if (is_pypy(c->path)) {
		r->version = python_file__version_of_name(base_name(c->path));
		if (r->version)
			snprintf(r->version_text, sizeof(r->version_text), "%d.%d", r->version >> 8,
				 r->version & 0xff);
		*why = "PyPy keeps its memory otherwise than CPython";
		return -ENOTSUP;
	}
	err = look_up(cache, r->host_path, &st, &c->map, &k);
	if (err)
		return err;
	if (!k->python)
		return -ENOENT;
	memcpy(r->build_id, k->file.build_id, sizeof(r->build_id));
	memcpy(r->version_text, k->file.version_text, sizeof(r->version_text));
	r->version = k->file.version;
	r->stripped = k->file.stripped;
	r->load_bias = c->map.start - k->map_addr;
	if (c->map.executable) {
		r->text_begin = c->map.start;
		r->text_bytes = c->map.end - c->map.start;
	}
	r->runtime = k->file.runtime ? r->load_bias + k->file.runtime : 0;
	if (k->file.unsupported) {
		*why = k->file.unsupported;
		return -ENOTSUP;
	}
	return read_layout(cache, tgid, s, k, r, why);
}

static int try_all(struct interp_cache *cache, pid_t tgid, const struct scan *s, struct interp *ret,
		   const char **why)
{
	struct interp *r = malloc(sizeof(*r));
	int result = -ENOENT;

	if (!r)
		return -ENOMEM;
	/* A program's own symbols win over those of a library that came with a module. */
	for (int libraries = 0; libraries < 2; libraries++) {
		for (size_t i = 0; i < s->cnt; i++) {
			const struct candidate *c = &s->candidates[i];
			int err;

			if (is_library(c->path) != libraries)
				continue;
			memset(r, 0, sizeof(*r));
			err = try_candidate(cache, tgid, s, c, r, why);
			if (!err || err == -ENOTSUP) {
				*ret = *r;
				free(r);
				return err;
			}
			if (result == -ENOENT)
				result = err;
		}
	}
	free(r);
	return result;
}

int interp_cache__look(struct interp_cache *cache, pid_t tgid, struct interp *ret, const char **why)
{
	char exe[sizeof(ret->path)];
	struct scan s = {.exe = exe};
	struct proc_stat stat;
	int err;

	err = read_exe(cache, tgid, exe, sizeof(exe));
	if (err || !exe[0])
		return err ? err : -ENOENT;
	err = proc__for_each_map(cache->proc, tgid, see_map, &s);
	if (!err)
		err = try_all(cache, tgid, &s, ret, why);
	for (size_t i = 0; i < s.cnt; i++)
		free(s.candidates[i].path);
	free(s.musl.path);
	/* What ended meanwhile looks like a process without maps or files. */
	if (err == -ENOENT &&
	    (proc__stat(cache->proc, tgid, &stat) || stat.state == 'Z' || stat.state == 'X'))
		err = -ESRCH;
	return err;
}

int interp__of_process(pid_t tgid, struct interp *ret, const char **why)
{
	struct interp_cache *cache;
	int err;

	err = interp_cache__new(&cache);
	if (err)
		return err;
	err = interp_cache__look(cache, tgid, ret, why);
	interp_cache__free(cache);
	return err;
}
