/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Interpreters that run: this system's python3 and pyenv's, each asked by itself where its runtime
 * is; copies of them that are renamed, deleted or made to say something else; and processes that
 * are no Python.
 */
#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "python/interp.h"
#include "python/python_file.h"

/* Tells its runtime's address (0 before there was one), its version, and waits. */
#define SCRIPT                                                                                     \
	"import sys\n"                                                                             \
	"try:\n"                                                                                   \
	"  import ctypes\n"                                                                        \
	"  a = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, '_PyRuntime'))\n"           \
	"except Exception:\n"                                                                      \
	"  a = 0\n"                                                                                \
	"sys.stdout.write('%d %s\\n' % (a, sys.version.split()[0].rstrip('+')))\n"                 \
	"sys.stdout.flush()\n"                                                                     \
	"sys.stdin.readline()\n"

struct child {
	pid_t tgid;
	int in;
	uint64_t runtime;
	char version[32];
};

/* Runs a program with its output to us. env: "NAME=value" or NULL. */
static void start(struct child *c, char *const argv[], const char *env)
{
	int in[2], out[2];
	FILE *f;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	c->tgid = fork();
	assert_true(c->tgid >= 0);
	if (c->tgid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		/*
		 * A path of pyenv's or a virtual environment's would send a copy to foreign
		 * modules.
		 */
		unsetenv("PYTHONHOME");
		if (env)
			putenv((char *)env);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	c->in = in[1];
	f = fdopen(out[0], "r");
	if (fscanf(f, "%lu %31s", &c->runtime, c->version) != 2) {
		c->runtime = 0;
		strcpy(c->version, "");
	}
	fclose(f);
}

static void stop(struct child *c)
{
	close(c->in);
	kill(c->tgid, SIGKILL);
	assert_int_equal(waitpid(c->tgid, NULL, 0), c->tgid);
}

static void start_python(struct child *c, const char *exe, const char *env)
{
	char *const argv[] = {(char *)exe, "-S", "-c", SCRIPT, NULL};

	start(c, argv, env);
	if (!c->version[0])
		fail_msg("%s did not start", exe);
}

static bool one_line(const char *command, char *buf, size_t len)
{
	FILE *f = popen(command, "r");
	bool found;

	assert_non_null(f);
	found = fgets(buf, len, f);
	pclose(f);
	buf[found ? strcspn(buf, "\n") : 0] = '\0';
	return buf[0];
}

/* bin/pythonX.Y or lib/libpythonX.Y*.so.1.0 of pyenv's newest X.Y, or false. */
static bool pyenv_file(const char *version, const char *pattern, char path[256])
{
	char root[128], text[256];
	glob_t found;
	bool any;

	if (!one_line("pyenv root 2>/dev/null", root, sizeof(root)))
		return false;
	snprintf(text, sizeof(text), "%s/versions/%s.*/%s", root, version, pattern);
	any = !glob(text, 0, NULL, &found);
	if (any)
		snprintf(path, 256, "%s", found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
	return any;
}

static void need_pyenv(const char *version, const char *pattern, char path[256])
{
	if (pyenv_file(version, pattern, path))
		return;
	print_message("# no %s of pyenv's Python %s here\n", pattern, version);
	skip();
}

static void need_system(char path[256])
{
	if (realpath("/usr/bin/python3", path))
		return;
	print_message("# no /usr/bin/python3 here\n");
	skip();
}

static void check_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	assert_int_equal(stat(a, &sa), 0);
	assert_int_equal(stat(b, &sb), 0);
	assert_int_equal(sa.st_dev, sb.st_dev);
	assert_int_equal(sa.st_ino, sb.st_ino);
}

/*
 * All that can be told of a supported interpreter, against what it says itself and what its file
 * says.
 */
static void check_found(const struct child *c, const struct interp *i)
{
	struct elf_symbol s;
	struct elf_file *f;
	char id[65];

	assert_string_equal(i->version_text, c->version);
	assert_int_equal(i->version, python_file__version_of_name(c->version));
	assert_int_equal(i->layout.version, i->version);
	if (c->runtime)
		assert_int_equal(i->runtime, c->runtime);
	assert_int_equal(elf_file__open(i->host_path, &f), 0);
	assert_int_equal(elf_file__symbol(f, "_PyRuntime", &s), 0);
	assert_int_equal(i->runtime, i->load_bias + s.addr);
	assert_int_equal(i->stripped, !elf_file__has_symtab(f));
	elf_file__build_id(f, id);
	assert_string_equal(i->build_id, id);
	elf_file__free(f);
}

static void check_live(const char *exe, const char *want_path, bool shared)
{
	struct interp i = {0};
	const char *why = NULL;
	struct child c;

	start_python(&c, exe, NULL);
	assert_int_equal(interp__of_process(c.tgid, &i, &why), 0);
	assert_null(why);
	check_found(&c, &i);
	assert_string_equal(i.path, want_path);
	check_same_file(i.host_path, want_path);
	assert_int_equal(i.shared, shared);
	stop(&c);
}

static bool uses_library(const char *exe)
{
	struct elf_symbol s;
	struct elf_file *f;
	bool uses;

	assert_int_equal(elf_file__open(exe, &f), 0);
	uses = elf_file__symbol(f, "_PyRuntime", &s) == -ENOENT;
	elf_file__free(f);
	return uses;
}

/* Our own copy in a folder of its own; `name` is the copy's. */
static void copy_file(const char *from, const char *name, char dir[64], char copy[128])
{
	char command[512];

	strcpy(dir, "/tmp/test_interp.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(copy, 128, "%s/%s", dir, name);
	snprintf(command, sizeof(command), "cp %s %s && chmod u+w %s", from, copy, copy);
	assert_int_equal(system(command), 0);
}

static void remove_copy(const char *dir, const char *copy)
{
	unlink(copy);
	assert_int_equal(rmdir(dir), 0);
}

static void patch(const char *file, const char *symbol, uint64_t at, uint64_t value)
{
	struct elf_symbol s;
	struct elf_file *f;
	uint64_t offset;
	int fd;

	assert_int_equal(elf_file__open(file, &f), 0);
	assert_int_equal(elf_file__symbol(f, symbol, &s), 0);
	assert_int_equal(elf_file__file_offset(f, s.addr + at, &offset), 0);
	elf_file__free(f);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &value, sizeof(value), offset), sizeof(value));
	close(fd);
}

