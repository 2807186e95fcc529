/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The flame graph as one SVG file, root on top. Positions are percentages of the width, so that it
 * can be resized, and shows without a script; flamegraph.js adds zoom, search and the line of
 * details. Every string of the profile goes out through text__put_xml as text or as an attribute's
 * value; none goes into script or style.
 */
#include "views/flamegraph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "views/fact_groups.h"
#include "views/facts.h"
#include "views/flame_label.h"
#include "views/human.h"
#include "views/text.h"

#define WIDTH 1200	     /* pixels, before the script adapts it */
#define CHAR_WIDTH_TENTHS 72 /* of the 12 px monospaced font */
#define PARTS (WIDTH * 10)   /* frames narrower than 0.1 pixel are not drawn */
#define ROW 18
#define TOP 62
#define BAR 30

static const char style[] =
#include "user/views/flamegraph.css.inc"
	;
static const char script[] =
#include "user/views/flamegraph.js.inc"
	;

struct picture {
	const struct profile *p;
	const struct flamegraph_opts *opts;
	struct selection s;
	struct flame_tree tree;
	uint64_t total;
	uint64_t left_out;
	uint32_t rows;
	struct fact_group *facts;
	size_t n_facts;
};

static bool is_drawn(const struct picture *v, uint32_t node)
{
	return (unsigned __int128)v->tree.at[node].total * PARTS >= v->total;
}

static void measure(struct picture *v)
{
	uint32_t i = 0;

	v->total = v->tree.bytes;
	v->left_out = v->tree.left_out;
	while (v->total && i != PROFILE_NONE) {
		bool drawn = is_drawn(v, i);

		if (!drawn)
			v->left_out++;
		else if (v->tree.at[i].depth >= v->rows)
			v->rows = v->tree.at[i].depth + 1u;
		i = flame_tree__next(&v->tree, i, drawn);
	}
}

/* "12.345678": part of total in percent, exact to a thousandth of a pixel of a wide screen. */
static void put_percent(const struct picture *v, uint64_t part, FILE *out)
{
	uint64_t millionths = (uint64_t)((unsigned __int128)part * 100000000 / v->total);

	fprintf(out, "%" PRIu64 ".%06" PRIu64 "%%", millionths / 1000000, millionths % 1000000);
}

static void put_figures(const struct picture *v, uint32_t i, FILE *out)
{
	const struct flame_node *node = &v->tree.at[i];
	uint32_t container = flame_tree__container(&v->tree, i);
	char bytes[32], cnt[32], percent[32], usage[FACTS_USAGE_LEN];

	fprintf(out, "%s (%s bytes), %s of all", human__bytes(node->total, bytes, sizeof(bytes)),
		human__count(node->total, cnt, sizeof(cnt)),
		human__percent(node->total, v->total, percent, sizeof(percent)));
	if (node->self && node->self != node->total)
		fprintf(out, ", %s of them its own",
			human__bytes(node->self, bytes, sizeof(bytes)));
	if (container == PROFILE_NONE)
		return;
	if (container != i) {
		fprintf(out, ", %s of container ",
			human__percent(node->total, v->tree.at[container].total, percent,
				       sizeof(percent)));
		text__put_xml(select__container_name(&v->s, v->tree.at[container].ref), out);
	} else if (node->ref < v->s.n_containers) {
		fprintf(out, "; container: %s",
			facts__usage(profile__container(v->p, node->ref), usage, sizeof(usage)));
	}
}

/* The label as far as it fits without a script. */
static int put_label(const struct picture *v, const struct flame_node *node, const char *label,
		     FILE *out)
{
	uint64_t tenths = (uint64_t)((unsigned __int128)node->total * WIDTH * 10 / v->total);
	uint64_t room = tenths < 70 ? 0 : (tenths - 70) / CHAR_WIDTH_TENTHS;
	char *cut;

	if (room < 3)
		return 0;
	cut = text__cut_end(label, room);
	if (!cut)
		return -ENOMEM;
	text__put_xml(cut, out);
	free(cut);
	return 0;
}

static int put_frame(const struct picture *v, uint32_t i, FILE *out)
{
	const struct flame_node *node = &v->tree.at[i];
	char *label = flame_label__short(&v->tree, i), *full = flame_label__full(&v->tree, i);
	uint32_t y = TOP + node->depth * ROW;
	int err = label && full ? 0 : -ENOMEM;

	if (err)
		goto out;
	fprintf(out, "<g class=\"f\" data-o=\"%" PRIu64 "\" data-b=\"%" PRIu64 "\" data-d=\"%u\" ",
		node->offset, node->total, (unsigned int)node->depth);
	fputs("data-l=\"", out);
	text__put_xml(label, out);
	fputs("\"><title>", out);
	text__put_xml(full, out);
	putc('\n', out);
	put_figures(v, i, out);
	fputs("</title><rect x=\"", out);
	put_percent(v, node->offset, out);
	fprintf(out, "\" y=\"%" PRIu32 "\" width=\"", y);
	put_percent(v, node->total, out);
	fprintf(out, "\" height=\"%d\" rx=\"2\" fill=\"#%06" PRIx32 "\"/><text x=\"", ROW - 1,
		flame_label__colour(&v->tree, i));
	put_percent(v, node->offset, out);
	fprintf(out, "\" dx=\"4\" y=\"%" PRIu32 "\">", y + 13);
	err = put_label(v, node, label, out);
	fputs("</text></g>\n", out);
out:
	free(label);
	free(full);
	return err;
}

