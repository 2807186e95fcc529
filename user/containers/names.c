/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Names of containers, from the files that runtimes keep. No runtime is asked over a socket:
 * reading needs no running daemon and can't disturb one. Left out: rootless runtimes' files in home
 * folders, docker with userns-remap, crun's arbitrary cgroup paths.
 *
 * Answers are kept by cgroup path. They are made anew when the set of containers changed, which is
 * looked at for every path that is new and otherwise once a second; a name once known outlives its
 * container.
 *
 * Facts: where files lie is from moby, containers/storage, containerd and runc; checked with
 * docker 20.10, podman 4.3 and runc 1.1 of Debian 12.
 */
#include "base/clock.h"
#include "containers/cgroup.h"
#include "containers/container_impl.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#define MAX_ANSWERS 16384
#define MAX_STORED 16384
#define REFRESH_NS UINT64_C(1000000000)
#define SHORT_ID 12
#define MIN_PREFIX 4

/* rw containers, and those of `podman run --rm`, which don't outlive a boot. */
static const char *const storage_files[] = {
	"/var/lib/containers/storage/overlay-containers/containers.json",
	"/var/lib/containers/storage/vfs-containers/containers.json",
	"/run/containers/storage/overlay-containers/volatile-containers.json",
	"/run/containers/storage/vfs-containers/volatile-containers.json",
};
#define STORAGE_FILES (sizeof(storage_files) / sizeof(*storage_files))

/* A container of podman's or CRI-O's. */
struct stored {
	struct container c;
	UT_hash_handle hh;
};

struct answer {
	struct container c;
	bool named; /* a runtime knows it by this name */
	unsigned int generation;
	UT_hash_handle hh;
	char path[];
};

struct container_names {
	char *root;
	struct runc_index *runc;
	struct stored *stored; /* by id */
	struct stat storage_stat[STORAGE_FILES];
	struct answer *answers;	 /* by path, the oldest first */
	unsigned int generation; /* of the set of containers */
	uint64_t refreshed_ns;
	bool hold; /* no refresh for now */
};

int container_names__new(const char *root, struct container_names **ret)
{
	static const struct {
		const char *dir, *context;
		bool namespaces;
	} roots[] = {
		{ "/run/runc", "", false },
		{ "/run/docker/runtime-runc/moby", "moby", false },
		{ "/run/containerd/runc", "", true },
	};
	struct container_names *n = calloc(1, sizeof(*n));
	char dir[PATH_MAX];
	size_t i;
	int err;

	if (!n)
		return -ENOMEM;
	n->root = strdup(root ? root : "");
	err = n->root ? runc_index__new(&n->runc) : -ENOMEM;
	for (i = 0; !err && i < sizeof(roots) / sizeof(*roots); i++) {
		if ((size_t)snprintf(dir, sizeof(dir), "%s%s", n->root, roots[i].dir) >=
		    sizeof(dir))
			err = -ENAMETOOLONG;
		else
			err = runc_index__add_root(n->runc, dir, roots[i].context,
						   roots[i].namespaces);
	}
	if (err) {
		container_names__free(n);
		return err;
	}
	*ret = n;
	return 0;
}

static void forget_stored(struct container_names *n)
{
	struct stored *s, *next;

	HASH_ITER(hh, n->stored, s, next) {
		HASH_DEL(n->stored, s);
		free(s);
	}
}

void container_names__free(struct container_names *n)
{
	struct answer *a, *next;

	if (!n)
		return;
	HASH_ITER(hh, n->answers, a, next) {
		HASH_DEL(n->answers, a);
		free(a);
	}
	forget_stored(n);
	runc_index__free(n->runc);
	free(n->root);
	free(n);
}

int container_names__add_runc_root(struct container_names *n, const char *dir)
{
	return runc_index__add_root(n->runc, dir, "", false);
}

/* --- what containers there are --- */

