/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Functions come from .eh_frame_hdr, the sorted table for unwinders (LSB Core, "The .eh_frame_hdr
 * section"), which stripping keeps. Only its usual encoding is read: 32-bit values, relative. Each
 * entry is checked against the frame description (FDE) that it points to, which also tells the
 * length. Where it tells of no function, a symbol may: musl is built without such descriptions.
 *
 * What the kernel emulates: branch_setup_xol_ops and push_setup_xol_ops in
 * arch/x86/kernel/uprobes.c, Linux 5.10-6.18: one-byte nop, jmp, jcc, call relative, push of a
 * register. Since 6.18 longer nops too, on which we do not rely.
 */
#include "system/machine_code.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "system/got.h"

/* Interpreters have 2-5 MB of code and 10-15 thousand functions. */
#define MAX_TEXT_BYTES (64ull << 20)
#define MAX_FUNCTIONS (1u << 20)
/* DW_EH_PE_udata4; DW_EH_PE_datarel | DW_EH_PE_sdata4 */
#define COUNT_ENCODING 0x03
#define TABLE_ENCODING 0x3b

struct range {
	uint64_t start, end;
	bool part; /* of a function that was split: jumped to */
};

struct machine_code {
	ZydisDecoder decoder;
	uint64_t start;
	size_t bytes;
	uint8_t *text;
	struct range *functions; /* sorted, disjoint */
	size_t function_cnt;
	struct got *got;
};

static int read_text(const struct elf_file *f, struct machine_code *c)
{
	struct elf_symbol text;
	int err = elf_file__section(f, ".text", &text);

	if (err)
		return err;
	if (!text.size || text.size > MAX_TEXT_BYTES)
		return -E2BIG;
	c->text = malloc(text.size);
	if (!c->text)
		return -ENOMEM;
	c->start = text.addr;
	c->bytes = text.size;
	return elf_file__read(f, text.addr, c->text, text.size);
}

static int32_t s32_at(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * Whether the first unwinding instruction (DWARF 5, 6.4.2) of an FDE stands before any of its code was passed: then the
 * stack is not as a call leaves it, and this is no function's beginning but a part that the compiler moved away (.cold).
 * p: behind the length of the code, where the length of augmentation data comes first (CIE "zR").
 */
static bool begins_in_the_middle(const uint8_t *p, const uint8_t *end)
{
	p += p < end ? 1 + (*p & 0x7f) : 0;
	if (p >= end)
		return false;
	/* DW_CFA_nop, _set_loc and _advance_loc in all sizes */
	return *p > 0x04 && *p >> 6 != 1;
}

/* An FDE: length, distance to its CIE, start relative to that field, length of the code. */
static bool read_fde(const uint8_t *frames, const struct elf_symbol *section, uint64_t fde,
		     uint64_t start, struct range *ret)
{
	const uint8_t *p = frames + (fde - section->addr);
	uint32_t bytes;

	if (fde < section->addr || section->size < 16 || fde - section->addr > section->size - 16)
		return false;
	if (s32_at(p) < 12 || !s32_at(p + 4) || fde + 8 + s32_at(p + 8) != start)
		return false;
	memcpy(&bytes, p + 12, sizeof(bytes));
	*ret = (struct range){.start = start, .end = start + bytes};
	if ((uint64_t)s32_at(p) <= section->addr + section->size - fde - 4)
		ret->part = begins_in_the_middle(p + 16, p + 4 + s32_at(p));
	return bytes > 0;
}

static void add_functions(struct machine_code *c, const uint8_t *hdr, const struct elf_symbol *at,
			  size_t n, const uint8_t *frames, const struct elf_symbol *section)
{
	uint64_t end = c->start;
	struct range r;

	for (size_t i = 0; i < n; i++) {
		uint64_t start = at->addr + s32_at(hdr + 12 + 8 * i),
			 fde = at->addr + s32_at(hdr + 16 + 8 * i);

		/* What overlaps or is out of order is made up: left out. */
		if (start < end || !read_fde(frames, section, fde, start, &r) ||
		    r.end > c->start + c->bytes)
			continue;
		c->functions[c->function_cnt++] = r;
		end = r.end;
	}
}

/* -ENOENT: it has no such table. */
static int read_frames(const struct elf_file *f, struct machine_code *c)
{
	struct elf_symbol hdr_at, frames_at;
	uint8_t *hdr = NULL, *frames = NULL;
	uint32_t n;
	int err;

	err = elf_file__section(f, ".eh_frame_hdr", &hdr_at);
	if (!err)
		err = elf_file__section(f, ".eh_frame", &frames_at);
	if (err)
		return err;
	if (hdr_at.size < 12 || hdr_at.size > MAX_FUNCTIONS * 8ull ||
	    frames_at.size > MAX_TEXT_BYTES)
		return -E2BIG;
	hdr = malloc(hdr_at.size);
	frames = malloc(frames_at.size + 1);
	err = hdr && frames ? elf_file__read(f, hdr_at.addr, hdr, hdr_at.size) : -ENOMEM;
	if (!err)
		err = elf_file__read(f, frames_at.addr, frames, frames_at.size);
	if (err)
		goto out;
	memcpy(&n, hdr + 8, sizeof(n));
	err = -ENOENT;
	if (hdr[0] != 1 || hdr[2] != COUNT_ENCODING || hdr[3] != TABLE_ENCODING ||
	    n > (hdr_at.size - 12) / 8)
		goto out;
	err = -ENOMEM;
	c->functions = calloc(n + 1, sizeof(*c->functions));
	if (!c->functions)
		goto out;
	add_functions(c, hdr, &hdr_at, n, frames, &frames_at);
	err = 0;
out:
	free(hdr);
	free(frames);
	return err;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start ? 1 : x->end < y->end ? -1 : x->end > y->end;
}

/* Of the symbols' ranges, those in the gaps; what overlaps another symbol's, as an alias does, is left out. */
static void add_ranges(struct machine_code *c, struct range *more, size_t n)
{
	size_t known = c->function_cnt, k = 0;
	uint64_t end = c->start;

	for (size_t i = 0; i < n; i++) {
		while (k < known && c->functions[k].end <= more[i].start)
			end = MAX(end, c->functions[k++].end);
		if (more[i].start < end || more[i].end <= more[i].start || more[i].end > c->start + c->bytes ||
		    (k < known && c->functions[k].start < more[i].end))
			continue;
		c->functions[c->function_cnt++] = more[i];
		end = more[i].end;
	}
	qsort(c->functions, c->function_cnt, sizeof(*c->functions), compare_ranges);
}

static int read_symbols(const struct elf_file *f, struct machine_code *c)
{
	size_t n, max = MIN(elf_file__functions(f, NULL, 0), MAX_FUNCTIONS);
	struct elf_symbol *symbols = calloc(max + 1, sizeof(*symbols));
	struct range *more = calloc(max + 1, sizeof(*more)), *all;

	n = symbols && more && max ? elf_file__functions(f, symbols, max) : 0;
	for (size_t i = 0; i < n; i++)
		more[i] = (struct range){.start = symbols[i].addr, .end = symbols[i].addr + symbols[i].size};
	all = more ? realloc(c->functions, (c->function_cnt + n + 1) * sizeof(*all)) : NULL;
	if (all) {
		c->functions = all;
		qsort(more, n, sizeof(*more), compare_ranges);
		add_ranges(c, more, n);
	}
	free(symbols);
	free(more);
	return all && symbols ? 0 : -ENOMEM;
}

static int read_functions(const struct elf_file *f, struct machine_code *c)
{
	int err = read_frames(f, c);

	if (!err || err == -ENOENT)
		err = read_symbols(f, c);
	return err ? err : c->function_cnt ? 0 : -ENOENT;
}

int machine_code__open(const struct elf_file *f, struct machine_code **ret)
{
	struct machine_code *c;
	int err;

#ifndef __x86_64__ /* elf_file opens only files of this machine */
	return -ENOTSUP;
#endif
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	ZydisDecoderInit(&c->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	err = read_text(f, c);
	if (!err)
		err = read_functions(f, c);
	if (!err)
		err = got__open(f, &c->got);
	if (err) {
		machine_code__free(c);
		return err;
	}
	*ret = c;
	return 0;
}

void machine_code__free(struct machine_code *c)
{
	if (!c)
		return;
	got__free(c->got);
	free(c->functions);
	free(c->text);
	free(c);
}

bool machine_code__contains(const struct machine_code *c, uint64_t addr)
{
	return addr >= c->start && addr - c->start < c->bytes;
}

uint64_t machine_code__pointer(const struct machine_code *c, uint64_t at)
{
	return got__pointer(c->got, at);
}

int machine_code__function(const struct machine_code *c, uint64_t addr, struct elf_symbol *ret)
{
	size_t low = 0, high = c->function_cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->functions[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == c->function_cnt || c->functions[low].start > addr)
		return -ENOENT;
	*ret = (struct elf_symbol){.addr = c->functions[low].start,
				   .size = c->functions[low].end - c->functions[low].start};
	return 0;
}

bool machine_code__is_part(const struct machine_code *c, uint64_t addr)
{
	size_t low = 0, high = c->function_cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->functions[mid].start < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->function_cnt && c->functions[low].start == addr && c->functions[low].part;
}

int machine_code__decode(const struct machine_code *c, uint64_t addr, struct insn *ret)
{
	if (!machine_code__contains(c, addr))
		return -ENOENT;
	ret->addr = addr;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&c->decoder, c->text + (addr - c->start),
						 c->bytes - (addr - c->start), &ret->i, ret->op)))
		return -EILSEQ;
	return 0;
}

