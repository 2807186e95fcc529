/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What runtimes keep about their containers in files. Untrusted: sizes and nesting are bounded,
 * every field may be missing or of another type.
 *
 * Facts: moby container/container.go (config.v2.json), containers/storage containers.go
 * (containers.json), runc libcontainer/container_linux.go (state.json), containerd
 * pkg/cri/annotations, kubelet's docker and cri-o names "k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT"
 * (internal to both, and stable since 2016).
 */
#include "containers/container_impl.h"
#include "containers/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES (4u << 20)
#define MAX_NESTING 32

static int parse_text(const char *text, size_t len, struct json_object **ret)
{
	struct json_tokener *tok = json_tokener_new_ex(MAX_NESTING);
	struct json_object *o;

	if (!tok)
		return -ENOMEM;
	o = json_tokener_parse_ex(tok, text, (int)len);
	json_tokener_free(tok);
	if (!o)
		return -EBADMSG;
	*ret = o;
	return 0;
}

static int parse_file(const char *file, struct json_object **ret)
{
	char *text;
	size_t len;
	int err;

	err = small_file__read(AT_FDCWD, file, MAX_FILE_BYTES, &text, &len);
	if (err)
		return err;
	err = parse_text(text, len, ret);
	free(text);
	return err;
}

/* A member; NULL where o is no object or has none. */
static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *value;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &value))
		return NULL;
	return value;
}

/* A string; NULL where it is none or empty. */
static const char *string(struct json_object *o)
{
	const char *s = json_object_is_type(o, json_type_string) ? json_object_get_string(o) : NULL;

	return s && *s ? s : NULL;
}

static const char *string_of(struct json_object *o, const char *key)
{
	return string(member(o, key));
}

/* Kubernetes calls the container that holds a pod's namespaces "POD". */
static void set_pod(struct container *c, const char *namespace, const char *pod,
		    const char *container)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s/%s", pod, container ? container : "POD");
	container__set_text(c->name, sizeof(c->name), text);
	if (!namespace)
		return;
	snprintf(text, sizeof(text), "%s/%s", namespace, pod);
	container__set_text(c->pod, sizeof(c->pod), text);
}

/* "k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT" */
static void set_pod_of_name(struct container *c)
{
	char copy[sizeof(c->name)], *rest = copy, *part[6];
	size_t i;

	strcpy(copy, c->name);
	for (i = 0; i < 6; i++)
		part[i] = strsep(&rest, "_");
	if (!part[5] || rest || strcmp(part[0], "k8s"))
		return;
	set_pod(c, part[3], part[2], part[1]);
}

static void set_name(struct container *c, const char *name)
{
	if (!name)
		return;
	container__set_text(c->name, sizeof(c->name), name);
	set_pod_of_name(c);
}

static void set_image(struct container *c, const char *image)
{
	if (image)
		container__set_text(c->image, sizeof(c->image), image);
}

static void set_pod_uid(struct container *c, const char *uid)
{
	if (uid)
		container__set_text(c->pod_uid, sizeof(c->pod_uid), uid);
}

int runtime_files__docker(const char *file, struct container *c)
{
	struct json_object *o, *config, *labels;
	const char *name, *pod;
	int err;

	err = parse_file(file, &o);
	if (err)
		return err;
	config = member(o, "Config");
	labels = member(config, "Labels");
	name = string_of(o, "Name");
	if (name)
		set_name(c, *name == '/' ? name + 1 : name);
	else
		err = -EBADMSG;
	set_image(c, string_of(config, "Image"));
	pod = string_of(labels, "io.kubernetes.pod.name");
	if (pod)
		set_pod(c, string_of(labels, "io.kubernetes.pod.namespace"), pod,
			string_of(labels, "io.kubernetes.container.name"));
	set_pod_uid(c, string_of(labels, "io.kubernetes.pod.uid"));
	json_object_put(o);
	return err;
}

