#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The gc signal sees each collection that gc.callbacks tells of: its generation, what triggered it and what it collected."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.tap import is_, main, ok, test  # noqa: E402


def check(python):
    host.need_bpf()
    result = measure.collections(python.start, measure.COLLECTIONS)
    seen, told = result["seen"], result["truth"]
    ok(seen, f"no collections in the recording; its notes: {result['notes']}")
    for key in ("generation", "trigger"):
        is_([one[key] for one in seen], [one[key] for one in told], key)
    for key in ("collected", "uncollectable"):
        # Of a collection that left something uncollectable USDT probes tell neither.
        is_([one[key] for one in seen],
            [-1 if one["uncollectable"] and mine["uncollectable"] == -1 else one[key] for mine, one in zip(seen, told)], key)
    # gc.collect() is called by the leaf of the stack.
    lines = result["lines"]
    is_({one["line"] for one in seen if one["trigger"] == "gc.collect"},
        {lines[key] for key in ("collect", "collect_nested", "collect_number", "collect_uncollectable")}, "lines of gc.collect()")
    is_({one["line"] for one in seen if one["trigger"] == "native"}, {lines["native"]}, "lines of PyGC_Collect()")
    ok(result["at_end"] and {one["trigger"] for one in result["at_end"]} == {"shutdown"}, f"at the end: {result['at_end']}")
    # The tool's own word for it: by what the interpreter counted.
    is_([(one["part"], one["whole"], one["known"].split(":")[0]) for one in result["coverage"]],
        [(len(told), len(told), "measured")], "coverage")
    # On a busy machine they are often apart, when the target loses its CPU between the two clocks. The median tells.
    off = [abs(error) - max(100_000, one["pause_ns"] * 0.05)
           for error, one in zip(measure.pause_errors_ns(result), told)]
    ok(sorted(off)[len(off) // 2] <= 0, "half of the pauses are more than 5 % or 100 us off: "
       f"{list(zip([one['pause_ns'] for one in seen], [one['pause_ns'] for one in told]))[:10]}")


def check_with_links(kind):
    """As on kernels that attach probes otherwise."""
    os.environ["PYMEMSCOPE_LINKS"] = kind
    try:
        for python in [one for one in pythons() if one.where in ("host", "pyenv")][:2]:
            check(python)
    finally:
        del os.environ["PYMEMSCOPE_LINKS"]


@test
def one_by_one():
    check_with_links("single")


@test
def many_at_once():
    check_with_links("many")


for PYTHON in pythons():
    def one(python=PYTHON):
        check(python)
    one.__name__ = "collections on " + PYTHON.name
    test(one)

main()
