/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * .eh_frame_hdr is a sorted table of (begin of code, its description, FDE); an FDE points to what many have in common (CIE). Both
 * hold instructions that build a table of rules, row by row: they are run up to the row of the address. LSB Core, "Exception
 * Frames" and "The .eh_frame_hdr section"; DWARF 5, 6.4; numbers of registers: System V ABI for x86-64, 3.6.2.
 *
 * Of the many ways to tell the canonical frame address (CFA) those are understood that compilers use at calls: the stack or
 * the base pointer with an offset, and, where a function aligns its stack, what lies at the base pointer with an offset.
 */
#include "system/unwind_table.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* A description of a large function has some KiB. */
#define MAX_ENTRY_BYTES (64u << 10)
#define MAX_TABLE_ENTRIES (1u << 24)
#define MAX_REMEMBERED 8

#define REG_BP 6
#define REG_SP 7
#define REG_RETURN 16

/* Encodings of pointers: the low half is the format, the high one what they are relative to. */
#define PE_ABSPTR 0x00
#define PE_UDATA4 0x03
#define PE_SDATA4 0x0b
#define PE_SDATA8 0x0c
#define PE_PCREL 0x10
#define HDR_COUNT_ENCODING PE_UDATA4
#define HDR_TABLE_ENCODING 0x3b /* relative to the section, signed, 4 bytes */

enum cfa_op {
	CFA_NOP = 0x00,
	CFA_ADVANCE1 = 0x02,
	CFA_ADVANCE2 = 0x03,
	CFA_ADVANCE4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_GNU_ARGS_SIZE = 0x2e,
	/* With an operand in the low six bits. */
	CFA_ADVANCE = 0x40,
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
};
#define OP_DEREF 0x06
#define OP_BREG_BP (0x70 + REG_BP)

/* Bytes that are read from front to back; `bad` once there were too few. */
struct cursor {
	const uint8_t *at, *end;
	bool bad;
};

static uint64_t take(struct cursor *c, size_t bytes)
{
	uint64_t v = 0;

	if (c->bad || (size_t)(c->end - c->at) < bytes) {
		c->bad = true;
		return 0;
	}
	memcpy(&v, c->at, bytes);
	c->at += bytes;
	return v;
}

static void skip(struct cursor *c, uint64_t bytes)
{
	if (c->bad || (uint64_t)(c->end - c->at) < bytes)
		c->bad = true;
	else
		c->at += bytes;
}

static uint64_t take_uleb(struct cursor *c)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = take(c, 1);
		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && !c->bad);
	return v;
}

static int64_t take_sleb(struct cursor *c)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = take(c, 1);
		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && !c->bad);
	if (byte & 0x40 && shift < 64)
		v |= ~0ull << shift;
	return (int64_t)v;
}

/* Bytes of a pointer in that format; 0: not understood. */
static size_t pointer_bytes(uint8_t encoding)
{
	switch (encoding & 0x0f) {
	case PE_UDATA4:
	case PE_SDATA4:
		return 4;
	case PE_ABSPTR:
	case PE_SDATA8:
		return 8;
	default:
		return 0;
	}
}

/* An entry of .eh_frame, read from the file. */
struct entry {
	uint8_t bytes[MAX_ENTRY_BYTES];
	uint64_t addr; /* of bytes */
	struct cursor c; /* behind the length */
};

static int read_entry(const struct elf_file *f, uint64_t addr, struct entry *e)
{
	uint32_t len;
	int err = elf_file__read(f, addr, &len, sizeof(len));

	if (err)
		return err;
	if (len < 4 || len > sizeof(e->bytes))
		return -EBADMSG;
	e->addr = addr + sizeof(len);
	e->c = (struct cursor){ .at = e->bytes, .end = e->bytes + len };
	return elf_file__read(f, e->addr, e->bytes, len);
}

static uint64_t addr_of(const struct entry *e)
{
	return e->addr + (e->c.at - e->bytes);
}

struct common {
	uint64_t code_align;
	int64_t data_align;
	uint8_t pointer_encoding;
	bool augmented; /* FDEs have augmentation data, too */
	bool signal; /* a signal's frame: not made by a call */
	struct cursor program;
};

