/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The report as text: containers and how near they are to their limit, the table, and what limits
 * its truth (losses, notes). Everything is made ready before the first byte is written. Strings of
 * the traced processes are made safe for a terminal by views/text.c.
 */
#include "views/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "views/human.h"
#include "views/report_impl.h"
#include "views/table.h"
#include "views/text.h"

#define DEFAULT_TOP 20
#define DEFAULT_WIDTH 110
#define LEAST_WIDTH 80
/* Containers above the table; all of them are in the report by container. */
#define HEADER_CONTAINERS 8
/* Facts of one name below it. */
#define MOST_ALIKE 4

static size_t line_width(FILE *out)
{
	int fd = fileno(out);
	struct winsize size;

	if (fd < 0 || !isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) || !size.ws_col)
		return DEFAULT_WIDTH;
	return size.ws_col < LEAST_WIDTH ? LEAST_WIDTH : size.ws_col;
}

static void put_container(const struct report *r, const struct row *row, int name_width, FILE *out)
{
	const struct profile_container *c = profile__container(r->p, row->container);
	uint64_t ns = facts__time_to_limit_ns(r->p, row->container);
	const char *name = select__container_name(&r->selection, row->container);
	char buf[FACTS_USAGE_LEN];

	fputs("container ", out);
	text__put(name, out);
	fprintf(out, "%*s", name_width - (int)text__width(name) + 2, "");
	fputs(facts__usage(c, buf, sizeof(buf)), out);
	if (c->peak_bytes)
		fprintf(out, ", peak %s", human__bytes(c->peak_bytes, buf, sizeof(buf)));
	if (c->oom_kills)
		fprintf(out, ", killed by the kernel %" PRIu64 " time%s (out of memory)",
			c->oom_kills, c->oom_kills == 1 ? "" : "s");
	if (ns)
		fprintf(out, ", limit reached in about %s", human__duration(ns, buf, sizeof(buf)));
	putc('\n', out);
}

static void put_containers(const struct report *r, FILE *out)
{
	size_t shown = 0, all = 0, width = 0;

	for (size_t i = 0; i < r->containers.n; i++) {
		uint32_t c = r->containers.at[i].container;
		size_t w = text__width(select__container_name(&r->selection, c));

		if (c == r->selection.n_containers || ++all > HEADER_CONTAINERS)
			continue;
		width = w > width ? w : width;
	}
	for (size_t i = 0; i < r->containers.n && shown < HEADER_CONTAINERS; i++) {
		const struct row *row = &r->containers.at[i];

		if (row->container == r->selection.n_containers)
			continue;
		put_container(r, row, width > 40 ? 40 : (int)width, out);
		shown++;
	}
	if (all > shown)
		fprintf(out, "and %zu more containers (--by container)\n", all - shown);
}

static const char *meaning(const struct report *r, bool several)
{
	bool resident = r->selection.kinds & (1u << KIND_RESIDENT_ANON | 1u << KIND_RESIDENT_FILE |
					      1u << KIND_RESIDENT_SHMEM);
	bool mapped = r->selection.kinds & 1u << KIND_MAPPED_ANON, pinned = r->selection.kinds & 1u << KIND_HEAP_PINNED;

	if (several && r->selection.view != VIEW_PEAK)
		return "summed over signals that see the same memory";
	switch (r->selection.view) {
	case VIEW_LIVE:
		return resident ? "made resident and not yet given back"
		       : mapped ? "asked of the kernel and not yet given back"
		       : pinned ? "free, in pools that live blocks of these lines keep"
				: "allocated and not yet freed";
	case VIEW_ALLOC:
		return resident ? "made resident, given back or not"
		       : mapped ? "asked of the kernel, given back or not"
		       : pinned ? "came to be kept, from one reading to the next"
				: "allocated, freed or not";
	case VIEW_PEAK:
		return "the most that was live at once, row by row";
	}
	return "";
}

