/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where code of a process lies: file and function. A look at its mappings at one moment. */
#ifndef SYSTEM_CODE_PLACE_H
#define SYSTEM_CODE_PLACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "system/proc.h"

struct code_place {
	bool own; /* in the file that was said to be its own */
	char path[192]; /* as the process names it, cut at its begin where it is longer; "[anonymous]" without a file */
	char symbol[96]; /* the function, cut; "" where its file does not tell */
};

struct code_places;

/* own: a path as the process names it. 0; -ESRCH, -EACCES, -ENOMEM. The caller owns *ret. */
int code_places__of_process(const struct proc *p, pid_t tgid, const char *own, struct code_places **ret);
/* For tests: mappings that are added one by one. */
int code_places__new(struct code_places **ret);
int code_places__add(struct code_places *c, const struct proc_map *m, bool own);
void code_places__free(struct code_places *c);

/* Executable code is mapped there. */
bool code_places__has(const struct code_places *c, uint64_t addr);
/* 0, or -ENOENT: no executable code there. */
int code_places__find(const struct code_places *c, uint64_t addr, struct code_place *ret);

#endif
