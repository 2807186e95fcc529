# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Switches tracemalloc on when told to, keeps small blocks, runs the collector.

    trace           tracemalloc.start()
    make COUNT      keeps that many objects of a class of their own
    collect         gc.collect()
"""
import gc
import tracemalloc
import truth

KEPT = []


class Kept:
    __slots__ = ()


def main():
    for order in truth.orders():
        if order[0] == "trace":
            tracemalloc.start()
        elif order[0] == "make":
            KEPT.extend(Kept() for _ in range(int(order[1])))
        else:
            gc.collect()
        truth.tell({"kept": len(KEPT)})


main()
