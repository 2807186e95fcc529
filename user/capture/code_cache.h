/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Names of code objects, kept by family of processes (struct target): what is read once serves all forked workers, whose
 * code objects stand at the same addresses, and outlives the process it was read from.
 */
#ifndef CAPTURE_CODE_CACHE_H
#define CAPTURE_CODE_CACHE_H

#include "model/profile.h"
#include "python/layout.h"
#include "records.h"

struct code_cache;

/* Beyond max_bytes of names and tables the oldest are forgotten. */
int code_cache__new(size_t max_bytes, struct code_cache **ret);
void code_cache__free(struct code_cache *c);
/* How many were forgotten for that. */
uint64_t code_cache__forgotten(const struct code_cache *c);

/* Takes a part of a code object that code_cache__learn will be given next. */
void code_cache__learn_more(struct code_cache *c, const struct rec_code_more *rec);

/*
 * Takes a code object as the kernel side captured it, in place of what stood at its address before. What even
 * code_cache__learn_more did not bring is read from the process tgid if it still can. What cannot be understood is left for
 * code_cache__frame to read.
 */
void code_cache__learn(struct code_cache *c, const struct rec_code *rec, pid_t tgid, const struct py_layout *l);

/*
 * Index in the profile of the frame, read from the process where it is not known yet. A code object that is gone, or is
 * another one now, gives a frame that says so (FRAME_REASON), never a wrong name. < 0: -ENOMEM; -ENODATA: a frame that the
 * interpreter put there for itself, which no traceback shows.
 */
int64_t code_cache__frame(struct code_cache *c, const struct mem_reader *m, const struct py_layout *l, uint32_t family,
			  const struct py_frame *f, struct profile *p);

#endif
