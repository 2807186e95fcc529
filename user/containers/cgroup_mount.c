/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where cgroup hierarchies are mounted, from /proc/PID/mountinfo (proc_pid_mountinfo(5);
 * fs/proc_namespace.c). Blanks in its fields are octal escapes. A cgroup mount's root is shown
 * relative to the reader's cgroup namespace (kernel/cgroup/cgroup.c: cgroup_show_path), hence
 * "/../.." for what was mounted outside of it.
 */
#include "containers/cgroup_impl.h"
#include "containers/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A host with thousands of mounts has some 200 bytes for each. */
#define MAX_MOUNTINFO_BYTES (16u << 20)

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && is_octal(s[1]) && is_octal(s[2]) && is_octal(s[3])) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static bool has_option(const char *options, const char *want)
{
	size_t len = strlen(want);
	const char *p;

	for (p = options; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		if (!strncmp(p, want, len) && (p[len] == ',' || !p[len]))
			return true;
	}
	return false;
}

unsigned int cgroup_root__levels_up(const char *root)
{
	unsigned int n = 0;

	while (!strncmp(root, "/..", 3) && (root[3] == '/' || !root[3])) {
		root += 3;
		n++;
	}
	return n;
}

/* A root above ours shows most, then our own, then a part of it, the shorter the better. */
static bool shows_more(const char *root, const char *than)
{
	unsigned int up = cgroup_root__levels_up(root), than_up = cgroup_root__levels_up(than);

	if (up != than_up)
		return up > than_up;
	return strlen(root) < strlen(than);
}

static int set(char **to, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int merge(struct cgroup_mount *m, const char *root, const char *prefix,
		 const char *mount_point)
{
	char dir[PATH_MAX];
	struct stat st;
	int err;

	if (root[0] != '/' || cgroup__join(dir, sizeof(dir), prefix, mount_point))
		return 0;
	if (stat(dir, &st) || !S_ISDIR(st.st_mode))
		return 0;
	if (!m->own_dir && !*prefix && !strcmp(root, "/")) {
		err = set(&m->own_dir, dir);
		if (err)
			return err;
	}
	if (m->dir && !shows_more(root, m->root))
		return 0;
	err = set(&m->dir, dir);
	return err ? err : set(&m->root, root);
}

/* id parent major:minor ROOT MOUNT-POINT options [tag...] - TYPE source SUPER-OPTIONS */
static int read_line(char *line, const char *prefix, struct cgroup_mounts *m)
{
	char *root = NULL, *mount_point = NULL, *type, *field;
	int i;

	/* Not strtok(): a field may be empty. */
	field = strsep(&line, " ");
	for (i = 0; field && strcmp(field, "-"); i++) {
		root = i == 3 ? field : root;
		mount_point = i == 4 ? field : mount_point;
		field = strsep(&line, " ");
	}
	type = field ? strsep(&line, " ") : NULL;
	if (!type || !mount_point)
		return 0;
	unescape(root);
	unescape(mount_point);
	if (!strcmp(type, "cgroup2"))
		return merge(&m->unified, root, prefix, mount_point);
	if (strcmp(type, "cgroup"))
		return 0;
	strsep(&line, " ");
	field = strsep(&line, " ");
	if (field && has_option(field, "memory"))
		return merge(&m->memory, root, prefix, mount_point);
	return 0;
}

int cgroup_mounts__read(const char *proc_root, const char *process, const char *prefix,
			struct cgroup_mounts *m)
{
	char path[PATH_MAX], *text, *line, *save = NULL;
	int err;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/mountinfo", proc_root, process) >=
	    sizeof(path))
		return -ENAMETOOLONG;
	err = small_file__read(AT_FDCWD, path, MAX_MOUNTINFO_BYTES, &text, NULL);
	if (err)
		return err;
	for (line = strtok_r(text, "\n", &save); line && !err; line = strtok_r(NULL, "\n", &save))
		err = read_line(line, prefix, m);
	free(text);
	return err;
}

static void clear_mount(struct cgroup_mount *m)
{
	free(m->dir);
	free(m->root);
	free(m->own_dir);
	memset(m, 0, sizeof(*m));
}

void cgroup_mounts__clear(struct cgroup_mounts *m)
{
	clear_mount(&m->memory);
	clear_mount(&m->unified);
}
