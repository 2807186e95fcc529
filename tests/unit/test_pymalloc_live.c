/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pools of live interpreters against what they say themselves (tests/targets/pools.py): exact while they stand still,
 * sane while they allocate as fast as they can. Made-up and hostile memory: test_pymalloc.c.
 */
#include "pythons.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "python/pymalloc_look.h"

#define MAX_OBJECTS 65536
#define CHURN_SCANS 24
#define SAMPLE 100

struct stats {
	uint64_t pools[PYMALLOC_CLASSES], live[PYMALLOC_CLASSES], free[PYMALLOC_CLASSES];
	uint64_t unused_pools, arenas;
};

struct target {
	struct child c;
	char errors[64]; /* path of its standard error */
	char *line;
	size_t line_size;
	struct proc *proc;
	struct interp *in;
	struct pymalloc *a;
	struct pymalloc_pools pools;
};

static void target__order(struct target *t, const char *order)
{
	assert_int_equal(dprintf(t->c.in, "%s\n", order), strlen(order) + 1);
}

/* The next line of the answer, or NULL at its end. */
static const char *target__answer(struct target *t)
{
	if (getline(&t->line, &t->line_size, t->c.out) <= 0)
		fail_msg("the target ended");
	return strncmp(t->line, "done", 4) ? t->line : NULL;
}

static void target__do(struct target *t, const char *order)
{
	target__order(t, order);
	while (target__answer(t))
		;
}

static void target__start(struct target *t, const struct python *p)
{
	char script[128];
	const char *why = NULL;

	*t = (struct target){ .in = calloc(1, sizeof(*t->in)) };
	assert_non_null(t->in);
	snprintf(t->errors, sizeof(t->errors), "/tmp/test_pymalloc_live.%d", getpid());
	snprintf(script, sizeof(script), "tests/targets/pools.py 2>>%s", t->errors);
	child__start(&t->c, p, script);
	target__do(t, "thin");
	assert_int_equal(proc__open(NULL, &t->proc), 0);
	assert_int_equal(interp__of_process(t->c.pid, t->in, &why), 0);
	assert_int_equal(pymalloc__open(t->proc, t->c.pid, t->in, &t->a), 0);
}

static void target__end(struct target *t)
{
	pymalloc_pools__free(&t->pools);
	pymalloc__free(t->a);
	proc__free(t->proc);
	free(t->in);
	free(t->line);
	child__end(&t->c);
	unlink(t->errors);
}

/* Adds up what _PyObject_DebugMallocStats printed (Objects/obmalloc.c), and empties the file. */
static struct stats read_stats(const struct target *t)
{
	unsigned long long v[5], unused;
	struct stats s = { 0 };
	FILE *f = fopen(t->errors, "r+");
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4]) == 5) {
			assert_true(v[0] < PYMALLOC_CLASSES && v[1] == pymalloc__block_bytes(v[0]));
			s.pools[v[0]] += v[2];
			s.live[v[0]] += v[3];
			s.free[v[0]] += v[4];
		} else if (strstr(line, " unused pools * ") && sscanf(line, "%llu", &unused) == 1) {
			s.unused_pools += unused;
		} else if (sscanf(line, "# arenas allocated current = %llu", &unused) == 1) {
			s.arenas += unused;
		}
	}
	assert_int_equal(ftruncate(fileno(f), 0), 0);
	fclose(f);
	return s;
}

static void wait_for_stop(const struct target *t)
{
	int status;

	assert_int_equal(waitpid(t->c.pid, &status, WUNTRACED), t->c.pid);
	assert_true(WIFSTOPPED(status));
}

static uint64_t list_length(const struct target *t)
{
	uint64_t live = 0;

	for (size_t i = 0; i < t->pools.cnt; i++)
		live += t->pools.pool[i].live;
	return live;
}