static void put_title(const struct picture *v, FILE *out)
{
	const char *host = profile__meta(v->p, "host");
	char signal[64];

	if (v->opts->title) {
		text__put_xml(v->opts->title, out);
		return;
	}
	fprintf(out, "pymemscope: %s memory, %s",
		select__signal(v->s.kinds, signal, sizeof(signal)), select__view_name(v->s.view));
	if (v->opts->container) {
		fputs(", ", out);
		text__put_xml(v->opts->container, out);
	}
	if (host) {
		fputs(", ", out);
		text__put_xml(host, out);
	}
}

/* How much the signals see that are drawn. */
static void put_coverage(const struct picture *v, FILE *out)
{
	char signals[64], share[32], *save, *one;

	select__signal(v->s.kinds, signals, sizeof(signals));
	for (one = strtok_r(signals, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		struct coverage_sum sum = fact_groups__coverage(v->facts, v->n_facts, one);

		if (sum.whole || sum.unknown)
			fprintf(out, ", coverage of %s", one);
		if (sum.whole)
			fprintf(out, " %s", human__share(sum.part, sum.whole, share, sizeof(share)));
		if (sum.unknown)
			fprintf(out, "%s not known in %" PRIu32 " process%s", sum.whole ? "," : "", sum.unknown,
				sum.unknown == 1 ? "" : "es");
	}
}

static void put_head(const struct picture *v, uint32_t height, FILE *out)
{
	uint64_t duration_ns = facts__duration_ns(v->p);
	char buf[32];

	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%" PRIu32
		"\" viewBox=\"0 0 %d %" PRIu32 "\">\n<title>",
		WIDTH, height, WIDTH, height);
	put_title(v, out);
	fprintf(out,
		"</title>\n<style><![CDATA[\n%s]]></style>\n<text class=\"title\" x=\"10\" "
		"y=\"26\">",
		style);
	put_title(v, out);
	fprintf(out, "</text>\n<text class=\"sub\" x=\"10\" y=\"48\">%s",
		human__bytes(v->total, buf, sizeof(buf)));
	if (duration_ns)
		fprintf(out, ", recorded %s", human__duration(duration_ns, buf, sizeof(buf)));
	put_coverage(v, out);
	if (v->left_out)
		fprintf(out, "; too narrow to draw, their bytes are in their callers: %s",
			human__count(v->left_out, buf, sizeof(buf)));
	fputs("</text>\n", out);
}

static int put_svg(const struct picture *v, FILE *out)
{
	uint32_t height = TOP + (v->rows ? v->rows : 2) * ROW + 8 + BAR, i = 0;
	int err = 0;

	put_head(v, height, out);
	if (!v->total)
		fprintf(out,
			"<text class=\"empty\" x=\"10\" y=\"%d\">nothing was recorded for this "
			"signal</text>\n",
			TOP + ROW);
	while (v->total && i != PROFILE_NONE && !err && !ferror(out)) {
		bool drawn = is_drawn(v, i);

		if (drawn)
			err = put_frame(v, i, out);
		i = flame_tree__next(&v->tree, i, drawn);
	}
	fprintf(out,
		"<g class=\"bar\"><rect x=\"0\" y=\"%" PRIu32
		"\" width=\"100%%\" height=\"%d\"/><text class=\"details\" x=\"10\" y=\"%" PRIu32
		"\">%s</text>"
		"<text class=\"matched\" x=\"%d\" y=\"%" PRIu32
		"\" text-anchor=\"end\"></text></g>\n<script><![CDATA[\n%s]]></script>\n</svg>\n",
		height - BAR, BAR, height - BAR / 2 + 4,
		v->total ? "click: zoom, / or Ctrl-F: search, Esc: back" : "", WIDTH - 10,
		height - BAR / 2 + 4, script);
	return err;
}

int flamegraph__svg(const struct profile *p, const struct flamegraph_opts *opts, FILE *out)
{
	struct picture v = {.p = p, .opts = opts};
	int err, written;

	err = select__new(p, opts->kinds, opts->view, opts->container, &v.s);
	if (err)
		return err;
	err = fact_groups__new(&v.s, &v.facts, &v.n_facts);
	if (!err)
		err = flame_tree__new(&v.s, PARTS, &v.tree);
	if (err)
		goto out;
	measure(&v);
	text__begin();
	err = put_svg(&v, out);
	written = text__finish(out);
	err = err ? err : written;
out:
	flame_tree__free(&v.tree);
	free(v.facts);
	select__free(&v.s);
	return err;
}
