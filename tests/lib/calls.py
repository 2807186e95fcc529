# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Recording tests/targets/calls.py, each of whose lines calls an allocator in a way of its own."""
from . import measure, tap, tool

COUNT = 700  # of 208 bytes, nine pools of 16 KiB


def lives(start, orders, domain="object"):
    """(truth, the rows that live): as [label, count, bytes], by line."""
    with measure.recording(start, "calls.py", "exact", args=[domain]) as (target, recorder):
        for order in orders:
            truth = target.ask(order)
        recorder.stop().succeeded()
        rows = tool.lines(recorder.file)
    told = [[line["label"], line["count"], line["bytes"]] for line in truth["lines"]]
    found = [tool.at(rows, truth["file"], line["line"]) for line in truth["lines"]]
    return told, [[one[0], row["count"], row["bytes"]] for one, row in zip(told, found)]


def check(start, what):
    """What lives, by line; and nothing of it once all was freed."""
    told, found = lives(start, [f"go {COUNT}"])
    tap.is_(found, told, f"{what}: blocks that live, by line")
    told, found = lives(start, [f"go {COUNT}", "drop"])
    tap.is_(found, told, f"{what}: after all were freed")