/* The scan and the statistics are the same, for a process that stands still. */
static void compare(const struct target *t, const struct pymalloc_totals *s, const struct stats *truth)
{
	uint64_t live = 0;

	for (int i = 0; i < PYMALLOC_CLASSES; i++) {
		const struct pymalloc_class *c = &s->class[i];

		if (c->pools != truth->pools[i] || c->live != truth->live[i] || c->free != truth->free[i])
			fail_msg("class %d: %" PRIu64 " pools, %" PRIu64 " live, %" PRIu64 " free; it says %" PRIu64
				 ", %" PRIu64 ", %" PRIu64 " (%s)",
				 i, c->pools, c->live, c->free, truth->pools[i], truth->live[i], truth->free[i],
				 s->why ? s->why : "by arenas");
		live += c->live;
	}
	assert_int_equal(list_length(t), live);
	assert_int_equal(s->torn_pools + s->bad_pools + s->swapped_pools + s->foreign_pools + s->left_out, 0);
	if (!s->by_arenas)
		return;
	assert_int_equal(s->arenas, truth->arenas);
	assert_int_equal(s->free_pools + s->virgin_pools, truth->unused_pools);
	assert_int_equal(s->pools_read, s->pools_carved);
}

/* Each of a sample is live by its pool's own list, no two are the same, and they stand for all. */
static void check_sample(struct target *t, const struct pymalloc_totals *s)
{
	uint8_t copy[PYMALLOC_MAX_POOL_BYTES];
	double stands_for[PYMALLOC_CLASSES] = { 0 };
	struct pymalloc_block *blocks;
	struct pymalloc_live live;
	size_t n;

	assert_int_equal(pymalloc__sample(t->a, &t->pools, SAMPLE, 1, &blocks, &n), 0);
	assert_true(n > SAMPLE);
	for (size_t i = 0; i < n; i++) {
		uint64_t base = blocks[i].addr & ~(uint64_t)(s->pool_bytes - 1);

		assert_int_equal(pymalloc__read_pool(t->a, base, copy, &live), POOL_SOUND);
		assert_true(pymalloc__is_live(&live, (blocks[i].addr - base - PYMALLOC_HEADER_BYTES) /
							     pymalloc__block_bytes(blocks[i].szidx)));
		assert_true(!i || blocks[i].addr != blocks[i - 1].addr);
		assert_int_equal(blocks[i].fate, FATE_LIVES);
		stands_for[blocks[i].szidx] += blocks[i].weight;
	}
	for (int i = 0; i < PYMALLOC_CLASSES; i++)
		assert_true(stands_for[i] > s->class[i].live - 0.5 && stands_for[i] < s->class[i].live + 0.5);
	free(blocks);
}

static void compare_stopped(struct target *t, bool sample)
{
	const struct pymalloc_opts search = { .search = true }, some = { .every = 4 };
	struct pymalloc_totals s;
	struct stats truth;

	target__order(t, "stop");
	wait_for_stop(t);
	truth = read_stats(t);
	assert_int_equal(pymalloc__scan(t->a, &search, &t->pools, &s), 0);
	assert_false(s.by_arenas);
	compare(t, &s, &truth);
	assert_int_equal(pymalloc__scan(t->a, &some, NULL, &s), 0);
	assert_in_range(s.pools_read, s.pools_carved / 4, s.pools_carved / 4 + 1);
	assert_int_equal(pymalloc__scan(t->a, NULL, &t->pools, &s), 0);
	if (s.why)
		fail_msg("%s", s.why);
	compare(t, &s, &truth);
	if (sample)
		check_sample(t, &s);
	kill(t->c.pid, SIGCONT);
	while (target__answer(t))
		;
}

static void exact_when_stopped(struct target *t)
{
	compare_stopped(t, false);
	target__do(t, "make");
	compare_stopped(t, true);
	target__do(t, "thin");
	compare_stopped(t, true);
	target__do(t, "empty");
	compare_stopped(t, false);
}

