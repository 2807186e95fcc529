/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Folded stacks, one process after the other. The path to the node at hand is kept in one buffer
 * that grows and is cut back, and what a frame is called is made once, so that neither memory nor
 * time grows with the product of processes and frames more than the text itself does.
 */
#include "views/flamegraph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "views/flame_label.h"
#include "views/text.h"

/* What is below this fits: 16 bits of depth (flame_tree.h). */
#define MAX_DEPTH (UINT16_MAX + 1)

struct folded {
	FILE *out;
	char **names; /* by frame; NULL: not made yet */
	size_t *ends; /* by depth: length of the path to there */
	char *path;
	size_t room;
};

static int put_escaped(const char *name, FILE *out)
{
	while (*name) {
		size_t plain = strcspn(name, ";\\");
		char *part;

		if (!plain) {
			fprintf(out, "\\x%02x", (unsigned int)*name++);
			continue;
		}
		part = strndup(name, plain);
		if (!part)
			return -ENOMEM;
		text__put(part, out);
		free(part);
		name += plain;
	}
	return 0;
}

/* A new string: the node's name as it is in a path. NULL: no memory. */
static char *make_name(const struct flame_tree *t, uint32_t node)
{
	char *label = flame_label__full(t, node), *name = NULL;
	size_t len;
	FILE *f = label ? open_memstream(&name, &len) : NULL;
	int err = f ? put_escaped(label, f) : -ENOMEM;

	if (f && fclose(f))
		err = -ENOMEM;
	free(label);
	if (!err)
		return name;
	free(name);
	return NULL;
}

static int append(struct folded *f, uint16_t depth, const char *name)
{
	size_t start = depth > 1 ? f->ends[depth - 1] : 0, len = strlen(name);

	if (start + len + 1 > f->room) {
		size_t room = 2 * (start + len + 1);
		char *path = realloc(f->path, room);

		if (!path)
			return -ENOMEM;
		f->path = path;
		f->room = room;
	}
	if (start)
		f->path[start++] = ';';
	memcpy(f->path + start, name, len);
	f->ends[depth] = start + len;
	return 0;
}

static int put_node(struct folded *f, const struct flame_tree *t, uint32_t i)
{
	const struct flame_node *node = &t->at[i];
	char **kept = node->kind == FLAME_FRAME ? &f->names[node->ref] : NULL;
	char *name = kept && *kept ? *kept : make_name(t, i);
	int err = name ? append(f, node->depth, name) : -ENOMEM;

	if (kept)
		*kept = name;
	else
		free(name);
	if (err)
		return err;
	if (node->self) {
		fwrite(f->path, 1, f->ends[node->depth], f->out);
		fprintf(f->out, " %" PRIu64 "\n", node->self);
	}
	return 0;
}

static int put_process(const struct flame_tree *t, void *arg)
{
	struct folded *f = arg;
	uint32_t i;
	int err = 0;

	for (i = flame_tree__next(t, 0, true); i != PROFILE_NONE && !err && !ferror(f->out);
	     i = flame_tree__next(t, i, true))
		err = put_node(f, t, i);
	return err ? err : ferror(f->out) ? -EIO : 0;
}

static void folded__free(struct folded *f, uint32_t n_frames)
{
	for (uint32_t i = 0; f->names && i < n_frames; i++)
		free(f->names[i]);
	free(f->names);
	free(f->ends);
	free(f->path);
}

int flamegraph__folded(const struct profile *p, const struct flamegraph_opts *opts, FILE *out)
{
	struct folded f = {.out = out};
	struct selection s;
	int err, written;

	err = select__new(p, opts->kinds, opts->view, opts->container, &s);
	if (err)
		return err;
	f.names = calloc((size_t)profile__n_frames(p) + 1, sizeof(*f.names));
	f.ends = calloc(MAX_DEPTH, sizeof(*f.ends));
	text__begin();
	err = f.names && f.ends ? flame_tree__each_process(&s, put_process, &f) : -ENOMEM;
	written = text__finish(out);
	folded__free(&f, profile__n_frames(p));
	select__free(&s);
	/* Why a write failed, the stream's owner knows better. */
	return err && err != -EIO ? err : written;
}
