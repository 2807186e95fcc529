/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Layouts and code objects against live interpreters: tests/targets/park.py stands still in frames
 * of every kind and tells the truth; we walk its thread states as the kernel side does and must
 * find the same. Made-up memory: test_code.c.
 */
#include "pythons.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "python/code.h"
#include "records.h"

#define MAX_DEPTH 256
#define MAX_THREADS 64
#define MAX_SEEN 512
/* Fewer mean that the target broke. */
#define MIN_FRAMES 350
#define MIN_STOPS 50

/* glibc, x86-64: struct pthread's specific_1stblock, see include/python.h and FACTS 6. */
#define GLIBC_FIRST_KEYS 32
#define GLIBC_SPECIFIC 0x310

struct walk {
	struct mem_reader m;
	struct py_layout l;
	uint64_t runtime;
	uint64_t interp;
	bool key_seen;
	unsigned int frame_cnt, stop_cnt;
	struct py_frame seen[MAX_SEEN]; /* of code objects that live as long as the target */
	unsigned int seen_cnt;
	char scenario[64];
};

struct thread_told {
	uint64_t ident, native_id;
};

struct frame_told {
	uint64_t code;
	int line, first_line;
	uint32_t argcount, flags;
	char filename[2 * PY_MAX_FILENAME_BYTES + 2];
	char function[2 * PY_MAX_NAME_BYTES + 2];
};

static uint64_t u64_at(const struct walk *w, uint64_t addr)
{
	uint64_t v = 0;
	int err = mem__read_u64(&w->m, addr, &v);

	if (err)
		fail_msg("%s: 0x%" PRIx64 ": error %d", w->scenario, addr, err);
	return v;
}

static uint32_t u32_at(const struct walk *w, uint64_t addr)
{
	uint32_t v = 0;
	int err = mem__read_u32(&w->m, addr, &v);

	if (err)
		fail_msg("%s: 0x%" PRIx64 ": error %d", w->scenario, addr, err);
	return v;
}

/* "-" is the empty text. */
static void unhex(char *text)
{
	size_t len = strcmp(text, "-") ? strlen(text) / 2 : 0;

	for (size_t i = 0; i < len; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
		text[i] = (char)byte;
	}
	text[len] = 0;
}

/* The thread state's pthread key must hold its own thread state in the thread's block of glibc. */
static void check_key(struct walk *w, uint64_t tstate, uint64_t thread_pointer)
{
	uint32_t key;

	if (w->l.walk.tss_key == PY_NO_FIELD)
		return;
	assert_int_equal(u32_at(w, w->runtime + w->l.walk.tss_key), 1); /* _is_initialized */
	key = u32_at(w, w->runtime + w->l.walk.tss_key + 4);
	if (key >= GLIBC_FIRST_KEYS)
		return;
	assert_true(u64_at(w, thread_pointer + GLIBC_SPECIFIC + key * 16 + 8) == tstate);
	w->key_seen = true;
}

static uint64_t find_tstate(struct walk *w, const struct thread_told *t)
{
	uint64_t tstate = u64_at(w, w->interp + w->l.interp.threads_head);

	for (int i = 0; tstate && i < MAX_THREADS; i++) {
		uint64_t ident = u64_at(w, tstate + w->l.tstate.thread_id);

		assert_true(u64_at(w, tstate + w->l.tstate.interp) == w->interp);
		if (ident == t->ident) {
			if (w->l.tstate.native_thread_id != PY_NO_FIELD)
				assert_int_equal(u64_at(w, tstate + w->l.tstate.native_thread_id),
						 t->native_id);
			check_key(w, tstate, ident);
			return tstate;
		}
		tstate = u64_at(w, tstate + w->l.tstate.next);
	}
	fail_msg("%s: no thread state of thread %" PRIu64, w->scenario, t->native_id);
	return 0;
}

static uint64_t first_frame(const struct walk *w, uint64_t tstate)
{
	uint64_t frame = u64_at(w, tstate + w->l.walk.tstate_frame);

	return w->l.walk.frame_kind == PY_FRAME_CFRAME ? u64_at(w, frame + w->l.walk.cframe_current)
						       : frame;
}

/* As in the kernel: shims skipped, tags cleared, f_lasti an int. Returns the depth. */
static unsigned int walk_frames(const struct walk *w, uint64_t tstate,
				struct py_frame frames[MAX_DEPTH])
{
	const struct py_walk *p = &w->l.walk;
	uint64_t frame = first_frame(w, tstate);
	unsigned int depth = 0;