static void put_heading(const struct report *r, FILE *out)
{
	uint64_t duration_ns = facts__duration_ns(r->p);
	const char *view = select__view_name(r->selection.view);
	char signal[64], bytes[32], cnt[32], duration[32];

	select__signal(r->selection.kinds, signal, sizeof(signal));
	human__bytes(r->rows.bytes, bytes, sizeof(bytes));
	human__count(r->rows.cnt, cnt, sizeof(cnt));
	fprintf(out, "signal %s, view %s (%s): %s in %s %s%s", signal, view, meaning(r, strchr(signal, ',')), bytes, cnt,
		strcmp(signal, "resident") == 0 ? "fault" : strcmp(signal, "mapped") == 0 ? "call" : "block", r->rows.cnt == 1 ? "" : "s");
	if (duration_ns)
		fprintf(out, ", recorded %s",
			human__duration(duration_ns, duration, sizeof(duration)));
	putc('\n', out);
}

/* The other signals of the recording, and how to see them. */
static void put_also(const struct report *r, FILE *out)
{
	uint32_t others = select__recorded(r->p) & ~r->selection.kinds;
	char signals[64];

	if (others)
		fprintf(out, "also recorded: %s (--signal NAME shows it)\n", select__signal(others, signals, sizeof(signals)));
}

/* What is told at each reading anew has no history. */
static bool has_allocated(const struct report *r)
{
	return r->selection.kinds != 1u << KIND_HEAP_PINNED;
}

static bool by_code(const struct report *r)
{
	return r->opts->by == REPORT_BY_FUNCTION || r->opts->by == REPORT_BY_LINE;
}

/* More than one container in the table: then rows say which. */
static bool has_several(const struct report *r)
{
	for (size_t i = 1; i < r->rows.n; i++)
		if (r->rows.at[i].container != r->rows.at[0].container)
			return true;
	return false;
}

/* Some of the table was estimated from a sample: then a column tells how sure it is. */
static bool has_estimates(const struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		if (rows->at[i].estimated)
			return true;
	return false;
}

static void add_columns(const struct report *r, struct table *t)
{
	enum report_by by = r->opts->by;

	table__column(t, "BYTES", COLUMN_NUMBER);
	if (r->has_estimates)
		table__column(t, "ERROR", COLUMN_NUMBER);
	table__column(t, "SHARE", COLUMN_NUMBER);
	if (by_code(r))
		table__column(t, "TOTAL", COLUMN_NUMBER);
	if (by == REPORT_BY_CONTAINER) {
		table__column(t, "GROWTH", COLUMN_NUMBER);
		table__column(t, "USAGE", COLUMN_NUMBER);
		table__column(t, "LIMIT", COLUMN_NUMBER);
		table__column(t, "USED", COLUMN_NUMBER);
		table__column(t, "NAME", COLUMN_NAME);
		table__column(t, "TOP LINE", COLUMN_PATH);
		return;
	}
	table__column(t, "COUNT", COLUMN_NUMBER);
	if (has_allocated(r))
		table__column(t, "ALLOCATED", COLUMN_NUMBER);
	if (by_code(r)) {
		table__column(t, by == REPORT_BY_LINE ? "FILE:LINE" : "FILE", COLUMN_PATH);
		table__column(t, "FUNCTION", COLUMN_NAME);
	} else {
		table__column(t, "TGID", COLUMN_NUMBER);
		table__column(t, by == REPORT_BY_THREAD ? "TID" : "RSS", COLUMN_NUMBER);
		if (by == REPORT_BY_PROCESS)
			table__column(t, "PYTHON", COLUMN_NUMBER);
		if (by == REPORT_BY_PROCESS && r->cost.sum.cpu_ns)
			table__column(t, "COST", COLUMN_NUMBER);
		table__column(t, "COMMAND", COLUMN_NAME);
		table__column(t, "TOP LINE", COLUMN_PATH);
	}
	if (has_several(r))
		table__column(t, "CONTAINER", COLUMN_NAME);
}

static void add_bytes(struct table *t, uint64_t bytes)
{
	char buf[32];

	table__cell(t, bytes ? human__bytes(bytes, buf, sizeof(buf)) : "-");
}

