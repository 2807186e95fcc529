#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Blocks over 512 bytes on every interpreter at hand: each allocation and free, by line, as the program says and as tracemalloc
says."""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.tap import is_, main, near, note, ok, skip, test  # noqa: E402
from lib.target import Process  # noqa: E402

EVERYTHING = ["--budget", "none"]


def of_line(rows, truth, line):
    row = tool.at(rows, truth["file"], line)
    return [row["count"], row["bytes"]]


def check_lines(file, truth):
    """Blocks and bytes of each line that knows what it did: allocated, and still there."""
    lives, allocated = tool.lines(file), tool.lines(file, "--view", "alloc")
    for name, line in truth["lines"].items():
        is_(of_line(allocated, truth, line["line"]), [line["alloc_cnt"], line["alloc_bytes"]], f"{name}: allocated")
        is_(of_line(lives, truth, line["line"]),
            [line["alloc_cnt"] - line["free_cnt"], line["alloc_bytes"] - line["free_bytes"]], f"{name}: lives")


def told_by_tracemalloc(start, orders):
    """{line: (blocks, bytes)} of what lives after the orders and did not before."""
    with start("under_tracemalloc.py", "large.py") as target:
        target.ready()
        before = target.ask("nothing")["tracemalloc_large"]
        for order in orders:
            after = target.ask(order)["tracemalloc_large"]
    return {int(place.partition(":")[2]): sums for place, sums in after.items()
            if place.startswith("large.py:") and sums != before.get(place)}


def check_against_tracemalloc(file, truth, lines):
    """What lives on the target's own lines, in another run of the same program."""
    lives = tool.lines(file)
    ok(len(lines) > 7, "lines that tracemalloc knows", lines)
    for line, (blocks, size) in lines.items():
        near(of_line(lives, truth, line)[1], size, 1, f"bytes of line {line}")
        is_(of_line(lives, truth, line)[0], blocks, f"blocks of line {line}")


def check(python):
    host.need_bpf()
    lines = told_by_tracemalloc(python.start, ["grow", "drop"])
    with measure.recording(python.start, "large.py", "heap", *EVERYTHING) as (target, recorder):
        for order in ["grow", "drop"]:
            truth = target.ask(order)
        recorder.stop().succeeded()
        check_lines(recorder.file, truth)
        check_against_tracemalloc(recorder.file, truth, lines)
    with measure.recording(python.start, "large.py", "heap", *EVERYTHING) as (target, recorder):
        for order in ["threads", "calls"]:
            truth = target.ask(order)
        recorder.stop().succeeded()
        check_lines(recorder.file, truth)
    note(f"{python}: {len(lines)} lines as tracemalloc says, {len(truth['lines'])} as the program says")


for PYTHON in pythons():
    def one(python=PYTHON):
        check(python)
    one.__name__ = "large blocks on " + PYTHON.name
    test(one)

main()
