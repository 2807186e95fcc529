#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What runs while the collector does stands on [collector]: native code, and Python code, also when another thread asks the collector
to run meanwhile."""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.tap import cleanup, main, near, ok, once, test  # noqa: E402
from lib.target import native_library  # noqa: E402

COLLECTOR = "[collector]"
DESTROYED = 5 * 100 * 100 * 4096  # objects, times, pages of each


@once
def library():
    path = os.path.join(cleanup.enter_context(tempfile.TemporaryDirectory()), "native_code.so")
    return native_library(path, "-O1", "-fno-omit-frame-pointer")


def each(order, check):
    """Of each interpreter of this host: what the target tells of an order, and its stacks."""
    host.need_bpf()
    for one in pythons():
        if one.where == "host" or (one.where == "pyenv" and one.release in ("3.8", "3.11", "3.13")):
            with measure.recording(one.start, "collector_frames.py", "resident,gc", "--budget", "none",
                                   args=[library()]) as (target, recorder):
                truth = target.ask(order)
                recorder.stop().succeeded()
                check(truth, measure.Stacks(recorder.file), one)


@test
def native_code_beneath():
    def check(truth, stacks, name):
        found = stacks.beneath(f"destructor ({truth['file']}:{truth['collects']})")
        right = sum(size for frames, size in found.items()
                    if frames[0] == COLLECTOR and frames[-3:] == ("outer_touch", "middle_touch", "inner_touch"))
        near(right, DESTROYED, 30, f"{name}: bytes that the destructor touched, of {found}")
        beside = sum(size for frames, size in found.items() if COLLECTOR not in frames)
        ok(beside < DESTROYED / 100, f"{name}: {beside} bytes not on {COLLECTOR}", found)
    each("destructor", check)


@test
def a_finaliser_while_another_thread_collects():
    def check(truth, stacks, name):
        way = (f"collect_slowly ({truth['file']}:{truth['collects']})", COLLECTOR)
        right = wrong = 0
        for stack, size in stacks.bytes.items():
            if f"{truth['file']}:{truth['touches']})" in " ".join(stack):
                ok_way = way in zip(stack, stack[1:])
                right, wrong = right + size * ok_way, wrong + size * (not ok_way)
        near(right, truth["bytes"], 1, f"{name}: bytes that the finaliser touched")
        ok(not wrong, f"{name}: {wrong} bytes of it not on {COLLECTOR}")
    each("finaliser", check)


main()
