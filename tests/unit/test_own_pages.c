/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a forked child has alone: what it wrote of what it inherited, and what is new. */
#include "capture/own_pages.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BYTES (8u << 20)
#define WRITTEN (3u << 20)
#define FRESH (2u << 20)
#define SLACK (1u << 20) /* stacks, and what the C library writes */

static char *memory(size_t bytes, int flags)
{
	char *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	assert_true(m != MAP_FAILED);
	madvise(m, bytes, MADV_NOHUGEPAGE);
	return m;
}

static uint64_t own_of(pid_t tgid)
{
	struct pagemap *pagemap;
	struct proc *proc;
	uint64_t own = 0;

	assert_int_equal(proc__open(NULL, &proc), 0);
	assert_int_equal(pagemap__open(tgid, &pagemap), 0);
	assert_int_equal(own_pages__find(proc, tgid, pagemap, &own), 0);
	pagemap__free(pagemap);
	proc__free(proc);
	return own;
}

/* A child that writes so much of both, and waits until *end closes. */
static pid_t child_of(char *inherited, size_t written, size_t fresh, int flags, int *end)
{
	int done[2], go_on[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(done), 0);
	assert_int_equal(pipe(go_on), 0);
	pid = fork();
	if (!pid) {
		close(go_on[1]);
		memset(inherited, 2, written);
		memset(memory(fresh, flags), 3, fresh);
		if (write(done[1], &byte, 1) != 1 || read(go_on[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	assert_true(pid > 0);
	close(go_on[0]);
	close(done[1]);
	assert_int_equal(read(done[0], &byte, 1), 1);
	close(done[0]);
	*end = go_on[1];
	return pid;
}

static uint64_t own_of_child(size_t written, int flags)
{
	char *inherited = memory(BYTES, MAP_PRIVATE);
	uint64_t own;
	pid_t pid;
	int end;

	memset(inherited, 1, BYTES);
	pid = child_of(inherited, written, FRESH, flags, &end);
	own = own_of(pid);
	close(end);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	munmap(inherited, BYTES);
	return own;
}

static void test_written_and_fresh(void **state)
{
	uint64_t none, own;

	(void)state;
	if (geteuid())
		skip();
	none = own_of_child(0, MAP_PRIVATE);
	assert_in_range(none, FRESH, FRESH + SLACK);
	own = own_of_child(WRITTEN, MAP_PRIVATE);
	assert_in_range(own, none + WRITTEN - SLACK / 8, none + WRITTEN + SLACK / 8);
}

static void test_shared_memory_is_not_own(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	assert_in_range(own_of_child(0, MAP_SHARED), 1, SLACK);
}

static void test_gone(void **state)
{
	struct pagemap *pagemap;
	struct proc *proc;
	uint64_t own;
	pid_t pid;
	int end;

	(void)state;
	assert_int_equal(proc__open(NULL, &proc), 0);
	pid = child_of(NULL, 0, 4096, MAP_PRIVATE, &end);
	assert_int_equal(pagemap__open(pid, &pagemap), 0);
	close(end);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(own_pages__find(proc, pid, pagemap, &own), -ESRCH);
	pagemap__free(pagemap);
	proc__free(proc);
}

static int wait_for_end(void *arg)
{
	char byte;

	return read(*(int *)arg, &byte, 1) < 0;
}

/* As a child of vfork() until it runs another program. */
static void test_memory_of_the_parent(void **state)
{
	static char stack[64 << 10];
	struct pagemap *pagemap;
	struct proc *proc;
	int end[2], status;
	uint64_t own;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(end), 0);
	pid = clone(wait_for_end, stack + sizeof(stack), CLONE_VM | SIGCHLD, &end[0]);
	assert_true(pid > 0);
	assert_int_equal(proc__open(NULL, &proc), 0);
	assert_int_equal(pagemap__open(pid, &pagemap), 0);
	assert_int_equal(own_pages__find(proc, pid, pagemap, &own), -EBUSY);
	assert_int_equal(write(end[1], "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	pagemap__free(pagemap);
	proc__free(proc);
	close(end[0]);
	close(end[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_and_fresh),
		cmocka_unit_test(test_shared_memory_is_not_own),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_memory_of_the_parent),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
