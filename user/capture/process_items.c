/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/process_items.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

/* An item whose process has ended. */
struct ended {
	uint32_t item;
	struct alike *alike;
	struct ended *prev, *next; /* of the same container and command, the first that ended first */
	struct ended *prev_near, *next_near; /* of the same container */
};

/* Processes of one container and command. */
struct alike {
	char *key;
	struct ended *ended;
	uint32_t n;
	UT_hash_handle hh;
};

struct near {
	struct ended *ended;
};

struct process_items {
	struct profile *profile;
	const struct capture_limits *limits;
	struct alike *alike;
	struct near *near; /* by container; one more for those without */
	uint32_t n_near;
	uint64_t shared;
};

int process_items__new(struct profile *profile, const struct capture_limits *limits, struct process_items **ret)
{
	struct process_items *i = calloc(1, sizeof(*i));

	if (!i)
		return -ENOMEM;
	i->profile = profile;
	i->limits = limits;
	*ret = i;
	return 0;
}

/* NULL: no memory. */
static struct near *near_of(struct process_items *i, uint32_t container)
{
	uint32_t want = container == PROFILE_NONE ? 0 : container + 1, room;
	struct near *more;

	if (want < i->n_near)
		return &i->near[want];
	for (room = i->n_near ? i->n_near : 16; room <= want; room *= 2)
		;
	more = reallocarray(i->near, room, sizeof(*more));
	if (!more)
		return NULL;
	memset(more + i->n_near, 0, (room - i->n_near) * sizeof(*more));
	i->near = more;
	i->n_near = room;
	return &i->near[want];
}

static void forget(struct process_items *i, struct ended *e)
{
	struct alike *a = e->alike;

	DL_DELETE2(i->near[profile__process(i->profile, e->item)->container + 1].ended, e, prev_near, next_near);
	DL_DELETE(a->ended, e);
	free(e);
	if (--a->n)
		return;
	HASH_DEL(i->alike, a);
	free(a->key);
	free(a);
}

void process_items__free(struct process_items *i)
{
	if (!i)
		return;
	while (i->alike)
		forget(i, i->alike->ended);
	free(i->near);
	free(i);
}

static char *key_of(const struct profile_process *p)
{
	char *key;

	return asprintf(&key, "%u %s", p->container, p->command) < 0 ? NULL : key;
}

/* The one whose item a process of this kind gets; NULL: a new one. */
static struct ended *giver_for(struct process_items *i, const struct profile_process *p)
{
	struct alike *a = NULL;
	struct near *near;
	char *key = key_of(p);

	if (key)
		HASH_FIND_STR(i->alike, key, a);
	free(key);
	if (a && a->n >= i->limits->ended_alike)
		return a->ended;
	near = profile__n_processes(i->profile) >= i->limits->processes ? near_of(i, p->container) : NULL;
	return near ? near->ended : NULL;
}

int64_t process_items__take(struct process_items *i, const struct profile_process *p, bool *ret_shared)
{
	struct ended *giver = giver_for(i, p);
	uint32_t item;
	int err;

	*ret_shared = giver;
	if (!giver)
		return profile__add_process(i->profile, p);
	item = giver->item;
	err = profile__reuse_process(i->profile, item, p);
	if (err)
		return err;
	forget(i, giver);
	i->shared++;
	return item;
}

void process_items__give_back(struct process_items *i, uint32_t item)
{
	const struct profile_process *p = profile__process(i->profile, item);
	struct ended *e = calloc(1, sizeof(*e));
	struct near *near = near_of(i, p->container);
	char *key = key_of(p);
	struct alike *a = NULL;

	if (!e || !near || !key)
		goto out;
	HASH_FIND_STR(i->alike, key, a);
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			goto out;
		a->key = key;
		key = NULL;
		HASH_ADD_KEYPTR(hh, i->alike, a->key, strlen(a->key), a);
	}
	e->item = item;
	e->alike = a;
	a->n++;
	DL_APPEND(a->ended, e);
	DL_APPEND2(near->ended, e, prev_near, next_near);
	e = NULL;
out:
	/* What could not be noted keeps its item. */
	free(e);
	free(key);
}

uint64_t process_items__shared(const struct process_items *i)
{
	return i->shared;
}