int runtime_files__docker_root(const char *file, char *buf, size_t len)
{
	struct json_object *o;
	const char *dir;
	int err;

	err = parse_file(file, &o);
	if (err)
		return err;
	dir = string_of(o, "data-root");
	dir = dir ? dir : string_of(o, "graph");
	if (!dir || dir[0] != '/')
		err = -ENOENT;
	else if (strlen(dir) >= len)
		err = -ENAMETOOLONG;
	else
		strcpy(buf, dir);
	json_object_put(o);
	return err;
}

int runtime_files__containerd(const char *file, struct container *c)
{
	struct json_object *o, *a;
	const char *pod;
	int err;

	err = parse_file(file, &o);
	if (err)
		return err;
	a = member(o, "annotations");
	pod = string_of(a, "io.kubernetes.cri.sandbox-name");
	if (pod)
		set_pod(c, string_of(a, "io.kubernetes.cri.sandbox-namespace"), pod,
			string_of(a, "io.kubernetes.cri.container-name"));
	else
		err = -EBADMSG;
	set_image(c, string_of(a, "io.kubernetes.cri.image-name"));
	set_pod_uid(c, string_of(a, "io.kubernetes.cri.sandbox-uid"));
	json_object_put(o);
	return err;
}

/* The image's name is in a JSON text inside the JSON. */
static void set_storage_image(struct container *c, const char *metadata)
{
	struct json_object *o;

	if (!metadata || parse_text(metadata, strlen(metadata), &o))
		return;
	set_image(c, string_of(o, "image-name"));
	json_object_put(o);
}

int runtime_files__storage(const char *file, void (*fn)(const struct container *c, void *arg),
			   void *arg)
{
	struct json_object *list, *o, *names;
	struct container c;
	const char *id;
	size_t i, cnt;
	int err;

	err = parse_file(file, &list);
	if (err)
		return err;
	if (!json_object_is_type(list, json_type_array))
		err = -EBADMSG;
	cnt = err ? 0 : json_object_array_length(list);
	for (i = 0; i < cnt; i++) {
		o = json_object_array_get_idx(list, i);
		id = string_of(o, "id");
		names = member(o, "names");
		if (!id || strlen(id) >= sizeof(c.id))
			continue;
		memset(&c, 0, sizeof(c));
		strcpy(c.id, id);
		if (json_object_is_type(names, json_type_array) && json_object_array_length(names))
			set_name(&c, string(json_object_array_get_idx(names, 0)));
		set_storage_image(&c, string_of(o, "metadata"));
		fn(&c, arg);
	}
	json_object_put(list);
	return err;
}

/*
 * From the directory of a cgroup as runc saw it to its path in the hierarchy. The mount point is
 * that of runc's host, which may not be ours, but everybody mounts cgroups where systemd does
 * (file-hierarchy(7)).
 */
static const char *below_mount(const char *dir, bool v1)
{
	static const char where[] = "/sys/fs/cgroup";

	if (strncmp(dir, where, sizeof(where) - 1))
		return NULL;
	dir += sizeof(where) - 1;
	if (v1 && *dir == '/')
		dir += 1 + strcspn(dir + 1, "/");
	return *dir == '/' && dir[1] ? dir : NULL;
}

int runtime_files__runc(const char *file, char *id, size_t id_len, char *path, size_t path_len)
{
	struct json_object *o, *paths;
	const char *own_id, *dir;
	int err;

	err = parse_file(file, &o);
	if (err)
		return err;
	paths = member(o, "cgroup_paths");
	own_id = string_of(o, "id");
	dir = string_of(paths, "memory");
	dir = dir		     ? below_mount(dir, true)
	      : string_of(paths, "") ? below_mount(string_of(paths, ""), false)
				     : NULL;
	if (!own_id || !dir) {
		err = -EBADMSG;
	} else if (strlen(own_id) >= id_len || strlen(dir) >= path_len) {
		err = -ENAMETOOLONG;
	} else {
		container__set_text(id, id_len, own_id);
		container__set_text(path, path_len, dir);
	}
	json_object_put(o);
	return err;
}
