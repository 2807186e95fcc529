/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * UTF-8 as RFC 3629 has it (no overlong forms, no surrogates); XML's characters as in XML 1.0,
 * section 2.2. Widths are those of East Asian Wide blocks, in short: combining marks count as one
 * column, which errs on the narrow side only.
 */
#include "views/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT 0xFFFD
#define ELLIPSIS "…"

/* 0: not UTF-8. */
static size_t decode(const char *s, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *u = (const unsigned char *)s;
	size_t len;
	uint32_t c;

	if (u[0] < 0x80) {
		*ret = u[0];
		return 1;
	}
	len = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
	if (u[0] < 0xC0 || u[0] > 0xF7)
		return 0;
	c = u[0] & (0x7F >> len);
	for (size_t i = 1; i < len; i++) {
		if ((u[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3F);
	}
	if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return 0;
	*ret = c;
	return len;
}

/* Control characters, line separators, directional overrides and isolates, byte order mark,
 * noncharacters. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x200E || c == 0x200F ||
	       (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF ||
	       (c & 0xFFFE) == 0xFFFE;
}

size_t text__next(const char *s, uint32_t *ret)
{
	size_t len = decode(s, ret);

	if (!len || is_unsafe(*ret))
		*ret = REPLACEMENT;
	return len ? len : 1;
}

static size_t char_width(uint32_t c)
{
	static const uint32_t wide[][2] = {
		{0x1100, 0x115F},   {0x2E80, 0xA4CF},	{0xAC00, 0xD7A3}, {0xF900, 0xFAFF},
		{0xFE30, 0xFE6F},   {0xFF00, 0xFF60},	{0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F},
		{0x1F900, 0x1FAFF}, {0x20000, 0x3FFFD},
	};

	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
		if (c >= wide[i][0] && c <= wide[i][1])
			return 2;
	return 1;
}

size_t text__width(const char *s)
{
	size_t width = 0;
	uint32_t c;

	while (*s) {
		s += text__next(s, &c);
		width += char_width(c);
	}
	return width;
}

static void put_char(uint32_t c, FILE *out)
{
	if (c < 0x80) {
		putc((int)c, out);
		return;
	}
	if (c < 0x800) {
		putc((int)(0xC0 | c >> 6), out);
	} else {
		if (c < 0x10000) {
			putc((int)(0xE0 | c >> 12), out);
		} else {
			putc((int)(0xF0 | c >> 18), out);
			putc((int)(0x80 | (c >> 12 & 0x3F)), out);
		}
		putc((int)(0x80 | (c >> 6 & 0x3F)), out);
	}
	putc((int)(0x80 | (c & 0x3F)), out);
}

void text__put(const char *s, FILE *out)
{
	uint32_t c;

	while (*s) {
		s += text__next(s, &c);
		put_char(c, out);
	}
}

/* Closes a memory stream; NULL if anything went wrong on it. */
static char *close_string(FILE *f, char **buf)
{
	bool failed = ferror(f);

	if (fclose(f) == 0 && !failed)
		return *buf;
	free(*buf);
	return NULL;
}

char *text__cut_start(const char *s, size_t width)
{
	size_t len, have = text__width(s);
	bool cut = have > width;
	char *buf = NULL;
	FILE *f = open_memstream(&buf, &len);
	uint32_t c;

	if (!f)
		return NULL;
	while (cut && *s && have > (width ? width - 1 : 0)) {
		s += text__next(s, &c);
		have -= char_width(c);
	}
	if (cut && width)
		fputs(ELLIPSIS, f);
	text__put(s, f);
	return close_string(f, &buf);
}

char *text__cut_end(const char *s, size_t width)
{
	size_t len, used = 0, room = text__width(s) > width ? (width ? width - 1 : 0) : width;
	char *buf = NULL;
	FILE *f = open_memstream(&buf, &len);
	uint32_t c;

	if (!f)
		return NULL;
	while (*s) {
		s += text__next(s, &c);
		used += char_width(c);
		if (used > room) {
			if (width)
				fputs(ELLIPSIS, f);
			break;
		}
		put_char(c, f);
	}
	return close_string(f, &buf);
}

char *text__utf8(const char *s)
{
	size_t len, step;
	char *buf = NULL;
	FILE *f = open_memstream(&buf, &len);
	uint32_t c;

	if (!f)
		return NULL;
	for (; *s; s += step ? step : 1) {
		step = decode(s, &c);
		put_char(step ? c : REPLACEMENT, f);
	}
	return close_string(f, &buf);
}

const char *text__basename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

void text__put_xml(const char *s, FILE *out)
{
	uint32_t c;

	while (*s) {
		s += text__next(s, &c);
		switch (c) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			put_char(c, out);
		}
	}
}

void text__begin(void)
{
	errno = 0;
}

int text__finish(FILE *out)
{
	bool failed = ferror(out);

	if (!failed)
		errno = 0;
	if (fflush(out) == 0 && !failed)
		return 0;
	if (errno == EPIPE)
		return -EPIPE;
	return errno == ENOSPC || errno == EDQUOT ? -ENOSPC : -EIO;
}
