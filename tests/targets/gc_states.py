# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Brings the collector into one state after the other and tells the truth about each. CPython 3.8 and later, without site.

Protocol, on standard output:
    runtime ADDRESS                     of _PyRuntime
    state NAME ENABLED THRESHOLD*3 COUNT*3 FROZEN (COLLECTIONS COLLECTED UNCOLLECTABLE)*3
                                        now stands still; a byte on standard input goes on
    done

The first count rises with every object made, so it may have gained some since it was told.
"""
import ctypes
import gc
import os
import sys

# PyTypeObject.tp_del, Include/cpython/object.h, 3.8-3.15 on 64-bit machines.
TP_DEL = 376
KEPT = []


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def finalise(_):
    pass


class Uncollectable:
    """Has a finaliser of the old kind, which only types made in C can have: in a cycle it ends in gc.garbage."""


def make_uncollectable():
    slot = ctypes.c_void_p.from_address(id(Uncollectable) + TP_DEL)
    slot.value = ctypes.cast(finalise, ctypes.c_void_p).value
    for _ in range(3):
        knot = Uncollectable()
        knot.knot = knot


def make_garbage(count):
    for _ in range(count):
        knot = []
        knot.append(knot)


def tell(name):
    stats = [one[key] for one in gc.get_stats() for key in ("collections", "collected", "uncollectable")]
    words = ["state", name, int(gc.isenabled()), *gc.get_threshold(), *gc.get_count(), gc.get_freeze_count(), *stats]
    os.write(1, (" ".join(map(str, words)) + "\n").encode())
    os.read(0, 1) or os._exit(3)


def main():
    address = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    os.write(1, b"runtime %x\n" % address)
    gc.collect()
    tell("enabled")
    gc.disable()
    KEPT.extend([] for _ in range(5000))
    tell("disabled")
    gc.set_threshold(123, 45, 6)
    tell("thresholds")
    gc.set_threshold(0)
    gc.enable()
    tell("never")
    gc.set_threshold(100000, 50, 50)
    for generation in (0, 1, 1, 2, 0, 0):
        make_garbage(100 + generation)
        gc.collect(generation)
    tell("collected")
    gc.freeze()
    tell("frozen")
    KEPT.extend([] for _ in range(30000))
    gc.freeze()
    tell("more_frozen")
    gc.unfreeze()
    tell("unfrozen")
    make_uncollectable()
    gc.collect()
    tell("uncollectable")
    os.write(1, b"done\n")
    sys.stdout.flush()


main()
