/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The collector's state against what live interpreters say of it (tests/targets/gc_states.py), and made-up memory: what no
 * collector has, lists that change or never end.
 */
#include "pythons.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "python/gc_state.h"

/* ---- live interpreters ---- */

/* What telling it costs: tuples, lists, strings. */
#define OBJECTS_OF_TELLING 60

struct told {
	char name[32];
	int enabled, threshold[3], count[3], frozen;
	int64_t stats[9];
};

static struct told parse(const char *line)
{
	struct told t = {0};
	int64_t *s = t.stats;

	assert_int_equal(sscanf(line,
				"state %31s %d %d %d %d %d %d %d %d %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
				" %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64,
				t.name, &t.enabled, &t.threshold[0], &t.threshold[1], &t.threshold[2], &t.count[0],
				&t.count[1], &t.count[2], &t.frozen, &s[0], &s[1], &s[2], &s[3], &s[4], &s[5], &s[6],
				&s[7], &s[8]),
			 18);
	return t;
}

static void check(const struct mem_reader *m, uint64_t runtime, const struct py_layout *l, const struct told *t)
{
	struct gc_state s;
	uint64_t frozen = 0;
	int err = gc_state__read(m, runtime, l, &s);

	if (err)
		fail_msg("%s: error %d", t->name, err);
	assert_int_equal(s.enabled, t->enabled);
	assert_false(s.collecting);
	assert_true(s.has_counts);
	for (int g = 0; g < GC_GENERATIONS; g++) {
		assert_int_equal(s.threshold[g], t->threshold[g]);
		if (g)
			assert_int_equal(s.count[g], t->count[g]);
		else if (s.count[0] < t->count[0] - OBJECTS_OF_TELLING || s.count[0] > t->count[0] + OBJECTS_OF_TELLING)
			fail_msg("%s: count %d, told %d", t->name, s.count[0], t->count[0]);
		assert_int_equal(s.collections[g], t->stats[3 * g]);
		assert_int_equal(s.collected[g], t->stats[3 * g + 1]);
		assert_int_equal(s.uncollectable[g], t->stats[3 * g + 2]);
	}
	assert_int_equal(gc_state__count_frozen(m, &s, &frozen), 0);
	assert_int_equal(frozen, t->frozen);
}

/* So that no state is tested that never came. */
static void check_came(const struct told *t)
{
	if (!strcmp(t->name, "disabled"))
		assert_true(!t->enabled && t->count[0] >= 5000);
	if (!strcmp(t->name, "more_frozen"))
		assert_true(t->frozen > 35000);
	if (!strcmp(t->name, "uncollectable"))
		assert_true(t->stats[8] >= 3);
}

static void live(void **state)
{
	const struct python *p = *state;
	struct py_layout l = {0};
	struct mem_reader m;
	uint64_t runtime = 0;
	size_t size = 0;
	char *line = NULL;
	unsigned int states = 0;
	struct child c;

	if (!p->command[0])
		skip();
	child__start(&c, p, "tests/targets/gc_states.py");
	m = mem_reader__of_process(c.pid);
	while (getline(&line, &size, c.out) > 0 && strcmp(line, "done\n")) {
		if (sscanf(line, "runtime %" SCNx64, &runtime) == 1) {
			assert_int_equal(py_layout__of_runtime(&m, runtime, PY_VERSION(3, p->minor), &l), 0);
		} else {
			const struct told t = parse(line);

			check_came(&t);
			check(&m, runtime, &l, &t);
			states++;
			assert_int_equal(write(c.in, "x", 1), 1);
		}
	}
	free(line);
	assert_int_equal(child__end(&c), 0);
	assert_int_equal(states, 9);
}

/* ---- made-up memory: 3.12's layout ---- */

#define RUNTIME 0x10000u
#define INTERP 0x20000u
#define OBJECTS 0x40000u /* PyGC_Heads, 64 bytes apart */
#define OBJECT_BYTES 64u
#define MAX_OBJECTS 1024u
#define GENERATIONS_AT 24u /* of 3.12; its struct has 240 bytes */
#define GENERATIONS_BEFORE_END (240u - GENERATIONS_AT)
#define MEMORY_BYTES (OBJECTS + MAX_OBJECTS * OBJECT_BYTES)

struct fake {
	uint8_t bytes[MEMORY_BYTES];
	const struct py_layout *l;
	uint64_t gc;
	uint64_t change_at, change_to; /* once this address has been read, the list's last becomes that */
	uint64_t reads;
};

