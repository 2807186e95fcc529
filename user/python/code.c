/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reads PyCodeObject, str and bytes. The structs: CPython Include/cpython/code.h, unicodeobject.h,
 * bytesobject.h. Which line belongs to an instruction: PyFrame_GetLineNumber
 * (Objects/frameobject.c) and _PyInterpreterFrame_LASTI (Include/internal/pycore_frame.h): 3.8, 3.9
 * f_lasti is a byte offset 3.10        f_lasti counts code units of two bytes 3.11, 3.12 prev_instr
 * is the last code unit run: the call's own, or one of its inline caches, which the location table
 * covers too; one unit before the first: nothing has run yet 3.13+       instr_ptr is the
 * instruction that runs: the call's own while it is in progress So the address is used as it is,
 * with no step back, as CPython's own tracebacks do.
 */
#include "python/code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/linetable.h"

/* Longer than any name and shorter than what a random word says. What is longer than a caller's
 * limit is cut. */
#define MAX_STR_CHARS (1 << 24)
#define MAX_BYTES_SIZE (1 << 28)

/* Bits of PyASCIIObject.state; tools/layout_probe.c makes sure of them in each version. */
#define STATE_KIND(state) ((state) >> 2 & 7)
#define STATE_COMPACT (1u << 5)
#define STATE_ASCII (1u << 6)

#define REPLACEMENT                                                                                \
	0xfffd /* for surrogates (os.fsdecode makes them), nulls and what is no character */

#define CHECK_WORDS 4

uint64_t py_code__check(const uint64_t words[4])
{
	uint64_t h = 0;

	for (int i = 0; i < CHECK_WORDS; i++)
		h = PY_HASH_STEP(h, words[i]);
	return h;
}

