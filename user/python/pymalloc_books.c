/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Finds the allocator's books without symbols.
 *
 * usedpools (Objects/obmalloc.c, PTA; 3.12+ struct _obmalloc_pools) has two words a size class: next and previous of a
 * circular list whose head stands 16 bytes before them. Where the list is empty both words point there. Each pool on a
 * list names its class, and the first names the head as its predecessor: a shape that nothing else has.
 * It is a variable of the file up to 3.11; in the main PyInterpreterState in 3.12, which is in the file's _PyRuntime;
 * in the variable obmalloc_state_main from 3.13 on, and at the end of a pointer in each sub-interpreter.
 *
 * The array of arena_objects (pymalloc_arenas.c): from 3.12 on the two words behind usedpools are its address and
 * length (struct _obmalloc_mgmt). Before, `arenas` is a variable of its own among the same data: the word at which,
 * taken as an array, each known pool's arenaindex leads to an arena that contains the pool.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/pymalloc_impl.h"

#define USED_WORDS (2 * PYMALLOC_CLASSES)
#define USED_BYTES (USED_WORDS * sizeof(uint64_t))
#define PAGE RESIDENCY_PAGE_BYTES
/* Data of an interpreter is below 4 MiB. */
#define MAX_DATA_BYTES (64u << 20)
#define CHUNK_BYTES (256u << 10)
/* Interpreters of one process, and how far into one its pointer to the allocator's state is looked for. */
#define MAX_INTERPRETERS_OF_PROCESS 1024
#define MAX_INTERP_BYTES (1u << 20)
/* Pointers tried at once. */
#define CANDIDATES 256
/* Of the lists' first pools, how many must be right: to be found, and to be what was found before. */
#define FOUND_QUARTERS 3
#define KNOWN_QUARTERS 1
/* The heads of 32 lists, each of which may change at any time, and we may be scheduled away between two looks. */
#define LIST_LOOKS 16

struct known_pool {
	uint64_t base;
	uint32_t arenaindex;
};

struct search {
	struct pymalloc *a;
	struct known_pool known[PYMALLOC_CLASSES];
	size_t known_cnt;
	uint64_t used_at;
	/* Words that may be `arenas`. */
	uint64_t at[CANDIDATES], value[CANDIDATES];
	size_t cnt;
	uint64_t arenas_at; /* found */
};

/* Words at `at`, with those behind them that a shape may reach into. Non-zero: stop. */
typedef int chunk_fn(struct search *s, const uint64_t *words, size_t cnt, size_t behind, uint64_t at);

/* Reads pages that are in memory; zeros for others. */
static void read_resident(const struct pymalloc *a, uint64_t start, uint8_t *buf, size_t len)
{
	uint8_t place[CHUNK_BYTES / PAGE + 2];
	struct mem_piece piece[CHUNK_BYTES / PAGE + 2];
	uint64_t first = start / PAGE, pages = (start + len - 1) / PAGE - first + 1;
	size_t n = 0;

	memset(buf, 0, len);
	if (!a->residency)
		memset(place, PAGE_PRESENT, pages);
	else if (residency__look(a->residency, first * PAGE, place, pages))
		return;
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t from = (first + i) * PAGE, to = from + PAGE;

		if (place[i] != PAGE_PRESENT)
			continue;
		from = from < start ? start : from;
		to = to > start + len ? start + len : to;
		piece[n++] = (struct mem_piece){ .addr = from, .buf = buf + (from - start), .len = to - from };
	}
	mem__read_many(&a->m, piece, n);
	for (size_t i = 0; i < n; i++) {
		if (!piece[i].ok)
			memset(piece[i].buf, 0, piece[i].len);
	}
}

