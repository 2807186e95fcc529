/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "python.h"

#define PRESENT (1ull << 63)
#define MAPPED_ONCE (1ull << 56)
#define OF_FILE (1ull << 61)
#define FRAME ((1ull << 55) - 1)
#define WORDS_A_READ 512

/*
 * Where one page was asked for, another one nearby often is next: then all that are near are read at once, and kept; not for
 * whoever asks for what comes before, as at the next time round.
 */
struct pagemap {
	int fd;
	long page_bytes;
	uint64_t last; /* index that was asked for */
	uint64_t asked_plus_1; /* index / WORDS_A_READ of the last page asked for */
	uint64_t near_plus_1; /* the same of what is kept */
	size_t n_near;
	uint64_t near[WORDS_A_READ];
};

int pagemap__open(pid_t tgid, struct pagemap **ret)
{
	struct pagemap *p = calloc(1, sizeof(*p));
	char path[64];
	int err;

	if (!p)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)tgid);
	p->page_bytes = sysconf(_SC_PAGESIZE);
	p->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p->fd < 0) {
		err = errno == ENOENT ? -ESRCH : -errno;
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void pagemap__free(struct pagemap *p)
{
	if (!p)
		return;
	close(p->fd);
	free(p);
}

static uint32_t hash_of(uint64_t word)
{
	uint64_t frame = word & FRAME;
	uint32_t hash = PY_HASH_STEP(0, frame) >> (64 - PAGEMAP_HASH_BITS);

	return !frame ? 0 : hash > PAGEMAP_NO_FRAME ? hash : PAGEMAP_NO_FRAME + 1;
}

static bool read_word(struct pagemap *p, uint64_t index, uint64_t *ret)
{
	uint64_t near_plus_1 = index / WORDS_A_READ + 1;
	ssize_t got;

	if (index < p->last)
		p->near_plus_1 = p->asked_plus_1 = 0;
	p->last = index;
	if (p->near_plus_1 != near_plus_1 && p->asked_plus_1 == near_plus_1) {
		got = pread(p->fd, p->near, sizeof(p->near), (index - index % WORDS_A_READ) * sizeof(*ret));
		p->n_near = got < 0 ? 0 : got / sizeof(*ret);
		p->near_plus_1 = near_plus_1;
	}
	p->asked_plus_1 = near_plus_1;
	if (p->near_plus_1 != near_plus_1)
		return pread(p->fd, ret, sizeof(*ret), index * sizeof(*ret)) == sizeof(*ret);
	*ret = p->near[index % WORDS_A_READ];
	return index % WORDS_A_READ < p->n_near;
}

bool pagemap__present(struct pagemap *p, uint64_t page, uint32_t *ret_frame)
{
	uint64_t word;

	if (!read_word(p, page * 4096 / p->page_bytes, &word) || !(word & PRESENT))
		return false;
	*ret_frame = hash_of(word);
	return true;
}

/* Words of at most n pages from there on; how many. */
static size_t read_words(const struct pagemap *p, uint64_t page, uint64_t words[WORDS_A_READ], size_t n)
{
	ssize_t got;

	if (p->page_bytes != 4096)
		return 0;
	got = pread(p->fd, words, (n < WORDS_A_READ ? n : WORDS_A_READ) * sizeof(words[0]), page * sizeof(words[0]));
	return got < 0 ? 0 : got / sizeof(words[0]);
}

size_t pagemap__frames(struct pagemap *p, uint64_t page, uint32_t *ret, size_t n)
{
	uint64_t words[WORDS_A_READ];
	size_t done, got, i;

	for (done = 0; done < n; done += got) {
		got = read_words(p, page + done, words, n - done);
		if (!got)
			break;
		for (i = 0; i < got; i++)
			ret[done + i] = words[i] & PRESENT ? hash_of(words[i]) : 0;
	}
	return done;
}

bool pagemap__own(struct pagemap *p, uint64_t page, size_t n, size_t *own)
{
	uint64_t words[WORDS_A_READ];
	size_t done, got, i;

	*own = 0;
	for (done = 0; done < n; done += got) {
		got = read_words(p, page + done, words, n - done);
		if (!got)
			return false;
		for (i = 0; i < got; i++)
			*own += (words[i] & (PRESENT | MAPPED_ONCE | OF_FILE)) == (PRESENT | MAPPED_ONCE);
	}
	return true;
}