	while (frame && depth < MAX_DEPTH) {
		struct py_frame *f = &frames[depth];
		uint64_t words[4];
		uint8_t owner = 0;

		if (p->skip_owner)
			assert_int_equal(mem__read(&w->m, frame + p->frame_owner, &owner, 1), 0);
		if (!p->skip_owner || owner < p->skip_owner) {
			f->code = u64_at(w, frame + p->frame_code) & ~(uint64_t)p->code_tag_mask;
			f->instr = p->frame_kind == PY_FRAME_OBJECT
					   ? u32_at(w, frame + p->frame_instr)
					   : u64_at(w, frame + p->frame_instr);
			assert_int_equal(
				mem__read(&w->m, f->code + p->code_filename, words, sizeof(words)),
				0);
			f->check = py_code__check(words);
			depth++;
		}
		frame = u64_at(w, frame + p->frame_previous);
	}
	return depth;
}

/* The check of a code object that was there before and still is. */
static void check_is_stable(struct walk *w, const struct py_frame *f, const char *filename)
{
	const char *slash = strrchr(filename, '/');

	if (!slash || strcmp(slash, "/park.py"))
		return;
	for (unsigned int i = 0; i < w->seen_cnt; i++) {
		if (w->seen[i].code != f->code)
			continue;
		if (w->seen[i].check != f->check)
			fail_msg("%s: the check of a code object changed", w->scenario);
		return;
	}
	assert_true(w->seen_cnt < MAX_SEEN);
	w->seen[w->seen_cnt++] = *f;
}

static void check_frame(struct walk *w, unsigned int at, const struct py_frame *f,
			const struct frame_told *t)
{
	struct py_code c;
	int err, line;

	if (f->code != t->code)
		fail_msg("%s, frame %u: code at 0x%" PRIx64 ", want 0x%" PRIx64, w->scenario, at,
			 (uint64_t)f->code, t->code);
	err = py_code__read(&w->m, &w->l, f->code, &c);
	if (err)
		fail_msg("%s, frame %u: error %d, want %s", w->scenario, at, err, t->function);
	line = py_code__line(&c, f->instr);
	if (strcmp(c.filename, t->filename) || strcmp(c.function, t->function) || line != t->line ||
	    c.first_line != t->first_line)
		fail_msg("%s, frame %u: %s:%d (%s from %d), want %s:%d (%s from %d)", w->scenario,
			 at, c.filename, line, c.function, c.first_line, t->filename, t->line,
			 t->function, t->first_line);
	assert_true(c.check == f->check);
	check_is_stable(w, f, c.filename);
	assert_int_equal(u32_at(w, f->code + w->l.code.argcount), t->argcount);
	assert_int_equal(u32_at(w, f->code + w->l.code.flags), t->flags);
	py_code__free(&c);
}

/* One told thread: its frames follow in the target's output. Returns the line that is not a
 * frame's. */
static char *check_thread(struct walk *w, FILE *out, char **line, size_t *size)
{
	struct py_frame frames[MAX_DEPTH];
	struct frame_told *told = calloc(MAX_DEPTH, sizeof(*told));
	struct thread_told t = {0};
	unsigned int cnt = 0, depth;

	assert_non_null(told);
	assert_int_equal(sscanf(*line, "thread %" SCNu64 " %" SCNu64, &t.ident, &t.native_id), 2);
	while (getline(line, size, out) > 0) {
		struct frame_told *f = &told[cnt];

		if (sscanf(*line, "frame %" SCNx64 " %d %d %u %u %8193s %1025s", &f->code, &f->line,
			   &f->first_line, &f->argcount, &f->flags, f->filename, f->function) != 7)
			break;
		unhex(f->filename);
		unhex(f->function);
		assert_true(++cnt < MAX_DEPTH);
	}
	/* Of several threads each stands still from its own telling on, and so does the target from
	 * "ready" on. */
	depth = walk_frames(w, find_tstate(w, &t), frames);
	if (depth != cnt)
		fail_msg("%s: %u frames, want %u", w->scenario, depth, cnt);
	for (unsigned int i = 0; i < cnt; i++)
		check_frame(w, i, &frames[i], &told[i]);
	w->frame_cnt += cnt;
	free(told);
	return *line;
}

/* Objects on a circular list of PyGC_Head {next, prev}, whose low bits are flags (pycore_gc.h). */
static int gc_list_count(const struct walk *w, uint64_t head)
{
	uint64_t node = u64_at(w, head) & ~3ull;
	int cnt = 0;

	for (; node != head && cnt < 1000000; cnt++)
		node = u64_at(w, node) & ~3ull;
	return cnt;
}

static void check_gc(struct walk *w, const char *line)
{
	const struct py_layout *l = &w->l;
	uint64_t gc = w->interp + l->interp.gc;
	int enabled, threshold[3], count[2], frozen, collections[3];

	assert_int_equal(sscanf(line, "gc %d %d %d %d %d %d %d %d %d %d", &enabled, &threshold[0],
				&threshold[1], &threshold[2], &count[0], &count[1], &frozen,
				&collections[0], &collections[1], &collections[2]),
			 10);
	if (l->interp.gc == PY_NO_FIELD)
		return;
	assert_int_equal(u32_at(w, gc + l->gc.enabled), enabled);
	assert_int_equal(u32_at(w, gc + l->gc.collecting), 0);
	assert_int_equal(gc_list_count(w, gc + l->gc.permanent), frozen);
	assert_true(l->gc.generation0 != PY_NO_FIELD);
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t generation = u64_at(w, gc + l->gc.generation0) + i * l->gc.generation_size;

		assert_int_equal(u32_at(w, generation + l->gc.generation_threshold), threshold[i]);
		if (i)
			assert_int_equal(u32_at(w, generation + l->gc.generation_count),
					 count[i - 1]);
		if (l->gc.stats != PY_NO_FIELD)
			assert_int_equal(u64_at(w, gc + l->gc.stats + i * l->gc.stats_size),
					 collections[i]);
	}
}

