/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Folded stacks. The path to the node at hand is kept in one buffer that grows and is cut back, so
 * that memory does not depend on the number of stacks.
 */
#include "views/flamegraph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "views/flame_label.h"
#include "views/text.h"

struct folded {
	struct flame_tree tree;
	size_t *ends; /* by depth: length of the path to there */
	char *path;
	size_t path_len;
	FILE *stream; /* writes path */
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

static int put_node(struct folded *f, uint32_t i, FILE *out)
{
	const struct flame_node *node = &f->tree.at[i];
	char *name = flame_label__full(&f->tree, i);
	size_t start = node->depth > 1 ? f->ends[node->depth - 1] : 0;
	int err;

	if (!name)
		return -ENOMEM;
	fseeko(f->stream, (off_t)start, SEEK_SET);
	if (start)
		putc(';', f->stream);
	err = put_escaped(name, f->stream);
	free(name);
	if (err || fflush(f->stream) || ferror(f->stream))
		return -ENOMEM;
	f->ends[node->depth] = (size_t)ftello(f->stream);
	if (node->self) {
		fwrite(f->path, 1, f->ends[node->depth], out);
		fprintf(out, " %" PRIu64 "\n", node->self);
	}
	return 0;
}

static int put_all(struct folded *f, FILE *out)
{
	uint32_t deepest = 0, i;
	int err = 0;

	for (i = 0; i < f->tree.n; i++)
		deepest = f->tree.at[i].depth > deepest ? f->tree.at[i].depth : deepest;
	f->ends = calloc((size_t)deepest + 1, sizeof(*f->ends));
	f->stream = open_memstream(&f->path, &f->path_len);
	if (!f->ends || !f->stream)
		return -ENOMEM;
	for (i = flame_tree__next(&f->tree, 0, true); i != PROFILE_NONE && !err && !ferror(out);
	     i = flame_tree__next(&f->tree, i, true))
		err = put_node(f, i, out);
	return err;
}

int flamegraph__folded(const struct profile *p, const struct flamegraph_opts *opts, FILE *out)
{
	struct folded f = {0};
	struct selection s;
	int err, written;

	err = select__new(p, opts->kinds, opts->view, opts->container, &s);
	if (err)
		return err;
	err = flame_tree__new(&s, 0, &f.tree);
	if (err)
		goto out;
	text__begin();
	err = put_all(&f, out);
	written = text__finish(out);
	err = err ? err : written;
out:
	if (f.stream)
		fclose(f.stream);
	free(f.path);
	free(f.ends);
	flame_tree__free(&f.tree);
	select__free(&s);
	return err;
}