static size_t put_utf8(char *to, uint32_t c)
{
	if (!c || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		c = REPLACEMENT;
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static uint32_t char_at(const uint8_t *chars, size_t i, unsigned int kind)
{
	uint32_t c = 0;

	memcpy(&c, chars + i * kind, kind); /* little-endian, as all machines we are built for */
	return c;
}

/* At most max bytes with the null; only whole characters. */
static char *to_utf8(const uint8_t *chars, size_t cnt, unsigned int kind, size_t max)
{
	char *text = malloc(cnt * 4 + 1 < max ? cnt * 4 + 1 : max);
	size_t len = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < cnt; i++) {
		char one[4];
		size_t n = put_utf8(one, char_at(chars, i, kind));

		if (len + n >= max)
			break;
		memcpy(text + len, one, n);
		len += n;
	}
	text[len] = 0;
	return text;
}

/* Where a str keeps its characters: behind its struct, or, in an instance of a subclass, where a
 * pointer says. */
static int find_chars(const struct mem_reader *m, const struct py_layout *l, uint64_t addr,
		      uint32_t state, uint64_t *ret)
{
	if (!(state & STATE_COMPACT))
		return mem__read_u64(m, addr + l->unicode.compact_data, ret);
	*ret = addr + (state & STATE_ASCII ? l->unicode.ascii_data : l->unicode.compact_data);
	return 0;
}

static int read_str(const struct mem_reader *m, const struct py_layout *l, uint64_t addr,
		    size_t max, char **ret)
{
	uint64_t length, chars_at;
	unsigned int kind;
	uint8_t *chars;
	uint32_t state;
	int err;

	err = mem__read_u64(m, addr + l->unicode.length, &length);
	if (!err)
		err = mem__read_u32(m, addr + l->unicode.state, &state);
	if (err)
		return err;
	kind = STATE_KIND(state);
	if (length > MAX_STR_CHARS || (kind != 1 && kind != 2 && kind != 4))
		return -EBADMSG;
	err = find_chars(m, l, addr, state, &chars_at);
	if (err)
		return err;

	if (length > max)
		length = max;
	chars = malloc(length * kind + 1);
	if (!chars)
		return -ENOMEM;
	err = length ? mem__read(m, chars_at, chars, length * kind) : 0;
	if (!err) {
		char *text = to_utf8(chars, length, kind, max);

		if (text)
			*ret = text;
		else
			err = -ENOMEM;
	}
	free(chars);
	return err;
}

static int read_bytes(const struct mem_reader *m, const struct py_layout *l, uint64_t addr,
		      uint32_t max, uint8_t **ret, uint32_t *ret_len)
{
	uint64_t size;
	uint8_t *data;
	int err;

	err = mem__read_u64(m, addr + l->bytes.size, &size);
	if (err)
		return err;
	if (size > MAX_BYTES_SIZE)
		return -EBADMSG;
	if (size > max)
		size = max;
	data = malloc(size + 1);
	if (!data)
		return -ENOMEM;
	err = size ? mem__read(m, addr + l->bytes.data, data, size) : 0;
	if (err) {
		free(data);
		return err;
	}
	*ret = data;
	*ret_len = (uint32_t)size;
	return 0;
}

/* A field that is one of the words of the check. */
static uint64_t word_of(const struct py_layout *l, const uint64_t words[CHECK_WORDS],
			uint32_t field)
{
	return words[(field - l->walk.code_filename) / sizeof(words[0])];
}

static int read_parts(const struct mem_reader *m, const struct py_layout *l,
		      const uint64_t words[CHECK_WORDS], struct py_code *c)
{
	uint32_t function = l->code.qualname == PY_NO_FIELD ? l->code.name : l->code.qualname;
	int err;

	err = read_str(m, l, word_of(l, words, l->code.filename), PY_MAX_FILENAME_BYTES,
		       &c->filename);
	if (!err)
		err = read_str(m, l, word_of(l, words, function), PY_MAX_NAME_BYTES, &c->function);
	if (!err)
		err = read_bytes(m, l, word_of(l, words, l->code.linetable), PY_MAX_LINETABLE_BYTES,
				 &c->linetable, &c->linetable_bytes);
	return err;
}

int py_code__read(const struct mem_reader *m, const struct py_layout *l, uint64_t addr,
		  struct py_code *ret)
{
	struct py_code c = {.version = l->version};
	uint64_t words[CHECK_WORDS], after[CHECK_WORDS];
	int err;

	err = mem__read(m, addr + l->walk.code_filename, words, sizeof(words));
	if (!err)
		err = mem__read(m, addr + l->code.firstlineno, &c.first_line, sizeof(c.first_line));
	if (!err)
		err = read_parts(m, l, words, &c);
	/* Read twice, so that parts of two code objects are never taken for one. */
	if (!err)
		err = mem__read(m, addr + l->walk.code_filename, after, sizeof(after));
	if (!err && memcmp(words, after, sizeof(words)))
		err = -EBADMSG;
	if (err) {
		py_code__free(&c);
		return err;
	}
	c.check = py_code__check(words);
	if (l->code.instructions != PY_NO_FIELD)
		c.instructions = addr + l->code.instructions;
	*ret = c;
	return 0;
}

void py_code__free(struct py_code *c)
{
	if (!c)
		return;
	free(c->function);
	free(c->filename);
	free(c->linetable);
	*c = (struct py_code){0};
}

/* Byte offset into the bytecode, or -1: nothing has run yet. */
static int64_t offset_of(const struct py_code *c, uint64_t instr)
{
	if (c->version >= PY_VERSION(3, 11))
		return instr < c->instructions ? -1 : (int64_t)(instr - c->instructions);
	if (c->version >= PY_VERSION(3, 10))
		return (int64_t)(int32_t)instr * 2;
	return (int32_t)instr;
}

int py_code__line(const struct py_code *c, uint64_t instr)
{
	int64_t offset = offset_of(c, instr);
	int line;

	if (offset < 0 || offset > UINT32_MAX)
		return c->first_line;
	if (c->version >= PY_VERSION(3, 11))
		line = linetable__line_311(c->linetable, c->linetable_bytes, c->first_line,
					   (uint32_t)offset);
	else if (c->version >= PY_VERSION(3, 10))
		line = linetable__line_310(c->linetable, c->linetable_bytes, c->first_line,
					   (uint32_t)offset);
	else
		line = linetable__line_38(c->linetable, c->linetable_bytes, c->first_line,
					  (uint32_t)offset);
	return line < 0 ? c->first_line : line;
}
