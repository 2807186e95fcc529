/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "views/flame_label.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/text.h"

static char *frame_label(const struct profile_frame *f, bool full)
{
	const char *function = f->function[0] ? f->function : "[no name]";
	const char *file = full ? f->file : text__basename(f->file);
	char *text;
	int len;

	if (!f->file[0])
		return strdup(function);
	if (f->kind == FRAME_NATIVE && function[0] == '+') /* no symbol: where in the file */
		len = asprintf(&text, "%s%s", file, function);
	else if (f->line > 0)
		len = asprintf(&text, full ? "%s (%s:%d)" : "%s %s:%d", function, file, f->line);
	else
		len = asprintf(&text, full ? "%s (%s)" : "%s %s", function, file);
	return len < 0 ? NULL : text;
}

static char *label(const struct flame_tree *t, uint32_t i, bool full)
{
	const struct flame_node *node = &t->at[i];
	const struct profile *p = t->s->p;
	const struct profile_process *process;
	char *text;

	switch ((enum flame_kind)node->kind) {
	case FLAME_ROOT:
		return strdup("all");
	case FLAME_CONTAINER:
		return strdup(select__container_name(t->s, node->ref));
	case FLAME_PROCESS:
		process = profile__process(p, node->ref);
		if (asprintf(&text, "%s (%" PRIu32 ")", process->command, process->tgid) < 0)
			return NULL;
		return text;
	case FLAME_FRAME:
		return frame_label(profile__frame(p, node->ref), full);
	}
	return NULL;
}

char *flame_label__full(const struct flame_tree *t, uint32_t node)
{
	return label(t, node, true);
}

char *flame_label__short(const struct flame_tree *t, uint32_t node)
{
	return label(t, node, false);
}

/* FNV-1a, so that a colour depends on nothing but the name. */
static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h ^ h >> 15;
}

/* One channel of HSL: n is 0, 8, 4 for red, green, blue (CSS Color 4, 7.1); saturation and
 * lightness in percent. */
static uint32_t channel(int n, int hue, int saturation, int lightness)
{
	int k = (n * 30 + hue) % 360,
	    a = saturation * (lightness < 50 ? lightness : 100 - lightness);
	int x = k - 90 < 270 - k ? k - 90 : 270 - k;

	if (x < -30)
		x = -30;
	if (x > 30)
		x = 30;
	/* lightness and a/100 are percent; x/30 is -1 .. 1. */
	return (uint32_t)((lightness * 3000 - a * x) * 255 / 300000);
}

static uint32_t hsl(int hue, int saturation, int lightness)
{
	return channel(0, hue, saturation, lightness) << 16 |
	       channel(8, hue, saturation, lightness) << 8 | channel(4, hue, saturation, lightness);
}

uint32_t flame_label__colour(const struct flame_tree *t, uint32_t i)
{
	const struct flame_node *node = &t->at[i];
	const struct profile_frame *f;
	uint32_t file, function;

	switch ((enum flame_kind)node->kind) {
	case FLAME_ROOT:
		return hsl(215, 16, 84);
	case FLAME_CONTAINER:
		return hsl(215, 22, 72);
	case FLAME_PROCESS:
		return hsl(215, 20, 79);
	case FLAME_FRAME:
		break;
	}
	f = profile__frame(t->s->p, node->ref);
	file = hash(f->file);
	function = hash(f->function);
	if (f->kind == FRAME_PYTHON)
		return hsl(8 + (int)(file % 48), 82 + (int)(function % 10),
			   62 + (int)(function / 16 % 9));
	if (f->kind == FRAME_NATIVE)
		return hsl(175 + (int)(file % 50), 50, 62 + (int)(function / 16 % 9));
	if (f->kind == FRAME_COLLECTOR)
		return hsl(280, 42, 70);
	return hsl(0, 0, 74);
}
