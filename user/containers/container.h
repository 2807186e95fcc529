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
	char runtime[24]; /* "docker", "podman", "containerd", "crio", "runc", "lxc", "systemd"; "" outside */
	char image[256]; /* "" where not known */
	char pod_uid[40]; /* Kubernetes pod uid; "" */
};

/*
 * The id in a cgroup path, pure text: docker, podman, cri-containerd, cri-o, kubepods, ECS, a nested "/init" and the
 * like. Fills id, runtime and pod_uid and returns true, or returns false for a path that names no container.
 */
bool container__of_path(const char *cgroup_path, struct container *ret);

struct container_names;
/*
 * Where runtimes keep their names. root: prefix for /var/lib/docker, /run/runc, ... (tests); NULL or "": the host's.
 * Nothing is read until it is asked for; answers are kept and read again when a new id comes.
 */
int container_names__new(const char *root, struct container_names **ret);
void container_names__free(struct container_names *n);

/*
 * The container that a cgroup path belongs to, with its name where a runtime knows it (docker: config.v2.json; podman:
 * containers.json; runc: state.json, by its cgroup path, which need not contain an id). Always fills *ret: outside
 * containers the name is the path itself.
 */
void container_names__lookup(struct container_names *n, const char *cgroup_path, struct container *ret);

/* The cgroup path of a container given by name, id, or a unique prefix of the id (4 digits at least).
 * -ENOENT; -EEXIST: the prefix is not unique. `paths` lists candidates: calls fn(path) for every cgroup. */
struct cgroups;
int container_names__find(struct container_names *n, struct cgroups *c, const char *name_or_id, char *path, size_t len);

#endif