static int each_chunk(struct search *s, const struct pymalloc_ranges *ranges, chunk_fn *fn)
{
	uint64_t *words = malloc(CHUNK_BYTES + USED_BYTES);
	uint64_t total = 0;
	int err = words ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < ranges->cnt; i++) {
		const struct pymalloc_range *r = &ranges->range[i];

		for (uint64_t at = r->start; !err && at < r->end; at += CHUNK_BYTES) {
			size_t len = r->end - at < CHUNK_BYTES ? r->end - at : CHUNK_BYTES;
			size_t behind = r->end - at - len < USED_BYTES ? r->end - at - len : USED_BYTES;

			total += len;
			if (total > MAX_DATA_BYTES)
				break;
			read_resident(s->a, at, (uint8_t *)words, len + behind);
			err = fn(s, words, len / 8, behind / 8, at);
		}
	}
	free(words);
	return err;
}

/* What the empty list of a class points to. */
static uint64_t list_head(uint64_t used_at, unsigned int class)
{
	return used_at + 16 * class - 16;
}

static bool looks_like_used_pools(const uint64_t words[USED_WORDS], uint64_t at)
{
	for (unsigned int i = 0; i < PYMALLOC_CLASSES; i++) {
		uint64_t next = words[2 * i], prev = words[2 * i + 1], head = list_head(at, i);

		if (next == head && prev == head)
			continue;
		if (!next || !prev || (next | prev) % PAGE || next >= USER_SPACE_END || prev >= USER_SPACE_END)
			return false;
	}
	return true;
}

/*
 * Reads the first pool of each list: the pools that are known, and a proof where enough quarters of them are right. The
 * process may be changing some of the lists.
 */
static bool check_used_pools(struct search *s, const uint64_t words[USED_WORDS], uint64_t at, unsigned int quarters)
{
	struct pymalloc_header h[PYMALLOC_CLASSES];
	struct mem_piece piece[PYMALLOC_CLASSES];
	uint32_t told[PYMALLOC_CLASSES];
	size_t n = 0, small = 0;

	s->known_cnt = 0;
	for (unsigned int i = 0; i < PYMALLOC_CLASSES; i++) {
		if (words[2 * i] != list_head(at, i))
			piece[n++] = (struct mem_piece){ .addr = words[2 * i], .buf = &h[i], .len = sizeof(h[i]) };
	}
	mem__read_many(&s->a->m, piece, n);
	for (size_t i = 0; i < n; i++) {
		const struct pymalloc_header *pool = piece[i].buf;
		unsigned int class = pool - h;
		uint32_t bytes;

		if (!piece[i].ok || pool->szidx != class || pool->prevpool != list_head(at, class))
			continue;
		bytes = pymalloc__told_pool_bytes(pool);
		if (!bytes)
			continue;
		told[s->known_cnt] = bytes;
		small += bytes == 4096;
		s->known[s->known_cnt++] = (struct known_pool){ piece[i].addr, pool->arenaindex };
	}
	if (s->known_cnt * 4 < n * quarters)
		return false;
	/* A build may have been configured to other pools than its version has by default. */
	if (s->known_cnt)
		s->a->pool_bytes = small * 2 > s->known_cnt ? 4096 : told[0] == 4096 ? 16384 : told[0];
	return true;
}

static bool read_used_pools(struct search *s, uint64_t at, unsigned int quarters)
{
	uint64_t words[USED_WORDS];

	for (int i = 0; i < LIST_LOOKS; i++) {
		if (!mem__read(&s->a->m, at, words, sizeof(words)) && looks_like_used_pools(words, at) &&
		    check_used_pools(s, words, at, quarters))
			return true;
	}
	return false;
}

static int find_used_pools(struct search *s, const uint64_t *words, size_t cnt, size_t behind, uint64_t at)
{
	for (size_t i = 0; i < cnt && i + USED_WORDS <= cnt + behind; i++) {
		if (looks_like_used_pools(words + i, at + i * 8) && read_used_pools(s, at + i * 8, FOUND_QUARTERS)) {
			s->used_at = at + i * 8;
			return 1;
		}
	}
	return 0;
}

