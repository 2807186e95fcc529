/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Parses what the kernel prints: /proc/TGID/maps (fs/proc/task_mmu.c show_map_vma), stat
 * (fs/proc/array.c do_task_stat), cmdline and comm. A process may change or end at any point
 * between two reads: what is gone is -ESRCH, a list that ends early is a shorter list. Does not
 * resolve paths and opens no file that a process names.
 */
#include "system/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * The maps of a big service are thousands of lines of about 100 bytes; the default buffer for /proc
 * is 1 KiB.
 */
#define MAPS_BUFFER_BYTES (64 << 10)

struct proc {
	int dir;
	char root[];
};

int proc__open(const char *root, struct proc **ret)
{
	struct proc *p;

	if (!root)
		root = "/proc";
	p = malloc(sizeof(*p) + strlen(root) + 1);
	if (!p)
		return -ENOMEM;
	strcpy(p->root, root);
	p->dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0) {
		int err = -errno;

		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void proc__free(struct proc *p)
{
	if (!p)
		return;
	close(p->dir);
	free(p);
}

const char *proc__root(const struct proc *p)
{
	return p->root;
}

/* A file or directory below a process: that it does not exist means that the process does not. */
static int open_of_process(const struct proc *p, pid_t tgid, const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%d/%s", tgid, name);
	fd = openat(p->dir, path, flags | O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

/* Reads at most len - 1 bytes and ends them with a null. Returns how many. */
static ssize_t read_of_process(const struct proc *p, pid_t tgid, const char *name, char *buf,
			       size_t len)
{
	int fd = open_of_process(p, tgid, name, 0);
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	while (done < len - 1) {
		n = read(fd, buf + done, len - 1 - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			close(fd);
			return n;
		}
		if (n == 0)
			break;
		done += n;
	}
	close(fd);
	buf[done] = '\0';
	return done;
}

static bool parse_hex(const char **s, char end, uint64_t *ret)
{
	char *after;

	if (!isxdigit((unsigned char)**s))
		return false;
	errno = 0;
	*ret = strtoull(*s, &after, 16);
	if (errno || *after != end)
		return false;
	*s = after + 1;
	return true;
}

/*
 * The kernel prints a newline in a path as \012, and nothing else is changed (seq_file_path with
 * "\n").
 */
static void unescape_newlines(char *path)
{
	char *to = path;

	while (*path) {
		if (strncmp(path, "\\012", 4) == 0) {
			*to++ = '\n';
			path += 4;
		} else {
			*to++ = *path++;
		}
	}
	*to = '\0';
}

/* Only files carry the mark; a name in brackets is not a file. */
static bool cut_deleted(char *path)
{
	static const char mark[] = " (deleted)";
	size_t len = strlen(path);

	if (path[0] != '/' || len < sizeof(mark) || strcmp(path + len - sizeof(mark) + 1, mark))
		return false;
	path[len - sizeof(mark) + 1] = '\0';
	return true;
}

/* "start-end rwxp offset major:minor inode   path" */
static int parse_map(char *line, struct proc_map *ret)
{
	struct proc_map m = {0};
	const char *s = line;
	uint64_t major, minor;
	char *path;

	if (!parse_hex(&s, '-', &m.start) || !parse_hex(&s, ' ', &m.end) || m.start >= m.end)
		return -EBADMSG;
	if (strnlen(s, 5) < 5 || s[4] != ' ')
		return -EBADMSG;
	m.writable = s[1] == 'w';
	m.executable = s[2] == 'x';
	m.shared = s[3] == 's';
	s += 5;
	if (!parse_hex(&s, ' ', &m.offset) || !parse_hex(&s, ':', &major) ||
	    !parse_hex(&s, ' ', &minor) || !isdigit((unsigned char)*s))
		return -EBADMSG;
	m.inode = strtoull(s, &path, 10);
	if (*path && *path != ' ')
		return -EBADMSG;
	path += strspn(path, " ");
	unescape_newlines(path);
	m.deleted = cut_deleted(path);
	m.path = path;
	*ret = m;
	return 0;
}

static int each_map(FILE *f, int (*fn)(const struct proc_map *m, void *arg), void *arg)
{
	struct proc_map m;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int err = 0;

	while (!err) {
		errno = 0;
		n = getline(&line, &size, f);
		if (n < 0) {
			err = -errno;
			break;
		}
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		err = parse_map(line, &m);
		if (!err)
			err = fn(&m, arg);
	}
	free(line);
	return err;
}

int proc__for_each_map(const struct proc *p, pid_t tgid,
		       int (*fn)(const struct proc_map *m, void *arg), void *arg)
{
	char *buffer;
	FILE *f;
	int fd, err;

	fd = open_of_process(p, tgid, "maps", 0);
	if (fd < 0)
		return fd;
	f = fdopen(fd, "r");
	if (!f) {
		err = -errno;
		close(fd);
		return err;
	}
	buffer = malloc(MAPS_BUFFER_BYTES);
	if (buffer)
		setvbuf(f, buffer, _IOFBF, MAPS_BUFFER_BYTES);
	err = each_map(f, fn, arg);
	fclose(f);
	free(buffer);
	return err;
}

/* Calls fn for each entry of a directory that is a number. Takes the descriptor. */
static int each_number(int fd, int (*fn)(pid_t id, void *arg), void *arg)
{
	struct dirent *e;
	DIR *dir;
	int err = 0;

	dir = fdopendir(fd);
	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	while (!err) {
		char *end;
		long id;

		errno = 0;
		e = readdir(dir);
		if (!e) {
			err = errno == ENOENT ? -ESRCH : -errno;
			break;
		}
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		id = strtol(e->d_name, &end, 10);
		if (*end == '\0' && id > 0 && id <= INT32_MAX)
			err = fn(id, arg);
	}
	closedir(dir);
	return err;
}

int proc__for_each_process(const struct proc *p, int (*fn)(pid_t tgid, void *arg), void *arg)
{
	/* A new open, for a duplicate would share its position with other walks. */
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return each_number(fd, fn, arg);
}

int proc__for_each_thread(const struct proc *p, pid_t tgid, int (*fn)(pid_t tid, void *arg),
			  void *arg)
{
	int fd = open_of_process(p, tgid, "task", O_DIRECTORY);

	if (fd < 0)
		return fd;
	return each_number(fd, fn, arg);
}

int proc__stat(const struct proc *p, pid_t tgid, struct proc_stat *ret)
{
	uint64_t user_ticks, system_ticks, minor, major;
	struct proc_stat s = {0};
	const char *after_comm;
	char buf[1024];
	ssize_t n;

	n = read_of_process(p, tgid, "stat", buf, sizeof(buf));
	if (n < 0)
		return n;
	/*
	 * comm is in parentheses and may hold any character, parentheses and blanks too; no later
	 * field does.
	 */
	after_comm = strrchr(buf, ')');
	if (!after_comm)
		return -EBADMSG;
	n = sscanf(after_comm + 1,
		   " %c %d %*s %*s %*s %*s %*s %" SCNu64 " %*s %" SCNu64 " %*s %" SCNu64 " %" SCNu64
		   " %*s %*s %*s %*s %*s %*s %" SCNu64 " %*s %" SCNu64,
		   &s.state, &s.ppid, &minor, &major, &user_ticks, &system_ticks,
		   &s.start_time_ticks, &s.rss_pages);
	if (n != 8)
		return -EBADMSG;
	s.faults = minor + major;
	s.cpu_ticks = user_ticks + system_ticks;
	*ret = s;
	return 0;
}

bool proc__borrows_memory(const struct proc *p, pid_t tgid)
{
	struct proc_stat stat;

	return !proc__stat(p, tgid, &stat) && !syscall(SYS_kcmp, tgid, stat.ppid, KCMP_VM, 0, 0);
}

/*
 * What clock_getcpuclockid answers, which asks the kernel each time whether there is such a process (kernel
 * include/linux/posix-timers.h make_process_cpuclock, include/linux/posix-timers_types.h CPUCLOCK_SCHED; a part of its interface).
 */
#define CPU_CLOCK_OF(tgid) ((clockid_t)(~(unsigned int)(tgid) << 3 | 2))

int proc__cpu_ns(const struct proc *p, pid_t tgid, uint64_t *ret)
{
	struct proc_stat stat;
	struct timespec t;
	int err;

	if (!strcmp(p->root, "/proc")) {
		if (clock_gettime(CPU_CLOCK_OF(tgid), &t))
			return -ESRCH;
		*ret = t.tv_sec * 1000000000ull + t.tv_nsec;
		return 0;
	}
	err = proc__stat(p, tgid, &stat);
	if (!err)
		*ret = stat.cpu_ticks * (1000000000ull / sysconf(_SC_CLK_TCK));
	return err;
}

int proc__waits(const struct proc *p, pid_t tgid, uint64_t *ret_waited_ns, uint64_t *ret_slept)
{
	uint64_t waited_ns, slept;
	char buf[4096], *at, *state;
	ssize_t n;

	n = read_of_process(p, tgid, "schedstat", buf, sizeof(buf));
	if (n < 0)
		return n;
	if (sscanf(buf, "%*s %" SCNu64, &waited_ns) != 1)
		return -EBADMSG;
	n = read_of_process(p, tgid, "status", buf, sizeof(buf));
	if (n < 0)
		return n;
	at = strstr(buf, "\nvoluntary_ctxt_switches:");
	state = strstr(buf, "\nState:\t");
	if (!at || !state || sscanf(at, "\nvoluntary_ctxt_switches: %" SCNu64, &slept) != 1)
		return -EBADMSG;
	if (state[8] != 'R' && slept)
		slept--;
	*ret_waited_ns = waited_ns;
	*ret_slept = slept;
	return 0;
}

/* Threads that are looked at: with a global interpreter lock one runs Python at a time, and most processes have few others. */
#define MOST_LOOKED_AT 16
/* Fields of stat from the state on; processor is the 39th of all, before rt_priority and policy (proc_pid_stat(5)). */
#define PROCESSOR_FIELD (39 - 3)

struct running {
	const struct proc *p;
	pid_t tgid;
	int left, cpu;
};

static int look_where(pid_t tid, void *arg)
{
	struct running *r = arg;
	char name[32], buf[1024], *at;
	int field, cpu, policy;

	snprintf(name, sizeof(name), "task/%d/stat", (int)tid);
	at = read_of_process(r->p, r->tgid, name, buf, sizeof(buf)) < 0 ? NULL : strrchr(buf, ')');
	if (at && at[1] == ' ' && at[2] == 'R') {
		for (field = 0, at += 2; at && field < PROCESSOR_FIELD; field++)
			at = strchr(at + 1, ' ');
		if (at && sscanf(at, " %d %*u %d", &cpu, &policy) == 2 &&
		    (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE)) {
			r->cpu = cpu;
			return 1;
		}
	}
	return --r->left <= 0;
}

int proc__running_on(const struct proc *p, pid_t tgid)
{
	struct running r = { .p = p, .tgid = tgid, .left = MOST_LOOKED_AT, .cpu = -1 };

	proc__for_each_thread(p, tgid, look_where, &r);
	return r.cpu;
}

int proc__comm(const struct proc *p, pid_t tgid, pid_t tid, char *buf, size_t len)
{
	char name[64], comm[64];
	ssize_t n;

	if (!len)
		return -EINVAL;
	snprintf(name, sizeof(name), "task/%d/comm", tid);
	n = read_of_process(p, tgid, name, comm, sizeof(comm));
	if (n < 0)
		return n;
	if (n > 0 && comm[n - 1] == '\n')
		comm[n - 1] = '\0';
	snprintf(buf, len, "%s", comm);
	return 0;
}

int proc__cmdline(const struct proc *p, pid_t tgid, char *buf, size_t len)
{
	char comm[64], *text;
	ssize_t n;
	int err;

	if (!len)
		return -EINVAL;
	text = malloc(len);
	if (!text)
		return -ENOMEM;
	n = read_of_process(p, tgid, "cmdline", text, len);
	err = n < 0 ? n : 0;
	if (err)
		goto out;
	/* Programs that rewrite their title leave nulls or blanks behind it. */
	while (n > 0 && (text[n - 1] == '\0' || text[n - 1] == ' '))
		n--;
	for (ssize_t i = 0; i < n; i++)
		buf[i] = text[i] ? text[i] : ' ';
	if (n > 0) {
		buf[n] = '\0';
		goto out;
	}
	err = proc__comm(p, tgid, tgid, comm, sizeof(comm));
	if (!err)
		snprintf(buf, len, "[%s]", comm);
out:
	free(text);
	return err;
}

int proc__resident(const struct proc *p, pid_t tgid, uint64_t ret[3])
{
	static const char *const names[] = { "RssAnon", "RssFile", "RssShmem" };
	char path[4096], line[256], name[32];
	unsigned long long kib;
	uint64_t found[3];
	int n = 0, i;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%d/status", p->root, (int)tgid) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31[^:]: %llu kB", name, &kib) != 2)
			continue;
		for (i = 0; i < 3; i++) {
			if (!strcmp(name, names[i])) {
				found[i] = kib * 1024;
				n |= 1 << i;
			}
		}
	}
	fclose(f);
	if (n != 7)
		return -EBADMSG;
	memcpy(ret, found, sizeof(found));
	return 0;
}
