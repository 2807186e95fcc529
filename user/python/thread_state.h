/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where a process's threads have the variable that holds their state (CPython 3.15+): from what the code of its file says,
 * and what the dynamic linker filled in.
 */
#ifndef PYTHON_THREAD_STATE_H
#define PYTHON_THREAD_STATE_H

#include "python.h"
#include "python/decode.h"
#include "system/mem.h"

/*
 * Sets tstate_tls and tls_module of the walk. 0; -ENOENT: the dynamic linker has not come so far yet; -EBADMSG: what it has
 * filled in makes no sense; or the reader's error.
 */
int thread_state__find(const struct thread_variable *v, const struct mem_reader *m, uint64_t load_bias, struct py_walk *walk);

#endif
