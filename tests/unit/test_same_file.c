/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* One inode under two names is one file, a copy is not. Overlay mounts: tests/e2e/overlay.t. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "system/same_file.h"

static char folder[] = "/tmp/test_same_file.XXXXXX";

static const char *make(const char *name, const char *content)
{
	static char path[4][64];
	static int n;
	char *p = path[n++ % 4];
	FILE *f;

	snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
	f = fopen(p, "w");
	assert_non_null(f);
	fputs(content, f);
	assert_int_equal(fclose(f), 0);
	return p;
}

static bool same(const char *a, const char *b)
{
	struct file_identity *x, *y;
	bool ret;

	assert_int_equal(file_identity__open(a, &x), 0);
	assert_int_equal(file_identity__open(b, &y), 0);
	ret = file_identity__same(x, y);
	assert_int_equal(file_identity__same(y, x), ret);
	file_identity__free(x);
	file_identity__free(y);
	return ret;
}

static void test_same(void **state)
{
	const char *a = make("a", "content"), *copy = make("copy", "content"), *empty = make("empty", "");
	struct file_identity *f = NULL;
	char link_path[64];

	(void)state;
	snprintf(link_path, sizeof(link_path), "%s/link", folder);
	assert_int_equal(link(a, link_path), 0);
	assert_true(same(a, a));
	assert_true(same(a, link_path));
	assert_false(same(a, copy));
	assert_int_equal(file_identity__open(empty, &f), -ENODATA);
	assert_int_equal(unlink(a), 0);
	assert_int_equal(file_identity__open(a, &f), -ENOENT);
	assert_null(f);
	unlink(copy);
	unlink(empty);
	unlink(link_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_same)};
	int ret;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (!mkdtemp(folder))
		return 1;
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return ret;
}
