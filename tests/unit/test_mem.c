/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reading memory in many pieces, some of which cannot be read, and asking which pages are there: of this very process.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "system/mem.h"
#include "system/residency.h"

#define PAGE 4096
#define PAGES 2048
#define PIECES 1500

/* Anonymous memory, of which no page was touched. */
static uint8_t *map_pages(size_t n)
{
	uint8_t *at = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	madvise(at, n * PAGE, MADV_NOHUGEPAGE);
	return at;
}

/* Every third page cannot be read; each piece tells its own page's number, and 0xee stays where nothing was read. */
static void read_pieces(const struct mem_reader *m, const uint8_t *at)
{
	struct mem_piece *pieces = calloc(PIECES, sizeof(*pieces));
	uint32_t *buf = calloc(PIECES, 3 * sizeof(*buf));

	assert_true(pieces && buf);
	for (uint32_t i = 0; i < PIECES; i++)
		pieces[i] = (struct mem_piece){ .addr = (uint64_t)(uintptr_t)at + i * PAGE + 16,
						.buf = buf + 3 * i,
						.len = 4 + i % 3 * 4,
						.ok = i % 2 };
	assert_int_equal(mem__read_many(m, pieces, PIECES), 0);
	for (uint32_t i = 0; i < PIECES; i++) {
		assert_int_equal(pieces[i].ok, i % 3 != 1);
		if (pieces[i].ok)
			assert_int_equal(buf[3 * i], i);
	}
	free(pieces);
	free(buf);
}

static void many_pieces(void **state)
{
	struct mem_reader m = mem_reader__of_process(getpid());
	uint8_t *at = map_pages(PIECES);

	(void)state;
	for (uint32_t i = 0; i < PIECES; i++) {
		memcpy(at + i * PAGE + 16, &i, sizeof(i));
		if (i % 3 == 1)
			assert_int_equal(munmap(at + i * PAGE, PAGE), 0);
	}
	read_pieces(&m, at);
	assert_int_equal(mem__read_many(&m, NULL, 0), 0);
	munmap(at, PIECES * PAGE);
}

static void process_gone(void **state)
{
	struct mem_piece piece = { .addr = 4096, .buf = &piece, .len = 1 };
	struct residency *r = NULL;
	struct mem_reader m;
	struct proc *p;
	uint64_t bytes = 42;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	m = mem_reader__of_process(pid);
	assert_int_equal(mem__read_many(&m, &piece, 1), -ESRCH);
	assert_int_equal(proc__open(NULL, &p), 0);
	assert_int_equal(residency__open(p, pid, &r), -ESRCH);
	assert_null(r);
	assert_int_equal(residency__swapped_bytes(p, pid, &bytes), -ESRCH);
	assert_int_equal(bytes, 42);
	proc__free(p);
}

/* Of the pages at `at`, those that nobody else has: /proc/PID/pagemap, bit 56. */
static size_t pages_of_its_own(pid_t pid, const uint8_t *at, size_t n)
{
	uint64_t entry;
	char path[32];
	size_t own = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pread(fd, &entry, 8, ((uintptr_t)at / PAGE + i) * 8), 8);
		own += entry >> 56 & 1;
	}
	close(fd);
	return own;
}

/* Reading gives a worker no memory of its own. */
static void shared_pages_stay_shared(void **state)
{
	uint8_t *at = map_pages(PAGES), buf[16];
	struct mem_reader m;
	pid_t pid;

	(void)state;
	memset(at, 1, PAGES * PAGE);
	assert_int_equal(pages_of_its_own(getpid(), at, PAGES), PAGES);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	m = mem_reader__of_process(pid);
	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(mem__read(&m, (uintptr_t)at + i * PAGE, buf, sizeof(buf)), 0);
	assert_int_equal(pages_of_its_own(pid, at, PAGES), 0);
	assert_int_equal(pages_of_its_own(getpid(), at, PAGES), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(at, PAGES * PAGE);
}

/* A reader that was made before exec(2) reads what is there now. */
static void new_program(void **state)
{
	uint8_t *at = map_pages(1), byte;
	struct mem_reader m;
	int fd[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	*at = 42;
	pid = fork();
	if (!pid) {
		dup2(fd[0], 0);
		close(fd[1]);
		if (read(0, &byte, 1) == 1)
			execlp("cat", "cat", NULL);
		_exit(1);
	}
	close(fd[0]);
	m = mem_reader__of_process(pid);
	assert_int_equal(mem__read(&m, (uintptr_t)at, &byte, 1), 0);
	assert_int_equal(byte, 42);
	assert_int_equal(write(fd[1], "x", 1), 1);
	for (int i = 0; i < 10000 && mem__read(&m, (uintptr_t)at, &byte, 1) == 0; i++) /* until it has */
		usleep(1000);
	assert_int_equal(mem__read(&m, (uintptr_t)at, &byte, 1), -EFAULT);
	m = mem_reader__of_process(pid);
	assert_int_equal(mem__read(&m, (uintptr_t)at, &byte, 1), -EFAULT);
	close(fd[1]);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	munmap(at, PAGE);
}

/* Asking touches nothing: the same answer twice. */
static void resident_pages(void **state)
{
	uint8_t *at = map_pages(PAGES), place[PAGES];
	struct residency *r;
	struct proc *p;
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < PAGES; i += 5)
		at[i * PAGE] = 1;
	munmap(at + 10 * PAGE, PAGE);
	assert_int_equal(proc__open(NULL, &p), 0);
	assert_int_equal(residency__open(p, getpid(), &r), 0);
	for (int round = 0; round < 2; round++) {
		memset(place, 0xee, sizeof(place));
		assert_int_equal(residency__look(r, (uintptr_t)at, place, PAGES - 1), 0);
		for (size_t i = 0; i < PAGES - 1; i++)
			assert_int_equal(place[i], i % 5 || i == 10 ? PAGE_NOWHERE : PAGE_PRESENT);
		assert_int_equal(place[PAGES - 1], 0xee);
	}
	assert_int_equal(residency__swapped_bytes(p, getpid(), &bytes), 0);
	residency__free(r);
	proc__free(p);
	munmap(at, PAGES * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_pieces),
		cmocka_unit_test(process_gone),
		cmocka_unit_test(shared_pages_stay_shared),
		cmocka_unit_test(new_program),
		cmocka_unit_test(resident_pages),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
