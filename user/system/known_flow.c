/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A forward data-flow analysis over basic blocks: at a block's start is known what all ways to it agree on. The parts that
 * the compiler split off from a function (".cold") belong to it.
 *
 * Where an indirect jump leads is not followed: blocks that no direct jump leads to are taken for its targets. So what is
 * told may be wrong in code that no compiler wrote; who relies on it checks what the code does with it.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "system/known_addresses_impl.h"

/* The evaluation loop has 8,000 starts, of 4,000 blocks. */
#define MAX_STARTS (1u << 15)
#define MAX_PARTS 4
/* Instructions followed, for each byte of the function; interpreters take 0.65 at most. */
#define MAX_STEPS 8

struct start {
	uint64_t at;
	bool has_way; /* a direct jump or the block before leads here */
};

struct block {
	struct start start;
	bool reached, changed;
	struct known_addresses entry;
};

struct flow {
	const struct machine_code *c;
	struct elf_symbol parts[MAX_PARTS];
	size_t part_cnt;
	struct start *starts; /* as they were found */
	size_t start_cnt, start_room;
	struct block *blocks; /* sorted by start */
	size_t block_cnt;
	struct known_addresses indirect; /* what is known at all indirect jumps */
	bool has_indirect, any_changed;
	uint64_t steps;
};

/* ---- blocks ---- */

static bool in_function(const struct flow *f, uint64_t addr)
{
	for (size_t i = 0; i < f->part_cnt; i++) {
		if (addr - f->parts[i].addr < f->parts[i].size)
			return true;
	}
	return false;
}

/* A part that was split off from the function: see the header. */
static void see_part(struct flow *f, const struct insn *jump, uint64_t to)
{
	struct elf_symbol part;

	if (in_function(f, to) || f->part_cnt == MAX_PARTS || machine_code__function(f->c, to, &part) ||
	    (to == part.addr && jump->i.meta.category != ZYDIS_CATEGORY_COND_BR && !machine_code__is_part(f->c, to)) ||
	    machine_code__check(f->c, &part))
		return;
	f->parts[f->part_cnt++] = part;
}

static bool is_jump(const struct insn *insn)
{
	return insn->i.meta.category == ZYDIS_CATEGORY_COND_BR || insn->i.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
}

/* What follows is not reached from here. */
static bool ends_way(const struct insn *insn)
{
	return insn->i.meta.category == ZYDIS_CATEGORY_UNCOND_BR || insn->i.meta.category == ZYDIS_CATEGORY_RET ||
	       insn->i.mnemonic == ZYDIS_MNEMONIC_UD2 || insn->i.mnemonic == ZYDIS_MNEMONIC_HLT;
}

static int add_start(struct flow *f, uint64_t at, bool has_way)
{
	struct start *larger;

	if (f->start_cnt == f->start_room) {
		if (f->start_room >= MAX_STARTS)
			return -EILSEQ;
		f->start_room = f->start_room ? 2 * f->start_room : 256;
		larger = realloc(f->starts, f->start_room * sizeof(*f->starts));
		if (!larger)
			return -ENOMEM;
		f->starts = larger;
	}
	f->starts[f->start_cnt++] = (struct start){ .at = at, .has_way = has_way };
	return 0;
}

