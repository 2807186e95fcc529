/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Threads that allocate, resize and free blocks around 512 bytes, and hand them to each other through shared slots.
 * They know how many blocks over 512 bytes came about and how many are left. For malloc_threads.py.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define SLOTS 256
#define LARGE 512

struct block {
	size_t bytes;
};

static _Atomic(struct block *) slots[SLOTS];

struct told {
	uint64_t alloc_cnt, alloc_bytes, live_cnt, live_bytes;
};

struct worker {
	pthread_t thread;
	uint64_t seed, turns;
	struct told told;
};

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Most around the threshold, some large enough to be mapped. */
static size_t random_size(uint64_t *seed)
{
	uint64_t r = next_random(seed);

	return r % 64 ? 16 + (r >> 8) % 1100 : 16 + (r >> 8) % 400000;
}

static void made(struct worker *w, struct block *b, size_t bytes)
{
	b->bytes = bytes;
	w->told.alloc_cnt += bytes > LARGE;
	w->told.alloc_bytes += bytes > LARGE ? bytes : 0;
}

static struct block *turn(struct worker *w, struct block *b)
{
	size_t bytes = random_size(&w->seed);

	if (!b) {
		b = next_random(&w->seed) & 1 ? malloc(bytes) : calloc(1, bytes);
		made(w, b, bytes);
	} else if (next_random(&w->seed) % 3) {
		b = realloc(b, bytes);
		made(w, b, bytes);
	} else {
		free(b);
		b = NULL;
	}
	return b;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t i;

	for (i = 0; i < w->turns; i++) {
		_Atomic(struct block *) *slot = &slots[next_random(&w->seed) % SLOTS];
		struct block *b = atomic_exchange(slot, NULL);

		b = turn(w, b);
		b = atomic_exchange(slot, b);
		free(b); /* another thread was faster */
	}
	return NULL;
}

/* Up to 16 threads; what is in the slots at the end stays. */
void stress(unsigned int threads, uint64_t turns, struct told *ret)
{
	struct worker workers[16] = { 0 };
	unsigned int i;

	for (i = 0; i < threads && i < 16; i++) {
		workers[i].seed = 88172645463325252u + i * 7919;
		workers[i].turns = turns;
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (i = 0; i < threads && i < 16; i++) {
		pthread_join(workers[i].thread, NULL);
		ret->alloc_cnt += workers[i].told.alloc_cnt;
		ret->alloc_bytes += workers[i].told.alloc_bytes;
	}
	for (i = 0; i < SLOTS; i++) {
		struct block *b = slots[i];

		ret->live_cnt += b && b->bytes > LARGE;
		ret->live_bytes += b && b->bytes > LARGE ? b->bytes : 0;
	}
}