/* Half of the 95 % interval. */
static void add_error(struct table *t, const struct row *row)
{
	double error = row__error(row);
	char buf[32] = "-";

	if (row->bytes && !(error <= 1))
		strcpy(buf, ">100 %");
	else if (row->bytes && row->estimated)
		snprintf(buf, sizeof(buf), "%.1f %%", 100 * error);
	table__cell(t, buf);
}

static void add_place(const struct report *r, struct table *t, uint32_t frame, bool with_line)
{
	const struct profile_frame *f;
	char *text = NULL;

	if (frame == PROFILE_NONE) {
		table__cell(t, "[no stack]");
		return;
	}
	f = profile__frame(r->p, frame);
	if (!f->file[0])
		table__cell(t, f->function[0] ? f->function : "[no name]");
	else if (!with_line || f->line <= 0)
		table__cell(t, f->file);
	else if (asprintf(&text, "%s:%d", f->file, f->line) < 0)
		t->err = -ENOMEM;
	else
		table__cell(t, text);
	free(text);
}

static void add_top_line(const struct report *r, struct table *t, const struct row *row)
{
	if (row->bytes)
		add_place(r, t, row->frame, true);
	else
		table__cell(t, "");
}

static void add_code(const struct report *r, struct table *t, const struct row *row)
{
	const struct profile_frame *f =
		row->frame == PROFILE_NONE ? NULL : profile__frame(r->p, row->frame);

	add_place(r, t, row->frame, r->opts->by == REPORT_BY_LINE);
	table__cell(t, f && f->file[0] ? f->function : "");
}

static void add_command(struct table *t, const struct profile_process *p)
{
	char *text = NULL;

	if (!p || !p->earlier)
		table__cell(t, p ? p->command : "");
	else if (asprintf(&text, "%s (and %" PRIu64 " before it)", p->command, p->earlier) < 0)
		t->err = -ENOMEM;
	else
		table__cell(t, text);
	free(text);
}

static void add_process(const struct report *r, struct table *t, const struct row *row)
{
	const struct profile_process *process = row->process < profile__n_processes(r->p)
							? profile__process(r->p, row->process)
							: NULL;
	char buf[32];

	snprintf(buf, sizeof(buf), "%" PRIu32, process ? process->tgid : 0);
	table__cell(t, buf);
	if (r->opts->by == REPORT_BY_THREAD) {
		snprintf(buf, sizeof(buf), "%" PRIu32, row->tid);
		table__cell(t, row->tid ? buf : "-"); /* of no thread: there before, given back */
	} else {
		add_bytes(t, process ? process->rss_bytes : 0);
		table__cell(t, process && process->python[0] ? process->python : "-");
		if (r->cost.sum.cpu_ns)
			table__cell(t, process ? facts__cost_share(&process->cost, buf, sizeof(buf)) : "-");
	}
	add_command(t, process);
	add_top_line(r, t, row);
}

static void add_container(const struct report *r, struct table *t, const struct row *row)
{
	static const struct profile_container none = {.path = "", .name = ""};
	const struct profile_container *c = row->container < r->selection.n_containers
						    ? profile__container(r->p, row->container)
						    : &none;
	uint64_t growth =
		(uint64_t)(row->growth_bytes < 0 ? -row->growth_bytes : row->growth_bytes);
	char bytes[32], buf[48];

	snprintf(buf, sizeof(buf), "%c%s", row->growth_bytes < 0 ? '-' : '+',
		 human__bytes(growth, bytes, sizeof(bytes)));
	table__cell(t, growth ? buf : "-");
	add_bytes(t, c->usage_bytes);
	if (c->limit_bytes == UINT64_MAX)
		table__cell(t, "no limit");
	else
		add_bytes(t, c->limit_bytes);
	if (c->usage_bytes && c->limit_bytes && c->limit_bytes != UINT64_MAX)
		table__cell(t, human__percent(c->usage_bytes, c->limit_bytes, buf, sizeof(buf)));
	else
		table__cell(t, "-");
	table__cell(t, select__container_name(&r->selection, row->container));
	add_top_line(r, t, row);
}

