/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which hierarchy carries memory, decided once when it is opened, and the cgroup of a process.
 * Walks and ids are in cgroup_walk.c, limits and usage in cgroup_memory.c, mounts in
 * cgroup_mount.c.
 *
 * Facts: cgroups(7), cgroup_namespaces(7); /proc/PID/cgroup is printed by proc_cgroup_show() in
 * kernel/cgroup/cgroup.c.
 */
#include "containers/cgroup_impl.h"
#include "containers/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A line per hierarchy, each with a path of PATH_MAX at most. */
#define MAX_PROC_CGROUP_BYTES (64u << 10)

static bool has_word(char *text, const char *separators, const char *want)
{
	char *save = NULL, *word;

	for (word = strtok_r(text, separators, &save); word;
	     word = strtok_r(NULL, separators, &save)) {
		if (!strcmp(word, want))
			return true;
	}
	return false;
}

static bool root_has_memory_controller(const char *dir)
{
	char path[PATH_MAX], *text;
	bool found;

	if (cgroup__join(path, sizeof(path), dir, "/cgroup.controllers") ||
	    small_file__read(AT_FDCWD, path, 4096, &text, NULL))
		return false;
	found = has_word(text, " \n", "memory");
	free(text);
	return found;
}

static int choose_tree(struct cgroups *c, struct cgroup_mounts *m)
{
	struct cgroup_mount *from = m->memory.dir ? &m->memory : &m->unified;
	struct statfs fs;

	if (!from->dir)
		return -ENOENT;
	if (m->memory.dir)
		c->mode = m->unified.dir ? CGROUP_HYBRID : CGROUP_V1;
	else
		c->mode = root_has_memory_controller(from->dir) ? CGROUP_V2 : CGROUP_V2_NO_MEMORY;
	c->tree = *from;
	memset(from, 0, sizeof(*from));
	c->outside = cgroup_root__levels_up(c->tree.root) > 0;
	c->real = !statfs(c->tree.dir, &fs) &&
		  (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
	return 0;
}

/* This process's cgroup as /proc has it, not as the tree has it. */
static int line_of_process(const struct cgroups *c, const char *process, char *buf, size_t len)
{
	char file[PATH_MAX], *text, *line, *save = NULL, *controllers, *path, *end;
	int err;

	if ((size_t)snprintf(file, sizeof(file), "%s/%s/cgroup", c->proc_root, process) >=
	    sizeof(file))
		return -ENAMETOOLONG;
	err = small_file__read(AT_FDCWD, file, MAX_PROC_CGROUP_BYTES, &text, NULL);
	if (err)
		return err == -ENOENT ? -ESRCH : err;
	err = -EBADMSG;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		controllers = strchr(line, ':');
		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path || path[1] != '/')
			continue;
		*path++ = '\0';
		if (cgroups__is_v1(c) ? !has_word(controllers + 1, ",", "memory")
				      : strcmp(line, "0:"))
			continue;
		/* A zombie keeps the path of a cgroup that was removed. */
		end = strstr(path, " (deleted)");
		if (end && !end[strlen(" (deleted)")])
			*end = '\0';
		err = cgroup__join(buf, len, path, "");
		break;
	}
	free(text);
	return err;
}

/* Appends path, which may go up, to base. Going above the root stays there. */
static int append(char *base, size_t len, const char *path)
{
	char *slash;

	while (!strncmp(path, "/..", 3) && (path[3] == '/' || !path[3])) {
		slash = strrchr(base, '/');
		if (slash)
			*slash = '\0';
		path += 3;
	}
	if (!strcmp(base, "/"))
		*base = '\0';
	if (strcmp(path, "/"))
		return cgroup__join(base, len, base, path);
	return 0;
}

/*
 * The tree begins above our cgroup namespace: where in it are we? Either the namespace's root is
 * mounted too, then by its id; or by looking for ourselves, then our place less what /proc says we
 * are below the namespace's root.
 */
