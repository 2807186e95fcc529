#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Blocks over 512 bytes on every interpreter at hand: each allocation and free, by line, as the program says and as tracemalloc
says."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure  # noqa: E402
from lib.pythons import test_each  # noqa: E402
from lib.tap import is_, main, near, note, ok  # noqa: E402


def told_by_tracemalloc(start, orders):
    """{line: (blocks, bytes)} of what lives after the orders and did not before."""
    with start("under_tracemalloc.py", "large.py") as target:
        target.ready()
        before = target.ask("nothing")["tracemalloc_large"]
        for order in orders:
            after = target.ask(order)["tracemalloc_large"]
    return {int(place.partition(":")[2]): sums for place, sums in after.items()
            if place.startswith("large.py:") and sums != before.get(place)}


def check_against_tracemalloc(seen, truth, lines):
    """What lives on the target's own lines, in another run of the same program."""
    ok(len(lines) > 7, "lines that tracemalloc knows", lines)
    for line, (blocks, size) in lines.items():
        near(seen.lives(truth["file"], line)[1], size, 1, f"bytes of line {line}")
        is_(seen.lives(truth["file"], line)[0], blocks, f"blocks of line {line}")


def recorded(python, orders):
    """(truth, what was seen)"""
    with measure.recording(python.start, "large.py", "heap", "--budget", "none") as (target, recorder):
        for order in orders:
            truth = target.ask(order)
        recorder.stop().succeeded()
        return truth, measure.LargeBlocks(recorder.file)


def check(python):
    host.need_bpf()
    lines = told_by_tracemalloc(python.start, ["grow", "drop"])
    truth, seen = recorded(python, ["grow", "drop"])
    seen.check(truth)
    check_against_tracemalloc(seen, truth, lines)
    truth, seen = recorded(python, ["threads", "calls"])
    seen.check(truth)
    note(f"{python}: {len(lines)} lines as tracemalloc says, {len(truth['lines'])} as the program says")


test_each(check, "large blocks")

main()