static int read_augmentation(const char *text, struct cursor *c, struct common *ret)
{
	size_t bytes;

	for (; *text; text++) {
		switch (*text) {
		case 'R':
			ret->pointer_encoding = take(c, 1);
			break;
		case 'L':
			take(c, 1);
			break;
		case 'P':
			bytes = pointer_bytes(take(c, 1));
			if (!bytes)
				return -ENOTSUP;
			skip(c, bytes);
			break;
		case 'S':
			ret->signal = true;
			break;
		case 'B':
			break;
		default:
			return -ENOTSUP;
		}
	}
	return 0;
}

/* What is in e stays there: the program is not copied. */
static int read_common(const struct elf_file *f, uint64_t addr, struct entry *e, struct common *ret)
{
	int err = read_entry(f, addr, e);
	struct cursor *c = &e->c;
	const uint8_t *behind;
	const char *text;
	uint8_t version;
	uint64_t bytes;

	if (err)
		return err;
	*ret = (struct common){};
	if (take(c, 4))
		return -EBADMSG;
	version = take(c, 1);
	text = (const char *)c->at;
	while (take(c, 1))
		;
	ret->code_align = take_uleb(c);
	ret->data_align = take_sleb(c);
	if ((version == 1 ? take(c, 1) : take_uleb(c)) != REG_RETURN || c->bad || (version != 1 && version != 3))
		return c->bad ? -EBADMSG : -ENOTSUP;
	if (*text == 'z') {
		ret->augmented = true;
		bytes = take_uleb(c);
		behind = c->at;
		skip(c, bytes);
		if (c->bad)
			return -EBADMSG;
		ret->program = *c;
		*c = (struct cursor){ .at = behind, .end = ret->program.at };
		err = read_augmentation(text + 1, c, ret);
		return err ? err : c->bad ? -EBADMSG : 0;
	}
	ret->program = *c;
	return *text ? -ENOTSUP : 0;
}

/* How a register's value in the caller is found; only of the two that matter. */
struct place {
	enum native_bp where; /* of the return address, too */
	int64_t offset;
};

/* One row of the table. */
struct table_row {
	enum native_from from; /* NATIVE_NO_CALLER: in a way not understood */
	int64_t cfa;
	struct place bp, ret;
};

struct machine {
	const struct common *common;
	struct table_row row, initial, remembered[MAX_REMEMBERED];
	unsigned int n_remembered;
	uint64_t at; /* address of the row */
	int err;
};

static void set_place(struct machine *m, uint64_t reg, enum native_bp where, int64_t offset)
{
	if (reg == REG_BP)
		m->row.bp = (struct place){ where, offset };
	else if (reg == REG_RETURN)
		m->row.ret = (struct place){ where, offset };
}

static void restore(struct machine *m, uint64_t reg)
{
	if (reg == REG_BP)
		m->row.bp = m->initial.bp;
	else if (reg == REG_RETURN)
		m->row.ret = m->initial.ret;
}

static void set_cfa(struct machine *m, uint64_t reg, int64_t offset)
{
	m->row.from = reg == REG_SP ? NATIVE_FROM_SP : reg == REG_BP ? NATIVE_FROM_BP : NATIVE_NO_CALLER;
	m->row.cfa = offset;
}

static void set_cfa_register(struct machine *m, uint64_t reg)
{
	set_cfa(m, reg, m->row.cfa);
}

/* An expression that is no more than the base pointer and an offset; deref: and what lies there. */
static bool is_base(struct cursor *c, bool deref, int64_t *ret)
{
	uint64_t bytes = take_uleb(c);
	struct cursor e = *c;
	bool yes;

	skip(c, bytes);
	if (c->bad)
		return false;
	e.end = c->at;
	yes = take(&e, 1) == OP_BREG_BP;
	*ret = take_sleb(&e);
	if (deref)
		yes = yes && take(&e, 1) == OP_DEREF;
	return yes && !e.bad && e.at == e.end;
}

static void define_cfa_by_expression(struct machine *m, struct cursor *c)
{
	m->row.from = is_base(c, true, &m->row.cfa) ? NATIVE_FROM_BP_MEMORY : NATIVE_NO_CALLER;
}