static void test_system(void **state)
{
	char path[256];

	(void)state;
	need_system(path);
	if (uses_library(path))
		skip();
	check_live(path, path, false);
}

static void test_pyenv(void **state)
{
	char exe[256], library[256], pattern[64], real[256];
	const char *version = *state;

	snprintf(pattern, sizeof(pattern), "bin/python%s", version);
	need_pyenv(version, pattern, exe);
	snprintf(pattern, sizeof(pattern), "lib/libpython%s.so.1.0", version);
	need_pyenv(version, pattern, library);
	assert_non_null(realpath(library, real));
	check_live(exe, real, true);
}

/* The link and its folder say nothing of Python; the file behind it counts. */
static void test_venv(void **state)
{
	char path[256], dir[64] = "/tmp/test_interp.XXXXXX", link[128];

	(void)state;
	need_system(path);
	if (uses_library(path))
		skip();
	assert_non_null(mkdtemp(dir));
	snprintf(link, sizeof(link), "%s/app", dir);
	assert_int_equal(symlink(path, link), 0);
	check_live(link, path, false);
	remove_copy(dir, link);
}

/* An executable with another name that has Python in itself, and then no name at all. */
static void test_renamed_then_deleted(void **state)
{
	char path[256], dir[64], copy[128];
	struct interp i = {0};
	const char *why = NULL;
	struct child c;

	(void)state;
	need_system(path);
	if (uses_library(path))
		skip();
	copy_file(path, "service", dir, copy);
	start_python(&c, copy, "PYTHONHOME=/usr");
	assert_int_equal(interp__of_process(c.tgid, &i, &why), 0);
	check_found(&c, &i);
	assert_string_equal(i.path, copy);
	check_same_file(i.host_path, copy);
	remove_copy(dir, copy);
	memset(&i, 0, sizeof(i));
	assert_int_equal(interp__of_process(c.tgid, &i, &why), 0);
	check_found(&c, &i);
	assert_string_equal(i.path, copy);
	stop(&c);
}

