/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whether two paths lead to one inode, where stat cannot tell: containers of one image see one file of its lower layer
 * through overlay mounts of their own, each with its own st_dev. A uprobe sits on the inode below (d_real_inode in
 * kernel/trace/bpf_trace.c, trace_uprobe.c), so for probes the two are one.
 *
 * The proof is the page cache: both files' first pages, mapped by us at the same moment, are the same physical page.
 * Needs CAP_SYS_ADMIN (/proc/self/pagemap shows no page numbers without it); else only what stat tells counts.
 */
#ifndef SYSTEM_SAME_FILE_H
#define SYSTEM_SAME_FILE_H

#include <stdbool.h>

struct file_identity;

/* Holds the file's first page mapped until freed. -ENOENT, -EACCES, ...; -ENODATA: the file is empty. */
int file_identity__open(const char *path, struct file_identity **ret);
void file_identity__free(struct file_identity *f);
bool file_identity__same(const struct file_identity *a, const struct file_identity *b);

#endif
