/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Numbers as a person reads them. Integer arithmetic throughout, so that the text does not depend
 * on the locale and is right up to UINT64_MAX. A value that rounds up to the next unit is shown in
 * that unit ("1.0 MiB", never "1024.0 KiB").
 */
#include "views/human.h"

#include <inttypes.h>
#include <stdio.h>

/* value / unit in tenths, rounded half up; does not overflow for any unit >= 10. */
static uint64_t tenths(uint64_t value, uint64_t unit)
{
	uint64_t rest = value % unit;

	return value / unit * 10 + (uint64_t)(((unsigned __int128)rest * 10 + unit / 2) / unit);
}

const char *human__bytes(uint64_t bytes, char *buf, size_t len)
{
	static const char units[] = "KMGTPE";
	uint64_t t, unit = 1024;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(buf, len, "%" PRIu64 " B", bytes);
		return buf;
	}
	for (t = tenths(bytes, unit); t >= 10240 && i < sizeof(units) - 2; i++) {
		unit *= 1024;
		t = tenths(bytes, unit);
	}
	snprintf(buf, len, "%" PRIu64 ".%d %ciB", t / 10, (int)(t % 10), units[i]);
	return buf;
}

const char *human__duration(uint64_t ns, char *buf, size_t len)
{
	static const struct {
		const char *name;
		uint64_t ns;
		uint64_t next; /* in tenths */
	} units[] = {{"µs", 1000, 10000}, {"ms", 1000000, 10000}, {"s", 1000000000, 600}};
	uint64_t t, s;
	size_t i;

	if (ns < 1000) {
		snprintf(buf, len, "%" PRIu64 " ns", ns);
		return buf;
	}
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		t = tenths(ns, units[i].ns);
		if (t >= units[i].next)
			continue;
		snprintf(buf, len, "%" PRIu64 ".%d %s", t / 10, (int)(t % 10), units[i].name);
		return buf;
	}
	s = ns / 1000000000 + (ns % 1000000000 >= 500000000);
	if (s < 3600)
		snprintf(buf, len, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, len, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
	else
		snprintf(buf, len, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s % 86400 / 3600);
	return buf;
}

const char *human__count(uint64_t n, char *buf, size_t len)
{
	char digits[24], text[32];
	int i, used = 0, cnt = snprintf(digits, sizeof(digits), "%" PRIu64, n);

	for (i = 0; i < cnt; i++) {
		if (i && (cnt - i) % 3 == 0)
			text[used++] = ',';
		text[used++] = digits[i];
	}
	snprintf(buf, len, "%.*s", used, text);
	return buf;
}

const char *human__percent(uint64_t part, uint64_t whole, char *buf, size_t len)
{
	unsigned __int128 t = whole ? ((unsigned __int128)part * 1000 + whole / 2) / whole : 0;

	snprintf(buf, len, "%" PRIu64 ".%d %%", (uint64_t)(t / 10), (int)(t % 10));
	return buf;
}

const char *human__share(uint64_t part, uint64_t whole, char *buf, size_t len)
{
	double percent = whole ? 100.0 * (double)part / (double)whole : 0;

	if (!whole)
		snprintf(buf, len, "share not known");
	else if (part == whole)
		snprintf(buf, len, "100 %%");
	else if (part < whole && percent > 99.99)
		snprintf(buf, len, "99.99 %%");
	else
		snprintf(buf, len, part ? "%.2f %%" : "0 %%", percent);
	return buf;
}