static bool arena_holds(const struct pymalloc *a, const struct arena_object *o, uint64_t pool)
{
	return o->address && o->address % PAGE == 0 && pool >= o->address && pool - o->address < a->arena_bytes &&
	       o->pool_address > pool && o->pool_address - o->address <= a->arena_bytes + a->pool_bytes &&
	       o->ntotalpools <= MAX_POOLS_IN_ARENA && o->nfreepools <= o->ntotalpools;
}

/* Do the arenas of this array hold the pools that name them? The process may have given one back meanwhile. */
static bool holds_known(const struct search *s, uint64_t array, unsigned int quarters)
{
	struct arena_object o[PYMALLOC_CLASSES];
	struct mem_piece piece[PYMALLOC_CLASSES];
	size_t good = 0;

	for (size_t i = 0; i < s->known_cnt; i++)
		piece[i] = (struct mem_piece){ .addr = array + s->known[i].arenaindex * sizeof(o[0]),
					       .buf = &o[i],
					       .len = sizeof(o[i]) };
	mem__read_many(&s->a->m, piece, s->known_cnt);
	for (size_t i = 0; i < s->known_cnt; i++)
		good += piece[i].ok && arena_holds(s->a, &o[i], s->known[i].base);
	return good && good * 4 >= s->known_cnt * quarters;
}

