/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Of each process the addresses are kept that the kernel side has a rule for, or was told that there is none, with their names:
 * what it has and what we know are the same set, so that nothing stays there of who has ended.
 *
 * Libraries may be unmapped, and others be mapped at their addresses: mappings are looked at again every two seconds while new
 * stacks come; when one is gone, all is learnt anew.
 */
#include "capture/native_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "system/mapped_code.h"

#define NS_PER_MS 1000000ull
#define REFRESH_NS (2000 * NS_PER_MS)
/* An address that is in no mapping may be in a new one. */
#define REFRESH_ON_MISS_NS (100 * NS_PER_MS)

#define NO_FRAME UINT32_MAX

struct known_code {
	uint64_t at; /* struct native_key */
	struct native_rule rule; /* as the kernel side has it */
	uint32_t frame; /* in the profile; NO_FRAME: it is no code, or none that can be named */
	UT_hash_handle hh;
};

struct native_process {
	struct mapped_code *code; /* NULL: its mappings cannot be read */
	uint64_t refreshed_ns;
	struct known_code *known;
};

struct native_frames {
	const struct tracker_deps *deps;
	struct code_files *files;
};

int native_frames__new(const struct tracker_deps *deps, struct native_frames **ret)
{
	struct native_frames *n = calloc(1, sizeof(*n));

	if (!n || code_files__new(&n->files)) {
		free(n);
		return -ENOMEM;
	}
	n->deps = deps;
	*ret = n;
	return 0;
}

void native_frames__free(struct native_frames *n)
{
	if (!n)
		return;
	code_files__free(n->files);
	free(n);
}

void native_frames__rest(struct native_frames *n)
{
	code_files__rest(n->files);
}

void native_process__free(struct native_process *p)
{
	struct known_code *k, *next;

	if (!p)
		return;
	HASH_ITER(hh, p->known, k, next) {
		HASH_DEL(p->known, k);
		free(k);
	}
	mapped_code__free(p->code);
	free(p);
}

static void forget_known(struct native_frames *n, const struct traced *tr)
{
	struct known_code *k, *next;

	HASH_ITER(hh, tr->native->known, k, next) {
		session__forget_native(n->deps->session, tr->proc_id, k->at);
		HASH_DEL(tr->native->known, k);
		free(k);
	}
}

void native_frames__forget(struct native_frames *n, struct traced *tr)
{
	if (!tr->native)
		return;
	forget_known(n, tr);
	native_process__free(tr->native);
	tr->native = NULL;
}

static struct native_process *process_of(struct native_frames *n, struct traced *tr)
{
	if (tr->native)
		return tr->native;
	tr->native = calloc(1, sizeof(*tr->native));
	if (!tr->native)
		return NULL;
	if (mapped_code__new(n->deps->proc, tr->tgid, n->files, &tr->native->code))
		tr->native->code = NULL;
	tr->native->refreshed_ns = clock_now_ns();
	return tr->native;
}

static void refresh(struct native_frames *n, struct traced *tr, uint64_t older_than_ns)
{
	struct native_process *p = tr->native;
	uint64_t now = clock_now_ns();
	bool stale = false;

	if (!p->code || tr->ended || now - p->refreshed_ns < older_than_ns)
		return;
	p->refreshed_ns = now;
	if (!mapped_code__refresh(p->code, &stale) && stale)
		forget_known(n, tr);
}

static uint32_t frame_of(struct native_frames *n, const struct native_code *code)
{
	struct profile_frame f = { .kind = FRAME_NATIVE, .function = code->function, .file = code->file };
	int64_t frame;

	if (!code->function[0]) {
		f.function = code->file;
		f.file = "";
	}
	frame = profile__add_frame(n->deps->profile, &f);
	return frame < 0 ? NO_FRAME : (uint32_t)frame;
}

static int look(struct native_frames *n, struct traced *tr, uint64_t at, struct native_code *ret)
{
	int err;

	if (!tr->native->code)
		return -ESRCH;
	err = mapped_code__look(tr->native->code, at, ret);
	if (err != -ENOENT)
		return err;
	refresh(n, tr, REFRESH_ON_MISS_NS);
	return mapped_code__look(tr->native->code, at, ret);
}

/* NULL: nothing is mapped there, or there is no room. */
static struct known_code *know(struct native_frames *n, struct traced *tr, uint64_t at)
{
	struct native_process *p = tr->native;
	struct native_code code = {};
	struct known_code *k;
	int err;

