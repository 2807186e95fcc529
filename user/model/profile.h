/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The aggregate: who allocated what, where. Live capture fills it from events; a recording fills it from its tables; all
 * views read only this. Nothing here knows of BPF, /proc or SQLite.
 *
 * Dimensions: container -> process -> thread, and the stack as a node of a trie (root first) of frames. A cell holds the
 * sums of one (process, thread, node, kind). Ids are dense indexes from 0 in order of creation, so that a recording can
 * append what is new. Strings are copied in and interned.
 */
#ifndef MODEL_PROFILE_H
#define MODEL_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/deviations.h"
#include "records.h"

struct profile;

#define PROFILE_NONE UINT32_MAX

struct profile_container {
	uint64_t cgroup_id;
	const char *path; /* cgroup path */
	const char *id, *name, *runtime, *image; /* "" where not known; name falls back to path */
	uint64_t limit_bytes; /* UINT64_MAX: none; 0: not known */
	uint64_t usage_bytes, peak_bytes; /* latest; 0: not known */
	uint64_t oom_kills;
};

/* Memory of a container at a time since the recording began. */
struct profile_usage {
	uint64_t time_ns, usage_bytes;
	uint64_t oom_kills; /* ever */
};

/* What a process did and what tracing it cost; sums. */
struct profile_cost {
	uint64_t cpu_ns; /* CPU time since it was taken in */
	uint64_t cost_ns; /* CPU time that tracing took of it: programs, traps, the hook on page faults */
	uint64_t faults; /* page faults since it was taken in */
	uint64_t faults_seen; /* of those that were looked at */
};

struct profile_process {
	uint32_t tgid;
	uint32_t container; /* index, or PROFILE_NONE */
	uint64_t start_time_ticks;
	const char *command;
	const char *python; /* "3.11.2", or "" where it is not Python */
	const char *interpreter; /* path of the interpreter's file, "" */
	const char *note; /* what limits what we can say of it (coverage, reason), "" */
	uint64_t rss_bytes; /* latest; 0: not known */
	struct profile_cost cost;
	uint64_t earlier; /* processes that had this item before it (profile__reuse_process); their sums are in its own */
};

enum frame_kind {
	FRAME_PYTHON = 0,
	FRAME_NATIVE = 1,
	FRAME_REASON = 2, /* "[no python stack: ...]" and the like */
	FRAME_COLLECTOR = 3, /* the cyclic collector runs: what is above it is called by it, and what is below is where it began */
	FRAME_KIND_MAX,
};

struct profile_frame {
	uint32_t kind; /* enum frame_kind */
	int line; /* 0: none */
	const char *function;
	const char *file; /* "" for FRAME_REASON and FRAME_COLLECTOR */
};

/* Trie node. Node 0 is the root and has no frame. */
struct profile_node {
	uint32_t parent; /* index; PROFILE_NONE for the root */
	uint32_t frame;
};

struct profile_sums {
	uint64_t alloc_cnt, alloc_bytes;
	uint64_t free_cnt, free_bytes;
};

struct profile_cell {
	uint32_t process, tid, node, kind; /* kind: enum sample_kind */
	struct profile_sums sums;
	uint64_t peak_live_bytes; /* greatest alloc_bytes - free_bytes seen at the end of a second */
};

/* What made the collector run. Recordings hold these numbers: append only. */
enum gc_trigger {
	GC_TRIGGER_UNKNOWN = 0,
	GC_TRIGGER_AUTOMATIC = 1, /* objects were made */
	GC_TRIGGER_COLLECT = 2, /* gc.collect(): the leaf of the stack calls it */
	GC_TRIGGER_NATIVE = 3, /* PyGC_Collect(), called by C code */
	GC_TRIGGER_SHUTDOWN = 4, /* the interpreter is being finalised */
	/* Not a trigger: nobody watched (capture/gc_ledger.h). Only the interpreter counted them, pause_ns is estimated; */
	GC_TRIGGER_NOT_WATCHED = 5,
	GC_TRIGGER_NOT_COUNTED = 6, /* nor did it: their number is estimated, too */
	GC_TRIGGER_MAX,
};

/* One collection; beyond max_gc_second several of one thread, place and generation, with their sums. */
struct profile_gc {
	uint64_t time_ns; /* of the first */
	uint32_t process, tid, node;
	int32_t generation; /* -1: not known */
	int64_t collected; /* -1: not known */
	uint64_t pause_ns;
	uint32_t trigger; /* enum gc_trigger */
	int64_t uncollectable; /* -1: not known */
	uint64_t cnt, longest_ns; /* cnt 0, for profile__add_gc: one, and longest_ns is pause_ns */
};

