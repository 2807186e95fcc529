/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Limits, usage and what it consists of.
 *
 * Facts: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. v1's largest limit is
 * the page counter's maximum, LONG_MAX rounded down to a page (include/linux/page_counter.h); pages
 * are 64 KiB at most. The v2 root has neither memory.max nor memory.current. memory.stat's "kernel"
 * came with 5.18, memory.peak with 5.19.
 */
#include "containers/cgroup_impl.h"
#include "containers/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define V1_NO_LIMIT (INT64_MAX & ~UINT64_C(0xffff))
#define MAX_STAT_BYTES (64u << 10)

static int open_dir(const char *dir)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	return errno == ENOTDIR || errno == ENODEV ? -ENOENT : -errno;
}

/* The value of "key 123" in a text of such lines. */
static bool find_stat(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	const char *line;

	for (line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (!strncmp(line, key, len) && line[len] == ' ' && line[len + 1] >= '0' &&
		    line[len + 1] <= '9') {
			*ret = strtoull(line + len + 1, NULL, 10);
			return true;
		}
	}
	return false;
}

static uint64_t stat_or_0(const char *text, const char *key)
{
	uint64_t value = 0;

	find_stat(text, key, &value);
	return value;
}

static bool has_file(int fd, const char *name)
{
	return !faccessat(fd, name, F_OK, 0);
}

/* Cuts the last component off dir, but never above the tree's. */
static bool go_up(const struct cgroups *c, char *dir)
{
	size_t tree_len = strlen(c->tree.dir);
	char *slash = strrchr(dir, '/');

	if (strlen(dir) <= tree_len || !slash || slash < dir + tree_len)
		return false;
	*slash = '\0';
	return true;
}

/*
 * Opens the cgroup that is charged for what happens in dir: on v2 the controller may be on for an
 * ancestor only, as in cgroups that a container makes for itself. dir becomes its directory.
 */
static int open_charged(const struct cgroups *c, char *dir)
{
	int fd = open_dir(dir);

	while (fd >= 0 && !cgroups__is_v1(c) && !has_file(fd, "memory.stat")) {
		close(fd);
		if (!go_up(c, dir))
			return -ENOENT;
		fd = open_dir(dir);
	}
	return fd;
}

static int least_limit(const struct cgroups *c, char *dir, const char *file, uint64_t *ret)
{
	uint64_t least = CGROUP_NO_LIMIT, limit;
	int fd, err;

	do {
		fd = open_dir(dir);
		if (fd < 0)
			return fd;
		err = small_file__read_u64(fd, file, &limit);
		close(fd);
		/* The v2 root has no limit file. */
		if (err && err != -ENOENT)
			return err;
		if (!err && limit < least)
			least = limit;
	} while (go_up(c, dir));
	*ret = least;
	return 0;
}

static int read_v1(const struct cgroups *c, int fd, char *dir, const char *stat,
		   struct cgroup_memory *m)
{
	char *oom;
	int err;

	err = small_file__read_u64(fd, "memory.usage_in_bytes", &m->usage_bytes);
	/*
	 * The kernel's own answer: it knows ancestors that are not mounted here, and hierarchies
	 * whose use_hierarchy is off (before 5.11).
	 */
	if (!err && !find_stat(stat, "hierarchical_memory_limit", &m->limit_bytes))
		err = least_limit(c, dir, "memory.limit_in_bytes", &m->limit_bytes);
	if (err)
		return err;
	if (m->limit_bytes >= V1_NO_LIMIT)
		m->limit_bytes = CGROUP_NO_LIMIT;
	if (small_file__read_u64(fd, "memory.max_usage_in_bytes", &m->peak_bytes))
		m->peak_bytes = 0;
	if (!find_stat(stat, "total_rss", &m->anon_bytes))
		m->anon_bytes = stat_or_0(stat, "rss");
	if (!find_stat(stat, "total_cache", &m->file_bytes))
		m->file_bytes = stat_or_0(stat, "cache");
	if (!find_stat(stat, "total_shmem", &m->shmem_bytes))
		m->shmem_bytes = stat_or_0(stat, "shmem");
	if (small_file__read_u64(fd, "memory.kmem.usage_in_bytes", &m->kernel_bytes))
		m->kernel_bytes = 0;
	if (!small_file__read(fd, "memory.oom_control", 4096, &oom, NULL)) {
		m->oom_kills = stat_or_0(oom, "oom_kill");
		free(oom);
	}
	return 0;
}

static int read_v2(const struct cgroups *c, int fd, char *dir, const char *stat,
		   struct cgroup_memory *m)
{
	char *events;
	int err;

	m->anon_bytes = stat_or_0(stat, "anon");
	m->file_bytes = stat_or_0(stat, "file");
	m->shmem_bytes = stat_or_0(stat, "shmem");
	if (!find_stat(stat, "kernel", &m->kernel_bytes))
		m->kernel_bytes = stat_or_0(stat, "kernel_stack") + stat_or_0(stat, "pagetables") +
				  stat_or_0(stat, "percpu") + stat_or_0(stat, "slab");
	err = small_file__read_u64(fd, "memory.current", &m->usage_bytes);
	if (err == -ENOENT && !strcmp(dir, c->tree.dir)) {
		m->usage_bytes = m->anon_bytes + m->file_bytes + m->kernel_bytes;
		err = 0;
	}
	if (!err)
		err = least_limit(c, dir, "memory.max", &m->limit_bytes);
	if (err)
		return err;
	if (small_file__read_u64(fd, "memory.peak", &m->peak_bytes))
		m->peak_bytes = 0;
	if (!small_file__read(fd, "memory.events", 4096, &events, NULL)) {
		m->oom_kills = stat_or_0(events, "oom_kill");
		free(events);
	}
	return 0;
}

int cgroups__memory(const struct cgroups *c, const char *path, struct cgroup_memory *ret)
{
	struct cgroup_memory m = { 0 };
	char dir[PATH_MAX], *stat = NULL;
	int fd, err;

	if (c->mode == CGROUP_V2_NO_MEMORY)
		return -ENOTSUP;
	err = cgroup__dir(c, path, dir, sizeof(dir));
	if (err)
		return err;
	fd = open_charged(c, dir);
	if (fd < 0)
		return fd;
	err = small_file__read(fd, "memory.stat", MAX_STAT_BYTES, &stat, NULL);
	if (!err)
		err = cgroups__is_v1(c) ? read_v1(c, fd, dir, stat, &m)
					: read_v2(c, fd, dir, stat, &m);
	free(stat);
	close(fd);
	if (!err)
		*ret = m;
	return err;
}

int cgroups__usage(const struct cgroups *c, const char *path, uint64_t *ret)
{
	const char *name = cgroups__is_v1(c) ? "/memory.usage_in_bytes" : "/memory.current";
	char file[PATH_MAX + 32];
	int err;

	if (c->mode == CGROUP_V2_NO_MEMORY)
		return -ENOTSUP;
	err = cgroup__dir(c, path, file, PATH_MAX);
	if (err)
		return err;
	strcat(file, name);
	return small_file__read_u64(AT_FDCWD, file, ret);
}
