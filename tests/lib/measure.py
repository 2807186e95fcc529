# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Each signal on one interpreter, against what the target says of itself. Numbers only: tests and tools/matrix judge.

`start` is a function like Python.start (lib/pythons.py): a script of tests/targets in, a running target out.
"""
import contextlib
import os
import re
import sqlite3
import statistics
import tempfile
from collections import Counter

from . import tap, tool


@contextlib.contextmanager
def recording(start, script, signals, *options, args=()):
    """(target, recorder) while it is recorded; recorder.file remains until the end."""
    with tempfile.TemporaryDirectory() as folder, start(script, *args) as target:
        target.ready()
        file = os.path.join(folder, "measure.pms")
        with tool.record("--pid", target.pid, "--signals", signals, *options, file=file) as recorder:
            yield target, recorder


def rows(file, query):
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


class LargeBlocks:
    """Blocks over 512 bytes in a recording, by line."""

    def __init__(self, file):
        self._lines = {(path, line): sums for path, line, *sums in rows(
            file, "SELECT CASE WHEN frame.line > 0 THEN frame.file ELSE '' END, max(coalesce(frame.line, 0), 0), "
                  "sum(alloc_cnt), sum(alloc_bytes), sum(free_cnt), sum(free_bytes) FROM total JOIN leaf ON leaf.node = total.node JOIN frame ON frame.id = leaf.frame "
                  "WHERE total.kind = 'heap_large' GROUP BY 1, 2")}

    def at(self, path, line):
        """[blocks, bytes] allocated, [blocks, bytes] freed; what is of no Python line is at ("", 0)."""
        sums = self._lines.get((path, line), [0] * 4)
        return sums[:2], sums[2:]

    def lives(self, path, line):
        allocated, freed = self.at(path, line)
        return [allocated[0] - freed[0], allocated[1] - freed[1]]

    def check(self, truth):
        """Each line of a target that tells alloc_cnt, alloc_bytes, free_cnt and free_bytes of it."""
        for name, line in truth["lines"].items():
            want = [line["alloc_cnt"], line["alloc_bytes"]], [line["free_cnt"], line["free_bytes"]]
            tap.is_(self.at(truth["file"], line["line"]), want, f"{name}: blocks and bytes allocated, freed")


# What the kernel counts as VmData.
MAPPED_DATA = ("mapped_arena", "mapped_anon", "mapped_brk")


class Mapped:
    """Rows of a recording: what lives by (file, line), by function and by kind; by kind and line what was ever taken."""

    def __init__(self, file):
        self.lines, self.functions, self.kinds, self.taken, self.at = {}, {}, {}, {}, {}
        for path, line, function, kind, taken, given in rows(
                file, "SELECT frame.file, frame.line, frame.function, total.kind, sum(alloc_bytes), sum(free_bytes) FROM total "
                      "JOIN leaf ON leaf.node = total.node JOIN frame ON frame.id = leaf.frame "
                      "WHERE total.kind LIKE 'mapped_%' OR total.kind = 'advised' GROUP BY 1, 2, 3, 4"):
            for sums, key in ((self.lines, (path, line)), (self.functions, function), (self.kinds, kind)):
                sums[key] = sums.get(key, 0) + taken - given
            self.at[path, line, kind] = self.at.get((path, line, kind), 0) + taken
            self.taken[kind] = self.taken.get(kind, 0) + taken

    def data(self):
        return sum(self.kinds.get(kind, 0) for kind in MAPPED_DATA)

    def lines_off(self, truth):
        """{label: (told, truth)} of the lines of targets/mapped.py that are not told to the byte."""
        off = {}
        for what, line in truth["lines"].items():
            told = self.functions.get(line["function"], 0) if "function" in line else \
                self.lines.get((truth["file"], line["line"]), 0)
            # A thread's guard page is within its stack, or beside it, by version of glibc.
            if abs(told - line["bytes"]) > (8192 if "function" in line else 0):
                off[what] = (told, line["bytes"])
        return off


def python_stacks(file):
    """[(stack, bytes)] of anonymous memory made resident, by Python stack: without the native frames beneath it."""
    return rows(file, """
        WITH RECURSIVE up(node, at, stack) AS (
            SELECT DISTINCT node, node, '' FROM cell UNION ALL
            SELECT up.node, node.parent, CASE kind WHEN 1 THEN '' ELSE frame.function ||
                CASE frame.file WHEN '' THEN '' ELSE ' (' || frame.file || ':' || frame.line || ')' END ||
                CASE stack WHEN '' THEN '' ELSE ';' || stack END END
            FROM up JOIN node ON node.id = up.at JOIN frame ON frame.id = node.frame)
        SELECT stack, sum(alloc_bytes) FROM total JOIN up ON up.node = total.node AND up.at = 0
        WHERE kind = 'resident_anon' GROUP BY stack""")


class Stacks:
    """All stacks of a recording's signal with what was ever counted, as the flame graph shows them."""

    def __init__(self, file, signal="resident"):
        folded = f"{file}.{signal}.folded"
        tool.run("flamegraph", file, "--signal", signal, "--view", "alloc", "-o", folded).succeeded()
        self.bytes = Counter()
        with open(folded, encoding="utf-8") as lines:
            for line in lines:
                stack, _, size = line.rpartition(" ")
                self.bytes[tuple(stack.split(";")[2:])] += int(size)

    def beneath(self, frame):
        """{native frames beneath `frame`: bytes}, by function's name, or file+0x..., of stacks with that Python leaf."""
        found = Counter()
        for stack, size in self.bytes.items():
            python = [at for at, one in enumerate(stack) if one == frame or re.search(r":\d+\)$", one)]
            if python and stack[python[-1]] == frame:
                found[tuple(one.partition(" (/")[0] for one in stack[python[-1] + 1:])] += size
        return found


