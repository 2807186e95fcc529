#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The heap signal: who holds the Python heap, counted or estimated, against tracemalloc and the allocator itself."""
import contextlib
import os
import shutil
import sqlite3
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import main, note, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402

PROGRAMS = ("dicts", "strings", "slots", "buffers", "cache", "parser", "in_turn", "bursts")
LARGEST = 10


def truth(interpreter, program, steps):
    """{FILE:LINE: bytes} of its largest lines."""
    with Process("under_tracemalloc.py", "heap_programs.py", python=interpreter.path) as target:
        lives = target.ready().ask(f"{program} {steps} 0", 120)["tracemalloc"]
    lines = {place: size for place, (_, size) in lives.items() if not place.startswith("<")}
    largest = sorted(lines, key=lambda place: -lines[place])[:LARGEST]
    # Below a hundredth of the whole, what the target itself does counts as much.
    return {place: lines[place] for place in largest if lines[place] >= sum(lines.values()) / 100}


def by_place(rows):
    told = {}
    for row in rows:
        frame = row["frame"] or {}
        told[f"{os.path.basename(frame.get('file') or frame.get('function') or '')}:{frame.get('line')}"] = row
    return told


def record(python, program, order, budget, environment=None):
    """(rows by place, bytes of small blocks, those that pymalloc says it holds, counters)"""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "heap.pms")
        with Process("heap_programs.py", python=python, environment=environment) as target:
            target.ready()
            with tool.record("--pid", target.pid, "--signals", "heap", "--budget", budget, file=file) as recorder:
                target.ask(f"{program} {order}", 300)
                pymalloc = target.ask("pymalloc")["bytes"]
                recorder.stop().succeeded()
        told = tool.report(file, "line", "--top", "100000", "--signal", "heap")
        with contextlib.closing(sqlite3.connect(file)) as database:
            small = database.execute("SELECT sum(live_bytes) FROM total WHERE kind = 'heap_pool'").fetchone()[0]
        return by_place(told["rows"] + told["other"]), small, pymalloc, told["counters"]


def check_counted(kind, release, programs):
    """Without a budget nothing is estimated: within 5 % of tracemalloc on each of the largest lines; in fact within 1 %."""
    host.need_bpf()
    interpreter = host.interpreter(kind, release)
    for program in programs:
        rows, _, _, _ = record(interpreter.path, program, "400 0", "none")
        for place, size in truth(interpreter, program, 400).items():
            got = rows.get(place, {"bytes": 0})["bytes"]
            ok(abs(got - size) <= 0.01 * size + 2048, f"{program} {place}: {got:,} of {size:,} bytes")


def check_estimated(program, steps, rounds):
    """In windows: the sum is what pymalloc says, and no line is beyond its stated error by more than chance allows."""
    host.need_bpf()
    interpreter = host.interpreter("debian", None)
    with tempfile.TemporaryDirectory() as folder:
        # A copy, in which nobody else's probes are.
        copy = os.path.join(folder, os.path.basename(interpreter.path))
        shutil.copy(interpreter.path, copy)
        rows, small, pymalloc, counters = record(copy, program, f"{steps} {rounds}", "50%", {"PYTHONHOME": interpreter.prefix})
    ok(counters["heap.windows"] >= 3, f"{counters['heap.windows']} windows")
    note(f"{program}: {counters['heap.windows']} windows, {small:,} of {pymalloc:,} bytes")
    ok(abs(small - pymalloc) <= 0.01 * pymalloc, f"{program}: {small:,} of the {pymalloc:,} bytes that pymalloc says")
    lines = truth(interpreter, program, steps)
    for place, size in lines.items():
        row = rows.get(place, {"bytes": 0, "error_bytes": None})
        note(f"{place}: {row['bytes']:,} of {size:,}, error {row['error_bytes']}")
        # None: it says itself that it does not know. Four half-widths of a 95 % interval are beyond chance.
        if row["error_bytes"] is not None and size >= 0.2 * sum(lines.values()):
            ok(abs(row["bytes"] - size) <= 4 * row["error_bytes"] + 0.1 * size,
               f"{program} {place}: {row['bytes']:,} of {size:,} bytes, stated error {row['error_bytes']:,}")


@test
def counted_where_the_allocator_is_inlined():
    check_counted("debian", None, PROGRAMS)


@test
def counted_on_3_13():
    check_counted("pyenv", "3.13", ("dicts", "cache", "bursts"))


@test
def two_lines_in_turn_by_windows():
    check_estimated("in_turn", 800, 20000)


@test
def dicts_by_windows():
    check_estimated("dicts", 1500, 20000)


@test
def a_cache_by_windows():
    check_estimated("cache", 2500, 10000)


main()
