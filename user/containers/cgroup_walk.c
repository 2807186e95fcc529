/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Walks over the tree of cgroups, and ids. Directories come and go while we look: what vanished is
 * skipped.
 *
 * Facts: a cgroup id is a kernfs node id, which stat(2) shows as the inode, and kernfs opens it as
 * a file handle of type 0xfe (fs/kernfs/mount.c, since Linux 5.5), so a path is found without a
 * search where we may do that (CAP_DAC_READ_SEARCH).
 */
#include "containers/cgroup_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

/* The kernel has 65,535 memory cgroups at most (MEM_CGROUP_ID_MAX). */
#define MAX_CGROUPS 65536
#define MAX_SEEN 16384
#define FILEID_KERNFS 0xfe /* include/linux/exportfs.h */

int cgroup__join(char *buf, size_t len, const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len + b_len >= len)
		return -ENAMETOOLONG;
	memmove(buf, a, a_len);
	memcpy(buf + a_len, b, b_len + 1);
	return 0;
}

static bool has_dots(const char *path)
{
	const char *p = path;
	size_t len;

	while ((p = strchr(p, '/'))) {
		len = strcspn(++p, "/");
		if ((len == 1 || len == 2) && !strncmp(p, "..", len))
			return true;
	}
	return false;
}

int cgroup__dir(const struct cgroups *c, const char *path, char *buf, size_t len)
{
	size_t root_len = 0;

	if (path[0] != '/' || has_dots(path))
		return -ENOENT;
	if (!c->outside && strcmp(c->tree.root, "/"))
		root_len = strlen(c->tree.root);
	if (strncmp(path, c->tree.root, root_len) || (path[root_len] && path[root_len] != '/'))
		return -ENOENT;
	path += root_len;
	return cgroup__join(buf, len, c->tree.dir, strcmp(path, "/") ? path : "");
}

struct queue {
	char **paths;
	size_t head, cnt, cap;
	bool full;
};

