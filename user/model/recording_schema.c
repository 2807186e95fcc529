/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The schema of a recording. Tables are laid out to stay small, views to be asked:
 *
 *   lines        bytes by container, file, line (the leaf of the stack: of its Python frames and the
 *                collector, where it has any) and kind
 *   stacks       bytes by container, process and kind for each stack, root first, as "function
 * (file:line);..." sample       what was added at each flush by process, thread, node and kind
 *   memory       usage and limit of each container over time (a row where it changed)
 *   collections  runs of the garbage collector, and where they were triggered
 *   facts        what is known of processes beside samples: their allocator, what signals see of them, what their pools hold
 *   collectors   what each collector said of itself last: enabled, thresholds, counts, frozen objects
 *
 * View `leaf` tells for each node that bytes were counted at which frame they are of: the Python leaf, or
 * the collector, where native frames stand beneath it.
 *
 * A text (function, file) is in table `text` once; view `frame` puts a place in the code together
 * again. A row of `gc` is one collection, or, of a second with very many, the sum of `cnt` of them.
 *
 * What was estimated from a sample (kind heap_pool) has a row in `estimate`: half of its 95 %
 * interval (NULL: too few samples to tell), and 16 little-endian 64-bit numbers of bytes by which it
 * goes astray when a part of the sample is left out (model/heap_weights.h).
 *
 * A sum of one second is a row of `delta`: (flush, cell) is its key, and the cell holds what never
 * changes, so a row costs about 18 bytes. Integers are 64 bits, signed; unsigned ones keep their
 * bits. Of limit_bytes -1 is no limit and 0 not known. Times are milliseconds since the first
 * flush. Rules of SQLite: https://www.sqlite.org/fileformat2.html
 */
#include "model/recording_schema.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

const char *const recording_tables[] = {"meta",	 "counter", "kind", "text",  "container",
					"process", "place",   "node", "cell",  "flush",
					"delta",	 "gc",	    "usage", "collector", "fact", "estimate", NULL};

#define BASE_TABLES                                                                                \
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"              \
	"CREATE TABLE counter(id INTEGER PRIMARY KEY, name TEXT NOT NULL, value INTEGER NOT "      \
	"NULL);"                                                                                   \
	"CREATE TABLE kind(id INTEGER PRIMARY KEY, name TEXT NOT NULL);"                           \
	"INSERT INTO kind VALUES(0, 'resident_anon'), (1, 'resident_file'),"                       \
	" (2, 'resident_shmem'), (3, 'exact'), (4, 'heap_pool'), (5, 'heap_large'),"               \
	" (6, 'mapped_arena'), (7, 'mapped_anon'), (8, 'mapped_shared'), (9, 'mapped_brk'), (10, 'advised'), (11, 'heap_pinned');" \
	"CREATE TABLE container(id INTEGER PRIMARY KEY, cgroup_id INTEGER NOT NULL,"               \
	" path TEXT NOT NULL, container_id TEXT NOT NULL, name TEXT NOT NULL,"                     \
	" runtime TEXT NOT NULL, image TEXT NOT NULL, limit_bytes INTEGER NOT NULL,"               \
	" usage_bytes INTEGER NOT NULL, peak_bytes INTEGER NOT NULL, oom_kills INTEGER NOT NULL);" \
	"CREATE TABLE process(id INTEGER PRIMARY KEY, tgid INTEGER NOT NULL, container INTEGER,"   \
	" start_time_ticks INTEGER NOT NULL, command TEXT NOT NULL, python TEXT NOT NULL,"         \
	" interpreter TEXT NOT NULL, note TEXT NOT NULL, rss_bytes INTEGER NOT NULL,"              \
	" earlier INTEGER NOT NULL, cpu_ns INTEGER NOT NULL, cost_ns INTEGER NOT NULL, faults INTEGER NOT NULL,"             \
	" faults_seen INTEGER NOT NULL);"

/* kind of frame: 0 Python, 1 native, 2 a reason instead of a frame, 3 the collector (enum frame_kind). */
#define STACK_TABLES                                                                               \
	"CREATE TABLE text(id INTEGER PRIMARY KEY, text TEXT NOT NULL);"                           \
	"CREATE TABLE place(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, line INTEGER NOT NULL," \
	" function INTEGER NOT NULL, file INTEGER NOT NULL);"                                      \
	"CREATE VIEW frame AS SELECT place.id, kind, line, name.text AS function,"                 \
	" path.text AS file FROM place JOIN text AS name ON name.id = place.function"              \
	" JOIN text AS path ON path.id = place.file;"                                              \
	"CREATE TABLE node(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL,"                       \
	" frame INTEGER NOT NULL);"

