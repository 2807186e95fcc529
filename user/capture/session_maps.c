/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel side counts (counts, counters) and follows (blocks), read from its maps.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/session_impl.h"

/* Entries read with one call, and the largest of their keys and values. */
#define BATCH 1024
#define MAX_KEY_BYTES 16
#define MAX_VALUE_BYTES 64

int session_impl__walk_map(const struct map_walk *w)
{
	_Alignas(8) char keys[BATCH * MAX_KEY_BYTES], values[BATCH * MAX_VALUE_BYTES];
	uint64_t out = 0;
	void *in = NULL;
	uint32_t n, i;
	int err;

	do {
		n = BATCH;
		err = w->read(w->fd, in, &out, keys, values, &n, NULL) ? -errno : 0;
		if (err && err != -ENOENT)
			return err;
		for (i = 0; i < n; i++) {
			if (w->fn(keys + i * w->key_bytes, values + i * w->value_bytes, w->arg))
				bpf_map_delete_elem(w->fd, keys + i * w->key_bytes);
		}
		in = &out;
	} while (!err);
	return 0;
}

_Static_assert(sizeof(struct count_key) <= MAX_KEY_BYTES && sizeof(struct count_value) <= MAX_VALUE_BYTES, "counts");
_Static_assert(sizeof(struct page_key) <= MAX_KEY_BYTES && sizeof(struct page_value) <= MAX_VALUE_BYTES, "pages");
_Static_assert(sizeof(struct block_key) <= MAX_KEY_BYTES && sizeof(struct block_value) <= MAX_VALUE_BYTES, "live");

_Static_assert(sizeof(struct large_key) <= MAX_KEY_BYTES && sizeof(struct large_call) <= MAX_VALUE_BYTES, "large");

int session_impl__swap_counts(struct session *s)
{
	uint32_t zero = 0;
	int next = !s->active;

	s->bpf->bss->counts_turn = next;
	/* Returns only when no program uses the old map any more (kernel/bpf/syscall.c, maybe_wait_bpf_programs). */
	if (bpf_map_update_elem(bpf_map__fd(s->bpf->maps.counts), &zero, &s->counts_fd[next], BPF_ANY))
		return -errno;
	s->active = next;
	return 0;
}

static bool hand_out(const void *key, const void *value, void *arg)
{
	struct session *s = arg;

	s->handlers.count(key, value, s->handlers.arg);
	return false;
}

/* Empties a map of counts that no program uses now. */
static int read_and_empty(struct session *s, int fd)
{
	struct map_walk w = {
		.fd = fd,
		.key_bytes = sizeof(struct count_key),
		.value_bytes = sizeof(struct count_value),
		.fn = hand_out,
		.arg = s,
		.read = bpf_map_lookup_and_delete_batch,
	};

	return session_impl__walk_map(&w);
}

/* Empties the half that no program uses now. */
static void read_quick_counts(struct session *s, int half)
{
	struct quick_count *q = s->quick_counts + half * QUICK_COUNTS;
	size_t i;

	for (i = 0; s->quick_counts && i < QUICK_COUNTS; i++, q++) {
		if (!q->key.stack_id)
			continue;
		if (q->value.alloc_cnt || q->value.free_cnt)
			s->handlers.count(&q->key, &q->value, s->handlers.arg);
		memset(q, 0, sizeof(*q));
	}
}

/* The overflow sums stay in the kernel and only grow; what was there before is remembered by taking it out. */
static int read_overflow(struct session *s)
{
	int fd = bpf_map__fd(s->bpf->maps.overflow);
	struct count_value value;
	struct count_key key;

	if (!session__counter(s, CTR_COUNTS_FULL))
		return 0;
	while (!bpf_map_get_next_key(fd, NULL, &key)) {
		if (bpf_map_lookup_and_delete_elem(fd, &key, &value))
			return -errno;
		s->handlers.count(&key, &value, s->handlers.arg);
	}
	return 0;
}