static int queue_push(struct queue *q, const char *parent, const char *name)
{
	char **larger, *path;

	if (q->cnt == MAX_CGROUPS) {
		q->full = true;
		return 0;
	}
	if (q->cnt == q->cap) {
		larger = realloc(q->paths, (q->cap * 2 + 64) * sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		q->paths = larger;
		q->cap = q->cap * 2 + 64;
	}
	if (!strcmp(parent, "/"))
		parent = "";
	if (asprintf(&path, "%s%s%s", parent, *name ? "/" : "", name) < 0)
		return -ENOMEM;
	q->paths[q->cnt++] = path;
	return 0;
}

static bool is_directory(DIR *dir, const struct dirent *e)
{
	struct stat st;

	if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
		return false;
	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return !fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static int push_children(const struct cgroups *c, struct queue *q, const char *path)
{
	char dir_path[PATH_MAX];
	struct dirent *e;
	int err = 0;
	DIR *dir;

	if (cgroup__dir(c, path, dir_path, sizeof(dir_path)))
		return 0;
	dir = opendir(dir_path);
	if (!dir)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
	while (!err && (e = readdir(dir))) {
		if (is_directory(dir, e))
			err = queue_push(q, path, e->d_name);
	}
	closedir(dir);
	return err;
}

static const char *tree_top(const struct cgroups *c)
{
	return c->outside ? "/" : c->tree.root;
}

int cgroups__for_each(const struct cgroups *c, const char *path,
		      int (*fn)(const char *path, void *arg), void *arg)
{
	struct queue q = { 0 };
	uint64_t id;
	char *at;
	int err;

	path = path ? path : tree_top(c);
	err = cgroups__id_of_path(c, path, &id);
	if (!err)
		err = queue_push(&q, path, "");
	while (!err && q.head < q.cnt) {
		at = q.paths[q.head];
		q.paths[q.head++] = NULL;
		err = fn(*at ? at : "/", arg);
		if (!err)
			err = push_children(c, &q, *at ? at : "/");
		free(at);
	}
	while (q.head < q.cnt)
		free(q.paths[q.head++]);
	free(q.paths);
	return err || !q.full ? err : -E2BIG;
}

/* --- processes --- */

struct process_walk {
	const struct cgroups *c;
	int (*fn)(pid_t tgid, void *arg);
	void *arg;
};

static int processes_of(const char *path, void *arg)
{
	const struct process_walk *w = arg;
	char file[PATH_MAX], line[32];
	int err = 0;
	pid_t tgid;
	FILE *f;

	if (cgroup__dir(w->c, path, file, sizeof(file) - strlen("/cgroup.procs")))
		return 0;
	strcat(file, "/cgroup.procs");
	f = fopen(file, "re");
	if (!f)
		return 0;
	/* A threaded cgroup answers EOPNOTSUPP; the root of its domain lists its processes. */
	while (!err && fgets(line, sizeof(line), f)) {
		tgid = (pid_t)strtol(line, NULL, 10);
		/* 0: lives in another pid namespace. */
		if (tgid > 0)
			err = w->fn(tgid, w->arg);
	}
	fclose(f);
	return err;
}

int cgroups__for_each_process(const struct cgroups *c, const char *path,
			      int (*fn)(pid_t tgid, void *arg), void *arg)
{
	struct process_walk w = { .c = c, .fn = fn, .arg = arg };

	return cgroups__for_each(c, path, processes_of, &w);
}

struct search {
	const struct cgroups *c;
	uint64_t id;
	pid_t tgid;
	char path[PATH_MAX];
};

static int is_tgid(pid_t tgid, void *arg)
{
	return tgid == *(pid_t *)arg;
}

static int lists_tgid(const char *path, void *arg)
{
	struct search *s = arg;
	struct process_walk w = { .c = s->c, .fn = is_tgid, .arg = &s->tgid };

	if (!processes_of(path, &w))
		return 0;
	return cgroup__join(s->path, sizeof(s->path), path, "") ? 0 : 1;
}

int cgroup__search_tgid(const struct cgroups *c, pid_t tgid, char *buf, size_t len)
{
	struct search s = { .c = c, .tgid = tgid };
	int err = cgroups__for_each(c, NULL, lists_tgid, &s);

	if (err == 1)
		return cgroup__join(buf, len, s.path, "");
	return err ? err : -ENOENT;
}

/* --- ids --- */

struct cgroup_seen {
	uint64_t id;
	UT_hash_handle hh;
	char path[];
};

static int id_of_dir(const char *dir, uint64_t *ret)
{
	struct stat st;

	if (stat(dir, &st))
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOENT;
	*ret = st.st_ino;
	return 0;
}

int cgroups__id_of_path(const struct cgroups *c, const char *path, uint64_t *ret)
{
	char dir[PATH_MAX];
	int err = cgroup__dir(c, path, dir, sizeof(dir));

	return err ? err : id_of_dir(dir, ret);
}

static bool has_id(const struct cgroups *c, const char *path, uint64_t id)
{
	uint64_t now;

	return !cgroups__id_of_path(c, path, &now) && now == id;
}

static void forget(struct cgroups *c, struct cgroup_seen *s)
{
	HASH_DEL(c->seen, s);
	free(s);
}

void cgroup__forget_seen(struct cgroups *c)
{
	struct cgroup_seen *s, *next;

	HASH_ITER(hh, c->seen, s, next)
		forget(c, s);
}

/* A cache: that it can't grow is no error. */
static void remember(struct cgroups *c, uint64_t id, const char *path)
{
	struct cgroup_seen *s;

	HASH_FIND(hh, c->seen, &id, sizeof(id), s);
	if (s)
		forget(c, s);
	/* uthash iterates in the order of insertion: the head is the oldest. */
	if (HASH_COUNT(c->seen) >= MAX_SEEN)
		forget(c, c->seen);
	s = malloc(sizeof(*s) + strlen(path) + 1);
	if (!s)
		return;
	s->id = id;
	strcpy(s->path, path);
	HASH_ADD(hh, c->seen, id, sizeof(s->id), s);
}

struct id_search {
	struct cgroups *cache; /* NULL: remember nothing */
	struct search s;
};

static int is_id(const char *path, void *arg)
{
	struct id_search *is = arg;
	uint64_t id;

	if (cgroups__id_of_path(is->s.c, path, &id))
		return 0;
	if (is->cache)
		remember(is->cache, id, path);
	if (id != is->s.id)
		return 0;
	return cgroup__join(is->s.path, sizeof(is->s.path), path, "") ? 0 : 1;
}

static int search_id(const struct cgroups *c, struct cgroups *cache, uint64_t id, char *buf,
		     size_t len)
{
	struct id_search is = { .cache = cache, .s = { .c = c, .id = id } };
	int err = cgroups__for_each(c, NULL, is_id, &is);

	if (err == 1)
		return cgroup__join(buf, len, is.s.path, "");
	return err ? err : -ENOENT;
}

int cgroup__search_id(const struct cgroups *c, uint64_t id, char *buf, size_t len)
{
	return search_id(c, NULL, id, buf, len);
}

static int open_handle(const struct cgroups *c, uint64_t id)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(uint64_t)];
	} u = { .handle = { .handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS } };
	int mount_fd, fd, err;

	mount_fd = open(c->tree.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount_fd < 0)
		return -errno;
	memcpy(u.room + offsetof(struct file_handle, f_handle), &id, sizeof(id));
	fd = open_by_handle_at(mount_fd, &u.handle, O_PATH | O_CLOEXEC);
	err = errno;
	close(mount_fd);
	return fd < 0 ? -err : fd;
}

/* -ENOENT: surely gone; another error: can't be told this way. */
static int path_by_handle(const struct cgroups *c, uint64_t id, char *buf, size_t len)
{
	char link[64], dir[PATH_MAX], path[PATH_MAX];
	size_t mount_len = strlen(c->tree.dir);
	ssize_t n;
	int fd;

	if (!c->real)
		return -EOPNOTSUPP;
	fd = open_handle(c, id);
	if (fd < 0)
		return fd == -ESTALE ? -ENOENT : fd;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, dir, sizeof(dir) - 1);
	close(fd);
	if (n < 0)
		return -errno;
	dir[n] = '\0';
	if (strncmp(dir, c->tree.dir, mount_len) || (dir[mount_len] && dir[mount_len] != '/'))
		return -EXDEV;
	if (cgroup__join(path, sizeof(path), strcmp(tree_top(c), "/") ? tree_top(c) : "",
			 dir + mount_len))
		return -ENAMETOOLONG;
	if (!*path)
		strcpy(path, "/");
	/* The path of what was removed meanwhile ends in " (deleted)". */
	if (!has_id(c, path, id))
		return -ESTALE;
	return cgroup__join(buf, len, path, "");
}

int cgroups__path_of_id(struct cgroups *c, uint64_t id, char *buf, size_t len)
{
	struct cgroup_seen *s;
	int err;

	HASH_FIND(hh, c->seen, &id, sizeof(id), s);
	if (s && has_id(c, s->path, id))
		return cgroup__join(buf, len, s->path, "");
	if (s)
		forget(c, s);
	err = path_by_handle(c, id, buf, len);
	if (!err)
		remember(c, id, buf);
	if (!err || err == -ENOENT || err == -ENAMETOOLONG)
		return err;
	return search_id(c, c, id, buf, len);
}
