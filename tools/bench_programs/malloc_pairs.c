/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A loop of malloc and free without Python in between; for malloc_pairs.py. */
#include <stdlib.h>
#include <time.h>

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

double ns_per_pair(size_t bytes, long count)
{
	double begin = cpu_ns();

	for (long i = 0; i < count; i++) {
		void *block = malloc(bytes);

		__asm__ volatile("" : : "r"(block) : "memory");
		free(block);
	}
	return (cpu_ns() - begin) / count;
}