static int find_starts(const struct insn *insn, void *arg)
{
	struct flow *f = arg;
	uint64_t to = is_jump(insn) ? insn__target(insn) : 0;
	int err = 0;

	if (to) {
		see_part(f, insn, to);
		if (in_function(f, to))
			err = add_start(f, to, true);
	}
	if (!err && (is_jump(insn) || ends_way(insn)))
		err = add_start(f, insn->addr + insn->i.length, !ends_way(insn));
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct start *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* A block for each start, but for those behind the end of a part. */
static int make_blocks(struct flow *f)
{
	qsort(f->starts, f->start_cnt, sizeof(*f->starts), compare);
	f->blocks = calloc(f->start_cnt, sizeof(*f->blocks));
	if (!f->blocks)
		return -ENOMEM;
	for (size_t i = 0; i < f->start_cnt; i++) {
		struct block *last = f->block_cnt ? &f->blocks[f->block_cnt - 1] : NULL;

		if (last && last->start.at == f->starts[i].at)
			last->start.has_way |= f->starts[i].has_way;
		else if (in_function(f, f->starts[i].at))
			f->blocks[f->block_cnt++].start = f->starts[i];
	}
	return 0;
}

static struct block *block_at(struct flow *f, uint64_t addr)
{
	const struct start key = { .at = addr };

	_Static_assert(offsetof(struct block, start) == 0, "compare() takes blocks too");
	return bsearch(&key, f->blocks, f->block_cnt, sizeof(*f->blocks), compare);
}

/* ---- the flow between them ---- */

static void arrive(struct flow *f, struct block *b, const struct known_addresses *k)
{
	if (!b)
		return;
	if (!b->reached) {
		b->entry = *k;
		b->reached = b->changed = true;
	} else if (known_addresses__meet(&b->entry, k)) {
		b->changed = true;
	}
	f->any_changed |= b->changed;
}

/* To all blocks that nothing else leads to. */
static void jump_anywhere(struct flow *f, const struct known_addresses *k)
{
	bool less = !f->has_indirect;

	if (less)
		f->indirect = *k;
	else
		less = known_addresses__meet(&f->indirect, k);
	f->has_indirect = true;
	for (size_t i = 0; less && i < f->block_cnt; i++) {
		if (!f->blocks[i].start.has_way)
			arrive(f, &f->blocks[i], &f->indirect);
	}
}

static bool changes_flags(const struct insn *insn)
{
	const ZydisAccessedFlags *flags = insn->i.cpu_flags;

	return flags && (flags->modified | flags->set_0 | flags->set_1 | flags->undefined);
}

/* Both ways of a conditional jump; word: what was compared before it, or 0. */
static void branch(struct flow *f, const struct insn *jump, const struct known_addresses *k, uint64_t word)
{
	struct known_addresses other = *k;
	bool when_equal = jump->i.mnemonic == ZYDIS_MNEMONIC_JZ, when_not = jump->i.mnemonic == ZYDIS_MNEMONIC_JNZ;

	if (word)
		known_addresses__rule_out(&other, word);
	arrive(f, block_at(f, insn__target(jump)), when_not ? &other : k);
	arrive(f, block_at(f, jump->addr + jump->i.length), when_equal ? &other : k);
}

/* Follows one block to its end. */
static void flow_through(struct flow *f, struct block *b)
{
	struct known_addresses k = b->entry;
	uint64_t addr = b->start.at, word = 0;
	struct insn insn;

	b->changed = false;
	while (in_function(f, addr) && !machine_code__decode(f->c, addr, &insn)) {
		if (insn.i.meta.category == ZYDIS_CATEGORY_COND_BR) {
			branch(f, &insn, &k, word);
			return;
		}
		if (changes_flags(&insn))
			word = known_addresses__word_compared(&k, f->c, &insn);
		known_addresses__step(&k, f->c, &insn);
		addr += insn.i.length;
		f->steps++;
		if (is_jump(&insn) && insn__target(&insn))
			arrive(f, block_at(f, insn__target(&insn)), &k);
		else if (is_jump(&insn))
			jump_anywhere(f, &k);
		if (ends_way(&insn))
			return;
		if (block_at(f, addr)) {
			arrive(f, block_at(f, addr), &k);
			return;
		}
	}
}

static int settle(struct flow *f)
{
	uint64_t max = 0;

	for (size_t i = 0; i < f->part_cnt; i++)
		max += MAX_STEPS * f->parts[i].size;
	while (f->any_changed) {
		if (f->steps > max)
			return -EILSEQ;
		f->any_changed = false;
		for (size_t i = 0; i < f->block_cnt; i++) {
			if (f->blocks[i].changed)
				flow_through(f, &f->blocks[i]);
		}
	}
	return 0;
}

static int flow(struct flow *f)
{
	const struct known_addresses nothing = { 0 };
	struct known_addresses at_entry;
	int err;

	known_addresses__at_entry(&at_entry);
	arrive(f, block_at(f, f->parts[0].addr), &at_entry);
	err = settle(f);
	/* Nobody knows how the others are reached. */
	for (size_t i = 0; !err && i < f->block_cnt; i++) {
		if (!f->blocks[i].reached && !f->blocks[i].start.has_way)
			arrive(f, &f->blocks[i], &nothing);
	}
	err = err ? err : settle(f);
	return err;
}

static int find_blocks(struct flow *f)
{
	int err = 0;

	/* More parts come to light while the first are looked at. */
	for (size_t i = 0; !err && i < f->part_cnt; i++) {
		err = add_start(f, f->parts[i].addr, i == 0);
		if (!err)
			err = machine_code__walk(f->c, &f->parts[i], find_starts, f);
	}
	return err ? err : make_blocks(f);
}

struct visit {
	struct flow *f;
	struct known_addresses now;
	int (*fn)(const struct insn *insn, const struct known_addresses *before, void *arg);
	void *arg;
};

static int visit(const struct insn *insn, void *arg)
{
	struct visit *v = arg;
	const struct block *b = block_at(v->f, insn->addr);
	int err;

	if (b)
		v->now = b->entry;
	err = v->fn(insn, &v->now, v->arg);
	known_addresses__step(&v->now, v->f->c, insn);
	return err;
}

int known_addresses__walk(const struct machine_code *c, const struct elf_symbol *function,
			  int (*fn)(const struct insn *insn, const struct known_addresses *before, void *arg), void *arg)
{
	struct flow f = { .c = c, .parts[0] = *function, .part_cnt = 1 };
	struct visit v = { .f = &f, .fn = fn, .arg = arg };
	int err;

	err = find_blocks(&f);
	if (!err)
		err = flow(&f);
	for (size_t i = 0; !err && i < f.part_cnt; i++)
		err = machine_code__walk(c, &f.parts[i], visit, &v);
	free(f.starts);
	free(f.blocks);
	return err;
}
