# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Makes cyclic garbage; the truth about each collection comes from gc.callbacks.

    auto CYCLES             makes that many cycles and lets the collector run by itself
    collect GENERATION N    N times: makes 1,000 cycles, then gc.collect(GENERATION)
    nested N                N times: gc.collect() with a finaliser that calls gc.collect(), which does nothing

Between orders the collector is off, so that nothing is collected that no order asked for. time_ns is CLOCK_MONOTONIC
at the start, pause_ns between the two callbacks: a little more than the collector itself takes.
"""
import gc
import time
import truth

LINES = truth.labels(__file__)
COLLECTIONS = []
STARTED = [0]


def watch(phase, info):
    if phase == "start":
        STARTED[0] = time.monotonic_ns()
        return
    end = time.monotonic_ns()
    COLLECTIONS.append({"generation": info["generation"], "collected": info["collected"],
                        "uncollectable": info["uncollectable"], "time_ns": STARTED[0], "pause_ns": end - STARTED[0]})


def make_cycles(count):
    for _ in range(count):
        knot = []
        knot.append(knot)  # line: auto


def collect(generation, times):
    for _ in range(times):
        make_cycles(1000)
        gc.collect(generation)  # line: collect


class Collects:
    def __del__(self):
        gc.collect()


def collect_nested(times):
    for _ in range(times):
        knot = Collects()
        knot.knot = knot
        del knot
        make_cycles(1000)
        gc.collect()


def main():
    gc.disable()
    gc.collect()
    gc.callbacks.append(watch)
    for order in truth.orders():
        COLLECTIONS.clear()
        if order[0] == "auto":
            gc.enable()
            make_cycles(int(order[1]))
            gc.disable()
        elif order[0] == "nested":
            collect_nested(int(order[1]))
        else:
            collect(int(order[1]), int(order[2]))
        truth.tell({"file": __file__, "collect_line": LINES["collect"], "collections": COLLECTIONS,
                    "stats": gc.get_stats()})


main()