/* Before 3.11 without a number in the name: only PY_VERSION among the constants tells. */
static void test_version_from_text(void **state)
{
	char exe[256], library[256], dir[64], copy[128], env[160];
	struct interp i = {0};
	const char *why = NULL;
	struct child c;

	(void)state;
	need_pyenv("3.9", "bin/python3.9", exe);
	need_pyenv("3.9", "lib/libpython3.9.so.1.0", library);
	copy_file(library, "libpython-ours.so", dir, copy);
	snprintf(env, sizeof(env), "LD_PRELOAD=%s", copy);
	start_python(&c, exe, env);
	assert_int_equal(interp__of_process(c.tgid, &i, &why), 0);
	check_found(&c, &i);
	assert_string_equal(i.path, copy);
	assert_true(i.shared);
	stop(&c);
	remove_copy(dir, copy);
}

static void check_refused(const struct child *c, const char *want_path, uint16_t version,
			  const char *text, const char *want_why)
{
	struct interp i = {0};
	const char *why = NULL;

	assert_int_equal(interp__of_process(c->tgid, &i, &why), -ENOTSUP);
	assert_string_equal(i.path, want_path);
	assert_int_equal(i.version, version);
	assert_string_equal(i.version_text, text);
	assert_non_null(why);
	assert_non_null(strstr(why, want_why));
}

static void test_older(void **state)
{
	char exe[256], library[256], real[256], pattern[64];
	const char *version = *state;
	struct child c;

	snprintf(pattern, sizeof(pattern), "bin/python%s", version);
	need_pyenv(version, pattern, exe);
	snprintf(pattern, sizeof(pattern), "lib/libpython%s*.so.1.0", version);
	need_pyenv(version, pattern, library);
	assert_non_null(realpath(library, real));
	start_python(&c, exe, NULL);
	check_refused(&c, real, python_file__version_of_name(version), c.version, "older than 3.8");
	stop(&c);
}

static void test_newer(void **state)
{
	char path[256], dir[64], copy[128];
	struct child c;

	(void)state;
	need_system(path);
	if (uses_library(path))
		skip();
	copy_file(path, "python3", dir, copy);
	patch(copy, "Py_Version", 0, 0x031f02b1);
	start_python(&c, copy, "PYTHONHOME=/usr");
	check_refused(&c, copy, PY_VERSION(3, 31), "3.31.2b1", "newer than");
	stop(&c);
	remove_copy(dir, copy);
}

static void test_free_threaded(void **state)
{
	char exe[256], library[256], dir[64], copy[128], env[160];
	struct child c;

	(void)state;
	need_pyenv("3.13", "bin/python3.13", exe);
	need_pyenv("3.13", "lib/libpython3.13.so.1.0", library);
	copy_file(library, "libpython3.13t.so.1.0", dir, copy);
	patch(copy, "_PyRuntime", 16, 1);
	snprintf(env, sizeof(env), "LD_PRELOAD=%s", copy);
	start_python(&c, exe, env);
	check_refused(&c, copy, PY_VERSION(3, 13), c.version, "free-threaded");
	stop(&c);
	remove_copy(dir, copy);
}

static void test_pypy(void **state)
{
	char dir[64], copy[128];
	struct child c;

	(void)state;
	copy_file("/bin/sh", "pypy3.9", dir, copy);
	start(&c, (char *const[]){copy, "-c", "echo 0 x; read x", NULL}, NULL);
	check_refused(&c, copy, PY_VERSION(3, 9), "3.9", "PyPy");
	stop(&c);
	remove_copy(dir, copy);
}

/* Nothing of the outputs is touched where there is no Python. */
static void check_none(pid_t tgid, int want)
{
	static const struct interp untouched = {.path = "untouched"};
	struct interp i = untouched;
	const char *why = NULL;

	assert_int_equal(interp__of_process(tgid, &i, &why), want);
	assert_memory_equal(&i, &untouched, sizeof(i));
	assert_null(why);
}