#define PROFILE_GENERATIONS 3

/* What the collector of a process's main interpreter said of itself last (python/gc_state.h). */
struct profile_collector {
	uint32_t process;
	bool enabled; /* collects by itself */
	bool has_counts; /* threshold and count are known */
	int32_t threshold[PROFILE_GENERATIONS], count[PROFILE_GENERATIONS];
	/* Since the interpreter began. */
	int64_t collections[PROFILE_GENERATIONS], collected[PROFILE_GENERATIONS], uncollectable[PROFILE_GENERATIONS];
	int64_t frozen; /* objects that it leaves alone (gc.freeze); -1: not known */
};

/*
 * What is known of a process beside its numbers. Names: "allocator"; "coverage.SIGNAL": part of whole is what the signal sees of
 * what there is, text says from what that is known. "pymalloc.*": bytes in its arenas, as they were read last: part of them, whole:
 * of all arenas; "pymalloc.class.N": of blocks of N bytes, part: those that live, whole: with those free beside them.
 */
struct profile_fact {
	uint32_t process;
	const char *name, *text;
	uint64_t part, whole; /* whole 0: no share, or not known */
};
#define FACT_ALLOCATOR "allocator"
#define FACT_COVERAGE "coverage."
#define FACT_POOLS_LIVE "pymalloc.live"
#define FACT_POOLS_FREE "pymalloc.free" /* blocks, in pools where others live */
#define FACT_POOLS_EMPTY "pymalloc.empty" /* pools without a live block */
#define FACT_POOLS_UNUSED "pymalloc.unused" /* pools that were never used */
#define FACT_POOLS_CLASS "pymalloc.class."

/*
 * Bounds on growth; 0 in a field: its default. What exceeds them is merged into the parent node (the calling function) and
 * counted (profile__merged).
 */
struct profile_limits {
	uint32_t max_nodes; /* default 1 << 18 */
	uint32_t max_frames; /* default 1 << 16, or max_nodes where that is less */
	uint32_t max_cells; /* default 1 << 18 */
	uint32_t max_cells_process; /* of one process; default max_cells / 2, so that one cannot crowd out the others */
	uint64_t max_text_bytes; /* names of functions and files, and the like; default 8 MiB */
	uint32_t max_gc; /* default 1 << 16; older ones are summed and dropped */
	uint32_t max_gc_second; /* default 256, and as many of 1 ms and more; between two ticks, what exceeds it is summed */
};

int profile__new(const struct profile_limits *limits, struct profile **ret);
void profile__free(struct profile *p);

/* Adders: >= 0 is the index of the new or existing item, < 0 is -ENOMEM, or -EINVAL for an index that is not there.
 * Containers are told apart by cgroup id, processes always make a new item, frames and nodes are interned. After max_frames
 * frames, or max_text_bytes, all new ones are one frame "[more]". */
int64_t profile__add_container(struct profile *p, const struct profile_container *c);
int64_t profile__add_process(struct profile *p, const struct profile_process *c);
int64_t profile__add_frame(struct profile *p, const struct profile_frame *f);
/* parent: a node index. At max_nodes, returns parent itself and counts it. */
int64_t profile__add_node(struct profile *p, uint32_t parent, uint32_t frame);
/* The same for who may make only *left more new nodes, which counts down. */
int64_t profile__add_node_within(struct profile *p, uint32_t parent, uint32_t frame, uint32_t *left);
/*
 * Gives the item of a process that has ended to another one of the same container: whose it is (tgid, start time, command)
 * becomes the new one's, sums go on. So the items of a service that forks a worker a second do not grow without end.
 */
int profile__reuse_process(struct profile *p, uint32_t process, const struct profile_process *c);

/* Changes what may change of an item (usage, limit, name; rss, note). What is not known (NULL, 0) keeps the old; whose it
 * is (cgroup id, tgid, start time, container) never changes. */
int profile__update_container(struct profile *p, uint32_t container, const struct profile_container *c);
int profile__update_process(struct profile *p, uint32_t process, const struct profile_process *c);

/* Adds to a process's cost. */
int profile__add_cost(struct profile *p, uint32_t process, const struct profile_cost *added);

/* Keeps what a container uses now; many points are thinned out. For a writer or reader of recordings, who know times. */
int profile__add_usage(struct profile *p, uint32_t container, const struct profile_usage *u);

