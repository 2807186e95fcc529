/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A folder that stands for a host: tests put files in it and remove it with all that is in it.
 * Included by tests only.
 */
#ifndef TESTS_FAKE_TREE_H
#define TESTS_FAKE_TREE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_PATH 4096

static char tree_root[64];

__attribute__((unused)) static int tree_setup(void **state)
{
	(void)state;
	strcpy(tree_root, "/tmp/pymemscope-test-XXXXXX");
	return mkdtemp(tree_root) ? 0 : -1;
}

static int tree_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* Removes name and all below it; "" is the tree itself. */
__attribute__((unused)) static void tree_remove(const char *name)
{
	char path[TREE_PATH];

	snprintf(path, sizeof(path), "%s%s", tree_root, name);
	nftw(path, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

__attribute__((unused)) static int tree_teardown(void **state)
{
	(void)state;
	tree_remove("");
	return 0;
}

/* The path of name ("/proc/self") in the tree; valid until the fourth next call. */
static const char *tree_path(const char *name)
{
	static char paths[4][TREE_PATH];
	static unsigned int i;
	char *path = paths[i++ % 4];

	snprintf(path, TREE_PATH, "%s%s", tree_root, name);
	return path;
}

static void tree_mkdir(const char *name)
{
	char path[TREE_PATH], *p;

	snprintf(path, sizeof(path), "%s%s/", tree_root, name);
	for (p = path + strlen(tree_root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		assert_true(!mkdir(path, 0755) || errno == EEXIST);
		*p = '/';
	}
}

/* Writes a file, its folders made first; every '@' followed by '/' in the text is replaced by the
 * tree's root. */
__attribute__((unused)) static void tree_write(const char *name, const char *text)
{
	char folder[TREE_PATH];
	FILE *f;

	snprintf(folder, sizeof(folder), "%s", name);
	*strrchr(folder, '/') = '\0';
	tree_mkdir(folder);
	f = fopen(tree_path(name), "w");
	assert_non_null(f);
	for (; *text; text++) {
		if (text[0] == '@' && text[1] == '/')
			fputs(tree_root, f);
		else
			fputc(*text, f);
	}
	assert_int_equal(fclose(f), 0);
}

#endif