static int read_fake(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	struct fake *f = (struct fake *)(uintptr_t)m->ctx;

	f->reads++;
	if (addr > MEMORY_BYTES || len > MEMORY_BYTES - addr)
		return -EFAULT;
	memcpy(buf, f->bytes + addr, len);
	if (f->change_at && addr <= f->change_at && f->change_at < addr + len)
		memcpy(f->bytes + f->gc + f->l->gc.permanent + 8, &f->change_to, 8);
	return 0;
}

static void put64(struct fake *f, uint64_t at, uint64_t v)
{
	memcpy(f->bytes + at, &v, sizeof(v));
}

static void put32(struct fake *f, uint64_t at, uint32_t v)
{
	memcpy(f->bytes + at, &v, sizeof(v));
}

static uint64_t object(unsigned int i)
{
	return OBJECTS + (uint64_t)i * OBJECT_BYTES;
}

/* n objects are frozen, in an order that jumps between pages. */
static struct fake *fake__new(unsigned int n)
{
	struct fake *f = calloc(1, sizeof(*f));
	uint64_t before;

	assert_non_null(f);
	f->l = py_layout__of_version(PY_VERSION(3, 12));
	f->gc = INTERP + f->l->interp.gc;
	before = f->gc + f->l->gc.permanent;
	put64(f, RUNTIME + f->l->runtime.interpreters_head + 8, INTERP);
	put32(f, f->gc + f->l->gc.enabled, 1);
	put64(f, f->gc + f->l->gc.generation0, f->gc + GENERATIONS_AT);
	for (unsigned int i = 0; i < n; i++) {
		put64(f, before, object(i * 7 % n));
		before = object(i * 7 % n);
	}
	put64(f, before, f->gc + f->l->gc.permanent);
	put64(f, f->gc + f->l->gc.permanent + 8, before);
	return f;
}

static int read_it(struct fake *f, struct gc_state *ret)
{
	struct mem_reader m = {.read = read_fake, .ctx = f};

	return gc_state__read(&m, RUNTIME, f->l, ret);
}

static int count_it(struct fake *f, const struct gc_state *s, uint64_t *ret)
{
	struct mem_reader m = {.read = read_fake, .ctx = f};

	return gc_state__count_frozen(&m, s, ret);
}