#define TIME_TABLES                                                                                \
	"CREATE TABLE cell(id INTEGER PRIMARY KEY, process INTEGER NOT NULL, tid INTEGER NOT "     \
	"NULL,"                                                                                    \
	" node INTEGER NOT NULL, kind INTEGER NOT NULL);"                                          \
	"CREATE TABLE flush(id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL);"                    \
	"CREATE TABLE delta(flush INTEGER, cell INTEGER, alloc_cnt INTEGER NOT NULL,"              \
	" alloc_bytes INTEGER NOT NULL, free_cnt INTEGER NOT NULL, free_bytes INTEGER NOT NULL,"   \
	" PRIMARY KEY(flush, cell)) WITHOUT ROWID;"                                                \
	"CREATE TABLE gc(id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL,"                        \
	" process INTEGER NOT NULL, tid INTEGER NOT NULL, node INTEGER NOT NULL,"                  \
	" generation INTEGER NOT NULL, collected INTEGER NOT NULL, pause_ns INTEGER NOT NULL,"     \
	" cnt INTEGER NOT NULL, longest_ns INTEGER NOT NULL, trigger INTEGER NOT NULL,"           \
	" uncollectable INTEGER NOT NULL);"                                     \
	"CREATE TABLE estimate(cell INTEGER PRIMARY KEY, error_bytes INTEGER," \
	" deviations BLOB NOT NULL);" \
	"CREATE TABLE usage(time_ms INTEGER, container INTEGER, usage_bytes INTEGER NOT NULL,"     \
	" limit_bytes INTEGER NOT NULL, oom_kills INTEGER NOT NULL,"                               \
	" PRIMARY KEY(time_ms, container)) WITHOUT ROWID;"

/* A row where something changed; NULL: not known. Statistics are since the interpreter began. */
#define COLLECTOR_TABLES                                                                           \
	"CREATE TABLE collector(process INTEGER, time_ms INTEGER, enabled INTEGER NOT NULL,"       \
	" threshold0 INTEGER, threshold1 INTEGER, threshold2 INTEGER, count0 INTEGER,"             \
	" count1 INTEGER, count2 INTEGER, frozen INTEGER, collections0 INTEGER NOT NULL,"          \
	" collected0 INTEGER NOT NULL, uncollectable0 INTEGER NOT NULL,"                           \
	" collections1 INTEGER NOT NULL, collected1 INTEGER NOT NULL,"                             \
	" uncollectable1 INTEGER NOT NULL, collections2 INTEGER NOT NULL,"                         \
	" collected2 INTEGER NOT NULL, uncollectable2 INTEGER NOT NULL,"                           \
	" PRIMARY KEY(process, time_ms)) WITHOUT ROWID;"

/* name and text: ids of texts; part of whole: a share, where whole is not 0. */
#define FACT_TABLES                                                                                \
	"CREATE TABLE fact(process INTEGER, name INTEGER, text INTEGER NOT NULL,"                  \
	" part INTEGER NOT NULL, whole INTEGER NOT NULL, PRIMARY KEY(process, name)) WITHOUT ROWID;" \
	"CREATE VIEW facts AS SELECT process.tgid, name.text AS name, content.text AS text,"       \
	" part, whole, CASE WHEN whole > 0 THEN round(100.0 * part / whole, 2) END AS percent"     \
	" FROM fact JOIN process ON process.id = fact.process JOIN text AS name ON name.id = fact.name" \
	" JOIN text AS content ON content.id = fact.text;"

#define SUM_VIEWS                                                                                  \
	"CREATE VIEW sample AS SELECT time_ms, process, tid, node, kind.name AS kind, alloc_cnt,"  \
	" alloc_bytes, free_cnt, free_bytes FROM delta JOIN flush ON flush.id = delta.flush"       \
	" JOIN cell ON cell.id = delta.cell JOIN kind ON kind.id = cell.kind;"                     \
	"CREATE VIEW total AS SELECT cell.id AS cell, process, tid, node, kind.name AS kind,"      \
	" sum(alloc_cnt) AS alloc_cnt, sum(alloc_bytes) AS alloc_bytes,"                           \
	" sum(free_cnt) AS free_cnt, sum(free_bytes) AS free_bytes,"                               \
	" max(0, sum(alloc_bytes) - sum(free_bytes)) AS live_bytes"                                \
	" FROM delta JOIN cell ON cell.id = delta.cell JOIN kind ON kind.id = cell.kind"           \
	" GROUP BY cell.id;"                                                                       \
	"CREATE VIEW leaf AS WITH RECURSIVE up(node, at) AS ("                                     \
	"SELECT DISTINCT node, node FROM cell UNION ALL SELECT up.node, node.parent FROM up"       \
	" JOIN node ON node.id = up.at JOIN place ON place.id = node.frame"                        \
	" WHERE place.kind = 1 AND node.parent > 0)"                                               \
	" SELECT up.node, CASE WHEN place.kind IN (0, 3) THEN place.id ELSE own.frame END AS frame"  \
	" FROM (SELECT node, min(at) AS at FROM up GROUP BY node) AS up"                           \
	" JOIN node ON node.id = up.at JOIN place ON place.id = node.frame"                        \
	" JOIN node AS own ON own.id = up.node;"                                                   \
	"CREATE VIEW lines AS SELECT container.name AS container, frame.file, frame.line,"         \
	" frame.function, total.kind, sum(live_bytes) AS live_bytes,"                              \
	" sum(alloc_bytes) AS alloc_bytes, sum(alloc_cnt) AS alloc_cnt"                            \
	" FROM total JOIN process ON process.id = total.process"                                   \
	" LEFT JOIN container ON container.id = process.container"                                 \
	" LEFT JOIN leaf ON leaf.node = total.node LEFT JOIN frame ON frame.id = leaf.frame"       \
	" GROUP BY container.id, frame.id, total.kind ORDER BY live_bytes DESC;"

