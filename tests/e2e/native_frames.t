#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Native frames beneath the Python leaf, against a library that knows who calls whom: built with frame pointers and without, and
with a base pointer that leads astray."""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.tap import cleanup, has, is_, main, near, note, ok, once, once_more, test  # noqa: E402
from lib.target import Process, native_library  # noqa: E402

PAGE = 4096
BUILDS = {"with frame pointers": ["-O1", "-fno-omit-frame-pointer"], "without": ["-O2", "-fomit-frame-pointer"]}
GAP = "[callers not known]"
# Bytes where the function takes them, and times: some ten thousand page faults each.
TOUCHED = 1000000 * 60
ORDERS = ["touch 1000000 60", "memset 1000000 60", "misled 1500", "generated 15000", "deep 15000", "thread 1000000 60"]
# The share of what the first calls of a function brought in, before its callers could be found: some milliseconds, more where the
# tracer had to wait for a processor.
LEARNING = 0.3


@once
def folder():
    return cleanup.enter_context(tempfile.TemporaryDirectory())


def library(build):
    return native_library(os.path.join(folder(), f"{build.replace(' ', '_')}.so"), *BUILDS[build])


class Seen:
    """A recording of orders: `lines` by order's name."""

    def __init__(self, build, signals, orders):
        host.need_bpf()
        self.library = library(build)
        self.file = os.path.join(folder(), f"{build}.{signals}.pms".replace(" ", "_"))
        self.lines = {}
        with Process("native_frames.py", self.library) as target:
            target.ready()
            with tool.record("--pid", target.pid, "--signals", signals, "--budget", "none", file=self.file) as recorder:
                for order in orders:
                    truth = target.ask(order)
                    self.lines[order.split()[0]] = truth["line"]
                recorder.stop().succeeded()
        self.script = truth["file"]

    def beneath(self, name, signal="resident"):
        """{native frames beneath the line of an order: bytes}"""
        return measure.Stacks(self.file, signal).beneath(f"{name} ({self.script}:{self.lines[name]})")


def own(frames):
    """Of the library's own, from outer_... on."""
    names = [frame for frame in frames if not frame.startswith("/") and frame not in ("ffi_call", "malloc", GAP)]
    return tuple(names)


def check_way(found, way, learning=LEARNING):
    """Almost all came the way; the rest is a part of it, and says that callers are not known. No other frame, ever."""
    total = sum(found.values())
    right = sum(size for frames, size in found.items() if own(frames) == way and GAP not in frames)
    ok(right >= total * (1 - learning), f"{right:,} of {total:,} came {way}", *sorted(found.items(), key=lambda one: -one[1]))
    for frames, size in found.items():
        ok(own(frames) == way[len(way) - len(own(frames)):] or not own(frames), f"{size:,} bytes came {frames}, not {way}")
        ok(GAP not in frames[1:], f"a gap in {frames}")


@once
def touched_with():
    return Seen("with frame pointers", "resident", ORDERS)


@once
def touched_without():
    return Seen("without", "resident", ORDERS)


def each_build(check):
    for seen in (touched_with(), touched_without()):
        note(seen.library)
        check(seen)


@test
def a_library_that_touches_memory():
    def check(seen):
        found = seen.beneath("touch")
        check_way(found, ("outer_touch", "middle_touch", "inner_touch"))
        most = max(found, key=found.get)
        has(most[0], "/_ctypes.", "the frame right beneath the Python line")
        ok("ffi_call" in most, "libffi is on the way", most)
    each_build(check)


@test
def memset_of_the_c_library():
    def check(seen):
        found = seen.beneath("memset")
        ok(all(frames[-1] == "memset" or "outer_memset" not in frames for frames in found), *found)
        check_way({frames[:-1] if frames[-1] == "memset" else frames: size for frames, size in found.items()}, ("outer_memset",))
    each_build(check)


@test
def a_base_pointer_that_leads_astray():
    each_build(lambda seen: check_way(seen.beneath("misled"), ("outer_misled", "touch_with_bp")))


@test
def code_that_nobody_describes():
    def check(seen):
        found = seen.beneath("generated")
        near(found[(GAP, "[anonymous]")], sum(found.values()), 5, "bytes that generated code touched")
    each_build(check)


@test
def more_frames_than_are_kept():
    def check(seen):
        found = seen.beneath("deep")
        near(found[("[more native frames]", *["deep"] * 16)], sum(found.values()), LEARNING * 100, "bytes touched deep down")
        ok(all(set(frames) <= {"[more native frames]", GAP, "deep"} or size <= 2 * PAGE for frames, size in found.items()), *found)
    each_build(check)


@test
def a_thread_that_python_does_not_know():
    def check(seen):
        found = measure.Stacks(seen.file).beneath("[no python stack: thread is not known to Python]")
        way = ("thread_main", "outer_touch", "middle_touch", "inner_touch")
        right = sum(size for frames, size in found.items() if own(frames)[-4:] == way and GAP not in frames)
        ok(right > TOUCHED * (1 - LEARNING), f"{right:,} bytes came {way}", *found.items())
    each_build(check)


@test
def lines_are_pythons():
    """Native frames take nothing from the Python line, nor from its function"""
    def check(seen):
        row = tool.at(tool.lines(seen.file, "--view", "alloc"), seen.script, seen.lines["touch"])
        near(row["bytes"], sum(seen.beneath("touch").values()), 0, "bytes of the line")
        ok(row["bytes"] >= TOUCHED, row)
        functions = tool.report(seen.file, "function", "--view", "alloc")["rows"]
        row = next(row for row in functions if row["frame"]["function"] == "touch")
        ok(row["bytes"] >= TOUCHED, row)
        by_sql = measure.rows(seen.file, f"SELECT sum(alloc_bytes) FROM lines WHERE function = 'touch' AND file = '{seen.script}'"
                                         f" AND line = {seen.lines['touch']} AND kind = 'resident_anon'")
        ok(by_sql[0][0] >= TOUCHED, by_sql)
        native = {row["frame"]["function"]: row["bytes"] for row in functions if row["frame"] and row["frame"]["kind"] == "native"}
        near(native["inner_touch"], TOUCHED, LEARNING * 100, "of the thread without Python, the function itself")
    each_build(check)


@test
@once_more
def blocks_of_the_c_library():
    """malloc of a library, with its page faults: while the return of malloc is probed, what it returns to is not on the stack"""
    for build in BUILDS:
        seen = Seen(build, "resident,heap", ["malloc 10000 6000"])
        way = ("outer_malloc", "middle_malloc", "inner_malloc")
        found = seen.beneath("malloc", "heap")
        is_({frames[-1] for frames in found if "inner_malloc" in frames}, {"malloc"}, "what inner_malloc calls")
        check_way(found, way)
        near(sum(found.values()), 6000 * 10000, 1, "bytes allocated on the line")
        check_way({frames: size for frames, size in seen.beneath("malloc").items() if "inner_malloc" in frames}, way)
        faults = seen.beneath("malloc")
        ok(sum(size for frames, size in faults.items() if "inner_malloc" in frames) > 0.8 * sum(faults.values()), *faults.items())


main()