	HASH_FIND(hh, p->known, &at, sizeof(at), k);
	if (k)
		return k;
	err = HASH_COUNT(p->known) < MAX_NATIVE_RULES_PROCESS ? look(n, tr, at, &code) : -ENOSPC;
	if (err && err != -EILSEQ)
		return NULL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->at = at;
	k->frame = NO_FRAME;
	k->rule = (struct native_rule){ .function = at, .end = NATIVE_END_BAD };
	if (!err) {
		k->rule = code.rule;
		k->frame = frame_of(n, &code);
	}
	HASH_ADD(hh, p->known, at, sizeof(k->at), k);
	session__set_native(n->deps->session, tr->proc_id, at, &k->rule);
	return k;
}

/* ---- answers ---- */

/* One frame, as the kernel side would walk it, on the piece of stack that it sent. */
struct frame_at {
	const struct rec_native *rec;
	uint64_t at, sp, bp;
};

static bool read_word(const struct frame_at *f, uint64_t addr, uint64_t *ret)
{
	uint64_t offset = addr - f->rec->sp;

	if (addr < f->rec->sp || offset + sizeof(*ret) > f->rec->got)
		return false;
	memcpy(ret, f->rec->stack + offset, sizeof(*ret));
	return true;
}

/* False: the caller is not to be found from what was sent. */
static bool step_to_caller(struct frame_at *f, const struct native_rule *rule)
{
	uint64_t cfa = (rule->from == NATIVE_FROM_SP ? f->sp : f->bp) + rule->cfa, bp = f->bp;

	if (rule->from == NATIVE_NO_CALLER || (rule->from == NATIVE_FROM_BP_MEMORY && !read_word(f, cfa, &cfa)))
		return false;
	if (cfa <= f->sp || cfa - f->sp > NATIVE_MAX_FRAME_BYTES || cfa & 7)
		return false;
	if (rule->bp == NATIVE_BP_LOST)
		bp = 0;
	else if (rule->bp != NATIVE_BP_SAME &&
		 !read_word(f, (rule->bp == NATIVE_BP_AT_CFA ? cfa : f->bp) + rule->bp_offset, &bp))
		return false;
	if (!read_word(f, cfa - 8, &f->at) || !f->at || f->at & NATIVE_IS_RETURN)
		return false;
	f->at |= NATIVE_IS_RETURN;
	f->sp = cfa;
	f->bp = bp;
	return true;
}

static bool is_interpreters(const struct traced *tr, uint64_t at)
{
	return tr->interp && (at & ~NATIVE_IS_RETURN) - tr->interp->text_begin < tr->interp->text_bytes;
}

void native_frames__answer(struct native_frames *n, struct traced *tr, const struct rec_native *rec)
{
	struct frame_at f = { .rec = rec, .at = rec->at, .sp = rec->sp, .bp = rec->bp };
	struct known_code *k;
	unsigned int i;

	if (!tr || tr->ended || !process_of(n, tr)) {
		session__forget_native(n->deps->session, rec->proc_id, rec->at);
		return;
	}
	refresh(n, tr, REFRESH_NS);
	for (i = 0; i < MAX_NATIVE_FRAMES && !is_interpreters(tr, f.at); i++) {
		k = know(n, tr, f.at);
		if (!k && !i)
			session__forget_native(n->deps->session, tr->proc_id, rec->at);
		if (!k || !step_to_caller(&f, &k->rule))
			return;
	}
}

/* ---- names ---- */

static int64_t add_gap(struct native_frames *n, struct traced *tr, unsigned int end, int64_t node)
{
	struct profile_frame f = { .kind = FRAME_NATIVE, .function = "[callers not known]", .file = "" };
	int64_t frame;

	if (end == NATIVE_END_PYTHON || end == NATIVE_END_OUTERMOST)
		return node;
	if (end == NATIVE_END_CUT)
		f.function = "[more native frames]";
	frame = profile__add_frame(n->deps->profile, &f);
	return frame < 0 ? frame : profile__add_node_within(n->deps->profile, node, frame, &tr->nodes_left);
}

int64_t native_frames__add(struct native_frames *n, struct traced *tr, const struct rec_stack *rec, int64_t node)
{
	uint32_t frames[MAX_NATIVE_FRAMES], cnt;
	unsigned int end = rec->native_end;
	struct known_code *k;

	if (!rec->native_cnt)
		return node;
	if (!process_of(n, tr))
		return -ENOMEM;
	refresh(n, tr, REFRESH_NS);
	for (cnt = 0; cnt < rec->native_cnt; cnt++) {
		k = know(n, tr, rec->native[cnt]);
		if (!k || k->frame == NO_FRAME)
			break;
		frames[cnt] = k->frame;
	}
	if (!cnt)
		return node;
	if (cnt < rec->native_cnt)
		end = NATIVE_END_BAD;
	node = add_gap(n, tr, end, node);
	while (cnt-- && node >= 0)
		node = profile__add_node_within(n->deps->profile, node, frames[cnt], &tr->nodes_left);
	return node;
}
