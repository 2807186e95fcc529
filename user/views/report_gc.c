/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the report tells of collectors as text: how often and why they ran, who asked for it, and how they are set. */
#include <inttypes.h>

#include "views/human.h"
#include "views/report_impl.h"
#include "views/text.h"

/* Lines that call the collector, and settings; all of them are in the JSON. */
#define MOST_CALLS 8
#define MOST_SETTINGS 4

static void put_objects(const struct facts_gc *gc, FILE *out)
{
	char cnt[32];

	if (gc->collected_unknown_cnt == gc->cnt)
		fputs(", objects collected not known", out);
	else
		fprintf(out, ", %s objects collected", human__count(gc->collected, cnt, sizeof(cnt)));
	if (gc->collected_unknown_cnt && gc->collected_unknown_cnt < gc->cnt)
		fprintf(out, " (not known of %s)", human__count(gc->collected_unknown_cnt, cnt, sizeof(cnt)));
	if (gc->uncollectable)
		fprintf(out, ", %s uncollectable", human__count(gc->uncollectable, cnt, sizeof(cnt)));
	if (gc->uncollectable_unknown_cnt > gc->collected_unknown_cnt)
		fprintf(out, ", uncollectable not known of %s",
			human__count(gc->uncollectable_unknown_cnt, cnt, sizeof(cnt)));
}

static void put_sums(const struct facts_gc *gc, FILE *out)
{
	char cnt[32], pause[32], longest[32];

	fprintf(out, "%s%s collection%s, %s%s", gc->estimated_cnt ? "about " : "", human__count(gc->cnt, cnt, sizeof(cnt)),
		gc->cnt == 1 ? "" : "s", gc->not_watched_cnt ? "about " : "", human__duration(gc->pause_ns, pause, sizeof(pause)));
	if (gc->cnt > 1)
		fputs(" in total", out);
	if (gc->not_watched_cnt && gc->not_watched_cnt < gc->cnt)
		fprintf(out, " (by %s that were watched)", human__count(gc->cnt - gc->not_watched_cnt, cnt, sizeof(cnt)));
	if (gc->cnt > 1 && gc->longest_ns)
		fprintf(out, ", longest%s %s", gc->not_watched_cnt ? " of those" : "",
			human__duration(gc->longest_ns, longest, sizeof(longest)));
	put_objects(gc, out);
	putc('\n', out);
}

static void put_generations(const struct report *r, FILE *out)
{
	for (int i = 0; i < FACTS_GENERATIONS; i++) {
		if (!r->gc.generations[i].cnt)
			continue;
		if (i)
			fprintf(out, "collector, generation %d: ", i - 1);
		else
			fputs("collector, generation not known: ", out);
		put_sums(&r->gc.generations[i], out);
	}
}

static void put_place(const struct report *r, uint32_t frame, FILE *out)
{
	const struct profile_frame *f = frame == PROFILE_NONE ? NULL : profile__frame(r->p, frame);

	if (!f) {
		fputs("[no stack]", out);
		return;
	}
	if (f->file[0]) {
		text__put(f->file, out);
		if (f->line > 0)
			fprintf(out, ":%" PRId32, f->line);
		putc(' ', out);
	}
	text__put(f->function[0] ? f->function : "[no name]", out);
}

static void put_calls(const struct report *r, enum gc_trigger trigger, FILE *out)
{
	size_t alike = 0;

	for (size_t i = 0; i < r->gc.n_calls; i++) {
		const struct facts_gc_call *call = &r->gc.calls[i];

		if (call->trigger != trigger || ++alike > MOST_CALLS)
			continue;
		fputs("  at ", out);
		put_place(r, call->frame, out);
		fputs(": ", out);
		put_sums(&call->sums, out);
	}
	if (alike > MOST_CALLS)
		fprintf(out, "  and at %zu more lines (--json)\n", alike - MOST_CALLS);
}

static void put_triggers(const struct report *r, FILE *out)
{
	static const struct {
		enum gc_trigger trigger;
		const char *text;
	} triggers[] = {
		{GC_TRIGGER_AUTOMATIC, "run automatically"},
		{GC_TRIGGER_COLLECT, "run by gc.collect()"},
		{GC_TRIGGER_NATIVE, "run by C code (PyGC_Collect)"},
		{GC_TRIGGER_SHUTDOWN, "run at the interpreter's end"},
		{GC_TRIGGER_UNKNOWN, "trigger not known"},
		{GC_TRIGGER_NOT_WATCHED, "not watched, to keep the budget or before probes were there, but counted"},
		{GC_TRIGGER_NOT_COUNTED, "not watched, to keep the budget or before probes were there"},
	};

	for (size_t i = 0; i < sizeof(triggers) / sizeof(triggers[0]); i++) {
		const struct facts_gc *gc = &r->gc.triggers[triggers[i].trigger];

		if (!gc->cnt)
			continue;
		fprintf(out, "collector, %s: ", triggers[i].text);
		put_sums(gc, out);
		put_calls(r, triggers[i].trigger, out);
	}
}

/* Processes are alike in their settings, not in their counts. */
static void put_setting(const struct facts_collector *c, FILE *out)
{
	char setting[COLLECTOR_SETTING_LEN], cnt[32];

	fprintf(out, "collector of %" PRIu32 " process%s: %s", c->processes, c->processes == 1 ? "" : "es",
		collector__setting(c->like, setting, sizeof(setting)));
	if (c->processes == 1 && c->like->has_counts)
		fprintf(out, ", counts %" PRId32 ", %" PRId32 ", %" PRId32, c->like->count[0], c->like->count[1],
			c->like->count[2]);
	if (c->frozen)
		fprintf(out, "; %s objects frozen (gc.get_freeze_count)", human__count(c->frozen, cnt, sizeof(cnt)));
	if (c->frozen_unknown)
		fprintf(out, "; frozen objects not counted in %" PRIu32, c->frozen_unknown);
	if (c->uncollectable)
		fprintf(out, "; %s objects uncollectable since it began",
			human__count(c->uncollectable, cnt, sizeof(cnt)));
	putc('\n', out);
}

void report_gc__put_runs(const struct report *r, FILE *out)
{
	char cnt[32];

	put_generations(r, out);
	put_triggers(r, out);
	if (profile__gc_dropped(r->p))
		fprintf(out, "collector, %s earlier collections: not kept\n",
			human__count(profile__gc_dropped(r->p), cnt, sizeof(cnt)));
}

void report_gc__put_settings(const struct report *r, FILE *out)
{
	for (size_t i = 0; i < r->n_collectors && i < MOST_SETTINGS; i++)
		put_setting(&r->collectors[i], out);
	if (r->n_collectors > MOST_SETTINGS)
		fprintf(out, "collectors: %zu more settings (--json)\n", r->n_collectors - MOST_SETTINGS);
}