static void find_namespace_root(struct cgroups *c)
{
	char path[PATH_MAX], own[PATH_MAX], link[PATH_MAX];
	struct cgroups own_tree = { .tree = { .dir = c->tree.own_dir, .root = (char *)"/" } };
	size_t path_len, own_len;
	uint64_t id;
	ssize_t n;

	if (c->tree.own_dir && !cgroups__id_of_path(&own_tree, "/", &id) &&
	    !cgroup__search_id(c, id, path, sizeof(path))) {
		c->namespace_root = strdup(path);
		return;
	}
	if (cgroup__join(link, sizeof(link), c->proc_root, "/self"))
		return;
	n = readlink(link, own, sizeof(own) - 1);
	if (n <= 0)
		return;
	own[n] = '\0';
	if (cgroup__search_tgid(c, (pid_t)strtol(own, NULL, 10), path, sizeof(path)) ||
	    line_of_process(c, "self", own, sizeof(own)) || !strncmp(own, "/..", 3))
		return;
	own_len = strcmp(own, "/") ? strlen(own) : 0;
	path_len = strlen(path);
	if (own_len > path_len || strncmp(path + path_len - own_len, own, own_len))
		return;
	path[path_len - own_len] = '\0';
	c->namespace_root = strdup(*path ? path : "/");
}

int cgroups__new(const char *proc_root, struct cgroups **ret)
{
	struct cgroup_mounts m = { 0 };
	struct cgroups *c;
	char prefix[PATH_MAX];
	int err;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->proc_root = strdup(proc_root ? proc_root : "/proc");
	err = c->proc_root ? 0 : -ENOMEM;
	if (!err)
		err = cgroup_mounts__read(c->proc_root, "self", "", &m);
	/* Process 1 of the host may see more than we; that we may not look is no error. */
	if (!err && !cgroup__join(prefix, sizeof(prefix), c->proc_root, "/1/root") &&
	    cgroup_mounts__read(c->proc_root, "1", prefix, &m) == -ENOMEM)
		err = -ENOMEM;
	if (!err)
		err = choose_tree(c, &m);
	cgroup_mounts__clear(&m);
	if (err) {
		cgroups__free(c);
		return err;
	}
	if (c->outside)
		find_namespace_root(c);
	*ret = c;
	return 0;
}

void cgroups__free(struct cgroups *c)
{
	if (!c)
		return;
	cgroup__forget_seen(c);
	free(c->tree.dir);
	free(c->tree.root);
	free(c->tree.own_dir);
	free(c->namespace_root);
	free(c->proc_root);
	free(c);
}

bool cgroups__is_v1(const struct cgroups *c)
{
	return c->mode == CGROUP_V1 || c->mode == CGROUP_HYBRID;
}

const char *cgroups__mode(const struct cgroups *c)
{
	static const char *const names[] = {
		[CGROUP_V1] = "v1",
		[CGROUP_HYBRID] = "hybrid (memory on v1)",
		[CGROUP_V2] = "v2",
		[CGROUP_V2_NO_MEMORY] = "v2 without memory controller",
	};

	return names[c->mode];
}

const char *cgroups__mount_point(const struct cgroups *c)
{
	return c->tree.dir;
}

int cgroups__path_of_process(const struct cgroups *c, pid_t tgid, char *buf, size_t len)
{
	char process[16], line[PATH_MAX], path[PATH_MAX];
	size_t root_len;
	int err;

	snprintf(process, sizeof(process), "%d", (int)tgid);
	err = line_of_process(c, process, line, sizeof(line));
	if (err || !c->outside)
		return err ? err : cgroup__join(buf, len, line, "");
	if (c->namespace_root) {
		err = cgroup__join(path, sizeof(path), c->namespace_root, "");
		if (!err)
			err = append(path, sizeof(path), line);
	} else {
		root_len = strlen(c->tree.root);
		if (strncmp(line, c->tree.root, root_len) ||
		    (line[root_len] && line[root_len] != '/'))
			return cgroup__search_tgid(c, tgid, buf, len);
		err = cgroup__join(path, sizeof(path), line + root_len, "");
	}
	return err ? err : cgroup__join(buf, len, *path ? path : "/", "");
}