static void add_row(const struct report *r, struct table *t, const struct row *row, bool several)
{
	char buf[32];

	add_bytes(t, row->bytes);
	if (r->has_estimates)
		add_error(t, row);
	table__cell(t,
		    row->bytes ? human__percent(row->bytes, r->rows.bytes, buf, sizeof(buf)) : "-");
	if (by_code(r))
		add_bytes(t, row->total_bytes);
	if (r->opts->by == REPORT_BY_CONTAINER) {
		add_container(r, t, row);
		return;
	}
	table__cell(t, row->cnt ? human__count(row->cnt, buf, sizeof(buf)) : "-");
	if (has_allocated(r))
		add_bytes(t, row->alloc_bytes);
	if (by_code(r))
		add_code(r, t, row);
	else
		add_process(r, t, row);
	if (several)
		table__cell(t, select__container_name(&r->selection, row->container));
}

/* By container and process the memory of nobody is in the rows: it is in theirs. */
static void put_nobody(const struct report *r, FILE *out)
{
	char buf[32];

	if (r->nobody.before_bytes)
		fprintf(out, "%s%s %s there before tracing began\n",
			human__bytes(r->nobody.before_bytes, buf, sizeof(buf)),
			by_code(r) ? "" : " of them", has_allocated(r) ? "were" : "are kept by blocks that were");
	if (r->nobody.given_back_bytes)
		fprintf(out, "%s were given back by lines not known: not taken away above\n",
			human__bytes(r->nobody.given_back_bytes, buf, sizeof(buf)));
	if (r->nobody.not_watched_bytes)
		fprintf(out, "%s came in while page faults were not watched: rows above may be too small by as much\n",
			human__bytes(r->nobody.not_watched_bytes, buf, sizeof(buf)));
	if (r->nobody.not_followed_bytes)
		fprintf(out, "%s lived when they were followed last, and may be freed since: of no row above\n",
			human__bytes(r->nobody.not_followed_bytes, buf, sizeof(buf)));
}

/* It makes little resident but copies: it writes to the header of each object. Less is not worth a word. */
#define COLLECTOR_TELLING_BYTES (1 << 20)

static void put_collector(const struct report *r, FILE *out)
{
	uint64_t bytes = 0;
	char buf[32];

	for (size_t i = 0; i < r->rows.n; i++) {
		const struct row *row = &r->rows.at[i];

		if (row->frame != PROFILE_NONE && profile__frame(r->p, row->frame)->kind == FRAME_COLLECTOR)
			bytes += row->bytes;
	}
	if (by_code(r) && r->selection.kinds >> KIND_RESIDENT_ANON & 1 && bytes >= COLLECTOR_TELLING_BYTES)
		fprintf(out, "the collector made %s resident: in a forked worker, by copying what it shared "
			     "(gc.freeze() before the fork keeps it shared)\n",
			human__bytes(bytes, buf, sizeof(buf)));
}

static void put_left_out(const struct report *r, size_t top, size_t n, FILE *out)
{
	uint64_t bytes = 0, unmatched = r->rows.unmatched_bytes;
	char buf[32];

	if (!by_code(r))
		unmatched -= r->nobody.given_back_bytes;
	for (size_t i = top; i < n; i++)
		bytes += r->rows.at[i].bytes;
	if (top < n)
		fprintf(out, "and %zu more row%s with %s\n", n - top, n - top == 1 ? "" : "s",
			human__bytes(bytes, buf, sizeof(buf)));
	if (r->selection.view == VIEW_LIVE && unmatched)
		fprintf(out,
			"%s freed or given back, not known by which rows: not taken away above\n",
			human__bytes(unmatched, buf, sizeof(buf)));
	put_nobody(r, out);
	put_collector(r, out);
}

static void put_dearest(const struct report *r, FILE *out)
{
	const struct profile_process *p = profile__process(r->p, r->cost.dearest);
	char share[32];

	if (!p || r->cost.n_processes < 2 || r->cost.budget <= 0 || p->cost.cost_ns <= 1.1 * r->cost.budget * p->cost.cpu_ns)
		return;
	fprintf(out, "; the most %s, of process %" PRIu32,
		facts__cost_share(&p->cost, share, sizeof(share)), p->tgid);
}

