/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The container that a cgroup path names. Text only: what a path can't tell (names, runc's
 * arbitrary cgroupsPath) is in names.c.
 *
 * Facts: the forms are those that runtimes make themselves: moby daemon/oci_linux.go, containerd
 * and its CRI plugin (cri-containerd-ID.scope, or SLICE:cri-containerd:ID where the cgroupfs driver
 * meets a systemd path), cri-o (crio-ID.scope; crio-conmon-ID.scope is its monitor), podman
 * (libpod-ID, libpod-conmon-ID likewise), kubelet cm/cgroup_manager_linux.go (kubepods, '-' of uids
 * as '_' in slices), ECS agent (TASK-DIGITS on Fargate), LXC cgroups/cgfsng.c (lxc.payload.NAME,
 * lxc/NAME), runc (runc-ID.scope), systemd-nspawn(1), buildkit executor/oci.
 */
#include "containers/container_impl.h"

#include <string.h>

#define MAX_CGROUP_PATH 4096

/* A component of the path, or a part of one. */
struct text {
	const char *s;
	size_t len;
};

struct parser {
	struct text at, parent; /* the component looked at, and the one above it */
	bool in_ecs;		/* below /ecs */
	char pod_uid[sizeof(((struct container *)NULL)->pod_uid)];
	struct container *c;
};

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool all_hex(const char *s, size_t len)
{
	while (len && is_hex(*s))
		s++, len--;
	return !len;
}

bool container__is_hex64(const char *s, size_t len)
{
	return len == 64 && all_hex(s, len);
}

static bool is(struct text t, const char *want)
{
	return t.len == strlen(want) && !memcmp(t.s, want, t.len);
}

static bool cut_prefix(struct text *t, const char *prefix)
{
	size_t len = strlen(prefix);

	if (t->len <= len || memcmp(t->s, prefix, len))
		return false;
	t->s += len;
	t->len -= len;
	return true;
}

static bool cut_suffix(struct text *t, const char *suffix)
{
	size_t len = strlen(suffix);

	if (t->len <= len || memcmp(t->s + t->len - len, suffix, len))
		return false;
	t->len -= len;
	return true;
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

void container__set_text(char *to, size_t len, const char *text)
{
	size_t n = strlen(text), i;

	if (n >= len) {
		n = len - 1;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	for (i = 0; i < n; i++)
		to[i] = is_control((unsigned char)text[i]) ? '?' : text[i];
	to[n] = '\0';
}

/* --- pods --- */

/* A uuid, or, for pods from a kubelet's files, an MD5 sum. '_' stands for '-' in slices. */
static bool is_uid(const char *s, size_t len)
{
	size_t i;

	if (len == 32)
		return all_hex(s, len);
	for (i = 0; i < len; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s[i] != '-' && s[i] != '_')
				return false;
		} else if (!is_hex(s[i])) {
			return false;
		}
	}
	return len == 36;
}

/* "podUID", or a slice whose last part is that. */
static void note_pod(struct parser *p, struct text t)
{
	static const size_t lens[] = { 36, 32 };
	const char *uid;
	size_t i, j;

	cut_suffix(&t, ".slice");
	for (i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		if (t.len < lens[i] + 3)
			continue;
		uid = t.s + t.len - lens[i];
		if (memcmp(uid - 3, "pod", 3) || (uid - 3 > t.s && uid[-4] != '-') ||
		    !is_uid(uid, lens[i]))
			continue;
		for (j = 0; j < lens[i]; j++)
			p->pod_uid[j] = uid[j] == '_' ? '-' : uid[j];
		p->pod_uid[j] = '\0';
		return;
	}
}

/* --- containers --- */

static bool found(struct parser *p, struct text id, const char *runtime)
{
	if (!id.len || id.len >= sizeof(p->c->id))
		return false;
	memset(p->c, 0, sizeof(*p->c));
	memcpy(p->c->id, id.s, id.len);
	strcpy(p->c->runtime, runtime);
	strcpy(p->c->pod_uid, p->pod_uid);
	return true;
}

/* found() for names in unit names, where systemd writes "\x2d" for '-'. */
static bool found_escaped(struct parser *p, struct text id, const char *runtime)
{
	static const char digits[] = "0123456789abcdef";
	char name[sizeof(p->c->id)];
	size_t i, n = 0;

	for (i = 0; i < id.len && n < sizeof(name); i++) {
		if (i + 3 < id.len && id.s[i] == '\\' && id.s[i + 1] == 'x' &&
		    is_hex(id.s[i + 2]) && is_hex(id.s[i + 3])) {
			name[n] = (char)((strchr(digits, id.s[i + 2]) - digits) << 4 |
					 (strchr(digits, id.s[i + 3]) - digits));
			i += 3;
		} else {
			name[n] = id.s[i];
		}
		if (is_control((unsigned char)name[n]) || name[n++] == '/')
			return false;
	}
	return found(p, (struct text){ name, n }, runtime);
}

/* The runtime that begins the names of its cgroups so; NULL. */
static const char *runtime_of_prefix(struct text prefix)
{
	static const struct {
		const char *prefix, *runtime;
	} known[] = {
		{ "docker", "docker" },
		{ "libpod", "podman" },
		{ "libpod-payload", "podman" },
		{ "cri-containerd", "containerd" },
		{ "containerd", "containerd" },
		{ "nerdctl", "containerd" },
		{ "crio", "crio" },
		{ "runc", "runc" },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (is(prefix, known[i].prefix))
			return known[i].runtime;
	}
	return NULL;
}