int session__read_counts(struct session *s)
{
	int half = s->active, old = s->counts_fd[half];
	int err;

	err = session_impl__swap_counts(s);
	if (err)
		return err;
	/* Every stack that the old map counts under was sent before it was counted. */
	err = ring_buffer__consume(s->ring);
	if (err < 0)
		return err;
	read_quick_counts(s, half);
	err = read_and_empty(s, old);
	err = err ? err : read_overflow(s);
	s->handlers.counted(s->handlers.arg);
	return err;
}

/* What is counted by row of recent_blocks (struct exact_sum). */
static uint64_t sum_of_rows(const struct session *s, enum counter counter)
{
	const struct exact_sum *sums = s->bpf->bss->exact_sums;
	uint64_t sum = 0;
	size_t i;

	_Static_assert(EXACT_SUMS > MAX_RECENT_ROWS, "exact_sums");
	for (i = 0; i < EXACT_SUMS; i++)
		sum += counter == CTR_EVENTS ? sums[i].events : counter == CTR_EXACT_BYTES ? sums[i].bytes : 0;
	return sum;
}

uint64_t session__counter(const struct session *s, enum counter counter)
{
	uint64_t sum = sum_of_rows(s, counter), *values = calloc(s->cpu_cnt, sizeof(*values));
	uint32_t key = counter;
	int i;

	if (values && !bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.counters), &key, values)) {
		for (i = 0; i < s->cpu_cnt; i++)
			sum += values[i];
	}
	free(values);
	return sum;
}

static struct map_walk walk_of_live(struct session *s, bool (*fn)(const void *, const void *, void *), void *arg)
{
	return (struct map_walk){
		.fd = bpf_map__fd(s->bpf->maps.live),
		.key_bytes = sizeof(struct block_key),
		.value_bytes = sizeof(struct block_value),
		.fn = fn,
		.arg = arg,
		.read = bpf_map_lookup_batch,
	};
}

struct block_walk {
	uint32_t proc_id;
	void (*fn)(const struct block_key *key, const struct block_value *v, void *arg);
	void *arg;
};

static bool take_block(const void *key, const void *value, void *arg)
{
	const struct block_key *block = key;
	struct block_walk *b = arg;

	if (block->proc_id != b->proc_id)
		return false;
	if (b->fn)
		b->fn(block, value, b->arg);
	return true;
}

int session__take_blocks(struct session *s, uint32_t proc_id,
			 void (*fn)(const struct block_key *, const struct block_value *, void *), void *arg)
{
	struct block_walk b = { proc_id, fn, arg };
	struct map_walk w = walk_of_live(s, take_block, &b);

	return session_impl__walk_map(&w);
}

struct large_walk {
	bool (*fn)(const struct large_key *key, const struct large_block *b, void *arg);
	void *arg;
};

static bool ask_of_large(const void *key, const void *value, void *arg)
{
	const struct large_walk *l = arg;

	return l->fn(key, value, l->arg);
}

/* A call that nobody will see the end of: the block that it was given is followed no less than others. */
static bool ask_of_call(const void *thread, const void *value, void *arg)
{
	const struct large_call *call = value;
	const struct large_key key = { .addr = call->old, .watch = call->watch };
	const struct large_walk *l = arg;

	(void)thread;
	return call->old && l->fn(&key, &call->old_block, l->arg);
}

int session__sweep_large(struct session *s, bool (*fn)(const struct large_key *, const struct large_block *, void *),
			 void *arg)
{
	struct large_walk large = { fn, arg };
	struct map_walk w = {
		.fd = bpf_map__fd(s->bpf->maps.large_blocks),
		.key_bytes = sizeof(struct large_key),
		.value_bytes = sizeof(struct large_block),
		.fn = ask_of_large,
		.arg = &large,
		.read = bpf_map_lookup_batch,
	};
	int err = session_impl__walk_map(&w);

	if (err)
		return err;
	w.fd = bpf_map__fd(s->bpf->maps.large_calls);
	w.key_bytes = sizeof(uint64_t);
	w.value_bytes = sizeof(struct large_call);
	w.fn = ask_of_call;
	return session_impl__walk_map(&w);
}