/* Short runs cost more than the budget. */
static void put_advance(const struct report *r, FILE *out)
{
	double earned_ns = r->cost.budget * r->cost.sum.cpu_ns, cost_ns = r->cost.sum.cost_ns;

	if (r->cost.budget > 0 && r->cost.sum.cpu_ns >= FACTS_LEAST_CPU_NS && cost_ns > 1.1 * earned_ns &&
	    cost_ns <= earned_ns + (double)r->cost.advance_ns * r->cost.n_processes)
		fprintf(out, "; up to %" PRIu64 " ms a process are spent in advance, by those that began later together",
			r->cost.advance_ns / 1000000);
}

static void put_cost(const struct report *r, FILE *out)
{
	const struct profile_cost *c = &r->cost.sum;
	char took[32], of[32], share[32], cnt[32];

	if (!c->cpu_ns)
		return;
	fprintf(out, "tracing took %s of %s of CPU time", human__duration(c->cost_ns, took, sizeof(took)),
		human__duration(c->cpu_ns, of, sizeof(of)));
	if (c->cpu_ns >= FACTS_LEAST_CPU_NS)
		fprintf(out, ": %s", facts__cost_share(c, share, sizeof(share)));
	if (r->cost.budget >= 0)
		fprintf(out, r->cost.budget > 0 ? " (budget %g %%)" : " (no budget)", 100 * r->cost.budget);
	put_advance(r, out);
	put_dearest(r, out);
	if (c->faults_seen && c->faults_seen < c->faults)
		fprintf(out, "\n%.3g %% of %s page faults were looked at, and stand for the others",
			100.0 * c->faults_seen / c->faults, human__count(c->faults, cnt, sizeof(cnt)));
	if (r->cost.hook_share < 0.9995)
		fprintf(out, "; page faults were watched for %.1f %% of the time", 100 * r->cost.hook_share);
	putc('\n', out);
}

/* Pymalloc as it is needs no word. */
static void put_fact(const struct fact_group *g, FILE *out)
{
	const char *signal = fact_group__signal(g);
	char share[32];

	if (!signal && (strcmp(g->name, FACT_ALLOCATOR) || !strcmp(g->text, "pymalloc")))
		return;
	if (signal) {
		fputs("coverage of ", out);
		text__put(signal, out);
		fprintf(out, " in ");
	} else {
		fputs("allocator of ", out);
	}
	fprintf(out, "%" PRIu32 " process%s: ", g->processes, g->processes == 1 ? "" : "es");
	if (signal)
		fprintf(out, "%s, ", human__share(g->part, g->whole, share, sizeof(share)));
	text__put(g->text, out);
	if (signal && g->whole > g->processes)
		fprintf(out, " (%" PRIu64 " of %" PRIu64 ")", g->part, g->whole);
	putc('\n', out);
}

static void put_facts(const struct report *r, FILE *out)
{
	size_t alike = 0, left = 0;

	for (size_t i = 0; i < r->n_facts; i++) {
		alike = i && !strcmp(r->facts[i].name, r->facts[i - 1].name) ? alike + 1 : 0;
		if (alike < MOST_ALIKE)
			put_fact(&r->facts[i], out);
		else
			left++;
	}
	if (left)
		fprintf(out, "and %zu more allocators and coverages (--json)\n", left);
}

static void put_losses(const struct report *r, FILE *out)
{
	uint64_t value, merged = profile__merged(r->p);
	const char *name;
	char buf[32];

	for (uint32_t i = 0; i < profile__n_counters(r->p); i++) {
		profile__counter(r->p, i, &name, &value);
		if (!facts__is_loss(name, value))
			continue;
		fprintf(out, "lost: %s ", human__count(value, buf, sizeof(buf)));
		text__put(facts__loss(name), out);
		putc('\n', out);
	}
	if (merged)
		fprintf(out, "merged into their callers to bound memory: %s\n",
			human__count(merged, buf, sizeof(buf)));
	for (uint32_t i = 0; i < profile__n_counters(r->p); i++) {
		profile__counter(r->p, i, &name, &value);
		if (value && facts__merge(name))
			fprintf(out, "merged to bound memory: %s %s\n", human__count(value, buf, sizeof(buf)),
				facts__merge(name));
	}
	for (size_t i = 0; i < r->n_notes; i++) {
		fprintf(out, "note, %" PRIu32 " process%s: ", r->notes[i].processes,
			r->notes[i].processes == 1 ? "" : "es");
		text__put(r->notes[i].text, out);
		putc('\n', out);
	}
}