def notes(file):
    return [note["note"] for note in tool.report(file)["notes"]]


SIGNALS = "resident,gc"  # as by default, without the budget
CUT = "[stack is cut: deeper than 128 frames]"
COLLECTOR = "[collector]"  # no frame of its own
# Whether gc.callbacks run within what is probed depends on the version, and on the kind of the probe.
OF_CALLBACKS = re.compile(r"\[collector\];(?=(collector_callback\.<locals>\.)?callback \()")
MAX_FRAMES = 128


def stacks(start, samples, seed, how="go", packages=()):
    """{"truth": {stack: pages}, "seen": {stack: pages}, "wrong": {stack: pages}, "elsewhere": {stack: pages}, "kinds", "without"}

    seen: stacks of the truth. wrong: stacks that end on a line that touches pages, and never were. elsewhere: what else
    was counted meanwhile, such as stacks that could not be walked, and the truth's own bookkeeping. A stack of more than
    128 frames is told, on both sides, by the mark and its last 128.
    """
    with recording(start, "stack_truth.py", SIGNALS, "--budget", "none", args=packages) as (target, recorder):
        told = target.ask(f"{how} {samples} {seed}")
        recorder.stop().succeeded()
        counted = python_stacks(recorder.file)
        counters = dict(rows(recorder.file, "SELECT name, value FROM counter"))
    page = os.sysconf("SC_PAGESIZE")
    truth = Counter()
    for pages, *stack in told["stacks"]:
        truth[as_recorded(stack, told["frames"])] += pages
    passed = {as_recorded(stack, told["frames"]) for stack in told["passed"]}
    leaves = {stack.rpartition(";")[2] for stack in truth}
    result = {"truth": dict(truth), "seen": {}, "wrong": {}, "elsewhere": {}, "kinds": told["kinds"],
              "without": told["without"], "counters": counters}
    for stack, n in counted:
        stack = as_cut(OF_CALLBACKS.sub("", stack or ""), truth)
        where = ("seen" if stack in truth else
                 "wrong" if stack.rpartition(";")[2] in leaves and stack not in passed else "elsewhere")
        result[where][stack] = result[where].get(stack, 0) + n // page
    return result


