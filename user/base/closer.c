/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Threads live only while there is something to close. They take no signals: those are the main thread's.
 */
#include "base/closer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu_visit.h"

#define MAX_THREADS 64
#define STACK_BYTES (64 << 10)

struct closer {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct job {
		int fd, cpu;
		uint64_t at_ns;
	} *jobs;
	size_t n, room;
	size_t n_threads;
};

int closer__new(struct closer **ret)
{
	struct closer *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->idle, NULL);
	*ret = c;
	return 0;
}

static void wait_until(uint64_t at_ns)
{
	uint64_t now = clock_now_ns(), left = at_ns > now ? at_ns - now : 0;
	struct timespec t = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };

	while (left && nanosleep(&t, &t))
		;
}

static void close_there(const struct job *job)
{
	struct cpu_visit visit;

	wait_until(job->at_ns);
	cpu_visit__begin(&visit, job->cpu);
	close(job->fd);
	cpu_visit__end(&visit);
}

static void *close_all(void *arg)
{
	struct closer *c = arg;
	struct job job;

	pthread_mutex_lock(&c->lock);
	while (c->n) {
		job = c->jobs[--c->n];
		pthread_mutex_unlock(&c->lock);
		close_there(&job);
		pthread_mutex_lock(&c->lock);
	}
	c->n_threads--;
	pthread_cond_broadcast(&c->idle);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static bool start_thread(struct closer *c)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = pthread_create(&thread, &attr, close_all, c);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return !err;
}

static bool push(struct closer *c, const struct job *job)
{
	size_t room = c->room ? c->room * 2 : 64;
	struct job *more;

	if (c->n == c->room) {
		more = realloc(c->jobs, room * sizeof(*more));
		if (!more)
			return false;
		c->jobs = more;
		c->room = room;
	}
	c->jobs[c->n++] = *job;
	return true;
}

void closer__close_on(struct closer *c, int fd, int cpu, uint64_t at_ns)
{
	const struct job job = { .fd = fd, .cpu = cpu, .at_ns = at_ns };
	bool taken;

	pthread_mutex_lock(&c->lock);
	taken = push(c, &job);
	if (taken && c->n_threads < MAX_THREADS) {
		c->n_threads++;
		if (!start_thread(c) && !--c->n_threads) {
			c->n--;
			taken = false;
		}
	}
	pthread_mutex_unlock(&c->lock);
	if (!taken)
		close_there(&job);
}

void closer__close(struct closer *c, int fd)
{
	closer__close_on(c, fd, -1, 0);
}

bool closer__is_busy(struct closer *c)
{
	bool busy;

	pthread_mutex_lock(&c->lock);
	busy = c->n_threads;
	pthread_mutex_unlock(&c->lock);
	return busy;
}

void closer__wait(struct closer *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->n_threads)
		pthread_cond_wait(&c->idle, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void closer__free(struct closer *c)
{
	if (!c)
		return;
	closer__wait(c);
	pthread_cond_destroy(&c->idle);
	pthread_mutex_destroy(&c->lock);
	free(c->jobs);
	free(c);
}
