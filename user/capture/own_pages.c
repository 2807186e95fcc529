/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/own_pages.h"

#include <errno.h>

/* Of address space, resident or not: 32 GiB, some 0.2 s. */
#define MOST_PAGES (1u << 23)

struct walk {
	struct pagemap *pagemap;
	uint64_t left; /* pages that may still be looked at */
	uint64_t own;
};

static int look_through(const struct proc_map *m, void *arg)
{
	uint64_t cnt = (m->end - m->start) / 4096;
	struct walk *w = arg;
	size_t own;

	if (!m->writable)
		return 0;
	if (cnt > w->left)
		return -E2BIG;
	if (!pagemap__own(w->pagemap, m->start / 4096, cnt, &own))
		return -EIO;
	w->own += own;
	w->left -= cnt;
	return 0;
}

int own_pages__find(const struct proc *p, pid_t tgid, struct pagemap *pagemap, uint64_t *ret)
{
	struct walk w = { .pagemap = pagemap, .left = MOST_PAGES };
	int err = proc__borrows_memory(p, tgid) ? -EBUSY : proc__for_each_map(p, tgid, look_through, &w);

	if (!err)
		*ret = w.own * 4096;
	return err;
}