/* Two allocators in one process. What the main one says of itself was true a few allocations ago. */
static void sub_interpreter(struct target *t)
{
	struct pymalloc_totals s;
	uint64_t live = 0, told = 0;
	struct stats truth;

	target__do(t, "sub");
	if (!strstr(t->line, "done 1"))
		return;
	target__order(t, "stop_sub");
	wait_for_stop(t);
	truth = read_stats(t);
	assert_int_equal(pymalloc__scan(t->a, NULL, NULL, &s), 0);
	for (int i = 0; i < PYMALLOC_CLASSES; i++) {
		live += s.class[i].live;
		told += truth.live[i];
	}
	assert_true(s.by_arenas);
	assert_int_equal(s.arenas, truth.arenas);
	assert_in_range(live, told - 50, told + 50);
	kill(t->c.pid, SIGCONT);
	while (target__answer(t))
		;
}

struct object {
	char kind[16], role[16], type[32];
	uint64_t addr;
	bool again;
};

static size_t read_objects(struct target *t, struct object *objects)
{
	const char *line;
	size_t n = 0;

	target__order(t, "objects");
	while ((line = target__answer(t))) {
		struct object *o = &objects[n++];

		assert_true(n < MAX_OBJECTS);
		assert_int_equal(sscanf(line, "object %15s %15s %" SCNx64 " %31s", o->kind, o->role, &o->addr, o->type),
				 4);
	}
	return n;
}

static void read_changes(struct target *t, struct object *objects, size_t n)
{
	const char *line;
	uint64_t addr;

	target__order(t, "change");
	while ((line = target__answer(t))) {
		assert_int_equal(sscanf(line, "again %*s %" SCNx64, &addr), 1);
		for (size_t i = 0; i < n; i++)
			objects[i].again |= objects[i].addr == addr && !strcmp(objects[i].role, "replaced");
	}
}

/* The block that holds an address. False: it is in no pool. */
static bool block_of(const struct target *t, uint64_t addr, uint32_t pool_bytes, struct pymalloc_block *ret)
{
	struct mem_reader m = mem_reader__of_process(t->c.pid);
	uint64_t base = addr & ~(uint64_t)(pool_bytes - 1);
	struct pymalloc_header h;
	uint32_t bytes;

	if (mem__read(&m, base, &h, sizeof(h)) || pymalloc__judge(&h, base, pool_bytes) < POOL_PARTIAL)
		return false;
	bytes = pymalloc__block_bytes(h.szidx);
	*ret = (struct pymalloc_block){ .addr = addr - (addr - base - PYMALLOC_HEADER_BYTES) % bytes,
					.weight = 1,
					.szidx = h.szidx };
	return true;
}

static void check_print(struct target *t, const struct object *o, const struct pymalloc_block *b)
{
	struct mem_reader m = mem_reader__of_process(t->c.pid);
	const struct py_type *type;
	struct py_types *types;
	const char *dot;

	assert_int_equal(py_types__new(&m, &t->in->layout, &types), 0);
	type = py_types__look(types, b->print.type);
	if (!type || b->addr + b->print.object_at != o->addr)
		fail_msg("%s at %" PRIx64 ": no object found in its block", o->type, o->addr);
	dot = strrchr(type->name, '.');
	assert_string_equal(dot ? dot + 1 : type->name, o->type);
	py_types__free(types);
}

/* Memory of lists and dicts that is not an object: ob_item at +24, ma_keys at +32 (listobject.h, dictobject.h). */
static size_t add_tables(const struct target *t, struct object *objects, size_t n)
{
	struct mem_reader m = mem_reader__of_process(t->c.pid);
	size_t all = n;

	for (size_t i = 0; i < n; i++) {
		struct object o = objects[i];
		bool list = !strcmp(o.kind, "list"), dict = !strcmp(o.kind, "dict");

		if ((!list && !dict) || !strcmp(o.role, "changed"))
			continue;
		assert_int_equal(mem__read_u64(&m, o.addr + (list ? 24 : 32), &o.addr), 0);
		strcpy(o.kind, list ? "items" : "keys");
		o.type[0] = '\0';
		assert_true(all < MAX_OBJECTS);
		objects[all++] = o;
	}
	return all;
}