static void add_stored(const struct container *c, void *arg)
{
	struct container_names *n = arg;
	struct stored *s;

	HASH_FIND_STR(n->stored, c->id, s);
	if (s || HASH_COUNT(n->stored) >= MAX_STORED)
		return;
	s = malloc(sizeof(*s));
	if (!s)
		return;
	s->c = *c;
	HASH_ADD_STR(n->stored, c.id, s);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool refresh_storage(struct container_names *n)
{
	char path[STORAGE_FILES][PATH_MAX];
	struct stat st[STORAGE_FILES];
	bool changed = false;
	size_t i;

	for (i = 0; i < STORAGE_FILES; i++) {
		snprintf(path[i], sizeof(path[i]), "%s%s", n->root, storage_files[i]);
		if (stat(path[i], &st[i]))
			memset(&st[i], 0, sizeof(st[i]));
		changed |= !same_file(&st[i], &n->storage_stat[i]);
	}
	if (!changed)
		return false;
	forget_stored(n);
	for (i = 0; i < STORAGE_FILES; i++) {
		if (st[i].st_ino)
			runtime_files__storage(path[i], add_stored, n);
		n->storage_stat[i] = st[i];
	}
	return true;
}

static void refresh(struct container_names *n)
{
	bool changed;

	changed = runc_index__refresh(n->runc);
	changed |= refresh_storage(n);
	if (changed)
		n->generation++;
	n->refreshed_ns = clock_now_ns();
}

/* --- one container --- */

static bool ask_docker(const struct container_names *n, struct container *c)
{
	char file[PATH_MAX], dir[PATH_MAX - 256] = "/var/lib/docker";

	snprintf(file, sizeof(file), "%s/etc/docker/daemon.json", n->root);
	runtime_files__docker_root(file, dir, sizeof(dir));
	if ((size_t)snprintf(file, sizeof(file), "%s%s/containers/%s/config.v2.json", n->root, dir,
			     c->id) >= sizeof(file) ||
	    runtime_files__docker(file, c))
		return false;
	strcpy(c->runtime, "docker");
	return true;
}

static bool ask_containerd(const struct container_names *n, const char *namespace,
			   struct container *c)
{
	static const char *const dirs[] = { "/run/containerd", "/run/k3s/containerd" };
	char file[PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		if ((size_t)snprintf(file, sizeof(file),
				     "%s%s/io.containerd.runtime.v2.task/%s/%s/config.json",
				     n->root, dirs[i], namespace, c->id) < sizeof(file) &&
		    !runtime_files__containerd(file, c)) {
			strcpy(c->runtime, "containerd");
			return true;
		}
	}
	return false;
}

static bool ask_storage(const struct container_names *n, struct container *c)
{
	struct stored *s;

	HASH_FIND_STR(n->stored, c->id, s);
	if (!s || !*s->c.name)
		return false;
	strcpy(c->name, s->c.name);
	strcpy(c->image, s->c.image);
	strcpy(c->pod, s->c.pod);
	if (!strcmp(c->runtime, "runc"))
		strcpy(c->runtime, "podman");
	return true;
}

/* Only ids of 64 digits get into file names. A path without a runtime's mark may be of each. */
static bool ask_runtimes(const struct container_names *n, const char *namespace,
			 struct container *c)
{
	bool docker, storage;

	if (!container__is_hex64(c->id, strlen(c->id)))
		return false;
	storage = !strcmp(c->runtime, "podman") || !strcmp(c->runtime, "crio");
	docker = !storage && strcmp(c->runtime, "lxc");
	if (docker && ask_docker(n, c))
		return true;
	if (docker && strcmp(c->runtime, "docker") && ask_containerd(n, namespace, c))
		return true;
	return ask_storage(n, c);
}

static void take_runc(const struct runc_container *r, struct container *c)
{
	char pod_uid[sizeof(c->pod_uid)];

	strcpy(pod_uid, c->pod_uid);
	memset(c, 0, sizeof(*c));
	strcpy(c->pod_uid, pod_uid);
	strcpy(c->id, r->id);
	if (!*r->context)
		strcpy(c->runtime, "runc");
	else
		strcpy(c->runtime, strcmp(r->context, "moby") ? "containerd" : "docker");
}

/* True: the name is one that a runtime or a person gave. */
static bool resolve(const struct container_names *n, const char *path, struct container *c)
{
	const struct runc_container *r = runc_index__find(n->runc, path);
	const char *namespace = r && *r->context ? r->context : "k8s.io";
	size_t len = 0;

	memset(c, 0, sizeof(*c));
	container__parse(path, c, &len);
	/* runc knows better, unless the path goes on to a container inside of runc's. */
	if (r && strlen(r->cgroup_path) >= len && strcmp(r->id, c->id))
		take_runc(r, c);
	if (!*c->id) {
		container__set_text(c->name, sizeof(c->name), path);
		return false;
	}
	if (ask_runtimes(n, namespace, c))
		return true;
	container__set_text(c->name, sizeof(c->name), c->id);
	if (!container__is_hex64(c->id, strlen(c->id)))
		return true;
	c->name[SHORT_ID] = '\0';
	return false;
}

/* --- answers --- */

static struct answer *add_answer(struct container_names *n, const char *path)
{
	struct answer *a = calloc(1, sizeof(*a) + strlen(path) + 1), *oldest = n->answers;

	if (!a)
		return NULL;
	strcpy(a->path, path);
	a->generation = n->generation - 1;
	if (HASH_COUNT(n->answers) >= MAX_ANSWERS) {
		HASH_DEL(n->answers, oldest);
		free(oldest);
	}
	HASH_ADD_STR(n->answers, path, a);
	return a;
}

void container_names__lookup(struct container_names *n, const char *cgroup_path,
			     struct container *ret)
{
	struct container c;
	struct answer *a;
	bool named, aged;

	HASH_FIND_STR(n->answers, cgroup_path, a);
	aged = !a || clock_now_ns() - n->refreshed_ns >= REFRESH_NS;
	if (aged && !n->hold)
		refresh(n);
	if (a && a->generation == n->generation && (a->named || !aged)) {
		*ret = a->c;
		return;
	}
	named = resolve(n, cgroup_path, &c);
	a = a ? a : add_answer(n, cgroup_path);
	if (!a) {
		*ret = c;
		return;
	}
	a->generation = n->generation;
	/* A name once known stays when the runtime has forgotten it. */
	if (named || !a->named || (*c.id && strcmp(c.id, a->c.id))) {
		a->c = c;
		a->named = named;
	}
	*ret = a->c;
}

/* --- from a name to a cgroup --- */

enum { BY_NAME, BY_ID, BY_PREFIX, RANKS };

struct find {
	struct container_names *n;
	const char *want;
	struct {
		char id[sizeof(((struct container *)NULL)->id)];
		char runtime[sizeof(((struct container *)NULL)->runtime)];
		char path[PATH_MAX];
		bool many;
	} best[RANKS];
};

static int rank_of(const struct container *c, const char *want)
{
	size_t namespace_len = strcspn(c->pod, "/");

	if (!strcmp(want, c->name))
		return BY_NAME;
	if (namespace_len && !strncmp(want, c->pod, namespace_len) && want[namespace_len] == '/' &&
	    !strcmp(want + namespace_len + 1, c->name))
		return BY_NAME;
	if (!strcmp(want, c->id))
		return BY_ID;
	if (strlen(want) >= MIN_PREFIX && !strncmp(want, c->id, strlen(want)))
		return BY_PREFIX;
	return RANKS;
}

static int consider(const char *path, void *arg)
{
	struct find *f = arg;
	struct container c;
	int rank;

	container_names__lookup(f->n, path, &c);
	rank = *c.id ? rank_of(&c, f->want) : RANKS;
	if (rank == RANKS || strlen(path) >= sizeof(f->best[rank].path))
		return 0;
	if (*f->best[rank].path) {
		/* The walk goes from top to bottom: what comes later is below, or another
		 * container. */
		if (strcmp(f->best[rank].id, c.id) || strcmp(f->best[rank].runtime, c.runtime))
			f->best[rank].many = true;
		return 0;
	}
	strcpy(f->best[rank].id, c.id);
	strcpy(f->best[rank].runtime, c.runtime);
	strcpy(f->best[rank].path, path);
	return 0;
}

static int copy_path(const char *from, char *path, size_t len)
{
	size_t n = strlen(from);

	while (n > 1 && from[n - 1] == '/')
		n--;
	if (n >= len)
		return -ENAMETOOLONG;
	memcpy(path, from, n);
	path[n] = '\0';
	return 0;
}

static int find_path(const struct cgroups *c, const char *given, char *path, size_t len)
{
	const char *mount = cgroups__mount_point(c), *below = given;
	size_t mount_len = strlen(mount);
	uint64_t id;

	if (!cgroups__id_of_path(c, given, &id))
		return copy_path(given, path, len);
	if (strncmp(given, mount, mount_len) || (given[mount_len] && given[mount_len] != '/'))
		return -ENOENT;
	below = given[mount_len] ? given + mount_len : "/";
	if (cgroups__id_of_path(c, below, &id))
		return -ENOENT;
	return copy_path(below, path, len);
}

int container_names__find(struct container_names *n, struct cgroups *c, const char *name_or_id,
			  char *path, size_t len)
{
	struct find *f;
	int err, rank;

	if (name_or_id[0] == '/')
		return find_path(c, name_or_id, path, len);
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->n = n;
	f->want = name_or_id;
	/* Once for all cgroups, not once for each; names anew, as containers can be renamed. */
	refresh(n);
	n->generation++;
	n->hold = true;
	err = cgroups__for_each(c, NULL, consider, f);
	n->hold = false;
	for (rank = 0; rank < RANKS && !*f->best[rank].path; rank++)
		;
	if (rank < RANKS)
		err = f->best[rank].many ? -EEXIST : copy_path(f->best[rank].path, path, len);
	else if (!err || err == -E2BIG)
		err = -ENOENT;
	free(f);
	return err;
}
