/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pieces in order of their addresses, which do not overlap. A call first cuts the pieces at both ends of its range, so that all others
 * lie within it or without. Neighbours of the same owner and kind become one.
 */
#include "model/address_space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096ull
/* No process has memory there, nor so much (57 bits with five levels of page tables). */
#define END_OF_SPACE (1ull << 56)
/* Of a piece: not to be counted yet. */
#define KIND_RESERVED KIND_MAX
/* A call makes at most so many pieces more: mremap cuts three ranges, and takes one. */
#define MOST_NEW 8
/* Pieces that there may be: those that a full one is cut into by what is given back go beyond what is told apart. */
#define MOST_PIECES (2 * ADDRESS_SPACE_MAX)

struct piece {
	uint64_t begin, end;
	struct map_owner owner;
	uint32_t kind; /* KIND_MAPPED_*, or KIND_RESERVED */
	uint32_t cnt; /* calls that it comes from */
};

struct address_space {
	struct map_owner rest;
	address_space_fn fn;
	void *arg;
	struct piece *piece;
	size_t n, capacity;
	size_t full_n; /* when there was no room: until there are fewer it is not tried again; 0: there was */
	uint64_t brk; /* end of the C library's heap; 0: not known */
};

int address_space__new(const struct map_owner *rest, address_space_fn fn, void *arg, struct address_space **ret)
{
	struct address_space *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->rest = *rest;
	a->fn = fn;
	a->arg = arg;
	*ret = a;
	return 0;
}

void address_space__free(struct address_space *a)
{
	if (!a)
		return;
	free(a->piece);
	free(a);
}

/* ---- pieces ---- */

static void tell_taken(const struct address_space *a, const struct piece *p)
{
	struct profile_sums sums = { .alloc_cnt = p->cnt, .alloc_bytes = p->end - p->begin };

	if (p->kind != KIND_RESERVED)
		a->fn(&p->owner, p->kind, &sums, a->arg);
}

static void tell_given_back(const struct address_space *a, const struct piece *p)
{
	struct profile_sums sums = { .free_cnt = p->cnt, .free_bytes = p->end - p->begin };

	if (p->kind != KIND_RESERVED)
		a->fn(&p->owner, p->kind, &sums, a->arg);
}