/* What was said of the blocks of one kind and role. */
struct verdicts {
	char kind[16], role[16];
	unsigned int cnt[FATES];
};

static void count_fate(struct verdicts *v, const struct object *o, enum pymalloc_fate fate)
{
	bool replaced = !strcmp(o->role, "replaced");
	/* Replaced by nothing, or by something else. */
	const char *role = replaced && !o->again ? "freed" : o->role;

	while (v->kind[0] && (strcmp(v->kind, o->kind) || strcmp(v->role, role)))
		v++;
	memcpy(v->kind, o->kind, sizeof(v->kind));
	snprintf(v->role, sizeof(v->role), "%s", role);
	v->cnt[fate]++;
}

/*
 * What stays is never taken for something else, and what goes hardly ever for living: but bytearrays, which differ in a
 * buffer that may change, and complex, of which 3.15 keeps 100 on a free list of its own.
 */
static void judge_verdicts(const struct verdicts *v, const char *python)
{
	unsigned int sum[2][FATES] = { 0 }, replaced = 0;

	for (; v->kind[0]; v++) {
		bool stays = !strcmp(v->role, "kept") || !strcmp(v->role, "changed");
		unsigned int all = 0, wrong;

		for (int i = 0; i < FATES; i++) {
			all += v->cnt[i];
			sum[stays][i] += v->cnt[i];
		}
		replaced += strcmp(v->role, "replaced") ? 0 : all;
		wrong = stays ? v->cnt[FATE_REPLACED] + v->cnt[FATE_FREED] + v->cnt[FATE_UNKNOWN] : v->cnt[FATE_LIVES];
		if (!strcmp(v->role, "kept"))
			wrong += v->cnt[FATE_UNSURE];
		if (wrong > all / 50 + 2 && strcmp(v->kind, "bytearray") && strcmp(v->kind, "complex"))
			fail_msg("%s, %s: %u of %u live, %u unsure, %u replaced, %u freed, %u unknown", v->kind,
				 v->role, v->cnt[FATE_LIVES], all, v->cnt[FATE_UNSURE], v->cnt[FATE_REPLACED],
				 v->cnt[FATE_FREED], v->cnt[FATE_UNKNOWN]);
	}
	/* By objects of the same kind at the same address: the hard case. */
	assert_true(replaced > 2000);
	print_message("# %s: that live: %u live, %u unsure, %u gone; that are gone: %u live, %u unsure, %u gone\n",
		      python, sum[1][FATE_LIVES], sum[1][FATE_UNSURE], sum[1][FATE_REPLACED] + sum[1][FATE_FREED],
		      sum[0][FATE_LIVES], sum[0][FATE_UNSURE], sum[0][FATE_REPLACED] + sum[0][FATE_FREED]);
}

