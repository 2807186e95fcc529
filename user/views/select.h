/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What of a profile a view shows: kinds, view and container, asked once and answered for each cell.
 * Shared by the views.
 */
#ifndef VIEWS_SELECT_H
#define VIEWS_SELECT_H

#include <stdbool.h>

#include "model/profile.h"

struct selection {
	const struct profile *p;
	uint32_t kinds;
	enum profile_view view;
	uint32_t n_containers; /* also stands for "no container known" where a container is meant */
	bool *wanted;	       /* by container, n_containers + 1 of them */
};

/* All kinds of the signals that anything was recorded of. */
uint32_t select__recorded(const struct profile *p);

/* kinds 0: report__default_kinds. container: name, id, at least 12 digits of an id, or cgroup path;
 * NULL: all. -ENOENT: no such container; -ENOMEM. The profile must outlive ret and not change. */
int select__new(const struct profile *p, uint32_t kinds, enum profile_view view,
		const char *container, struct selection *ret);
void select__free(struct selection *s);

bool select__has(const struct selection *s, const struct profile_cell *cell);
/* Container of a process, n_containers where it has none. */
uint32_t select__container(const struct selection *s, uint32_t process);
/*
 * Bytes that are of no line of anybody: they were there before tracing began, nobody knows who gave them back, or
 * nobody knows whether they are still there.
 */
enum nobody { SOMEBODY, NOBODY_BEFORE, NOBODY_GIVEN_BACK, NOBODY_NOT_FOLLOWED };
enum nobody select__nobody(const struct profile *p, uint32_t frame);

/* Memory that was asked of the kernel, by nobody knows whom. */
bool select__is_unseen(const struct profile *p, uint32_t frame);

const char *select__container_name(const struct selection *s, uint32_t container);
/* Blocks (or faults) that the view's bytes are made of. */
uint64_t select__count(const struct selection *s, const struct profile_cell *cell);

/* "exact", "heap", "resident", or several joined by "+". Returns buf. */
const char *select__signal(uint32_t kinds, char *buf, size_t len);
const char *select__kind_name(uint32_t kind); /* "resident_anon", ...; "" for an unknown one */
const char *select__view_name(enum profile_view view);

#endif