static void place_by_expression(struct machine *m, struct cursor *c)
{
	uint64_t reg = take_uleb(c);
	int64_t offset;

	if (is_base(c, false, &offset))
		set_place(m, reg, NATIVE_BP_AT_BP, offset);
	else
		set_place(m, reg, NATIVE_BP_LOST, 0);
}

static void remember(struct machine *m)
{
	if (m->n_remembered < MAX_REMEMBERED)
		m->remembered[m->n_remembered++] = m->row;
	else
		m->err = -ENOTSUP;
}

static void restore_state(struct machine *m)
{
	if (m->n_remembered)
		m->row = m->remembered[--m->n_remembered];
	else
		m->err = -EBADMSG;
}

/* Those with an operand of their own. */
static void run_extended(struct machine *m, uint8_t op, struct cursor *c)
{
	int64_t unit = m->common->data_align;
	uint64_t reg;

	switch (op) {
	case CFA_NOP:
		break;
	case CFA_ADVANCE1:
	case CFA_ADVANCE2:
	case CFA_ADVANCE4:
		m->at += take(c, 1 << (op - CFA_ADVANCE1)) * m->common->code_align;
		break;
	case CFA_OFFSET_EXTENDED:
		reg = take_uleb(c);
		set_place(m, reg, NATIVE_BP_AT_CFA, (int64_t)take_uleb(c) * unit);
		break;
	case CFA_OFFSET_EXTENDED_SF:
		reg = take_uleb(c);
		set_place(m, reg, NATIVE_BP_AT_CFA, take_sleb(c) * unit);
		break;
	case CFA_RESTORE_EXTENDED:
		restore(m, take_uleb(c));
		break;
	case CFA_UNDEFINED:
		set_place(m, take_uleb(c), NATIVE_BP_LOST, 0);
		break;
	case CFA_SAME_VALUE:
		set_place(m, take_uleb(c), NATIVE_BP_SAME, 0);
		break;
	case CFA_REGISTER:
	case CFA_VAL_OFFSET:
	case CFA_VAL_OFFSET_SF:
		set_place(m, take_uleb(c), NATIVE_BP_LOST, 0);
		take_uleb(c);
		break;
	case CFA_REMEMBER:
		remember(m);
		break;
	case CFA_RESTORE_STATE:
		restore_state(m);
		break;
	case CFA_DEF_CFA:
		reg = take_uleb(c);
		set_cfa(m, reg, take_uleb(c));
		break;
	case CFA_DEF_CFA_SF:
		reg = take_uleb(c);
		set_cfa(m, reg, take_sleb(c) * unit);
		break;
	case CFA_DEF_CFA_REGISTER:
		set_cfa_register(m, take_uleb(c));
		break;
	case CFA_DEF_CFA_OFFSET:
		m->row.cfa = take_uleb(c);
		break;
	case CFA_DEF_CFA_OFFSET_SF:
		m->row.cfa = take_sleb(c) * unit;
		break;
	case CFA_DEF_CFA_EXPRESSION:
		define_cfa_by_expression(m, c);
		break;
	case CFA_EXPRESSION:
		place_by_expression(m, c);
		break;
	case CFA_VAL_EXPRESSION:
		set_place(m, take_uleb(c), NATIVE_BP_LOST, 0);
		skip(c, take_uleb(c));
		break;
	case CFA_GNU_ARGS_SIZE:
		take_uleb(c);
		break;
	default:
		m->err = -ENOTSUP;
	}
}

/* Up to the row of addr. */
static int run(struct machine *m, struct cursor c, uint64_t addr)
{
	while (c.at < c.end && !c.bad && !m->err) {
		uint8_t op = take(&c, 1), low = op & 0x3f;

		switch (op & 0xc0) {
		case CFA_ADVANCE:
			m->at += low * m->common->code_align;
			break;
		case CFA_OFFSET:
			set_place(m, low, NATIVE_BP_AT_CFA, (int64_t)take_uleb(&c) * m->common->data_align);
			break;
		case CFA_RESTORE:
			restore(m, low);
			break;
		default:
			run_extended(m, op, &c);
		}
		if (m->at > addr)
			return 0;
	}
	return c.bad ? -EBADMSG : m->err;
}

static int32_t s32_at(const struct elf_file *f, uint64_t addr, int *err)
{
	int32_t v = 0;

	if (!*err)
		*err = elf_file__read(f, addr, &v, sizeof(v));
	return v;
}

