/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Decodes what CPython's PyCode_Addr2Line decodes (Objects/codeobject.c of 3.8, 3.10 and 3.11),
 * from bytes that nobody vouches for: every step consumes at least one byte, sums are 64 bit wide,
 * a line outside int is no line.
 */
#include "python/linetable.h"

#define NO_LINE (-1)

/* 3.10: a line delta that means "no line". */
#define NO_LINE_DELTA_310 (-128)

/* 3.11+: kinds of entries, bits 3-6 of the first byte (Include/cpython/code.h,
 * _PyCodeLocationInfoKind). */
enum {
	ENTRY_ONE_LINE0 = 10,
	ENTRY_ONE_LINE2 = 12,
	ENTRY_NO_COLUMNS = 13,
	ENTRY_LONG = 14,
	ENTRY_NONE = 15,
};

static int as_line(int64_t line)
{
	return line < 0 || line > INT32_MAX ? NO_LINE : (int)line;
}

int linetable__line_38(const uint8_t *table, size_t len, int first_line, uint32_t offset)
{
	int64_t line = first_line;
	uint64_t addr = 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		addr += table[i];
		if (addr > offset)
			break;
		line += (int8_t)table[i + 1];
	}
	return as_line(line);
}

int linetable__line_310(const uint8_t *table, size_t len, int first_line, uint32_t offset)
{
	int64_t line = first_line;
	uint64_t end = 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		int8_t delta = (int8_t)table[i + 1];

		end += table[i];
		if (delta != NO_LINE_DELTA_310)
			line += delta;
		if (offset < end)
			return delta == NO_LINE_DELTA_310 ? NO_LINE : as_line(line);
	}
	return NO_LINE;
}

/* Six bits a byte, low bits first, bit 6 says that more follow. Bits over 32 are dropped. */
static uint32_t varint(const uint8_t *table, size_t len, size_t at)
{
	uint32_t value = 0;

	for (unsigned int shift = 0; at < len && shift < 32; at++, shift += 6) {
		value |= (uint32_t)(table[at] & 63) << shift;
		if (!(table[at] & 64))
			break;
	}
	return value;
}

static int64_t signed_varint(const uint8_t *table, size_t len, size_t at)
{
	uint32_t value = varint(table, len, at);

	return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

int linetable__line_311(const uint8_t *table, size_t len, int first_line, uint32_t offset)
{
	int64_t line = first_line;
	uint64_t end = 0;
	size_t i = 0;

	while (i < len) {
		unsigned int kind = table[i] >> 3 & 15;

		end += ((table[i] & 7u) + 1) * 2; /* code units of two bytes */
		if (kind == ENTRY_NO_COLUMNS || kind == ENTRY_LONG)
			line += signed_varint(table, len, i + 1);
		else if (kind >= ENTRY_ONE_LINE0 && kind <= ENTRY_ONE_LINE2)
			line += kind - ENTRY_ONE_LINE0;
		if (offset < end)
			return kind == ENTRY_NONE ? NO_LINE : as_line(line);
		/* Only the first byte of an entry has its top bit set. */
		do
			i++;
		while (i < len && !(table[i] & 128));
	}
	return NO_LINE;
}
