#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The exact signal follows each block through malloc, calloc, realloc and free, of pools and beyond, on every interpreter."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.tap import is_, main, test  # noqa: E402

COUNT = 700  # of 208 bytes, nine pools of 16 KiB


def lives(start, orders):
    """(truth, the rows that live): as [label, count, bytes], by line."""
    with measure.recording(start, "calls.py", "exact") as (target, recorder):
        for order in orders:
            truth = target.ask(order)
        recorder.stop().succeeded()
        rows = tool.lines(recorder.file)
    told = [[line["label"], line["count"], line["bytes"]] for line in truth["lines"]]
    found = [tool.at(rows, truth["file"], line["line"]) for line in truth["lines"]]
    return told, [[one[0], row["count"], row["bytes"]] for one, row in zip(told, found)]


def check(python):
    host.need_bpf()
    told, found = lives(python.start, [f"go {COUNT}"])
    is_(found, told, "blocks that live, by line")
    told, found = lives(python.start, [f"go {COUNT}", "drop"])
    is_(found, told, "after all were freed")


for PYTHON in pythons():
    def one(python=PYTHON):
        check(python)
    one.__name__ = "calls on " + PYTHON.name
    test(one)

main()