/* The last entry of the sorted table that begins at addr or before. */
static int find_entry(const struct elf_file *f, uint64_t addr, uint64_t *ret_start, uint64_t *ret_entry)
{
	struct elf_symbol hdr;
	uint32_t n, low = 0, high;
	uint8_t head[4];
	int err = elf_file__section(f, ".eh_frame_hdr", &hdr);

	err = err ? err : elf_file__read(f, hdr.addr, head, sizeof(head));
	if (err)
		return err;
	if (head[0] != 1 || pointer_bytes(head[1]) != 4 || head[2] != HDR_COUNT_ENCODING || head[3] != HDR_TABLE_ENCODING)
		return -ENOENT;
	n = high = s32_at(f, hdr.addr + 8, &err);
	if (n > MAX_TABLE_ENTRIES || hdr.size < 12 || n > (hdr.size - 12) / 8)
		return -EBADMSG;
	while (low < high && !err) {
		uint32_t middle = low + (high - low) / 2;

		if (hdr.addr + s32_at(f, hdr.addr + 12 + 8ull * middle, &err) <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low && !err)
		return -ENOENT;
	*ret_start = hdr.addr + s32_at(f, hdr.addr + 12 + 8ull * (low - 1), &err);
	*ret_entry = hdr.addr + s32_at(f, hdr.addr + 16 + 8ull * (low - 1), &err);
	return err;
}

/* e: an FDE, behind the distance to its CIE. Leaves e at its program. -ENOENT: addr is not of its code. */
static int check_range(struct entry *e, const struct common *common, uint64_t start, uint64_t addr)
{
	size_t bytes = pointer_bytes(common->pointer_encoding);
	uint64_t base = common->pointer_encoding & PE_PCREL ? addr_of(e) : 0, begin, len;

	if (!bytes || (common->pointer_encoding & 0xf0) > PE_PCREL)
		return -ENOTSUP;
	begin = take(&e->c, bytes);
	if (bytes == 4)
		begin = (uint64_t)(int64_t)(int32_t)begin;
	len = take(&e->c, bytes);
	if (common->augmented)
		skip(&e->c, take_uleb(&e->c));
	if (e->c.bad || base + begin != start)
		return -EBADMSG;
	return addr - start < len ? 0 : -ENOENT;
}

static bool fits(const struct table_row *r)
{
	return r->cfa >= -NATIVE_MAX_FRAME_BYTES && r->cfa <= NATIVE_MAX_FRAME_BYTES && r->bp.offset >= INT16_MIN &&
	       r->bp.offset <= INT16_MAX;
}

static int rule_of_row(const struct table_row *r, struct native_rule *ret)
{
	if (r->ret.where == NATIVE_BP_LOST) {
		ret->from = NATIVE_NO_CALLER;
		ret->end = NATIVE_END_OUTERMOST;
		return 0;
	}
	if (r->from == NATIVE_NO_CALLER || r->ret.where != NATIVE_BP_AT_CFA || r->ret.offset != -8 || !fits(r))
		return -ENOTSUP;
	ret->from = r->from;
	ret->cfa = r->cfa;
	ret->bp = r->bp.where;
	ret->bp_offset = r->bp.offset;
	return 0;
}

int unwind_table__rule(const struct elf_file *f, uint64_t addr, struct native_rule *ret)
{
	struct native_rule rule = {};
	struct machine m = {};
	struct entry e, ce; /* on the stack: some 128 KiB */
	struct common common;
	uint64_t start, at;
	int err = find_entry(f, addr, &start, &at);

	err = err ? err : read_entry(f, at, &e);
	if (err)
		return err;
	at = addr_of(&e) - take(&e.c, 4);
	err = read_common(f, at, &ce, &common);
	err = err ? err : check_range(&e, &common, start, addr);
	if (err)
		return err;
	if (common.signal)
		return -ENOTSUP;
	m.common = &common;
	m.at = start;
	err = run(&m, common.program, addr);
	m.initial = m.row;
	err = err ? err : run(&m, e.c, addr);
	if (err)
		return err;
	rule.function = start;
	err = rule_of_row(&m.row, &rule);
	if (!err)
		*ret = rule;
	return err;
}
