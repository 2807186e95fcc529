/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Programs that embed Python, for tests: embed HOW SCRIPT ARGS...
 *
 *	main	as python does (Py_BytesMain)
 *	thread	the script runs in a thread that Python did not start; the first one waits
 *	worker	as uwsgi does: the interpreter is made once, the script runs in a forked worker
 *	opened	as main, in a libpython that is opened while the program runs: LIBPYTHON in the environment
 *
 * Declares what it calls itself: the same in every version, and a libpython of another suite comes without its headers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>

#ifdef OPENED
#define WEAK __attribute__((weak))
#else
#define WEAK
#endif
int Py_BytesMain(int argc, char **argv) WEAK;
void Py_Initialize(void) WEAK;
int PyRun_SimpleStringFlags(const char *program, void *flags) WEAK;
int PyGILState_Ensure(void) WEAK;
void PyGILState_Release(int state) WEAK;
void *PyEval_SaveThread(void) WEAK;
void PyEval_RestoreThread(void *state) WEAK;
void PyOS_BeforeFork(void) WEAK;
void PyOS_AfterFork_Parent(void) WEAK;
void PyOS_AfterFork_Child(void) WEAK;

static char program[8192];

static void run_program(void)
{
	if (PyRun_SimpleStringFlags(program, NULL))
		exit(1);
}

static void *run_in_thread(void *arg)
{
	int state = PyGILState_Ensure();

	run_program();
	PyGILState_Release(state);
	return arg;
}

static int run_worker(void)
{
	int status = 0;
	pid_t child;

	PyOS_BeforeFork();
	child = fork();
	if (child) {
		PyOS_AfterFork_Parent();
		waitpid(child, &status, 0);
		return status;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	PyOS_AfterFork_Child();
	run_program();
	return 0;
}

/* sys.argv, sys.path and the script, as Python would set them up. */
static void write_program(int argc, char **argv)
{
	char *at = program, *end = program + sizeof(program);
	int i;

	at += snprintf(at, end - at, "import sys, os, runpy\nsys.argv = [");
	for (i = 2; i < argc && at < end - 256; i++)
		at += snprintf(at, end - at, "'%s',", argv[i]);
	snprintf(at, end - at, "]\nsys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
			       "runpy.run_path(sys.argv[0], run_name='__main__')\n");
}

static int run_opened(int argc, char **argv)
{
	void *library = dlopen(getenv("LIBPYTHON"), RTLD_NOW | RTLD_GLOBAL);
	int (*bytes_main)(int argc, char **argv);

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&bytes_main = dlsym(library, "Py_BytesMain");
	return bytes_main ? bytes_main(argc, argv) : 1;
}

int main(int argc, char **argv)
{
	void *state;
	pthread_t thread;
	int status = 0;

	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "opened"))
		return run_opened(argc - 1, argv + 1);
	if (!strcmp(argv[1], "main"))
		return Py_BytesMain(argc - 1, argv + 1);
	write_program(argc, argv);
	Py_Initialize();
	if (!strcmp(argv[1], "worker"))
		return run_worker();
	state = PyEval_SaveThread();
	status = pthread_create(&thread, NULL, run_in_thread, NULL);
	if (!status)
		pthread_join(thread, NULL);
	PyEval_RestoreThread(state);
	return status;
}
