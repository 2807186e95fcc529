/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Memory cgroups of this host: which hierarchy carries memory (v2, or the memory controller's own on v1 and hybrid
 * hosts), the cgroup of a process, its id, its limit and its usage.
 *
 * A cgroup id is the inode of its directory (kernel: kernfs node id; cgroup v2's equals bpf_get_current_cgroup_id()).
 * proc_root is injected for tests; where cgroups are mounted is taken from its self/mountinfo.
 */
#ifndef CONTAINERS_CGROUP_H
#define CONTAINERS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroups;

/*
 * Reads proc_root/self/mountinfo (NULL: "/proc") to find the memory hierarchy. -ENOENT: no cgroup file system is
 * mounted. Works where only v2 without a memory controller is there: then limits and usage are unknown.
 */
int cgroups__new(const char *proc_root, struct cgroups **ret);
void cgroups__free(struct cgroups *c);

/* True when ids must be taken from the memory controller's v1 hierarchy instead of bpf_get_current_cgroup_id(). */
bool cgroups__is_v1(const struct cgroups *c);
/* "v1", "hybrid (memory on v1)", "v2", "v2 without memory controller"; static. */
const char *cgroups__mode(const struct cgroups *c);

/*
 * The path of a process's memory cgroup, from the root of its hierarchy ("/docker/ab12..."), from its own line of
 * /proc/TGID/cgroup. At most len - 1 bytes. -ESRCH, -ENAMETOOLONG, -EBADMSG.
 * From inside a cgroup namespace, what lies outside begins with "/.." unless the outer hierarchy is mounted too.
 */
int cgroups__path_of_process(const struct cgroups *c, pid_t tgid, char *buf, size_t len);
/* Id of a path. -ENOENT. */
int cgroups__id_of_path(const struct cgroups *c, const char *path, uint64_t *ret);
/* Path of an id: searches the hierarchy, newest cache first. -ENOENT: no cgroup has it (any more). */
int cgroups__path_of_id(struct cgroups *c, uint64_t id, char *buf, size_t len);
/* Where the hierarchy is mounted, for doctor and for paths as a shell completes them. */
const char *cgroups__mount_point(const struct cgroups *c);
/*
 * Calls fn for the cgroup (NULL: all there are) and all below it, the upper ones first, until it returns non-zero; that value is returned.
 * -ENOENT: no such cgroup; -E2BIG: some were left out because there are more than any host has.
 */
int cgroups__for_each(const struct cgroups *c, const char *path, int (*fn)(const char *path, void *arg), void *arg);
/* Calls fn for each tgid in the cgroup and in all below it; returns as cgroups__for_each(). */
int cgroups__for_each_process(const struct cgroups *c, const char *path, int (*fn)(pid_t tgid, void *arg), void *arg);

#define CGROUP_NO_LIMIT UINT64_MAX
struct cgroup_memory {
	uint64_t limit_bytes; /* the least of its own and all its ancestors' limits; CGROUP_NO_LIMIT */
	uint64_t usage_bytes;
	uint64_t peak_bytes; /* 0 where the kernel does not tell */
	uint64_t anon_bytes, file_bytes, shmem_bytes, kernel_bytes; /* memory.stat */
	uint64_t oom_kills;
};
/* -ENOENT: cgroup gone; -ENOTSUP: no memory controller. */
int cgroups__memory(const struct cgroups *c, const char *path, struct cgroup_memory *ret);
/* Its usage_bytes alone, a tenth of the work. As above; -ENOENT also where another cgroup is charged. */
int cgroups__usage(const struct cgroups *c, const char *path, uint64_t *ret);

#endif