/* SLICE:PREFIX:ID, a systemd driver's path taken literally. */
static bool parse_colons(struct parser *p)
{
	const char *end = p->at.s + p->at.len;
	const char *first = memchr(p->at.s, ':', p->at.len), *second;
	const char *runtime;
	struct text id;

	second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;
	if (!second)
		return false;
	runtime = runtime_of_prefix((struct text){ first + 1, (size_t)(second - first - 1) });
	id = (struct text){ second + 1, (size_t)(end - second - 1) };
	if (!runtime || memchr(id.s, ':', id.len))
		return false;
	note_pod(p, (struct text){ p->at.s, (size_t)(first - p->at.s) });
	return found(p, id, runtime);
}

/* 64 digits and nothing else: whose they are, the component above tells. */
static bool parse_bare(struct parser *p, struct text id)
{
	/* A podman pod, whose containers are below it. */
	if (is(p->parent, "libpod_parent"))
		return false;
	if (is(p->parent, "docker") || p->in_ecs)
		return found(p, id, "docker");
	if (*p->pod_uid || is(p->parent, "default") || is(p->parent, "k8s.io"))
		return found(p, id, "containerd");
	return found(p, id, "runc");
}

static bool parse_prefixed(struct parser *p, struct text t, bool scope)
{
	struct text prefix = { t.s, t.len - 65 }, id = { t.s + t.len - 64, 64 };
	const char *runtime = runtime_of_prefix(prefix);

	/* Somebody's own prefix, but not the monitor that podman and cri-o run beside each
	 * container. */
	if (!runtime && scope && !memmem(prefix.s, prefix.len, "conmon", 6))
		runtime = "runc";
	return runtime && found(p, id, runtime);
}

/* TASK-DIGITS */
static bool is_fargate(struct text t)
{
	size_t i;

	if (t.len < 34 || t.len > 53 || !all_hex(t.s, 32) || t.s[32] != '-')
		return false;
	for (i = 33; i < t.len && is_digit(t.s[i]); i++)
		;
	return i == t.len;
}

static bool is_buildkit_id(struct text t)
{
	size_t i;

	for (i = 0; i < t.len && (is_digit(t.s[i]) || (t.s[i] >= 'a' && t.s[i] <= 'z')); i++)
		;
	return i == 25 && i == t.len;
}

/* Runtimes whose ids are names that people give. */
static bool parse_named(struct parser *p, struct text t, bool scope)
{
	struct text name = t;

	if (scope && cut_prefix(&name, "runc-"))
		return found_escaped(p, name, "runc");
	/* libvirt's virtual machines are machines too. */
	if (scope && is(p->parent, "machine.slice") && cut_prefix(&name, "machine-"))
		return strncmp(name.s, "qemu", 4) && found_escaped(p, name, "systemd");
	if (scope)
		return false;
	if (cut_prefix(&name, "systemd-nspawn@") && cut_suffix(&name, ".service"))
		return found_escaped(p, name, "systemd");
	name = t;
	if (cut_prefix(&name, "lxc.payload.") || is(p->parent, "lxc.payload") ||
	    is(p->parent, "lxc"))
		return !is(name, ".") && !is(name, "..") && found(p, name, "lxc");
	if (is(p->parent, "buildkit") && is_buildkit_id(t))
		return found(p, t, "buildkit");
	return false;
}

static bool parse_component(struct parser *p)
{
	struct text t = p->at;
	bool scope;

	if (parse_colons(p))
		return true;
	scope = cut_suffix(&t, ".scope");
	if (container__is_hex64(t.s, t.len))
		return parse_bare(p, t);
	if (t.len > 65 && t.s[t.len - 65] == '-' && container__is_hex64(t.s + t.len - 64, 64))
		return parse_prefixed(p, t, scope);
	if (is_fargate(t))
		return found(p, t, "containerd");
	return parse_named(p, t, scope);
}

static bool is_sane(const char *path)
{
	size_t i;

	if (!path || path[0] != '/')
		return false;
	for (i = 0; path[i]; i++) {
		if (i >= MAX_CGROUP_PATH || is_control((unsigned char)path[i]))
			return false;
	}
	return true;
}

bool container__parse(const char *cgroup_path, struct container *ret, size_t *ret_len)
{
	struct container c;
	struct parser p = { .c = &c };
	const char *s = cgroup_path;
	size_t len = 0;

	if (!is_sane(cgroup_path))
		return false;
	while (*s) {
		s += strspn(s, "/");
		p.at = (struct text){ s, strcspn(s, "/") };
		s += p.at.len;
		note_pod(&p, p.at);
		if (p.at.len && parse_component(&p))
			len = (size_t)(s - cgroup_path);
		p.in_ecs = p.in_ecs || is(p.at, "ecs");
		p.parent = p.at;
	}
	if (!len)
		return false;
	*ret = c;
	if (ret_len)
		*ret_len = len;
	return true;
}

bool container__of_path(const char *cgroup_path, struct container *ret)
{
	return container__parse(cgroup_path, ret, NULL);
}