/* Rows that say something: not the lines that were only seen to free. They are last. */
static size_t count_rows(const struct report *r)
{
	size_t n = r->rows.n;

	for (; n && by_code(r); n--) {
		const struct row *row = &r->rows.at[n - 1];

		if (row->bytes || row->total_bytes || row->alloc_bytes)
			break;
	}
	return n;
}

/* A recording of signal gc alone has no memory to tell of. */
static bool is_of_memory(const struct report *r)
{
	const char *signals = profile__meta(r->p, "signals");

	return !signals || strcmp(signals, "gc") || r->rows.n;
}

static int put_memory(const struct report *r, const struct table *t, size_t top, size_t n, FILE *out)
{
	int err = 0;

	put_heading(r, out);
	put_also(r, out);
	putc('\n', out);
	if (n)
		err = table__print(t, line_width(out), out);
	else
		fputs("nothing was recorded for this signal\n", out);
	put_left_out(r, top, n, out);
	return err;
}

static int put_text(const struct report *r, struct table *t, FILE *out)
{
	size_t n = count_rows(r), top = r->top < n ? r->top : n;
	bool several = has_several(r);
	char duration[32];
	int err = 0;

	add_columns(r, t);
	for (size_t i = 0; i < top; i++)
		add_row(r, t, &r->rows.at[i], several);
	if (t->err)
		return t->err;
	put_containers(r, out);
	if (is_of_memory(r))
		err = put_memory(r, t, top, n, out);
	else
		fprintf(out, "signal gc, recorded %s\n",
			human__duration(facts__duration_ns(r->p), duration, sizeof(duration)));
	putc('\n', out);
	report_gc__put_runs(r, out);
	put_cost(r, out);
	report_gc__put_settings(r, out);
	report_pools__put(r, out);
	report_mapped__put(r, out);
	put_facts(r, out);
	put_losses(r, out);
	return err;
}

static int prepare(struct report *r)
{
	size_t top = r->opts->top ? r->opts->top : DEFAULT_TOP;
	int err = rows__new(&r->selection, r->opts->by, &r->rows);

	if (err)
		return err;
	err = rows__new(&r->selection, REPORT_BY_CONTAINER, &r->containers);
	if (err)
		return err;
	r->top = r->rows.n < top ? r->rows.n : top;
	r->has_estimates = has_estimates(&r->rows);
	r->nobody = facts__nobody(&r->selection);
	r->cost = facts__cost(&r->selection);
	r->mapped = facts__mapped(&r->selection);
	facts__gc(&r->selection, r->gc.generations, r->gc.triggers);
	err = facts__gc_calls(&r->selection, &r->gc.calls, &r->gc.n_calls);
	err = err ? err : facts__collectors(&r->selection, &r->collectors, &r->n_collectors);
	err = err ? err : fact_groups__new(&r->selection, &r->facts, &r->n_facts);
	r->pools = facts__pools(r->facts, err ? 0 : r->n_facts);
	if (err)
		return err;
	return facts__notes(&r->selection, &r->notes, &r->n_notes);
}

int report__print(const struct profile *p, const struct report_opts *opts, FILE *out)
{
	struct report r = {.p = p, .opts = opts};
	struct table t = {0};
	int err, written;

	err = select__new(p, opts->kinds, opts->view, opts->container, &r.selection);
	if (err)
		return err;
	err = prepare(&r);
	if (err)
		goto out;
	text__begin();
	err = opts->json ? report_json__print(&r, out) : put_text(&r, &t, out);
	written = text__finish(out);
	err = err ? err : written;
out:
	table__free(&t);
	free(r.notes);
	free(r.gc.calls);
	free(r.collectors);
	free(r.facts);
	rows__free(&r.containers);
	rows__free(&r.rows);
	select__free(&r.selection);
	return err;
}
