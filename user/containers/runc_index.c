/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which cgroup belongs to which of runc's containers: from the state.json of each, as
 * linux.cgroupsPath may be anything. A file is read again only when it changed, so that a refresh
 * costs one stat(2) for each container.
 */
#include "containers/container_impl.h"

#include <dirent.h>
#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#define MAX_ROOTS 64
#define MAX_CONTAINERS 16384

struct state {
	struct runc_container c; /* id "": the file could not be used */
	char *cgroup_path;
	ino_t inode;
	off_t size;
	struct timespec changed;
	bool seen; /* in the refresh under way */
	UT_hash_handle hh, by_path;
	char file[];
};

struct root {
	char *dir, *context;
	bool namespaces;
};

struct runc_index {
	struct root roots[MAX_ROOTS];
	size_t root_cnt;
	struct state *files; /* by file */
	struct state *paths; /* by cgroup path */
};

int runc_index__new(struct runc_index **ret)
{
	struct runc_index *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	*ret = x;
	return 0;
}

static void drop(struct runc_index *x, struct state *s)
{
	HASH_DEL(x->files, s);
	free(s->cgroup_path);
	free(s);
}

void runc_index__free(struct runc_index *x)
{
	struct state *s, *next;
	size_t i;

	if (!x)
		return;
	HASH_CLEAR(by_path, x->paths);
	HASH_ITER(hh, x->files, s, next)
		drop(x, s);
	for (i = 0; i < x->root_cnt; i++) {
		free(x->roots[i].dir);
		free(x->roots[i].context);
	}
	free(x);
}

int runc_index__add_root(struct runc_index *x, const char *dir, const char *context,
			 bool namespaces)
{
	struct root r = { .namespaces = namespaces };

	if (x->root_cnt == MAX_ROOTS)
		return -E2BIG;
	r.dir = strdup(dir);
	r.context = strdup(context);
	if (!r.dir || !r.context) {
		free(r.dir);
		free(r.context);
		return -ENOMEM;
	}
	x->roots[x->root_cnt++] = r;
	return 0;
}

static struct state *add(struct runc_index *x, const char *file, const char *context)
{
	struct state *s;

	if (HASH_COUNT(x->files) >= MAX_CONTAINERS)
		return NULL;
	s = calloc(1, sizeof(*s) + strlen(file) + 1);
	if (!s)
		return NULL;
	strcpy(s->file, file);
	container__set_text(s->c.context, sizeof(s->c.context), context);
	HASH_ADD_KEYPTR(hh, x->files, s->file, strlen(s->file), s);
	return s;
}

static void read_state(struct state *s)
{
	char path[PATH_MAX];

	free(s->cgroup_path);
	s->cgroup_path = NULL;
	s->c.id[0] = '\0';
	if (!runtime_files__runc(s->file, s->c.id, sizeof(s->c.id), path, sizeof(path)))
		s->cgroup_path = strdup(path);
	s->c.cgroup_path = s->cgroup_path;
}

/* True: the file is new or changed. */
static bool visit(struct runc_index *x, const char *file, const char *context)
{
	struct stat st;
	struct state *s;

	if (stat(file, &st))
		return false;
	HASH_FIND_STR(x->files, file, s);
	if (!s)
		s = add(x, file, context);
	if (!s)
		return false;
	s->seen = true;
	if (s->inode == st.st_ino && s->size == st.st_size &&
	    s->changed.tv_sec == st.st_mtim.tv_sec && s->changed.tv_nsec == st.st_mtim.tv_nsec)
		return false;
	s->inode = st.st_ino;
	s->size = st.st_size;
	s->changed = st.st_mtim;
	read_state(s);
	return true;
}

static bool visit_dir(struct runc_index *x, const char *dir, const char *context, bool namespaces)
{
	char path[PATH_MAX];
	bool changed = false;
	struct dirent *e;
	DIR *d = opendir(dir);
	int n;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		n = snprintf(path, sizeof(path), "%s/%s%s", dir, e->d_name,
			     namespaces ? "" : "/state.json");
		if (n < 0 || (size_t)n >= sizeof(path))
			continue;
		if (namespaces)
			changed |= visit_dir(x, path, e->d_name, false);
		else
			changed |= visit(x, path, context);
	}
	if (d)
		closedir(d);
	return changed;
}

static bool is_newer(const struct state *s, const struct state *than)
{
	if (s->changed.tv_sec != than->changed.tv_sec)
		return s->changed.tv_sec > than->changed.tv_sec;
	return s->changed.tv_nsec > than->changed.tv_nsec;
}

/* Of containers with the same path the newest has it: others are remains. */
static void index_paths(struct runc_index *x)
{
	struct state *s, *next, *other;

	HASH_CLEAR(by_path, x->paths);
	HASH_ITER(hh, x->files, s, next) {
		if (!s->cgroup_path)
			continue;
		HASH_FIND(by_path, x->paths, s->cgroup_path, strlen(s->cgroup_path), other);
		if (other && !is_newer(s, other))
			continue;
		if (other)
			HASH_DELETE(by_path, x->paths, other);
		HASH_ADD_KEYPTR(by_path, x->paths, s->cgroup_path, strlen(s->cgroup_path), s);
	}
}

bool runc_index__refresh(struct runc_index *x)
{
	struct state *s, *next;
	bool changed = false;
	size_t i;

	HASH_ITER(hh, x->files, s, next)
		s->seen = false;
	for (i = 0; i < x->root_cnt; i++)
		changed |=
			visit_dir(x, x->roots[i].dir, x->roots[i].context, x->roots[i].namespaces);
	HASH_ITER(hh, x->files, s, next)
		changed |= !s->seen;
	if (!changed)
		return false;
	HASH_CLEAR(by_path, x->paths);
	HASH_ITER(hh, x->files, s, next) {
		if (!s->seen)
			drop(x, s);
	}
	index_paths(x);
	return true;
}

const struct runc_container *runc_index__find(const struct runc_index *x, const char *cgroup_path)
{
	size_t len = strlen(cgroup_path);
	struct state *s;

	while (len > 1) {
		HASH_FIND(by_path, x->paths, cgroup_path, len, s);
		if (s)
			return &s->c;
		while (len && cgroup_path[--len] != '/')
			;
	}
	return NULL;
}
