/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From a cgroup path to a container: id, runtime, and the name a person knows it by.
 */
#ifndef CONTAINERS_CONTAINER_H
#define CONTAINERS_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct container {
	char id[80]; /* as the runtime has it: 64 hex digits, ECS's form, runc's own id; "" outside containers */
	char name[256]; /* docker's, podman's or runc's name; pod/container for Kubernetes; the cgroup path outside */
	char runtime[24]; /* "docker", "podman", "containerd", "crio", "runc", "lxc", "buildkit", "systemd" (nspawn); "" outside */
	char image[256]; /* "" where not known */
	char pod_uid[40]; /* Kubernetes pod uid; "" */
	char pod[320]; /* Kubernetes "NAMESPACE/POD"; "" where not known */
};

/*
 * The id in a cgroup path, pure text: docker, podman, cri-containerd, cri-o, kubepods, ECS, a nested "/init" and the
 * like; of containers inside containers the innermost. Fills id, runtime and pod_uid, empties the rest and returns true,
 * or returns false for a path that names no container.
 */
bool container__of_path(const char *cgroup_path, struct container *ret);

struct container_names;
struct cgroups;
/*
 * Where runtimes keep their names. root: prefix for /var/lib/docker, /run/runc, ... (tests); NULL or "": the host's.
 * Nothing is read until it is asked for; answers are kept and read again when a new id comes.
 */
int container_names__new(const char *root, struct container_names **ret);
void container_names__free(struct container_names *n);
/* One more folder of runc's (runc --root DIR), besides those that runtimes use by themselves. */
int container_names__add_runc_root(struct container_names *n, const char *dir);

/*
 * The container that a cgroup path belongs to, with its name where a runtime knows it (docker: config.v2.json; podman:
 * containers.json; runc: state.json, by its cgroup path, which need not contain an id). Always fills *ret: outside
 * containers the name is the path itself.
 */
void container_names__lookup(struct container_names *n, const char *cgroup_path, struct container *ret);

/*
 * The cgroup path of a running container (the uppermost that is its own) given by name ("web", "POD/CONTAINER",
 * "NAMESPACE/POD/CONTAINER"), else by id, else by the unique beginning of an id (4 digits at least). Also takes a cgroup
 * path, or the folder of one below the mount point. -ENOENT; -EEXIST: it names more than one; -ENAMETOOLONG.
 */
int container_names__find(struct container_names *n, struct cgroups *c, const char *name_or_id, char *path, size_t len);

#endif