static void absurd(void **state)
{
	static const struct {
		size_t field; /* of struct py_layout, gc */
		uint32_t extra, value;
		int err;
	} rows[] = {
#define GC(name) offsetof(struct py_layout, gc.name)
		{GC(enabled), 0, 1, 0},
		{GC(enabled), 0, 2, -EBADMSG},
		{GC(enabled), 0, 0xffffffff, -EBADMSG},
		{GC(collecting), 0, 7, -EBADMSG},
		{GC(generation0), 0, 0, -EBADMSG}, /* a pointer out of the struct */
		{GC(generation0), 0, INTERP - 8, -EBADMSG},
		{GC(generation0), 4, 1, -EBADMSG},
		{GC(size), -GENERATIONS_BEFORE_END + 20, 0x80000000, -EBADMSG}, /* a count below 0 */
		{GC(size), -GENERATIONS_BEFORE_END + 16, 0x80000000, 0}, /* any threshold may be asked for */
		{GC(stats), 4, 0x80000000, -EBADMSG},
		{GC(stats), 24 * 2 + 16 + 4, 0xffffffff, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake *f = fake__new(0);
		struct gc_state s, before;
		uint32_t at;
		int err;

		memset(&s, 0x5a, sizeof(s));
		before = s;
		memcpy(&at, (const char *)f->l + rows[i].field, sizeof(at));
		at += rows[i].extra;
		put32(f, f->gc + at, rows[i].value);
		err = read_it(f, &s);
		if (err != rows[i].err)
			fail_msg("row %zu: %d, want %d", i, err, rows[i].err);
		if (err)
			assert_memory_equal(&s, &before, sizeof(s));
		free(f);
	}
}

/* No interpreter yet, one that is being made, one that is not there, a build that is laid out otherwise. */
static void not_there(void **state)
{
	struct fake *f = fake__new(0);
	struct py_layout other = *f->l;
	struct gc_state s;

	(void)state;
	put64(f, RUNTIME + f->l->runtime.interpreters_head + 8, 0);
	assert_int_equal(read_it(f, &s), -EAGAIN);
	put64(f, RUNTIME + f->l->runtime.interpreters_head + 8, 1ull << 40);
	assert_int_equal(read_it(f, &s), -EFAULT);
	put64(f, RUNTIME + f->l->runtime.interpreters_head + 8, INTERP);
	put64(f, f->gc + f->l->gc.permanent, 0);
	assert_int_equal(read_it(f, &s), -EAGAIN);
	other.gc.enabled = PY_NO_FIELD;
	f->l = &other;
	assert_int_equal(read_it(f, &s), -ENOTSUP);
	free(f);
}

/* 3.14.0 to 3.14.4: what is known of it is told. */
static void no_counts(void **state)
{
	struct fake *f = fake__new(3);
	struct py_layout other = *f->l;
	struct gc_state s;
	uint64_t n;

	(void)state;
	other.gc.generation0 = PY_NO_FIELD;
	f->l = &other;
	assert_int_equal(read_it(f, &s), 0);
	assert_false(s.has_counts);
	assert_true(s.enabled);
	assert_int_equal(count_it(f, &s, &n), 0);
	assert_int_equal(n, 3);
	free(f);
}

/* Offsets that were told and point behind the struct. */
static void field_outside(void **state)
{
	struct fake *f = fake__new(0);
	struct py_layout other = *f->l;
	struct gc_state s;

	(void)state;
	other.gc.collecting = other.gc.size - 2;
	f->l = &other;
	assert_int_equal(read_it(f, &s), -EBADMSG);
	other.gc.size = 1 << 20;
	assert_int_equal(read_it(f, &s), -ENOTSUP);
	free(f);
}

static void frozen(void **state)
{
	static const unsigned int rows[] = {0, 1, 2, 64, 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake *f = fake__new(rows[i]);
		struct gc_state s;
		uint64_t n = 77;

		assert_int_equal(read_it(f, &s), 0);
		f->reads = 0;
		assert_int_equal(count_it(f, &s, &n), 0);
		assert_int_equal(n, rows[i]);
		/* A page is read once. */
		assert_true(f->reads <= 2 + rows[i] * OBJECT_BYTES / 4096 + 1);
		free(f);
	}
}

/* One object's pointer leads elsewhere. */
static void broken_lists(void **state)
{
	static const struct {
		uint64_t next;
		int err;
	} rows[] = {
		{0, -EAGAIN},
		{OBJECTS + 5, -EAGAIN}, /* not aligned */
		{0x7fff00000000, -EAGAIN}, /* not mapped */
		{OBJECTS, -E2BIG}, /* a loop beside the head */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake *f = fake__new(100);
		struct gc_state s;
		uint64_t n;
		int err;

		assert_int_equal(read_it(f, &s), 0);
		put64(f, object(50), rows[i].next);
		err = count_it(f, &s, &n);
		if (err != rows[i].err)
			fail_msg("row %zu: %d, want %d", i, err, rows[i].err);
		if (err == -E2BIG)
			assert_true(n == GC_MAX_FROZEN);
		free(f);
	}
}

/* A list whose every object is on another page costs no more than so much. */
static int read_endless(const struct mem_reader *m, uint64_t addr, void *buf, size_t len)
{
	uint64_t *reads = (uint64_t *)(uintptr_t)m->ctx;

	memset(buf, 0, len);
	for (size_t i = 0; i + 8 <= len; i += 8) {
		const uint64_t next = addr + i + 4096 * 11;

		memcpy((uint8_t *)buf + i, &next, 8);
	}
	++*reads;
	return 0;
}

static void scattered(void **state)
{
	uint64_t reads = 0, n = 0;
	struct mem_reader m = {.read = read_endless, .ctx = &reads};
	const struct gc_state s = {.frozen_head = 8, .frozen_first = 4096};

	(void)state;
	assert_int_equal(gc_state__count_frozen(&m, &s, &n), -E2BIG);
	assert_true(n > 1000 && reads < 10000);
}

/* An object was frozen while they were counted. */
static void changed_meanwhile(void **state)
{
	struct fake *f = fake__new(100);
	struct gc_state s;
	uint64_t n;

	(void)state;
	assert_int_equal(read_it(f, &s), 0);
	f->change_at = object(99);
	f->change_to = object(3);
	assert_int_equal(count_it(f, &s, &n), -EAGAIN);
	free(f);
}

int main(void)
{
	struct CMUnitTest tests[MAX_PYTHONS + 16] = {
		cmocka_unit_test(absurd),	cmocka_unit_test(not_there),   cmocka_unit_test(no_counts),
		cmocka_unit_test(field_outside), cmocka_unit_test(frozen),	cmocka_unit_test(broken_lists),
		cmocka_unit_test(scattered),	cmocka_unit_test(changed_meanwhile),
	};
	size_t cnt = 8;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	signal(SIGPIPE, SIG_IGN);
	cnt += pythons__tests(tests + cnt, live);
	return _cmocka_run_group_tests("gc_state", tests, cnt, NULL, NULL);
}