/* The first piece that ends behind addr. */
static size_t find(const struct address_space *a, uint64_t addr)
{
	size_t low = 0, high = a->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (a->piece[middle].end > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Room for what a call needs. */
static int reserve(struct address_space *a)
{
	size_t capacity = a->capacity ? a->capacity : 64;
	struct piece *piece;

	while (capacity < a->n + MOST_NEW)
		capacity *= 2;
	if (capacity == a->capacity)
		return 0;
	piece = realloc(a->piece, capacity * sizeof(*piece));
	if (!piece)
		return -ENOMEM;
	a->piece = piece;
	a->capacity = capacity;
	return 0;
}

static void insert_at(struct address_space *a, size_t i, const struct piece *p)
{
	memmove(&a->piece[i + 1], &a->piece[i], (a->n - i) * sizeof(*p));
	a->piece[i] = *p;
	a->n++;
}

static void remove_some(struct address_space *a, size_t from, size_t to)
{
	memmove(&a->piece[from], &a->piece[to], (a->n - to) * sizeof(*a->piece));
	a->n -= to - from;
}

/*
 * Of the calls that a piece comes from, as many go with a part as its share of the bytes. There is room. Returns the piece that begins
 * there, or behind.
 */
static size_t cut(struct address_space *a, uint64_t addr)
{
	size_t i = find(a, addr);
	struct piece *p = &a->piece[i], rest;

	if (i == a->n || p->begin >= addr)
		return i;
	rest = *p;
	rest.begin = addr;
	rest.cnt = p->cnt * (double)(rest.end - addr) / (p->end - p->begin);
	p->cnt -= rest.cnt;
	p->end = addr;
	insert_at(a, i + 1, &rest);
	return i + 1;
}

static bool continues(const struct piece *p, const struct piece *next)
{
	return p->end == next->begin && p->kind == next->kind && p->owner.process == next->owner.process &&
	       p->owner.tid == next->owner.tid && p->owner.node == next->owner.node;
}

/* Makes one of piece i and what it continues, and of what continues it. */
static void join_around(struct address_space *a, size_t i)
{
	if (i + 1 < a->n && continues(&a->piece[i], &a->piece[i + 1])) {
		a->piece[i].end = a->piece[i + 1].end;
		a->piece[i].cnt += a->piece[i + 1].cnt;
		remove_some(a, i + 1, i + 2);
	}
	if (i && i < a->n && continues(&a->piece[i - 1], &a->piece[i])) {
		a->piece[i - 1].end = a->piece[i].end;
		a->piece[i - 1].cnt += a->piece[i].cnt;
		remove_some(a, i, i + 1);
	}
}

static void give_to(const struct address_space *a, struct piece *p, const struct map_owner *owner)
{
	tell_given_back(a, p);
	p->owner = *owner;
	tell_taken(a, p);
}

static bool is_one_with(const struct piece *p, const struct piece *next, uint64_t most_bytes)
{
	return p->end == next->begin && p->kind == next->kind && next->end - p->begin <= most_bytes;
}

/* Makes one of neighbours that have no more than so many bytes together. */
static void join_small(struct address_space *a, uint64_t most_bytes)
{
	size_t kept = 0;

	for (size_t i = 1; i < a->n; i++) {
		struct piece *p = &a->piece[kept], *next = &a->piece[i];

		if (is_one_with(p, next, most_bytes)) {
			give_to(a, p, &a->rest);
			give_to(a, next, &a->rest);
			p->end = next->end;
			p->cnt += next->cnt;
		} else {
			a->piece[++kept] = *next;
		}
	}
	a->n = a->n ? kept + 1 : 0;
}

/* Room to tell more apart. -ENOSPC: there is none. */
static int make_room(struct address_space *a)
{
	if (a->n + MOST_NEW <= ADDRESS_SPACE_MAX) {
		a->full_n = 0;
		return 0;
	}
	if (a->full_n && a->n <= a->full_n + ADDRESS_SPACE_MAX / 8)
		return -ENOSPC;
	for (uint64_t most = 16 * PAGE_BYTES; a->n > ADDRESS_SPACE_MAX / 2 && most < END_OF_SPACE; most *= 4)
		join_small(a, most);
	a->full_n = a->n + MOST_NEW <= ADDRESS_SPACE_MAX ? 0 : a->n;
	return a->full_n ? -ENOSPC : 0;
}

/* ---- what calls do ---- */

static void give_back(struct address_space *a, uint64_t begin, uint64_t end)
{
	size_t from, to, i;

	if (begin >= end)
		return;
	/* Too many to be cut: what lies around it goes, too. */
	if (a->n + MOST_NEW > MOST_PIECES) {
		from = find(a, begin);
		to = find(a, end);
		to += to < a->n && a->piece[to].begin < end;
		goto out;
	}
	from = cut(a, begin);
	to = cut(a, end);
out:
	for (i = from; i < to; i++)
		tell_given_back(a, &a->piece[i]);
	remove_some(a, from, to);
}

/* What was there is no more. */
static void take(struct address_space *a, const struct piece *p)
{
	size_t i;

	if (p->begin >= p->end)
		return;
	give_back(a, p->begin, p->end);
	i = find(a, p->begin);
	insert_at(a, i, p);
	tell_taken(a, p);
	join_around(a, i);
}

static uint64_t pages(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static void map(struct address_space *a, const struct map_event *e, const struct map_owner *who)
{
	struct piece p = { .begin = e->result, .end = e->result + pages(e->bytes), .owner = *who, .kind = KIND_RESERVED, .cnt = 1 };

	if ((e->flags & MAP_TYPE) != MAP_PRIVATE)
		p.kind = KIND_MAPPED_SHARED;
	else if (e->third & PROT_WRITE)
		p.kind = e->arena ? KIND_MAPPED_ARENA : KIND_MAPPED_ANON;
	take(a, &p);
}

/* Whose, and what, the memory at addr is that is made larger. */
static bool kind_at(const struct address_space *a, uint64_t addr, uint32_t *ret)
{
	size_t i = find(a, addr);

	if (i == a->n || a->piece[i].begin > addr)
		return false;
	*ret = a->piece[i].kind;
	return true;
}

/* Pieces of the old place are taken out, without a word, and put in at the new one. */
static int move_pieces(struct address_space *a, uint64_t from, uint64_t to, uint64_t bytes)
{
	size_t first = cut(a, from), n = cut(a, from + bytes) - first, i, at;
	struct piece *moved = malloc((n + 1) * sizeof(*moved));

	if (!moved)
		return -ENOMEM;
	memcpy(moved, &a->piece[first], n * sizeof(*moved));
	remove_some(a, first, first + n);
	give_back(a, to, to + bytes);
	at = find(a, to);
	for (i = 0; i < n; i++) {
		moved[i].begin += to - from;
		moved[i].end += to - from;
		insert_at(a, at + i, &moved[i]);
	}
	free(moved);
	return 0;
}

static int move(struct address_space *a, const struct map_event *e, const struct map_owner *who)
{
	uint64_t was = pages(e->bytes), is = pages(e->third), both = was < is ? was : is;
	struct piece more = { .begin = e->result + was, .end = e->result + is, .owner = *who, .cnt = 1 };
	bool known = kind_at(a, e->addr, &more.kind);
	uint32_t kind;
	int err = 0;

	/* It was told late: what is there was looked at since (address_space__settle). */
	if (!known && kind_at(a, e->result, &kind))
		return 0;
	give_back(a, e->addr + both, e->addr + was);
	if (e->addr != e->result)
		err = move_pieces(a, e->addr, e->result, both);
	give_back(a, more.begin, more.end);
	if (known && !err)
		take(a, &more);
	return err;
}

/* What is shared stays that. */
static void protect(struct address_space *a, const struct map_event *e, const struct map_owner *who)
{
	bool writable = e->third & PROT_WRITE;
	size_t from = cut(a, e->addr), to = cut(a, e->addr + pages(e->bytes)), i;

	for (i = from; i < to; i++) {
		struct piece *p = &a->piece[i];

		if (p->kind == KIND_MAPPED_SHARED || writable == (p->kind != KIND_RESERVED))
			continue;
		if (writable) {
			*p = (struct piece){ .begin = p->begin, .end = p->end, .owner = *who, .kind = KIND_MAPPED_ANON, .cnt = 1 };
			tell_taken(a, p);
		} else {
			tell_given_back(a, p);
			p->kind = KIND_RESERVED;
		}
	}
	for (i = to; i-- > from;)
		join_around(a, i);
}

static void advise(const struct address_space *a, const struct map_event *e, const struct map_owner *who)
{
	struct profile_sums sums = { .alloc_cnt = 1, .alloc_bytes = pages(e->bytes) };

	a->fn(who, KIND_ADVISED, &sums, a->arg);
}

static void move_brk(struct address_space *a, uint64_t brk, const struct map_owner *who)
{
	struct piece p = { .begin = pages(a->brk), .end = pages(brk), .owner = *who, .kind = KIND_MAPPED_BRK, .cnt = 1 };

	if (a->brk && brk > a->brk)
		take(a, &p);
	else if (a->brk)
		give_back(a, p.end, p.begin);
	a->brk = brk;
}

static bool is_place(uint64_t addr, uint64_t bytes)
{
	return addr < END_OF_SPACE && bytes <= END_OF_SPACE - addr && !(addr & (PAGE_BYTES - 1));
}

static bool may_be(const struct map_event *e)
{
	switch (e->call) {
	case MAP_CALL_MMAP:
		return is_place(e->result, e->bytes);
	case MAP_CALL_BRK:
		return e->result < END_OF_SPACE;
	case MAP_CALL_MREMAP:
		return is_place(e->addr, e->bytes) && is_place(e->result, e->third);
	default:
		return is_place(e->addr, e->bytes);
	}
}

/* Whether nobody has more after it. */
static bool only_gives_back(const struct address_space *a, const struct map_event *e)
{
	return e->call == MAP_CALL_MUNMAP || e->call == MAP_CALL_MADVISE || (e->call == MAP_CALL_MREMAP && e->third <= e->bytes) ||
	       (e->call == MAP_CALL_MPROTECT && !(e->third & PROT_WRITE)) || (e->call == MAP_CALL_BRK && e->result <= a->brk);
}

int address_space__apply(struct address_space *a, const struct map_event *e, const struct map_owner *who)
{
	int err = may_be(e) ? make_room(a) : -EINVAL;

	if (err == -ENOSPC && only_gives_back(a, e) && (e->call == MAP_CALL_MUNMAP || a->n + MOST_NEW <= MOST_PIECES))
		err = 0;
	err = err ? err : reserve(a);
	if (err)
		return err;
	switch (e->call) {
	case MAP_CALL_MMAP:
		map(a, e, who);
		return 0;
	case MAP_CALL_MUNMAP:
		give_back(a, e->addr, e->addr + pages(e->bytes));
		return 0;
	case MAP_CALL_MREMAP:
		return move(a, e, who);
	case MAP_CALL_MPROTECT:
		protect(a, e, who);
		return 0;
	case MAP_CALL_MADVISE:
		advise(a, e, who);
		return 0;
	case MAP_CALL_BRK:
		move_brk(a, e->result, who);
		return 0;
	case MAP_CALLS:
		break;
	}
	return -EINVAL;
}

/* ---- what is there ---- */

static uint32_t kind_of(const struct map_range *r)
{
	return r->shared ? KIND_MAPPED_SHARED : !r->writable ? KIND_RESERVED : r->heap ? KIND_MAPPED_BRK : KIND_MAPPED_ANON;
}

static bool is_kind_of(const struct piece *p, const struct map_range *r)
{
	return (p->kind == KIND_MAPPED_SHARED) == r->shared && (r->shared || (p->kind == KIND_RESERVED) == !r->writable);
}

/* What of a range is in no piece is taken; what is in one that is something else now, is anew. */
static int settle_range(struct address_space *a, const struct map_range *r, const struct map_owner *unseen)
{
	struct piece p = { .owner = *unseen, .kind = kind_of(r), .cnt = 1 };
	uint64_t at = r->begin;

	while (at < r->end) {
		size_t i = find(a, at);
		uint64_t next = i < a->n ? a->piece[i].begin : r->end, end = i < a->n ? a->piece[i].end : r->end;
		bool within = next <= at, known = within && is_kind_of(&a->piece[i], r);
		int err = known ? 0 : make_room(a);

		err = err ? err : reserve(a);
		if (err)
			return err;
		p.begin = at;
		p.end = within ? end : next;
		p.end = p.end < r->end ? p.end : r->end;
		at = p.end;
		if (!known)
			take(a, &p);
	}
	return 0;
}

static bool are_ordered(const struct map_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ranges[i].begin >= ranges[i].end || ranges[i].end > END_OF_SPACE || (i && ranges[i].begin < ranges[i - 1].end))
			return false;
	return true;
}

int address_space__settle(struct address_space *a, const struct map_range *ranges, size_t n, const struct map_owner *unseen)
{
	uint64_t end = 0;
	int err = are_ordered(ranges, n) ? 0 : -EINVAL;

	for (size_t i = 0; i <= n && !err; i++) {
		err = reserve(a);
		if (err)
			break;
		give_back(a, end, i < n ? ranges[i].begin : END_OF_SPACE);
		end = i < n ? ranges[i].end : END_OF_SPACE;
	}
	for (size_t i = 0; i < n && !err; i++) {
		err = settle_range(a, &ranges[i], unseen);
		if (ranges[i].heap && !err)
			a->brk = ranges[i].end;
	}
	return err;
}