int machine_code__walk(const struct machine_code *c, const struct elf_symbol *function,
		       int (*fn)(const struct insn *insn, void *arg), void *arg)
{
	uint64_t addr = function->addr, end = function->addr + function->size;
	struct insn insn;
	int err;

	while (addr < end) {
		err = machine_code__decode(c, addr, &insn);
		if (!err && insn.i.length > end - addr)
			err = -EILSEQ;
		if (!err)
			err = fn(&insn, arg);
		if (err)
			return err;
		addr += insn.i.length;
	}
	return 0;
}

struct starts {
	const struct elf_symbol *function;
	uint8_t *is_start; /* a byte each */
};

static int mark_start(const struct insn *insn, void *arg)
{
	struct starts *s = arg;

	s->is_start[insn->addr - s->function->addr] = 1;
	return 0;
}

static int check_jump(const struct insn *insn, void *arg)
{
	const struct starts *s = arg;
	uint64_t at = insn__target(insn) - s->function->addr;

	return insn__target(insn) && at < s->function->size && !s->is_start[at] ? -EILSEQ : 0;
}

int machine_code__check(const struct machine_code *c, const struct elf_symbol *function)
{
	struct starts s = {.function = function};
	int err;

	s.is_start = calloc(function->size, 1);
	if (!s.is_start)
		return -ENOMEM;
	err = machine_code__walk(c, function, mark_start, &s);
	if (!err)
		err = machine_code__walk(c, function, check_jump, &s);
	free(s.is_start);
	return err;
}

