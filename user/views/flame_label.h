/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a node of a flame graph is called, and its colour. */
#ifndef VIEWS_FLAME_LABEL_H
#define VIEWS_FLAME_LABEL_H

#include "views/flame_tree.h"

/* New strings, as recorded: not safe to print. NULL: no memory. */
char *flame_label__full(const struct flame_tree *t,
			uint32_t node); /* "remember (/srv/cache.py:42)" */
char *flame_label__short(const struct flame_tree *t, uint32_t node); /* "remember cache.py:42" */

/* 0xRRGGBB: Python warm, native blue, the collector violet, each file its own hue, the same in every graph; no stack
 * grey. */
uint32_t flame_label__colour(const struct flame_tree *t, uint32_t node);

#endif
