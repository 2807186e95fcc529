/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/container_items.h"

/* The item of all that came after too many. No cgroup has that id, nor a path without a slash. */
static uint32_t further_ones(const struct tracker_deps *deps)
{
	const struct profile_container c = { .cgroup_id = UINT64_MAX, .path = "[further containers]" };
	int64_t i = profile__add_container(deps->profile, &c);

	return i < 0 ? PROFILE_NONE : i;
}

uint32_t container_items__of_process(const struct tracker_deps *deps, pid_t tgid, uint64_t cgroup_id)
{
	struct profile_container c = { .cgroup_id = cgroup_id };
	char path[4096] = "";
	struct container found;
	uint64_t own = 0;
	int64_t i;

	if (cgroup_id) {
		for (i = 0; i < profile__n_containers(deps->profile); i++) {
			if (profile__container(deps->profile, i)->cgroup_id == cgroup_id)
				return i;
		}
	}

	if (cgroups__path_of_process(deps->cgroups, tgid, path, sizeof(path)) ||
	    (cgroup_id && (cgroups__id_of_path(deps->cgroups, path, &own) || own != cgroup_id))) {
		if (!cgroup_id || cgroups__path_of_id(deps->cgroups, cgroup_id, path, sizeof(path)))
			return PROFILE_NONE;
	}
	if (!cgroup_id) {
		cgroups__id_of_path(deps->cgroups, path, &own);
		c.cgroup_id = own;
	}
	if (own && !cgroup_id)
		return container_items__of_process(deps, tgid, own);
	if (profile__n_containers(deps->profile) >= deps->limits.containers)
		return further_ones(deps);
	container_names__lookup(deps->names, path, &found);
	c.path = path;
	c.id = found.id;
	c.name = found.name;
	c.runtime = found.runtime;
	c.image = found.image;
	i = profile__add_container(deps->profile, &c);
	return i < 0 ? PROFILE_NONE : i;
}

void container_items__refresh(const struct tracker_deps *deps, uint32_t container)
{
	const struct profile_container *old = profile__container(deps->profile, container);
	struct profile_container c = *old;
	struct cgroup_memory m;

	if (cgroups__memory(deps->cgroups, old->path, &m))
		return;
	c.limit_bytes = m.limit_bytes;
	c.usage_bytes = m.usage_bytes;
	c.peak_bytes = m.peak_bytes > old->peak_bytes ? m.peak_bytes : old->peak_bytes;
	if (m.usage_bytes > c.peak_bytes)
		c.peak_bytes = m.usage_bytes;
	c.oom_kills = m.oom_kills;
	profile__update_container(deps->profile, container, &c);
}

void container_items__refresh_usage(const struct tracker_deps *deps, uint32_t container)
{
	const struct profile_container *old = profile__container(deps->profile, container);
	struct profile_container c = *old;

	if (cgroups__usage(deps->cgroups, old->path, &c.usage_bytes) || c.usage_bytes < old->usage_bytes / 2) {
		container_items__refresh(deps, container);
		return;
	}
	if (c.usage_bytes > c.peak_bytes)
		c.peak_bytes = c.usage_bytes;
	if (c.usage_bytes != old->usage_bytes)
		profile__update_container(deps->profile, container, &c);
}