static bool names(uint32_t word, uint64_t after, const uint64_t *addrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* An immediate may follow the displacement. */
		uint64_t behind = addrs[i] - (after + (int32_t)word);

		if (word == addrs[i] || behind <= 4)
			return true;
	}
	return false;
}

/* jmp and jcc with a displacement of eight bits */
static bool jumps_near(const uint8_t *code, uint64_t addr, const uint64_t *addrs, size_t n)
{
	if (code[0] != 0xeb && (code[0] & 0xf0) != 0x70)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (addr + 2 + (int8_t)code[1] == addrs[i])
			return true;
	}
	return false;
}

int machine_code__for_each_user(const struct machine_code *c, const uint64_t *addrs, size_t n,
				int (*fn)(const struct elf_symbol *function, void *arg), void *arg)
{
	struct elf_symbol function;
	size_t at = 0;
	uint32_t word;
	int err;

	while (at + sizeof(word) <= c->bytes) {
		uint64_t addr = c->start + at;
		const uint8_t *code = c->text + at;

		memcpy(&word, code, sizeof(word));
		at++;
		if ((!names(word, addr + sizeof(word), addrs, n) && !jumps_near(code, addr, addrs, n)) ||
		    machine_code__function(c, addr, &function))
			continue;
		err = fn(&function, arg);
		if (err)
			return err;
		at = function.addr + function.size - c->start;
	}
	return 0;
}

uint64_t insn__target(const struct insn *insn)
{
	const ZydisDecodedOperand *op = &insn->op[0];

	if (!insn->i.operand_count || op->type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	    !op->imm.is_relative)
		return 0;
	return insn->addr + insn->i.length + op->imm.value.s;
}

uint64_t insn__memory(const struct insn *insn, const ZydisDecodedOperand *op)
{
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.index != ZYDIS_REGISTER_NONE ||
	    op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS)
		return 0;
	if (op->mem.base == ZYDIS_REGISTER_RIP)
		return insn->addr + insn->i.length + op->mem.disp.value;
	return op->mem.base == ZYDIS_REGISTER_NONE ? (uint64_t)op->mem.disp.value : 0;
}

bool insn__emulated(const struct insn *insn)
{
	const ZydisDecodedInstruction *i = &insn->i;

	if (i->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)
		return false;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_NOP:
		return i->length == 1;
	case ZYDIS_MNEMONIC_PUSH:
		return i->opcode >= 0x50 && i->opcode <= 0x57 &&
		       (i->length == 1 || (i->length == 2 && i->raw.rex.B && !i->raw.rex.W &&
					   !i->raw.rex.R && !i->raw.rex.X));
	default:
		break;
	}
	return i->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && insn__target(insn) &&
	       (i->meta.category == ZYDIS_CATEGORY_CALL || i->opcode == 0xe9 || i->opcode == 0xeb ||
		(i->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (i->opcode & 0xf0) == 0x70) ||
		(i->opcode_map == ZYDIS_OPCODE_MAP_0F && (i->opcode & 0xf0) == 0x80));
}

void insn__text(const struct insn *insn, char *buf, size_t len)
{
	ZydisFormatter formatter;

	if (!ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &insn->i, insn->op,
							  insn->i.operand_count_visible, buf, len,
							  insn->addr, NULL)))
		snprintf(buf, len, "?");
}

int insn__gpr(ZydisRegister r)
{
	ZydisRegister whole;

	if (r == ZYDIS_REGISTER_NONE)
		return -1;
	whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
	return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15
		       ? (int)(whole - ZYDIS_REGISTER_RAX)
		       : -1;
}

bool insn__writes(const struct insn *insn, int gpr)
{
	for (int i = 0; i < insn->i.operand_count; i++) {
		const ZydisDecodedOperand *op = &insn->op[i];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    insn__gpr(op->reg.value) == gpr)
			return true;
	}
	return false;
}
