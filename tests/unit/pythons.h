/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The interpreters of tests/pythons.sh, and one cmocka test per interpreter: a minor version that
 * we claim to know and that is not on this machine shows as skipped. Tests run in the repository's
 * root.
 */
#ifndef TESTS_PYTHONS_H
#define TESTS_PYTHONS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define MAX_PYTHONS 64
#ifndef PYTHONS_LIST
#define PYTHONS_LIST "tests/pythons.sh" /* or "tests/pythons.sh more" */
#endif
#define FIRST_MINOR 8
#define LAST_MINOR 15

struct python {
	char name[64];	    /* "3.11.7 pyenv" */
	char command[4096]; /* "" : none of this minor version is here */
	unsigned int minor;
};

static struct python pythons[MAX_PYTHONS];
static size_t python_cnt;

static void pythons__add(const char *name, const char *command)
{
	struct python *p = &pythons[python_cnt];

	if (python_cnt == MAX_PYTHONS || sscanf(name, "3.%u", &p->minor) != 1)
		return;
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->command, sizeof(p->command), "%s", command);
	python_cnt++;
}

static void pythons__find(void)
{
	FILE *list = popen(PYTHONS_LIST, "r");
	unsigned int minors = 0;
	char line[8192];

	while (list && fgets(line, sizeof(line), list)) {
		char *tab = strchr(line, '\t');

		if (!tab)
			continue;
		*tab = 0;
		tab[strcspn(tab + 1, "\n") + 1] = 0;
		pythons__add(line, tab + 1);
		minors |= 1u << pythons[python_cnt - 1].minor;
	}
	if (list)
		pclose(list);
	for (unsigned int minor = FIRST_MINOR; minor <= LAST_MINOR; minor++) {
		char name[32];

		snprintf(name, sizeof(name), "3.%u (no such interpreter here)", minor);
		if (!(minors & 1u << minor))
			pythons__add(name, "");
	}
}

/* Appends one test per interpreter to tests; its state is the struct python. Returns how many there
 * are. */
static size_t pythons__tests(struct CMUnitTest *tests, CMUnitTestFunction fn)
{
	pythons__find();
	for (size_t i = 0; i < python_cnt; i++)
		tests[i] = (struct CMUnitTest){
			.name = pythons[i].name, .test_func = fn, .initial_state = &pythons[i]};
	return python_cnt;
}

/* A running interpreter: what it says, what it is told. */
struct child {
	pid_t pid;
	FILE *out; /* its standard output */
	int in;	   /* its standard input */
};

static void child__start(struct child *c, const struct python *p, const char *script)
{
	char command[8192];
	int in[2], out[2];

	snprintf(command, sizeof(command), "exec %s -S -s %s", p->command, script);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	c->in = in[1];
	c->out = fdopen(out[0], "r");
	assert_non_null(c->out);
}

/* Its exit status, as in wait(2). The end of its input ends every script of ours. */
static int child__end(struct child *c)
{
	int status = -1;

	close(c->in);
	fclose(c->out);
	waitpid(c->pid, &status, 0);
	return status;
}

#endif
