/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A descriptor (A. Oliva, G. Araújo: Speeding Up Thread-Local Storage Access in Dynamic Libraries) is a function and its
 * argument. Where the module's block stands at a fixed place, the argument is the distance from the thread pointer, below 0;
 * else it is the address of the two words that __tls_get_addr would be given: module, offset (glibc elf/dl-tlsdesc.h, struct
 * tlsdesc_dynamic_arg; musl ldso/dynlink.c, struct td_index).
 */
#include "python/thread_state.h"

#include <errno.h>

/* Modules are numbered from 1 on: the program, its libraries in their order. */
#define MAX_MODULES 4096
#define MAX_OFFSET (1ll << 24)

static int set_distance(int64_t distance, int32_t more, struct py_walk *w)
{
	if (!distance)
		return -ENOENT;
	if (distance > 0 || distance < -MAX_OFFSET || distance + more >= 0)
		return -EBADMSG;
	w->tstate_tls = (int32_t)(distance + more);
	w->tls_module = 0;
	return 0;
}

static int set_module(const uint64_t words[2], int32_t more, struct py_walk *w)
{
	if (!words[0])
		return -ENOENT;
	if (words[0] > MAX_MODULES || words[1] > (uint64_t)MAX_OFFSET || (int64_t)words[1] + more < 0)
		return -EBADMSG;
	w->tstate_tls = (int32_t)((int64_t)words[1] + more);
	w->tls_module = (uint32_t)words[0];
	return 0;
}

static int follow_descriptor(const uint64_t descriptor[2], const struct thread_variable *v, const struct mem_reader *m,
			     struct py_walk *w)
{
	int64_t given = (int64_t)descriptor[1];
	uint64_t words[2];
	int err;

	if (!descriptor[0] || given <= 0)
		return descriptor[0] ? set_distance(given, v->offset, w) : -ENOENT;
	err = mem__read(m, descriptor[1], words, sizeof(words));
	return err ? err : set_module(words, v->offset, w);
}

int thread_state__find(const struct thread_variable *v, const struct mem_reader *m, uint64_t load_bias, struct py_walk *walk)
{
	uint64_t words[2] = { 0 };
	int err;

	if (v->access == THREAD_FIXED) {
		walk->tstate_tls = v->offset;
		walk->tls_module = 0;
		return 0;
	}
	err = mem__read(m, load_bias + v->word, words, v->access == THREAD_DISTANCE ? 8 : sizeof(words));
	if (err)
		return err;
	switch (v->access) {
	case THREAD_DISTANCE:
		return set_distance((int64_t)words[0], v->offset, walk);
	case THREAD_MODULE:
		return set_module(words, v->offset, walk);
	case THREAD_DESCRIPTOR:
		return follow_descriptor(words, v, m, walk);
	default:
		return -EBADMSG;
	}
}
