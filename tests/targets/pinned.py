# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Pools that cannot go back, for a few of their blocks live.

    make SECONDS   makes blocks of one size for so long, in turns of a quarter of a second: nearly all are for `bulk`; in one turn each 4th
                   is for `often`, in the next each 16th for `seldom`, spread evenly
    drop           `bulk` lets go of all of its blocks: what is free is kept by the other two, in equal parts of what was made

The truth: lines, and how many blocks each line has made.
"""
import time
import truth

LINES = truth.labels(__file__)
FIRST = b"x" * 59
WORK = [1] * 1000
KEPT = {"bulk": [], "often": [], "seldom": []}


def bulk(count):
    add = KEPT["bulk"].append
    for _ in range(count):
        add(FIRST + b".")  # line: bulk


def often():
    KEPT["often"].append(FIRST + b",")  # line: often


def seldom():
    KEPT["seldom"].append(FIRST + b";")  # line: seldom


def turn(keep, each):
    begin = time.monotonic()
    for step in range(25):
        for _ in range(1600 // each):
            bulk(each - 1)
            keep()
        while time.monotonic() < begin + step / 100:
            sum(WORK)


def make(seconds):
    """At the same pace in all turns, so that they make as much; without sleep, for windows go by CPU time."""
    for _ in range(int(seconds * 2)):
        turn(often, 4)
        turn(seldom, 16)


def run():
    for order in truth.orders():
        if order[0] == "make":
            make(float(order[1]))
        elif order[0] == "drop":
            made = len(KEPT["bulk"])
            KEPT["bulk"].clear()
        truth.tell({"file": __file__, "lines": LINES,
                    "blocks": {name: len(kept) for name, kept in KEPT.items()}, "made": made if order[0] == "drop" else None})


if __name__ == "__main__":
    run()
