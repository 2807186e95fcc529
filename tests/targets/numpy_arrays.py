# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""numpy's buffers, which are no Python objects: `go` makes them, by line."""
import numpy
import truth

LINES = truth.labels(__file__)
KEPT = []
COUNT = 64
WORDS = 25000


def go():
    first = numpy.empty(WORDS)
    for _ in range(COUNT):
        KEPT.append(numpy.empty(WORDS))  # line: empty
    for _ in range(COUNT):
        KEPT.append(numpy.zeros(WORDS))  # line: zeros
    for _ in range(COUNT):
        KEPT.append(first + first)  # line: sum
    for _ in range(COUNT):
        first * 2.0  # line: dropped
    grown = numpy.empty(1)
    grown.resize(WORDS)  # line: resized
    KEPT.append(grown)


def main():
    size = WORDS * 8
    counts = {"empty": (COUNT, COUNT), "zeros": (COUNT, COUNT), "sum": (COUNT, COUNT), "dropped": (COUNT, 0), "resized": (1, 1)}
    for _ in truth.orders():
        go()
        truth.tell({"file": __file__, "lines": {name: {"line": LINES[name], "alloc_bytes": made * size, "live_bytes": kept * size}
                                                for name, (made, kept) in counts.items()}})


main()
