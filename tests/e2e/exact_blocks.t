#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The exact signal on every interpreter at hand: how many blocks live, against the runtime's own count.

Also in builds with profile-guided optimisation, where most allocations call no function at all.
"""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure  # noqa: E402
from lib.pythons import test_each  # noqa: E402
from lib.tap import main, note, ok  # noqa: E402

COUNT = 5000


def check(python):
    host.need_bpf()
    made = measure.blocks(python.start, [f"make {COUNT}"])
    truth, live, allocated = made["made"], made["live"], made["allocated"]
    note(f"{python}: {live} blocks of {truth} live ({100 * live / truth:.2f} %), {allocated} allocated")
    ok(truth > 20 * COUNT, "objects were made", str(truth))
    ok(abs(live - truth) < truth / 100, "blocks that live within 1 %", f"{live} of {truth}")
    dropped = measure.blocks(python.start, [f"make {COUNT}", "drop"])
    left, live, allocated = dropped["made"], dropped["live"], dropped["allocated"]
    left += dropped["unknown_freed"]  # what was there before tracing and is gone since
    note(f"{python}: {live} blocks live after all were freed, {left} by the runtime's count")
    ok(allocated > truth, "as many allocated", f"{allocated} of {truth}")
    ok(abs(live - left) < truth / 100, "frees within 1 %", f"{live} left, {left} by the runtime's count")


test_each(check, "blocks")

main()
