/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/malloc_users.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "system/same_file.h"

static struct malloc_user *find(struct malloc_user *all, const struct file_identity *identity)
{
	struct malloc_user *f;

	DL_FOREACH(all, f) {
		if (file_identity__same(f->identity, identity))
			return f;
	}
	return NULL;
}

int malloc_users__join(struct malloc_user **all, const char *host_path, struct malloc_user **ret)
{
	struct file_identity *identity;
	struct malloc_user *f;
	int err = file_identity__open(host_path, &identity);

	if (err)
		return err;
	f = find(*all, identity);
	if (f) {
		file_identity__free(identity);
	} else {
		f = calloc(1, sizeof(*f));
		if (!f) {
			file_identity__free(identity);
			return -ENOMEM;
		}
		f->identity = identity;
		DL_APPEND(*all, f);
	}
	f->n_users++;
	*ret = f;
	return 0;
}

void malloc_users__leave(struct malloc_user **all, struct malloc_user *f)
{
	if (!f || --f->n_users)
		return;
	DL_DELETE(*all, f);
	file_identity__free(f->identity);
	free(f);
}