static bool in_ranges(const struct pymalloc_ranges *r, uint64_t addr)
{
	size_t low = 0, high = r->cnt;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (addr >= r->range[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->cnt && addr >= r->range[low].start;
}

/* Of the pointers noted, the one that fits the first known pool, and then the others. */
static int try_candidates(struct search *s)
{
	struct arena_object o[CANDIDATES];
	struct mem_piece piece[CANDIDATES];
	size_t cnt = s->cnt;

	s->cnt = 0;
	for (size_t i = 0; i < cnt; i++)
		piece[i] = (struct mem_piece){ .addr = s->value[i] + s->known[0].arenaindex * sizeof(o[0]),
					       .buf = &o[i],
					       .len = sizeof(o[i]) };
	mem__read_many(&s->a->m, piece, cnt);
	for (size_t i = 0; i < cnt; i++) {
		if (piece[i].ok && arena_holds(s->a, &o[i], s->known[0].base) &&
		    holds_known(s, s->value[i], FOUND_QUARTERS)) {
			s->arenas_at = s->at[i];
			return 1;
		}
	}
	return 0;
}

static int find_arenas_pointer(struct search *s, const uint64_t *words, size_t cnt, size_t behind, uint64_t at)
{
	(void)behind;
	for (size_t i = 0; i < cnt; i++) {
		if (words[i] % 16 || !in_ranges(&s->a->anon, words[i]))
			continue;
		s->at[s->cnt] = at + i * 8;
		s->value[s->cnt++] = words[i];
		if (s->cnt == CANDIDATES && try_candidates(s))
			return 1;
	}
	return 0;
}

/* The books behind usedpools, for 3.12 and later. */
static bool books_behind(const struct search *s, uint64_t used_at, struct pymalloc_books *ret)
{
	struct pymalloc_books b = { .used_at = used_at,
				    .arenas_at = used_at + USED_BYTES,
				    .arena_cnt_at = used_at + USED_BYTES + 8 };
	uint64_t array;
	uint32_t cnt;

	if (mem__read_u64(&s->a->m, b.arenas_at, &array) || mem__read_u32(&s->a->m, b.arena_cnt_at, &cnt))
		return false;
	if (array ? !arena_objects__length_fits(cnt) || (s->known_cnt && !holds_known(s, array, FOUND_QUARTERS))
		  : cnt || s->known_cnt)
		return false;
	*ret = b;
	return true;
}

static bool books_apart(struct search *s, struct pymalloc_books *ret)
{
	int found = s->known_cnt ? each_chunk(s, &s->a->data, find_arenas_pointer) : 0;

	if (!found && s->cnt)
		found = try_candidates(s);
	if (found <= 0)
		return false;
	*ret = (struct pymalloc_books){ .used_at = s->used_at, .arenas_at = s->arenas_at };
	return true;
}

static int find_state_pointer(struct search *s, uint64_t interp, uint64_t *ret)
{
	uint64_t *words = malloc(CHUNK_BYTES);
	int err = words ? -ENOENT : -ENOMEM;

	for (uint32_t at = 0; err == -ENOENT && at < MAX_INTERP_BYTES; at += CHUNK_BYTES) {
		read_resident(s->a, interp + at, (uint8_t *)words, CHUNK_BYTES);
		for (size_t i = 0; err == -ENOENT && i < CHUNK_BYTES / 8; i++) {
			if (words[i] == s->used_at) {
				*ret = at + i * 8;
				err = 0;
			}
		}
	}
	free(words);
	return err;
}

/* Allocators of sub-interpreters; those that share the main one's are its again. */
static void find_sub_books(struct search *s, uint64_t main_interp, uint64_t interp)
{
	struct pymalloc *a = s->a;
	bool by_value = a->layout.version == PY_VERSION(3, 12);
	uint64_t at = s->used_at - main_interp, used;

	if (by_value ? at >= MAX_INTERP_BYTES : find_state_pointer(s, main_interp, &at))
		return;
	for (int i = 0; interp && i < MAX_INTERPRETERS_OF_PROCESS; i++) {
		used = interp + at;
		if ((by_value || !mem__read_u64(&a->m, interp + at, &used)) && used != a->books[0].used_at &&
		    a->book_cnt < MAX_ALLOCATORS && read_used_pools(s, used, FOUND_QUARTERS) &&
		    books_behind(s, used, &a->books[a->book_cnt]))
			a->book_cnt++;
		if (mem__read_u64(&a->m, interp + a->layout.interp.next, &interp))
			return;
	}
}

/* The newest interpreter is the first of the list, the main one the last. */
static void find_interpreters(struct search *s)
{
	const struct py_layout *l = &s->a->layout;
	uint64_t head, interp, next;

	if (mem__read_u64(&s->a->m, s->a->runtime + l->runtime.interpreters_head, &head) || !head)
		return;
	interp = head;
	for (int i = 0; i < MAX_INTERPRETERS_OF_PROCESS; i++) {
		if (mem__read_u64(&s->a->m, interp + l->interp.next, &next))
			return;
		if (!next)
			break;
		interp = next;
	}
	if (interp != head)
		find_sub_books(s, interp, head);
}

static const char *find_books(struct search *s)
{
	struct pymalloc *a = s->a;
	bool behind = a->layout.version >= PY_VERSION(3, 12);
	int err;

	a->book_cnt = 0;
	err = each_chunk(s, &a->data, find_used_pools);
	if (err < 0)
		return "no memory to search the interpreter's data";
	if (!err)
		return "the allocator's lists of pools are not in the interpreter's data";
	if (!(behind ? books_behind(s, s->used_at, &a->books[0]) : books_apart(s, &a->books[0])))
		return "the allocator's list of arenas is not where it is known to be";
	return NULL;
}

static bool still_right(struct search *s, const struct pymalloc_books *b)
{
	uint64_t array;

	return read_used_pools(s, b->used_at, KNOWN_QUARTERS) && !mem__read_u64(&s->a->m, b->arenas_at, &array) &&
	       (!s->known_cnt || holds_known(s, array, KNOWN_QUARTERS));
}

/* Those of sub-interpreters come and go. */
static void add_interpreters(struct search *s)
{
	struct pymalloc *a = s->a;

	a->book_cnt = 1;
	s->used_at = a->books[0].used_at;
	if (a->layout.version >= PY_VERSION(3, 12) && a->runtime)
		find_interpreters(s);
}

bool pymalloc__know_books(struct pymalloc *a)
{
	struct search s = { .a = a };

	if (!a->book_cnt || !still_right(&s, &a->books[0]))
		return false;
	add_interpreters(&s);
	return true;
}

const char *pymalloc__find_books(struct pymalloc *a)
{
	struct search s = { .a = a };
	const char *why = find_books(&s);

	if (!why)
		add_interpreters(&s);
	return why;
}