#define STACK_VIEWS                                                                                \
	"CREATE VIEW stacks AS WITH RECURSIVE up(node, at, stack) AS ("                            \
	"SELECT DISTINCT node, node, '' FROM cell UNION ALL"                                       \
	" SELECT up.node, node.parent, frame.function || CASE WHEN frame.file = '' THEN ''"        \
	" ELSE ' (' || frame.file || CASE WHEN frame.line > 0 THEN ':' || frame.line ELSE '' END"  \
	" || ')' END ||"                                                                           \
	" CASE WHEN stack = '' THEN '' ELSE ';' || stack END"                                      \
	" FROM up JOIN node ON node.id = up.at JOIN frame ON frame.id = node.frame)"               \
	" SELECT container.name AS container, process.tgid, process.command, total.kind,"          \
	" up.stack, sum(live_bytes) AS live_bytes, sum(alloc_bytes) AS alloc_bytes"                \
	" FROM total JOIN up ON up.node = total.node AND up.at = 0"                                \
	" JOIN process ON process.id = total.process"                                              \
	" LEFT JOIN container ON container.id = process.container"                                 \
	" GROUP BY process.id, total.kind, total.node ORDER BY live_bytes DESC;"

#define TIME_VIEWS                                                                                 \
	"CREATE VIEW memory AS SELECT time_ms, container.name AS container, usage.usage_bytes,"    \
	" CASE WHEN usage.limit_bytes > 0 THEN usage.limit_bytes END AS limit_bytes,"              \
	" CASE WHEN usage.limit_bytes > 0"                                                         \
	" THEN round(100.0 * usage.usage_bytes / usage.limit_bytes, 1) END AS percent"             \
	" FROM usage JOIN container ON container.id = usage.container;"                            \
	"CREATE VIEW collections AS SELECT time_ns / 1000000 AS time_ms,"                          \
	" container.name AS container, process.tgid, gc.tid, nullif(generation, -1) AS generation,"  \
	" nullif(collected, -1) AS collected,"                                                     \
	" pause_ns / 1000.0 AS pause_us, frame.function, frame.file, frame.line,"                  \
	" gc.cnt AS runs, longest_ns / 1000.0 AS longest_us, CASE gc.trigger"                      \
	" WHEN 1 THEN 'automatic' WHEN 2 THEN 'gc.collect' WHEN 3 THEN 'native' WHEN 4 THEN"       \
	" 'shutdown' WHEN 5 THEN 'not watched' WHEN 6 THEN 'not watched, estimated' END AS trigger, nullif(uncollectable, -1) AS uncollectable"                                       \
	" FROM gc JOIN process ON process.id = gc.process"                                         \
	" LEFT JOIN container ON container.id = process.container"                                 \
	" LEFT JOIN node ON node.id = gc.node LEFT JOIN frame ON frame.id = node.frame;"           \
	"CREATE VIEW collectors AS SELECT container.name AS container, process.tgid,"              \
	" max(collector.time_ms) AS time_ms, enabled, threshold0, threshold1, threshold2, count0," \
	" count1, count2, frozen, collections0 + collections1 + collections2 AS collections,"      \
	" collected0 + collected1 + collected2 AS collected,"                                      \
	" uncollectable0 + uncollectable1 + uncollectable2 AS uncollectable"                       \
	" FROM collector JOIN process ON process.id = collector.process"                           \
	" LEFT JOIN container ON container.id = process.container GROUP BY process.id;"

#define STRING(x) #x
#define VALUE(x) STRING(x)

const char recording_schema[] = "PRAGMA application_id = " VALUE(
	RECORDING_APPLICATION_ID) ";"
				  "PRAGMA user_version = " VALUE(
					  RECORDING_FORMAT) ";" BASE_TABLES STACK_TABLES TIME_TABLES
					  COLLECTOR_TABLES FACT_TABLES SUM_VIEWS STACK_VIEWS TIME_VIEWS;

/* The disk, a quota or the limit on a file's size: to a person all the same. */
static bool is_full(int err)
{
	return err == ENOSPC || err == EDQUOT || err == EFBIG;
}

static int system_errno(sqlite3 *db, int fallback)
{
	int now = errno, err = db ? sqlite3_system_errno(db) : 0;

	if (is_full(err) || (!err && is_full(now)))
		return -ENOSPC;
	return err ? -err : -fallback;
}

int recording_schema__errno(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return -EACCES;
	case SQLITE_NOTADB:
		return -EMEDIUMTYPE;
	case SQLITE_CANTOPEN:
		return system_errno(db, ENOENT);
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_SHORT_READ ? -EBADMSG : system_errno(db, EIO);
	default:
		return -EBADMSG;
	}
}
