/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What container.c, names.c, runc_index.c and runtime_files.c share. Nobody else includes this.
 */
#ifndef CONTAINERS_CONTAINER_IMPL_H
#define CONTAINERS_CONTAINER_IMPL_H

#include "containers/container.h"

/* As container__of_path(); *ret_len is the length of the path up to the end of the container's own
 * component. */
bool container__parse(const char *cgroup_path, struct container *ret, size_t *ret_len);
bool container__is_hex64(const char *s, size_t len);
/* Copies text that others wrote: cut to fit at a character's end, control characters replaced by
 * '?'. */
void container__set_text(char *to, size_t len, const char *text);

/* --- runtime_files.c: what is in a runtime's file. 0; -EBADMSG: not such a file; -ENOENT and the
 * like. --- */

/* Docker's containers/ID/config.v2.json: name, image, pod. */
int runtime_files__docker(const char *file, struct container *c);
/* Docker's daemon.json: data-root. -ENOENT: it sets none. */
int runtime_files__docker_root(const char *file, char *buf, size_t len);
/* An OCI config.json with containerd's CRI annotations: pod and container name, image. */
int runtime_files__containerd(const char *file, struct container *c);
/* containers/storage's containers.json (podman, CRI-O): calls fn for each container, with id, name,
 * image and pod. */
int runtime_files__storage(const char *file, void (*fn)(const struct container *c, void *arg),
			   void *arg);
/* runc's state.json: id, and the path of the memory cgroup in its hierarchy. */
int runtime_files__runc(const char *file, char *id, size_t id_len, char *path, size_t path_len);

/* --- runc_index.c: runc's containers by cgroup path --- */

struct runc_index;
struct runc_container {
	char id[80];
	char context[64]; /* containerd's namespace ("moby", "k8s.io"); "" for runc by itself */
	const char *cgroup_path;
};

int runc_index__new(struct runc_index **ret);
void runc_index__free(struct runc_index *x);
/* dir holds ID/state.json, or, with namespaces, NAMESPACE/ID/state.json. */
int runc_index__add_root(struct runc_index *x, const char *dir, const char *context,
			 bool namespaces);
/* Reads what is new or changed since. True: something was, or went. */
bool runc_index__refresh(struct runc_index *x);
/* The container whose cgroup is the path or the nearest above it; NULL. Valid until the next
 * refresh. */
const struct runc_container *runc_index__find(const struct runc_index *x, const char *cgroup_path);

#endif