static void check_allocators(struct walk *w, char *line)
{
	char *word = line + strlen("allocator ");

	for (uint64_t i = 0; i < 15; i++)
		assert_true(u64_at(w, w->runtime + w->l.runtime.allocators + i * 8) ==
			    strtoull(word, &word, 10));
}

#define LIMIT_MS 5000

/* A thread that holds the GIL is the current one (3.11 and before tell), but for moments in which it was asked to give it up. */
static void check_current(struct walk *w)
{
	uint64_t current = 0;
	int ms;

	if (w->l.runtime.tstate_current == PY_NO_FIELD || strcmp(w->scenario, "holding_the_gil"))
		return;
	for (ms = 0; ms < LIMIT_MS; ms++) {
		current = u64_at(w, w->runtime + w->l.runtime.tstate_current);
		if (current && current == u64_at(w, w->interp + w->l.interp.threads_head))
			return;
		usleep(1000);
	}
	fail_msg("the current thread state is %llx", (unsigned long long)current);
}

static void open_runtime(struct walk *w, const struct python *p, const struct child *c,
			 const char *line)
{
	int err;

	assert_int_equal(sscanf(line, "runtime %" SCNx64, &w->runtime), 1);
	w->m = mem_reader__of_process(c->pid);
	err = py_layout__of_runtime(&w->m, w->runtime, PY_VERSION(3, p->minor), &w->l);
	if (err)
		fail_msg("no layout: error %d", err);
	w->interp = u64_at(w, w->runtime + w->l.runtime.interpreters_head);
	assert_int_equal(u64_at(w, w->interp + w->l.interp.id), 0);
	assert_int_equal(u64_at(w, w->interp + w->l.interp.next), 0);
	assert_int_equal(u64_at(w, w->runtime + w->l.runtime.finalizing), 0);
}

/*
 * The facts of one stop, from the first thread on. The threads are told before "ready" and must not
 * be read before it, so the lines are kept in memory first.
 */
static void check_stop(struct walk *w, char *facts, size_t len)
{
	FILE *f = fmemopen(facts, len, "r");
	char *line = NULL;
	size_t size = 0;

	assert_non_null(f);
	assert_true(getline(&line, &size, f) > 0);
	while (!feof(f) && !strncmp(line, "thread ", 7))
		check_thread(w, f, &line, &size);
	check_current(w);
	w->stop_cnt++;
	free(line);
	fclose(f);
}

static void live(void **state)
{
	const struct python *p = *state;
	struct walk w = {0};
	size_t size = 0, len = 0;
	char *line = NULL, *facts = NULL;
	bool done = false;
	struct child c;
	FILE *keep;

	if (!p->command[0])
		skip();
	child__start(&c, p, "tests/targets/park.py");
	keep = open_memstream(&facts, &len);
	while (!done && getline(&line, &size, c.out) > 0) {
		if (!strncmp(line, "runtime ", 8)) {
			open_runtime(&w, p, &c, line);
		} else if (!strncmp(line, "gc ", 3)) {
			check_gc(&w, line);
		} else if (!strncmp(line, "allocator ", 10)) {
			check_allocators(&w, line);
		} else if (sscanf(line, "scenario %63s", w.scenario) == 1) {
			continue;
		} else if (!strcmp(line, "ready\n")) {
			fclose(keep);
			check_stop(&w, facts, len);
			free(facts);
			keep = open_memstream(&facts, &len);
			assert_int_equal(write(c.in, "x", 1), 1);
		} else if (!(done = !strcmp(line, "done\n"))) {
			fputs(line, keep);
		}
	}
	fclose(keep);
	free(facts);
	free(line);
	assert_int_equal(child__end(&c), 0);
	assert_true(done);
	assert_true(w.key_seen || w.l.walk.tss_key == PY_NO_FIELD);
	if (w.frame_cnt < MIN_FRAMES || w.stop_cnt < MIN_STOPS)
		fail_msg("only %u frames at %u stops", w.frame_cnt, w.stop_cnt);
}

int main(void)
{
	struct CMUnitTest tests[MAX_PYTHONS];
	size_t cnt;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	signal(SIGPIPE, SIG_IGN);
	cnt = pythons__tests(tests, live);
	return _cmocka_run_group_tests("live", tests, cnt, NULL, NULL);
}