/* Keeps what a collector says now. 0, -ENOMEM, -EINVAL. */
int profile__set_collector(struct profile *p, const struct profile_collector *c);

/* Keeps a fact, instead of what the process's fact of that name was before. 0, -ENOMEM, -EINVAL. */
int profile__set_fact(struct profile *p, const struct profile_fact *f);

/* Adds sums to a cell. */
int profile__add(struct profile *p, uint32_t process, uint32_t tid, uint32_t node, uint32_t kind,
		 const struct profile_sums *delta);
/*
 * A cell that has sums is an estimate; by how many bytes it goes astray when a part of the sample is left out. -EINVAL: no
 * such cell (its sums were merged into another).
 */
int profile__set_deviations(struct profile *p, uint32_t process, uint32_t tid, uint32_t node, uint32_t kind,
			    const int64_t bytes[PROFILE_REPLICATES]);
/* NULL: the cell was counted, not estimated. */
const int64_t *profile__deviations(const struct profile *p, uint32_t cell);
int profile__add_gc(struct profile *p, const struct profile_gc *gc);
/* Ends a second: updates peaks; later collections are summed with none from before. */
void profile__tick(struct profile *p);

/* Named counters (drops by cause, costs): set to a value, not added. */
int profile__set_counter(struct profile *p, const char *name, uint64_t value);
/* Named facts about the recording ("host", "kernel", "signals", "duration_ns"): text. */
int profile__set_meta(struct profile *p, const char *key, const char *value);
const char *profile__meta(const struct profile *p, const char *key); /* NULL: not set */

/* Readers. Pointers stay valid until the next call that adds. */
uint32_t profile__n_containers(const struct profile *p);
uint32_t profile__n_processes(const struct profile *p);
uint32_t profile__n_frames(const struct profile *p);
uint32_t profile__n_nodes(const struct profile *p);
uint32_t profile__n_cells(const struct profile *p);
uint32_t profile__n_gc(const struct profile *p);
uint32_t profile__n_counters(const struct profile *p);
uint32_t profile__n_meta(const struct profile *p);
const struct profile_container *profile__container(const struct profile *p, uint32_t i);
const struct profile_process *profile__process(const struct profile *p, uint32_t i);
const struct profile_frame *profile__frame(const struct profile *p, uint32_t i);
const struct profile_node *profile__node(const struct profile *p, uint32_t i);
const struct profile_cell *profile__cell(const struct profile *p, uint32_t i);
const struct profile_gc *profile__gc(const struct profile *p, uint32_t i);
/* A process's cells, in no order: its first, and the next one; PROFILE_NONE: no more. */
uint32_t profile__first_cell_of(const struct profile *p, uint32_t process);
uint32_t profile__next_cell_of(const struct profile *p, uint32_t cell);
/* By number, in order of first sight; by process: NULL where nothing is known. */
uint32_t profile__n_collectors(const struct profile *p);
const struct profile_collector *profile__collector(const struct profile *p, uint32_t i);
const struct profile_collector *profile__collector_of(const struct profile *p, uint32_t process);
/* In order of first mention. */
uint32_t profile__n_facts(const struct profile *p);
const struct profile_fact *profile__fact(const struct profile *p, uint32_t i);
/* The points where a container's usage changed, oldest first; how many. */
uint32_t profile__usage(const struct profile *p, uint32_t container, const struct profile_usage **ret);
void profile__counter(const struct profile *p, uint32_t i, const char **name, uint64_t *value);
void profile__meta_at(const struct profile *p, uint32_t i, const char **key, const char **value);

/* Entries dropped at max_gc: the one at index 0 is that number, counted from the first ever. */
uint64_t profile__gc_dropped(const struct profile *p);

/* Cells whose sums changed since the last call, by index: for a writer. Calls fn with what was added, then forgets it,
 * also what came after an error of fn; returns that error. */
int profile__drain_changes(struct profile *p,
			   int (*fn)(uint32_t cell, const struct profile_sums *added, void *arg), void *arg);
/* Nodes merged into their parent, cells merged, collections summed away because of limits. */
uint64_t profile__merged(const struct profile *p);
void profile__set_merged(struct profile *p, uint64_t merged); /* for a reader of recordings */

/* Bytes of a view of one cell. */
enum profile_view { VIEW_LIVE, VIEW_ALLOC, VIEW_PEAK };
uint64_t profile_cell__value(const struct profile_cell *c, enum profile_view view);

#endif
