/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct command {
	pid_t tgid;
	int go_fd; /* closed: never let go */
	int error_fd; /* reads errno of a failed exec, or end of file after a good one */
	bool ended;
	int status; /* of waitpid(2) */
};

static void become(char **argv, int go_fd, int error_fd)
{
	char byte;
	int err;

	signal(SIGPIPE, SIG_DFL);
	/* While it is held (held_command.h), our own death must not leave it stopped. */
	prctl(PR_SET_PDEATHSIG, SIGCONT);
	if (read(go_fd, &byte, 1) == 1) {
		execvp(argv[0], argv);
		err = errno;
		if (write(error_fd, &err, sizeof(err)) != sizeof(err))
			_exit(126);
	}
	_exit(127);
}

static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	return S_ISREG(st.st_mode) && !access(path, X_OK) ? 0 : -EACCES;
}

int command__find(const char *name)
{
	const char *dirs = getenv("PATH");
	char path[4096];
	int err = -ENOENT;
	size_t len;

	if (strchr(name, '/'))
		return executable(name);
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; err && *name; dirs += len + 1) {
		len = strcspn(dirs, ":");
		if (snprintf(path, sizeof(path), "%.*s/%s", (int)len, dirs, name) < (int)sizeof(path) &&
		    executable(path) != -ENOENT)
			err = executable(path);
		if (!dirs[len])
			break;
	}
	return err;
}

int command__prepare(char **argv, struct command **ret)
{
	struct command *c = calloc(1, sizeof(*c));
	int go[2], error[2];

	if (!c)
		return -ENOMEM;
	if (pipe2(go, O_CLOEXEC) || pipe2(error, O_CLOEXEC)) {
		free(c);
		return -errno;
	}
	c->tgid = fork();
	if (c->tgid < 0) {
		int err = -errno;

		close(go[0]);
		close(go[1]);
		close(error[0]);
		close(error[1]);
		free(c);
		return err;
	}
	if (c->tgid == 0) {
		close(go[1]);
		become(argv, go[0], error[1]);
	}
	close(go[0]);
	close(error[1]);
	c->go_fd = go[1];
	c->error_fd = error[0];
	*ret = c;
	return 0;
}

int command__go(struct command *c)
{
	int err = 0;

	if (write(c->go_fd, "g", 1) != 1)
		return -errno;
	close(c->go_fd);
	c->go_fd = -1;
	if (read(c->error_fd, &err, sizeof(err)) != sizeof(err))
		err = 0;
	return -err;
}

pid_t command__pid(const struct command *c)
{
	return c->tgid;
}

bool command__ended(struct command *c)
{
	if (!c->ended && waitpid(c->tgid, &c->status, WNOHANG) == c->tgid)
		c->ended = true;
	return c->ended;
}

int command__status(const struct command *c)
{
	return WIFSIGNALED(c->status) ? 128 + WTERMSIG(c->status) : WEXITSTATUS(c->status);
}

void command__free(struct command *c)
{
	if (!c)
		return;
	close(c->error_fd);
	if (c->go_fd >= 0) {
		close(c->go_fd);
		waitpid(c->tgid, NULL, 0);
	}
	free(c);
}