def as_recorded(stack, texts):
    """stack: numbers of frames, leaf first."""
    frames = [texts[number] for number in stack]
    cut = MAX_FRAMES + (COLLECTOR in frames[:MAX_FRAMES])
    kept = frames[cut - 1::-1]
    return OF_CALLBACKS.sub("", ";".join([CUT, *kept] if len(frames) > cut else kept))


def as_cut(stack, truth):
    """In a stack that is cut, frames that the interpreter puts there for itself (3.12+: under an __init__) have taken a
    place each: then it is told by less than 128."""
    frames = stack.split(";")[1:]
    if not stack.startswith(CUT) or not MAX_FRAMES - 8 <= len(frames) < MAX_FRAMES:
        return stack
    return next((one for one in truth if one.startswith(CUT) and one.endswith(stack[len(CUT):])), stack)


def stacks_missing(result):
    """Stacks of the truth that were not seen."""
    return [stack for stack in result["truth"] if stack not in result["seen"]]


def stacks_off(result):
    """[(stack, pages seen, pages of the truth)] of right stacks with too few pages. A page may be charged to the fault before
    it or after it, when a second thread faults; and the interpreter may touch pages of its own on the same line."""
    return [(stack, result["seen"].get(stack, 0), n) for stack, n in result["truth"].items()
            if result["seen"].get(stack, 0) < n - max(2, n // 10)]


def blocks(start, orders):
    """{"made", "live", "allocated", "unknown_freed"}: blocks that live by the runtime's own count, by the recording's, that
    were allocated, and those freed that were there before."""
    with recording(start, "blocks.py", "exact") as (target, recorder):
        for order in orders:
            truth = target.ask(order)
        recorder.stop().succeeded()
        live, allocated = [sum(row["count"] for row in tool.lines(recorder.file, *view))
                           for view in ([], ["--view", "alloc"])]
        unknown = rows(recorder.file, "SELECT value FROM counter WHERE name = 'free_of_unknown_block'")
        said = notes(recorder.file)
    return {"made": truth["blocks"] - truth["before"], "live": live, "allocated": allocated, "notes": said,
            "unknown_freed": sum(value for value, in unknown)}


def leak(start, count, block_bytes):
    """{"truth", "seen"}: bytes of a line that keeps blocks, each page written to."""
    with recording(start, "leak_at_line.py", SIGNALS, "--budget", "none", args=[7]) as (target, recorder):
        truth = target.ask(f"go {count} {block_bytes}")
        recorder.stop().succeeded()
        seen = tool.at(tool.lines(recorder.file), truth["file"], truth["line"])["bytes"]
    return {"truth": truth["bytes"], "seen": seen}


HEAP_LINES = 10


def heap_lines(start, program, steps, limit_s=120, times=1):
    """({FILE:LINE: bytes} of the largest lines of a program of heap_programs.py, bytes of all of them), as tracemalloc says on the
    same interpreter. Below a hundredth of the whole, what the target itself does counts as much."""
    with start("under_tracemalloc.py", "heap_programs.py") as target:
        target.ready()
        for _ in range(times):
            lives = target.ask(f"{program} {steps} 0", limit_s)["tracemalloc"]
    lines = {place: size for place, (_, size) in lives.items() if not place.startswith("<")}
    whole = sum(lines.values())
    largest = sorted(lines, key=lambda place: -lines[place])[:HEAP_LINES]
    return {place: lines[place] for place in largest if lines[place] >= whole / 100}, whole


def by_place(told):
    """{FILE:LINE: row} of a report by line."""
    places = {}
    for row in told["rows"] + told["other"]:
        frame = row["frame"] or {}
        places[f"{os.path.basename(frame.get('file') or frame.get('function') or '')}:{frame.get('line')}"] = row
    return places


def heap_windows(file):
    """That a recorder has opened so far."""
    return sum(value for value, in rows(file, "SELECT value FROM counter WHERE name = 'heap.windows'"))


def counted(start, program, order):
    """By line, what lives of a program of heap_programs.py as the exact signal counts it."""
    with recording(start, "heap_programs.py", "exact") as (target, recorder):
        target.ask(f"{program} {order}", 300)
        recorder.stop().succeeded()
        return by_place(tool.report(recorder.file, "line", "--top", "100000", "--signal", "exact"))


MOST_TIMES = 20


def heap(start, program, order, *options, windows=0):
    """{"before", "after", "small", "rows", "counters", "notes", "times"}: bytes in small blocks by pymalloc's own count before and
    after, those that the recording has, its rows by line. The order is given again until so many windows were opened, which the
    machine may be too busy for at first: in all `times`."""
    with recording(start, "heap_programs.py", "heap", *options) as (target, recorder):
        before = target.ask("pymalloc")["bytes"]
        for times in range(1, MOST_TIMES + 1):
            target.ask(f"{program} {order}", 300)
            if not windows or heap_windows(recorder.file) >= windows:
                break
        after = target.ask("pymalloc")["bytes"]
        recorder.stop().succeeded()
        told = tool.report(recorder.file, "line", "--top", "100000", "--signal", "heap")
        small = rows(recorder.file, "SELECT sum(live_bytes) FROM total WHERE kind = 'heap_pool'")[0][0] or 0
        return {"before": before, "after": after, "small": small, "rows": by_place(told), "counters": told["counters"],
                "notes": notes(recorder.file), "times": times}


TRIGGERS = ["unknown", "automatic", "gc.collect", "native", "shutdown", "not watched", "not watched, estimated"]
COLLECTIONS = ["auto 20000", "nested 10", "collect 0 7", "collect 1 5", "collect 2 3", "index 2", "native 3", "uncollectable 2"]


def collections(start, orders, *options):
    """{"truth", "seen": [{"generation", "collected", "pause_ns", ...}], "at_end": [likewise], "stats", "coverage", "notes",
    "report", "text", "named"}, in order of time; at_end: those after the last order, when the target ends; stats: what
    gc.get_stats() gained by all but the first order, which is "first" collections; named: the triggers' names."""
    with recording(start, "gc_loop.py", "gc", *options) as (target, recorder):
        told = [target.ask(order) for order in orders]
        truth = [one for order in told for one in order["collections"]]
        target.ask("enable")
        # Told a second after the interpreter's own count was looked at.
        tool.wait_until(lambda: rows(recorder.file, "SELECT count(*) FROM facts WHERE name = 'coverage.gc' AND text LIKE "
                                                    "'measured%' AND percent > 0") == [(1,)], "coverage that was measured")
        target.close()
        recorder.wait().succeeded()
        names = ("generation", "collected", "pause_ns", "trigger", "uncollectable", "line", "function")
        seen = [dict(zip(names, one), trigger=TRIGGERS[one[3]]) for one in rows(
            recorder.file, "SELECT generation, collected, pause_ns, trigger, uncollectable, line, function FROM gc "
                           "LEFT JOIN node ON node.id = gc.node LEFT JOIN frame ON frame.id = node.frame ORDER BY time_ns")]
        named = [name for name, in rows(recorder.file, "SELECT trigger FROM collections ORDER BY time_ms")]
        report = tool.report(recorder.file)
        text = tool.run("report", recorder.file).succeeded().out
    return {"truth": truth, "file": told[0]["file"], "notes": [note["note"] for note in report["notes"]],
            "coverage": [one for one in report["coverage"] if one["signal"] == "gc"], "report": report, "text": text,
            "first": len(told[0]["collections"]), "named": named,
            "stats": [{key: after[key] - before[key] for key in after} for before, after in zip(told[0]["stats"], told[-1]["stats"])],
            "seen": seen[:len(truth)], "at_end": seen[len(truth):]}


def pause_errors_ns(result):
    """Of each collection. The target's own clock runs around the collector (up to 3.12) or inside it: never quite the same, and
    on a busy machine apart, when the target loses its CPU between the two."""
    return [seen["pause_ns"] - told["pause_ns"] for seen, told in zip(result["seen"], result["truth"])]


def median_pause_error_ns(result):
    return statistics.median(map(abs, pause_errors_ns(result)))
