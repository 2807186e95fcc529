# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Makes cyclic garbage; the truth about each collection comes from gc.callbacks.

    auto CYCLES             makes that many cycles and lets the collector run by itself
    collect GENERATION N    N times: makes 1,000 cycles, then gc.collect(GENERATION)
    nested N                N times: gc.collect() with a finaliser that calls gc.collect(), which does nothing
    index N                 N times: gc.collect() of a number whose __index__ makes so much garbage that the collector runs
    native N                N times: PyGC_Collect(), as C code calls it
    uncollectable N         N objects of which the next gc.collect(), which follows at once, can't dispose
    enable                  leaves the collector on, for the end of the program, but never due

Between orders the collector is off, so that nothing is collected that no order asked for. `trigger` is what the program did
when it ran, and `line` and `function` where it was. time_ns is CLOCK_MONOTONIC at the start, pause_ns between the two
callbacks: a little more than the collector itself takes.
"""
import ctypes
import gc
import sys
import time
import truth

LINES = truth.labels(__file__)
COLLECTIONS = []
STARTED = [0]
PLACE = [None]
TRIGGER = [None]
# PyTypeObject.tp_del, Include/cpython/object.h, 3.8-3.15 on 64-bit machines.
TP_DEL = 376
NEVER = 100_000_000


def watch(phase, info):
    if phase == "start":
        running = sys._getframe().f_back
        PLACE[0] = {"line": running.f_lineno, "function": running.f_code.co_name} if running else {}
        STARTED[0] = time.monotonic_ns()
        return
    end = time.monotonic_ns()
    COLLECTIONS.append({"generation": info["generation"], "collected": info["collected"],
                        "uncollectable": info["uncollectable"], "time_ns": STARTED[0], "pause_ns": end - STARTED[0],
                        "trigger": TRIGGER[0], **PLACE[0]})


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
        gc.collect()  # line: collect_nested


class Number:
    """An argument of gc.collect() that has the collector run while it is looked at."""

    def __index__(self):
        TRIGGER[0] = "automatic"
        gc.enable()
        make_cycles(3000)
        gc.disable()
        TRIGGER[0] = "gc.collect"
        return 1


def collect_number(times):
    for _ in range(times):
        gc.collect(Number())  # line: collect_number


def collect_native(times):
    threshold = gc.get_threshold()
    gc.set_threshold(NEVER)
    gc.enable()
    for _ in range(times):
        make_cycles(100)
        ctypes.pythonapi.PyGC_Collect()  # line: native
    gc.disable()
    gc.set_threshold(*threshold)


class Uncollectable:
    """Has a finaliser of the old kind, which only types made in C can have: in a cycle it ends in gc.garbage."""


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def finalise(_):
    pass


def collect_uncollectable(count):
    ctypes.c_void_p.from_address(id(Uncollectable) + TP_DEL).value = ctypes.cast(finalise, ctypes.c_void_p).value
    for _ in range(count):
        knot = Uncollectable()
        knot.knot = knot
    del knot
    make_cycles(10)
    gc.collect()  # line: collect_uncollectable


def main():
    gc.disable()
    gc.collect()
    gc.callbacks.append(watch)
    for order in truth.orders():
        COLLECTIONS.clear()
        TRIGGER[0] = {"auto": "automatic", "native": "native"}.get(order[0], "gc.collect")
        if order[0] == "auto":
            gc.enable()
            make_cycles(int(order[1]))
            gc.disable()
        elif order[0] == "nested":
            collect_nested(int(order[1]))
        elif order[0] == "index":
            collect_number(int(order[1]))
        elif order[0] == "native":
            collect_native(int(order[1]))
        elif order[0] == "uncollectable":
            collect_uncollectable(int(order[1]))
        elif order[0] == "enable":
            gc.set_threshold(NEVER)
            gc.enable()
        else:
            collect(int(order[1]), int(order[2]))
        truth.tell({"file": __file__, "lines": LINES, "collections": COLLECTIONS,
                    "stats": gc.get_stats()})


main()