static void test_no_python(void **state)
{
	struct child c;

	(void)state;
	check_none(getpid(), -ENOENT);
	start(&c, (char *const[]){"/bin/sh", "-c", "echo 0 python; read x", "python3", NULL}, NULL);
	check_none(c.tgid, -ENOENT);
	stop(&c);
	check_none(c.tgid, -ESRCH);
}

static void test_zombie(void **state)
{
	pid_t tgid = fork();

	(void)state;
	if (tgid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, tgid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	check_none(tgid, -ESRCH);
	assert_int_equal(waitpid(tgid, NULL, 0), tgid);
}

static void test_kernel_thread(void **state)
{
	char comm[32] = "";
	FILE *f = fopen("/proc/2/comm", "r");

	(void)state;
	if (!f || !fgets(comm, sizeof(comm), f) || strcmp(comm, "kthreadd\n")) {
		print_message("# process 2 is not the kernel's\n");
		if (f)
			fclose(f);
		skip();
	}
	fclose(f);
	check_none(2, geteuid() ? -EACCES : -ENOENT);
}

static void test_cache(void **state)
{
	struct interp first = {0}, again = {0};
	const char *why = NULL;
	struct interp_cache *cache;
	char path[256];
	struct child a, b;

	(void)state;
	need_system(path);
	assert_int_equal(interp_cache__new(&cache), 0);
	start_python(&a, path, NULL);
	start_python(&b, path, NULL);
	assert_int_equal(interp_cache__look(cache, a.tgid, &first, &why), 0);
	assert_int_equal(interp_cache__look(cache, a.tgid, &again, &why), 0);
	assert_memory_equal(&first, &again, sizeof(first));
	assert_int_equal(interp_cache__look(cache, b.tgid, &again, &why), 0);
	check_found(&a, &first);
	check_found(&b, &again);
	assert_int_equal(interp_cache__look(cache, getpid(), &again, &why), -ENOENT);
	assert_int_equal(interp_cache__look(cache, getpid(), &again, &why), -ENOENT);
	stop(&a);
	stop(&b);
	interp_cache__free(cache);
	interp_cache__free(NULL);
}

static void test_version_of_name(void **state)
{
	static const struct {
		const char *name;
		uint16_t version;
	} rows[] = {
		{"libpython3.9.so.1.0", PY_VERSION(3, 9)},
		{"libpython3.7m.so.1.0", PY_VERSION(3, 7)},
		{"libpython3.13t.so.1.0", PY_VERSION(3, 13)},
		{"libpypy3.10-c.so", PY_VERSION(3, 10)},
		{"python2.7", PY_VERSION(2, 7)},
		{"python3", 0},
		{"python", 0},
		{"", 0},
		{"3.", 0},
		{"libpython3.so", 0},
		{"libpython-ours.so.1.0", 0},
		{"3.9.18", PY_VERSION(3, 9)},
		{"service-3.9", 0},
		{"python3.999", 0},
		{"python3.99999999999999999999", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(python_file__version_of_name(rows[i].name), rows[i].version);
}

int main(void)
{
#define PYENV(test, version)                                                                       \
	{                                                                                          \
#test "_" version, test, NULL, NULL, version                                       \
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_of_name),
		cmocka_unit_test(test_system),
		PYENV(test_pyenv, "3.8"),
		PYENV(test_pyenv, "3.9"),
		PYENV(test_pyenv, "3.10"),
		PYENV(test_pyenv, "3.11"),
		PYENV(test_pyenv, "3.12"),
		PYENV(test_pyenv, "3.13"),
		cmocka_unit_test(test_venv),
		cmocka_unit_test(test_renamed_then_deleted),
		cmocka_unit_test(test_version_from_text),
		PYENV(test_older, "2.7"),
		PYENV(test_older, "3.6"),
		PYENV(test_older, "3.7"),
		cmocka_unit_test(test_newer),
		cmocka_unit_test(test_free_threaded),
		cmocka_unit_test(test_pypy),
		cmocka_unit_test(test_no_python),
		cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_kernel_thread),
		cmocka_unit_test(test_cache),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
