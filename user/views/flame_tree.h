/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What flame graphs draw: a tree of containers, their processes, and the stacks of each, with
 * bytes. */
#ifndef VIEWS_FLAME_TREE_H
#define VIEWS_FLAME_TREE_H

#include "views/select.h"

enum flame_kind { FLAME_ROOT, FLAME_CONTAINER, FLAME_PROCESS, FLAME_FRAME };

struct flame_node {
	uint64_t self, total; /* bytes */
	uint64_t offset; /* where it begins, in bytes from the left: after the siblings before it */
	uint32_t parent; /* PROFILE_NONE for the root */
	uint32_t ref;	 /* container, process or frame, by kind */
	uint32_t first_child, next_sibling; /* PROFILE_NONE: none */
	uint16_t depth;
	uint8_t kind; /* enum flame_kind */
};

/* Node 0 is the root; a parent comes before its children. Siblings are linked in order of their
 * names. */
struct flame_tree {
	const struct selection *s;
	struct flame_node *at;
	uint32_t n, room;
	uint64_t bytes; /* of the whole selection */
	uint32_t parts; /* as given to flame_tree__new */
	uint64_t left_out; /* frames */
};

/*
 * Frames of less than 1/parts of the whole are left out and counted; their bytes stay in the total of their caller.
 * 0: none are. 0 or -ENOMEM. s must outlive ret.
 */
int flame_tree__new(const struct selection *s, uint32_t parts, struct flame_tree *ret);
/*
 * Calls fn with the whole tree of one process after the other, below its container and the root, in the order of
 * flame_tree__new: memory for one at a time. 0, -ENOMEM, or the first error of fn, which ends it.
 */
int flame_tree__each_process(const struct selection *s, int (*fn)(const struct flame_tree *t, void *arg), void *arg);
void flame_tree__free(struct flame_tree *t);

/* The node after this one, depth first; below: whether to go into its children. PROFILE_NONE at the
 * end. */
uint32_t flame_tree__next(const struct flame_tree *t, uint32_t node, bool below);
/* The container node above (or at) a node; PROFILE_NONE for the root. */
uint32_t flame_tree__container(const struct flame_tree *t, uint32_t node);

#endif
