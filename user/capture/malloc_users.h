/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Files that serve malloc, as inodes, each with how many processes use it and how many of them are followed: those share its sites
 * (large_blocks.c). Only large_blocks.c includes this.
 */
#ifndef CAPTURE_MALLOC_USERS_H
#define CAPTURE_MALLOC_USERS_H

#include <stdint.h>

struct file_identity;

struct malloc_user {
	struct file_identity *identity;
	uint32_t n_users;
	uint32_t n_followed; /* the caller's */
	struct malloc_user *prev, *next;
};

/* One more process uses the file. *ret stays until as many leave as joined. 0 or -errno. */
int malloc_users__join(struct malloc_user **all, const char *host_path, struct malloc_user **ret);
/* f: NULL: it used none. */
void malloc_users__leave(struct malloc_user **all, struct malloc_user *f);

#endif
