/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the files cgroup*.c share. Nobody else includes this.
 *
 * "The tree" is the mount of the memory hierarchy that shows most of it. Paths in our API are from
 * the tree's root, which on a host is the hierarchy's own. Inside a cgroup namespace /proc shows
 * paths from the namespace's root and "/.." for what lies outside (cgroup_namespaces(7)); if a
 * mount of the outer tree is in reach (a bind mount from the host, or process 1's), they are turned
 * into paths of that tree.
 */
#ifndef CONTAINERS_CGROUP_IMPL_H
#define CONTAINERS_CGROUP_IMPL_H

#include "containers/cgroup.h"

struct cgroup_mount {
	char *dir; /* where it is mounted; NULL: nowhere */
	char *root; /* which part, as mountinfo has it: "/", "/docker/ab12", "/../.." */
	char *own_dir; /* the first mount of "/", our cgroup namespace's root; or NULL */
};

struct cgroup_mounts {
	struct cgroup_mount memory; /* v1 hierarchy with the memory controller */
	struct cgroup_mount unified; /* v2 */
};

/*
 * Merges the cgroup mounts of a process ("self", "1") into m: the one that shows most of a
 * hierarchy stays. prefix goes before mount points. A mount point that cannot be seen is left out.
 */
int cgroup_mounts__read(const char *proc_root, const char *process, const char *prefix,
			struct cgroup_mounts *m);
void cgroup_mounts__clear(struct cgroup_mounts *m);
/* How many levels above our namespace the root of a mount is. */
unsigned int cgroup_root__levels_up(const char *root);

struct cgroup_seen; /* cgroup_walk.c */
enum cgroup_mode { CGROUP_V1, CGROUP_HYBRID, CGROUP_V2, CGROUP_V2_NO_MEMORY };

struct cgroups {
	char *proc_root;
	enum cgroup_mode mode;
	struct cgroup_mount tree;
	char *namespace_root; /* our namespace's root in the tree, if outside; NULL: not known */
	bool outside; /* the tree's root is above our namespace's */
	bool real; /* a cgroup file system, not a test's folder */
	struct cgroup_seen *seen; /* id -> path */
};

/* The directory of a path. -ENOENT: not below the tree's root, or has "." or ".." in it. */
int cgroup__dir(const struct cgroups *c, const char *path, char *buf, size_t len);
/* Path in the tree of a directory's inode, by a search. -ENOENT. */
int cgroup__search_id(const struct cgroups *c, uint64_t id, char *buf, size_t len);
/* Path in the tree of the cgroup that lists tgid, by a search. -ENOENT. */
int cgroup__search_tgid(const struct cgroups *c, pid_t tgid, char *buf, size_t len);
void cgroup__forget_seen(struct cgroups *c);
/* Concatenation of a and b; -ENAMETOOLONG. */
int cgroup__join(char *buf, size_t len, const char *a, const char *b);

#endif
