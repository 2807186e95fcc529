#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The gc signal sees each collection that gc.callbacks tells of."""
import contextlib
import os
import sqlite3
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import is_, main, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402


def check(interpreter):
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder, Process("gc_loop.py", python=interpreter.path) as target:
        file = os.path.join(folder, "gc.pms")
        target.ready()
        with tool.record("--pid", target.pid, "--signals", "gc", file=file) as recorder:
            told = []
            for order in ("auto 20000", "collect 0 7", "collect 1 5", "collect 2 3"):
                told += target.ask(order)["collections"]
            recorder.stop().succeeded()
        report = tool.report(file)
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            pauses = [row[0] for row in db.execute("SELECT pause_ns FROM gc ORDER BY time_ns")]
    seen = {one["generation"]: one for one in report["gc"]}
    notes = [note["note"] for note in report["notes"]]
    if not seen and any("collect" in note or "gc" in note for note in notes):
        host.tap.skip("; ".join(notes))
    ok(seen, f"no collections in the report, and no note that says why: {notes}")
    for key, want in (("collections", len(told)), ("collected", sum(one["collected"] for one in told))):
        is_(sum(one[key] for one in seen.values()), want, key)
    for generation, one in seen.items():
        truth = sum(each["generation"] == generation for each in told)
        # 3.13 chooses the generation of an automatic collection inside the collector: those are seen under None.
        if generation is not None:
            ok(one["collections"] == truth or None in seen and one["collections"] < truth,
               f"generation {generation}: {one['collections']} of {truth} collections")
    check_pauses(pauses, [each["pause_ns"] for each in told])


def check_pauses(seen, told):
    """The target's own clock runs around the collector (up to 3.12) or inside it: never the same, and on a busy machine
    often apart, when the target loses its CPU between the two, and our own traps are in its time. The median tells."""
    is_(len(seen), len(told), "pauses in the recording")
    off = statistics.median(abs(a - b) - max(100_000, b * 0.05) for a, b in zip(seen, told))
    ok(off <= 0, f"half of the pauses are more than 5 % or 100 us off: {list(zip(seen, told))[:10]}")


@test
def on_debians_python():
    check(host.interpreter("debian"))


@test
def on_3_11():
    check(host.interpreter("pyenv", "3.11"))


@test
def on_3_13():
    check(host.interpreter("pyenv", "3.13"))


main()
