/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A library with a known way: outer -> middle -> inner, which touches memory, or allocates it. Built with frame pointers and
 * without, the latter with what a stack walker may be misled by: a base pointer that holds all sorts of things.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096
#define NOINLINE __attribute__((noinline, noclone))

/* Not known to the compiler: calls are not the last thing a function does, and stay calls. */
volatile uint64_t sink;

NOINLINE static void inner_touch(char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		at[i] = 1;
	sink++;
}

NOINLINE static void middle_touch(char *at, size_t bytes)
{
	volatile char room[200];

	room[0] = 1;
	inner_touch(at, bytes);
	sink += room[0];
}

/* As a program that fills buffers: mapped, written, and unmapped, so often. */
NOINLINE void outer_touch(size_t bytes, size_t times)
{
	while (times--) {
		char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			abort();
		middle_touch(at, bytes);
		munmap(at, bytes);
	}
	sink++;
}

NOINLINE static void *inner_malloc(size_t bytes)
{
	void *block = malloc(bytes);

	sink++;
	return block;
}

NOINLINE static void *middle_malloc(size_t bytes)
{
	volatile char room[400];
	void *block;

	room[1] = 1;
	block = inner_malloc(bytes);
	sink += room[1];
	return block;
}

/* Blocks that stay. */
NOINLINE void outer_malloc(size_t bytes, size_t times)
{
	while (times--)
		sink += (uintptr_t)middle_malloc(bytes);
	sink++;
}

/* A destructor, of PyCapsule_New: as outer_touch. */
NOINLINE void outer_destroy(void *object)
{
	outer_touch(100 * PAGE, object ? 100 : 0);
	sink++;
}

/* memset of the C library, whose code has no frame pointer. */
NOINLINE void outer_memset(size_t bytes, size_t times)
{
	while (times--) {
		char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			abort();
		memset(at, 1, bytes);
		munmap(at, bytes);
	}
	sink++;
}

/*
 * Touches a page with the base pointer as told. Its caller's is saved on the stack and told by CFI, as a compiler does where it
 * uses the register for something else.
 */
NOINLINE static void touch_with_bp(char *at, uint64_t bp)
{
	asm volatile("push %%rbp\n"
		     ".cfi_adjust_cfa_offset 8\n"
		     ".cfi_rel_offset %%rbp, 0\n"
		     "mov %1, %%rbp\n"
		     "movb $1, (%0)\n"
		     "pop %%rbp\n"
		     ".cfi_adjust_cfa_offset -8\n"
		     ".cfi_restore %%rbp\n"
		     :
		     : "r"(at), "r"(bp)
		     : "memory");
	sink++;
}

/* A frame that never was: looks like one of outer_malloc's, called from where outer_touch calls. */
static uint64_t decoy[4];

NOINLINE void outer_misled(size_t times)
{
	uint64_t self, here[8] = {0};
	uint64_t bps[] = {
		(uint64_t)decoy, 0, 1, ~0ull, 0xffff888000000000ull, 0xffffffff81000000ull, 0x7fffffffe000ull, 0x8000000000000000ull,
		(uint64_t)here, (uint64_t)here + 1, (uint64_t)here & ~4095ull, ((uint64_t)here | 4095) + 1,
	};

	self = (uint64_t)__builtin_return_address(0);
	decoy[0] = (uint64_t)decoy; /* leads to itself */
	decoy[1] = self;
	here[0] = (uint64_t)&here[2];
	here[1] = self; /* a return address, indeed, but not of this frame */
	here[2] = (uint64_t)&here[0]; /* backwards */
	here[3] = (uint64_t)outer_malloc + 9;
	while (times--) {
		char *at = mmap(NULL, sizeof(bps) / 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			abort();
		for (size_t i = 0; i < sizeof(bps) / 8; i++)
			touch_with_bp(at + i * PAGE, bps[i]);
		munmap(at, sizeof(bps) / 8 * PAGE);
	}
	sink += here[0];
}

/* Code that nobody describes, in memory without a file: touches one page and returns. */
NOINLINE void outer_generated(size_t times)
{
	static const uint8_t code[] = {0xc6, 0x07, 0x01, 0xc3}; /* movb $1,(%rdi); ret */
	uint8_t *run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (run == MAP_FAILED)
		abort();
	memcpy(run, code, sizeof(code));
	while (times--) {
		char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			abort();
		((void (*)(char *))run)(at);
		munmap(at, PAGE);
	}
	munmap(run, PAGE);
	sink++;
}

/* More calls than are kept. */
NOINLINE static void deep(size_t depth, char *at)
{
	if (depth)
		deep(depth - 1, at);
	else
		*at = 1;
	sink++;
}

NOINLINE void outer_deep(size_t times)
{
	while (times--) {
		char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			abort();
		deep(20, at);
		munmap(at, PAGE);
	}
	sink++;
}

struct work {
	size_t bytes, times;
};

NOINLINE static void *thread_main(void *arg)
{
	const struct work *w = arg;

	outer_touch(w->bytes, w->times);
	sink++;
	return NULL;
}

/* In a thread that Python does not know. */
NOINLINE void outer_thread(size_t bytes, size_t times)
{
	struct work w = { bytes, times };
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_main, &w))
		abort();
	pthread_join(thread, NULL);
	sink++;
}
