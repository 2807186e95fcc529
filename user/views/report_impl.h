/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What report.c made ready, and what the files that print it share. */
#ifndef VIEWS_REPORT_IMPL_H
#define VIEWS_REPORT_IMPL_H

#include "views/collector_facts.h"
#include "views/fact_groups.h"
#include "views/facts.h"
#include "views/gc_facts.h"
#include "views/mapped_facts.h"
#include "views/pool_facts.h"
#include "views/rows.h"

struct report {
	const struct profile *p;
	const struct report_opts *opts;
	struct selection selection;
	struct rows rows; /* what the table shows */
	struct rows containers;
	bool has_estimates;
	size_t top; /* rows to show, at most rows.n */
	struct {
		struct facts_gc generations[FACTS_GENERATIONS], triggers[GC_TRIGGER_MAX];
		struct facts_gc_call *calls;
		size_t n_calls;
	} gc;
	struct facts_nobody nobody;
	struct facts_cost cost;
	struct facts_note *notes;
	size_t n_notes;
	struct facts_collector *collectors;
	size_t n_collectors;
	struct fact_group *facts;
	size_t n_facts;
	struct facts_pools pools;
	struct facts_mapped mapped;
};

/* As text, a fact a line. */
void report_gc__put_runs(const struct report *r, FILE *out);
void report_gc__put_settings(const struct report *r, FILE *out);
void report_pools__put(const struct report *r, FILE *out);
void report_mapped__put(const struct report *r, FILE *out);
/* 0 or -ENOMEM. */
int report_json__print(const struct report *r, FILE *out);

#endif
