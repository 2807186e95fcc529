# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Objects of many types, made and kept, so that every way of the allocator is gone: for the exact signal's coverage.

    make N    about N objects of each type; stays
    drop      all of it is freed

The truth of both: how many blocks the allocator has out, as the runtime itself counts them (sys.getallocatedblocks()),
and had before the first order.
"""
import array
import json
import sys
import truth


class Slots:
    __slots__ = ("a", "b")


class Plain:
    def __init__(self):
        self.x = 1


def parse(count):
    return json.loads("[" + ",".join('{"a%d": [1.5, "x%d", null]}' % (i, i) for i in range(count)) + "]")


MAKERS = [
    lambda n: ["x%d" % i for i in range(n)],
    lambda n: [b"%040d" % i for i in range(n)],
    lambda n: list(range(10**6, 10**6 + n)),
    lambda n: [i + .5 for i in range(n)],
    lambda n: [{i: 1} for i in range(n)],
    lambda n: [dict.fromkeys(range(20)) for _ in range(n // 10)],
    lambda n: [Slots() for _ in range(n)],
    lambda n: [Plain() for _ in range(n)],
    lambda n: [[i, i] for i in range(n)],
    lambda n: [[j for j in range(200)] for _ in range(n // 100)],
    lambda n: [(i, i, i) for i in range(n)],
    lambda n: [{i} for i in range(n)],
    lambda n: [(lambda x: x) for _ in range(n)],
    lambda n: [(x for x in ()) for _ in range(n)],
    lambda n: [bytes(1000) for _ in range(n // 10)],
    lambda n: [bytearray(30) for _ in range(n)],
    lambda n: [array.array("d", [1.0] * 100) for _ in range(n // 10)],
    lambda n: ("a,b,c d," * (n // 4)).split(","),
    lambda n: [",".join(("abc", "def")) for _ in range(n)],
    lambda n: parse(n // 10),
]


def main():
    kept = []
    before = sys.getallocatedblocks()
    for order in truth.orders():
        if order[0] == "make":
            for make in MAKERS:
                kept.append(make(int(order[1])))
        elif order[0] == "drop":
            kept.clear()
        truth.tell({"before": before, "blocks": sys.getallocatedblocks()})


main()