/* Objects that stay, change, go: what is said of their blocks. */
static void identity(struct target *t, const char *python)
{
	struct object *objects = calloc(MAX_OBJECTS, sizeof(*objects));
	struct pymalloc_block *blocks = calloc(MAX_OBJECTS, sizeof(*blocks));
	struct verdicts *v = calloc(128, sizeof(*v));
	struct pymalloc_totals s;
	size_t n, told;

	assert_true(objects && blocks && v);
	told = read_objects(t, objects);
	assert_int_equal(pymalloc__scan(t->a, NULL, &t->pools, &s), 0);
	n = add_tables(t, objects, told);
	for (size_t i = 0; i < n; i++)
		assert_true(block_of(t, objects[i].addr, s.pool_bytes, &blocks[i]));
	assert_int_equal(pymalloc__look(t->a, blocks, n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(blocks[i].fate, FATE_LIVES);
		if (i < told)
			check_print(t, &objects[i], &blocks[i]);
	}
	read_changes(t, objects, n);
	assert_int_equal(pymalloc__look(t->a, blocks, n), 0);
	for (size_t i = 0; i < n; i++)
		count_fate(v, &objects[i], blocks[i].fate);
	judge_verdicts(v, python);
	free(objects);
	free(blocks);
	free(v);
}

/* Four threads allocate and free all the time: nothing makes us loop, and hardly anything is torn. */
static void churn(struct target *t, const char *python)
{
	uint64_t pools = 0, torn = 0, unknown = 0, looked = 0;

	target__do(t, "churn");
	for (int i = 0; i < CHURN_SCANS; i++) {
		const struct pymalloc_opts opts = { .search = i % 8 == 7 };
		struct pymalloc_block *blocks;
		struct pymalloc_totals s;
		size_t n;

		assert_int_equal(pymalloc__scan(t->a, &opts, &t->pools, &s), 0);
		assert_int_equal(s.by_arenas, !opts.search);
		pools += s.pools_read;
		torn += s.torn_pools + s.bad_pools + s.foreign_pools + s.left_out;
		for (int k = 0; k < PYMALLOC_CLASSES; k++)
			assert_int_equal(s.class[k].live + s.class[k].free,
					 s.class[k].pools * pymalloc__pool_block_cnt(s.pool_bytes, k));
		if (i % 4)
			continue;
		assert_int_equal(pymalloc__sample(t->a, &t->pools, SAMPLE, i, &blocks, &n), 0);
		assert_int_equal(pymalloc__look(t->a, blocks, n), 0);
		looked += n;
		for (size_t k = 0; k < n; k++)
			unknown += blocks[k].fate == FATE_UNKNOWN;
		free(blocks);
	}
	print_message("# %s: while it allocates: %" PRIu64 " of %" PRIu64 " pools torn, %" PRIu64 " of %" PRIu64
		      " blocks in pools torn\n",
		      python, torn, pools, unknown, looked);
	assert_true(torn * 100 < pools && unknown * 20 < looked && looked > SAMPLE);
}

static void live(void **state)
{
	const struct python *p = *state;
	struct target t;

	if (!p->command[0])
		skip();
	target__start(&t, p);
	exact_when_stopped(&t);
	identity(&t, p->name);
	sub_interpreter(&t);
	churn(&t, p->name);
	target__end(&t);
}

/* Below debug hooks, objects are found 16 bytes later; without pymalloc there is no pool. */
static void other_allocators(void **state)
{
	struct object *objects = calloc(MAX_OBJECTS, sizeof(*objects));
	const struct python *p = *state;
	struct pymalloc_block b;
	struct pymalloc_totals s;
	struct target t;
	size_t n;

	if (!p->command[0])
		skip();
	setenv("PYTHONMALLOC", "debug", 1);
	target__start(&t, p);
	compare_stopped(&t, true);
	n = read_objects(&t, objects);
	assert_int_equal(pymalloc__scan(t.a, NULL, NULL, &s), 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(block_of(&t, objects[i].addr, s.pool_bytes, &b));
		assert_int_equal(pymalloc__look(t.a, &b, 1), 0);
		check_print(&t, &objects[i], &b);
	}
	target__end(&t);
	setenv("PYTHONMALLOC", "malloc", 1);
	target__start(&t, p);
	unsetenv("PYTHONMALLOC");
	assert_int_equal(pymalloc__scan(t.a, NULL, &t.pools, &s), 0);
	assert_int_equal(s.pools_read + s.foreign_pools + s.torn_pools + t.pools.cnt, 0);
	target__end(&t);
	free(objects);
}

static double now_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int by_addr(const void *x, const void *y)
{
	const struct pymalloc_block *a = x, *b = y;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/* The best of five, in CPU time of ours. */
static double best_of(struct target *t, const struct pymalloc_opts *opts, struct pymalloc_totals *s)
{
	double best = 1e9;

	for (int i = 0; i < 5; i++) {
		double start = now_ms(CLOCK_PROCESS_CPUTIME_ID);

		assert_int_equal(pymalloc__scan(t->a, opts, &t->pools, s), 0);
		start = now_ms(CLOCK_PROCESS_CPUTIME_ID) - start;
		best = start < best ? start : best;
	}
	return best;
}

/* Of the classes that have 5 % of the live bytes or more, the one whose estimate is furthest off. */
static double largest_error(const struct pymalloc_totals *part, const struct pymalloc_totals *all)
{
	double bytes = 0, largest = 0, scale = (double)part->pools_carved / part->pools_read;

	for (int i = 0; i < PYMALLOC_CLASSES; i++)
		bytes += all->class[i].live * pymalloc__block_bytes(i);
	for (int i = 0; i < PYMALLOC_CLASSES; i++) {
		double error = all->class[i].live ? part->class[i].live * scale / all->class[i].live - 1 : 0;

		error = error < 0 ? -error : error;
		if (all->class[i].live * pymalloc__block_bytes(i) >= 0.05 * bytes && error > largest)
			largest = error;
	}
	return largest;
}

/* Prints what scans, samples and looks cost at a heap of so many MiB; no test. */
static void bench(const struct python *p, const char *mib)
{
	const struct pymalloc_opts search = { .search = true }, some = { .every = 8 };
	double first, all, searched, eighth, sample, look, off;
	struct pymalloc_totals part;
	struct pymalloc_block *blocks;
	struct pymalloc_totals s;
	char order[32];
	struct target t;
	size_t n;

	target__start(&t, p);
	first = now_ms(CLOCK_PROCESS_CPUTIME_ID);
	assert_int_equal(pymalloc__scan(t.a, NULL, NULL, &s), 0);
	first = now_ms(CLOCK_PROCESS_CPUTIME_ID) - first;
	snprintf(order, sizeof(order), "fill %s", mib);
	target__do(&t, order);
	searched = best_of(&t, &search, &s);
	eighth = best_of(&t, &some, &part);
	all = best_of(&t, NULL, &s);
	off = largest_error(&part, &s);
	sample = now_ms(CLOCK_PROCESS_CPUTIME_ID);
	assert_int_equal(pymalloc__sample(t.a, &t.pools, 1000, 1, &blocks, &n), 0);
	sample = now_ms(CLOCK_PROCESS_CPUTIME_ID) - sample;
	qsort(blocks, n, sizeof(*blocks), by_addr);
	look = now_ms(CLOCK_PROCESS_CPUTIME_ID);
	assert_int_equal(pymalloc__look(t.a, blocks, n), 0);
	look = now_ms(CLOCK_PROCESS_CPUTIME_ID) - look;
	printf("%s: %.0f MiB in arenas, %" PRIu64 " pools: scan %.1f ms, by search %.1f, of a small process the first "
	       "time %.1f; ",
	       p->name, s.arena_bytes / 1048576.0, s.pools_read, all, searched, first);
	printf("one pool in eight %.1f ms, %.1f %% off; ", eighth, 100 * off);
	printf("sample of %zu blocks %.1f ms, look at them again %.1f\n", n, sample, look);
	free(blocks);
	target__end(&t);
}

/* bench MIB: the costs on each interpreter, in CPU time. */
int main(int argc, char **argv)
{
	struct CMUnitTest tests[2 * MAX_PYTHONS];
	size_t cnt;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	signal(SIGPIPE, SIG_IGN);
	cnt = pythons__tests(tests, live);
	if (argc == 3 && !strcmp(argv[1], "bench")) {
		for (size_t i = 0; i < python_cnt; i++)
			bench(&pythons[i], argv[2]);
		return 0;
	}
	memcpy(tests + cnt, tests, cnt * sizeof(tests[0]));
	for (size_t i = cnt; i < 2 * cnt; i++)
		tests[i].test_func = other_allocators;
	return _cmocka_run_group_tests("pymalloc_live", tests, 2 * cnt, NULL, NULL);
}
